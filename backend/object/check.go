package object

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

var (
	// ErrName says that a name can not be an object's: see CheckName.
	ErrName = errors.New("not a valid object name")
	// ErrMeta says that metadata can not be an object's: see CheckMeta.
	ErrMeta = errors.New("not valid object metadata")
)

// Limits of names and metadata. A bucket must be able to move from one driver
// to another, so the narrowest driver rules: segments are file names on disk.
const (
	MaxName    = 1024 // bytes of a name (Amazon S3 User Guide, "Naming objects")
	MaxSegment = 255  // bytes between two slashes (NAME_MAX)
	MaxMeta    = 2048 // bytes of all names and values (Amazon S3 User Guide, "Object metadata")
	MaxParts   = 10_000
)

// CheckName reports, wrapping ErrName, why name can not be an object's: it must
// be 1 to MaxName bytes of UTF-8 without control characters, in slash-separated
// segments of 1 to MaxSegment bytes, none of them "." or "..".
// The error does not contain the name.
//
// One rule is beyond a single name: "a" and "a/b" can not both be objects. The
// driver on disk refuses the second of them with ErrName.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%w: %d bytes, must be 1 to %d", ErrName, len(name), MaxName)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("%w: not UTF-8", ErrName)
	}
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] == 0x7f {
			return fmt.Errorf("%w: control character", ErrName)
		}
	}
	for seg := range strings.SplitSeq(name, "/") {
		switch {
		case seg == "":
			return fmt.Errorf("%w: empty segment", ErrName)
		case seg == "." || seg == "..":
			return fmt.Errorf("%w: segment %q", ErrName, seg)
		case len(seg) > MaxSegment:
			return fmt.Errorf("%w: segment of %d bytes, must be at most %d", ErrName, len(seg), MaxSegment)
		}
	}
	return nil
}

// CheckMeta reports, wrapping ErrMeta, why meta can not be an object's: names
// must be of [a-z0-9-], values of printable ASCII without blanks at either end,
// all together at most MaxMeta bytes. That is what survives as HTTP headers.
func CheckMeta(meta map[string]string) error {
	n := 0
	for k, v := range meta {
		n += len(k) + len(v)
		if k == "" {
			return fmt.Errorf("%w: empty name", ErrMeta)
		}
		for i := 0; i < len(k); i++ {
			if c := k[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
				return fmt.Errorf("%w: name %q, must be of a-z, 0-9 and -", ErrMeta, k)
			}
		}
		if strings.TrimSpace(v) != v {
			return fmt.Errorf("%w: value of %s begins or ends with a blank", ErrMeta, k)
		}
		for i := 0; i < len(v); i++ {
			if v[i] < ' ' || v[i] > '~' {
				return fmt.Errorf("%w: value of %s is not printable ASCII", ErrMeta, k)
			}
		}
	}
	if n > MaxMeta {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMeta, n, MaxMeta)
	}
	return nil
}

// CheckParts reports, wrapping ErrPart, a list of parts that no driver can
// complete: empty, out of order, with a number out of range or without an ETag.
func CheckParts(parts []Part) error {
	if len(parts) == 0 || len(parts) > MaxParts {
		return fmt.Errorf("%w: %d parts, must be 1 to %d", ErrPart, len(parts), MaxParts)
	}
	last := 0
	for _, p := range parts {
		if err := CheckPartNumber(p.Number); err != nil {
			return err
		}
		if p.Number <= last {
			return fmt.Errorf("%w: number %d follows %d", ErrPart, p.Number, last)
		}
		if p.ETag == "" {
			return fmt.Errorf("%w: number %d has no ETag", ErrPart, p.Number)
		}
		last = p.Number
	}
	return nil
}

// CheckPartNumber reports, wrapping ErrPart, a part number outside 1 to MaxParts.
func CheckPartNumber(n int) error {
	if n < 1 || n > MaxParts {
		return fmt.Errorf("%w: number %d, must be 1 to %d", ErrPart, n, MaxParts)
	}
	return nil
}
