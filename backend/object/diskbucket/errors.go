package diskbucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// fail says what was being done, and as which of the contract's errors it ended.
// Paths are cut out of the error: they are made of users' file names.
func (b *Bucket) fail(doing string, err error) error {
	for _, known := range []error{
		context.Canceled, context.DeadlineExceeded, object.ErrNotExist, object.ErrExist, object.ErrUnavailable,
		object.ErrNoSpace, object.ErrIncomplete, object.ErrPart, object.ErrName, object.ErrMeta, errBody,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	err = pathless(err)
	if isNoSpace(err) {
		return fmt.Errorf("%s: %w: %w", doing, object.ErrNoSpace, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, object.ErrUnavailable, err)
}

// errBody marks an error that is the body's own, not the disk's.
var errBody = errors.New("body")

type bodyError struct{ error }

func (e bodyError) Unwrap() error        { return e.error }
func (e bodyError) Is(target error) bool { return target == errBody }

// missing turns "no such file" into ErrNotExist, but only if the directory is
// the one that was opened: a disk that went away has lost nothing.
func (b *Bucket) missing(err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !isNotDir(err) && !isNameTooLong(err) {
		return err
	}
	if !b.there() {
		return fmt.Errorf("%w: its directory is gone or another one (is the disk mounted?)", object.ErrUnavailable)
	}
	return object.ErrNotExist
}

// there reports whether the bucket's directory is still the one that was opened.
func (b *Bucket) there() bool {
	fi, err := os.Stat(b.objects)
	return err == nil && os.SameFile(fi, b.root)
}

func pathless(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	case errors.As(err, &l):
		return fmt.Errorf("%s: %w", l.Op, l.Err)
	}
	return err
}
