package backend

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A Key is an entry's name within one user's tree: slash-separated, without a
// slash at either end, as "photos/2024/a.jpg"; "" is the root, whose members
// are the libraries. Only ParseKey makes one out of what a client sent.
//
// Keys are kept as the client spelled them. Two keys name the same entry when
// their Unicode normalisation forms C are equal.
type Key string

// Limits of keys.
const (
	MaxName  = 255  // bytes in one segment
	MaxDepth = 64   // segments
	MaxKey   = 1024 // bytes in a key below its library, as in S3
)

// ParseKey checks a decoded, slash-separated path and makes it a Key. One slash
// at either end is dropped. Refused, with ErrKey: NUL and other bytes that are
// not UTF-8, empty, "." and ".." segments, and what is over a limit.
func ParseKey(s string) (Key, error) {
	s = strings.TrimPrefix(s, "/")
	s = strings.TrimSuffix(s, "/")
	if s == "" {
		return "", nil
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%w: it is not valid UTF-8", ErrKey)
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("%w: it has a NUL byte", ErrKey)
	}
	depth, rest := 0, s
	for more := true; more; depth++ {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		switch {
		case name == "":
			return "", fmt.Errorf("%w: it has an empty segment (//)", ErrKey)
		case name == "." || name == "..":
			return "", fmt.Errorf("%w: it has a segment %q", ErrKey, name)
		case len(name) > MaxName || len(norm.NFC.String(name)) > MaxName:
			return "", fmt.Errorf("%w: a name is longer than %d bytes", ErrKey, MaxName)
		}
	}
	if depth > MaxDepth {
		return "", fmt.Errorf("%w: it is more than %d levels deep", ErrKey, MaxDepth)
	}
	if _, below, _ := strings.Cut(s, "/"); len(below) > MaxKey {
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrKey, MaxKey)
	}
	return Key(s), nil
}

// Split parts a key into the collection it is a member of and its own name.
func (k Key) Split() (dir Key, name string) {
	if i := strings.LastIndexByte(string(k), '/'); i >= 0 {
		return k[:i], string(k[i+1:])
	}
	return "", string(k)
}

// Join is the key of the member called name.
func (k Key) Join(name string) Key {
	if k == "" {
		return Key(name)
	}
	return k + "/" + Key(name)
}

// Library is the key's first segment, the library it is in, and the rest.
func (k Key) Library() (library, below string) {
	library, below, _ = strings.Cut(string(k), "/")
	return library, below
}

// Same says whether two keys name the same entry.
func (k Key) Same(o Key) bool {
	return k == o || norm.NFC.String(string(k)) == norm.NFC.String(string(o))
}

// Contains says whether o is k or lies below it.
func (k Key) Contains(o Key) bool {
	a, b := norm.NFC.String(string(k)), norm.NFC.String(string(o))
	return a == "" || a == b || strings.HasPrefix(b, a+"/")
}

// LogValue keeps what a family calls its photographs out of the log.
func (k Key) LogValue() slog.Value { return slog.StringValue("redacted") }

func (k Key) segments() []string {
	if k == "" {
		return nil
	}
	return strings.Split(string(k), "/")
}

// nfc is the form of a name that rows are keyed by.
func nfc(name string) string { return norm.NFC.String(name) }

// CheckLibraryName says whether name can be a library: it is also an S3 bucket,
// so Amazon's rules hold (Amazon S3 User Guide, "Bucket naming rules"): 3 to 63
// of a-z, 0-9, '-' and '.', beginning and ending with a letter or digit.
func CheckLibraryName(name string) error {
	if len(name) < 3 || len(name) > 63 {
		return fmt.Errorf("%w: %q must have 3 to 63 characters", ErrLibraryName, name)
	}
	for i := range len(name) {
		c := name[i]
		alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if alnum || (c == '-' || c == '.') && i > 0 && i < len(name)-1 && !(c == '.' && name[i-1] == '.') {
			continue
		}
		return fmt.Errorf("%w: use a-z, 0-9, '-' and '.', with a letter or digit at both ends", ErrLibraryName)
	}
	return nil
}

// Junk says whether name is a file that desktops strew over shares and nobody
// wants to keep: it never reaches the bucket, a variant or the timeline.
func Junk(name string) bool {
	return strings.HasPrefix(name, "._") || name == ".DS_Store" || strings.EqualFold(name, "Thumbs.db") || strings.EqualFold(name, "desktop.ini")
}
