package diskbucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Put implements object.Bucket.
func (b *Bucket) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	if err := b.check(ctx, name, opt); err != nil {
		return object.Info{}, fmt.Errorf("put object: %w", err)
	}
	t, err := b.newTemp()
	if err != nil {
		return object.Info{}, b.fail("put object", err)
	}
	defer t.discard()
	n, err := t.fill(object.NewBody(ctx, body, size))
	if err != nil {
		return object.Info{}, b.fail("put object", err)
	}
	meta, err := opt.Final()
	if err != nil {
		return object.Info{}, fmt.Errorf("put object: %w", err)
	}
	a := attrs{Meta: meta}
	createOnly := false
	if opt != nil {
		a.Type, createOnly = opt.Type, opt.CreateOnly
	}
	return b.publish(ctx, name, t, n, a, createOnly)
}

// publish gives the object its metadata and its name, and makes both durable.
// From the name on it no longer minds ctx.
func (b *Bucket) publish(ctx context.Context, name string, t *temp, size int64, a attrs, createOnly bool) (object.Info, error) {
	unlock, err := b.locks.lock(ctx, name)
	if err != nil {
		return object.Info{}, b.fail("put object", err)
	}
	defer unlock()
	if createOnly { // spares the sync of the data; link decides
		if fi, err := os.Lstat(b.path(name)); err == nil && !fi.IsDir() {
			return object.Info{}, b.fail("put object", b.taken(b.path(name)))
		}
	}
	at := b.now()
	a.ETag = etag(at, size)
	sidecar, err := b.writeAttrs(name, t, at, a)
	if err != nil {
		return object.Info{}, b.fail("put object", err)
	}
	undo := func() {
		if sidecar != "" {
			_ = os.Remove(sidecar) // an orphan at worst: no object has its time
		}
	}
	err = t.durable()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		fail.Point("disk.written")
		err = b.point("before name")
	}
	if err != nil {
		undo()
		return object.Info{}, b.fail("put object", err)
	}
	if err := b.name(t, b.path(name), createOnly); err != nil {
		if !t.named {
			undo()
		}
		return object.Info{}, b.fail("put object", err)
	}
	b.dropSidecars(name, sidecar)
	return object.Info{Name: name, Size: size, ETag: a.ETag, ModTime: at.UTC(), Type: a.Type, Meta: a.Meta}, nil
}

// name moves the temporary file to path and makes that durable.
func (b *Bucket) name(t *temp, path string, createOnly bool) error {
	b.dirs.mu.RLock() // nobody prunes directories meanwhile
	defer b.dirs.mu.RUnlock()
	err := b.move(t, path, createOnly)
	if err == nil || errors.Is(err, object.ErrExist) {
		fail.Point("disk.named")
		if err := b.syncName(path); err != nil {
			return err
		}
	}
	return err
}

// syncName makes durable that path has its name. If that fails the object may be there or
// not, whatever the cause: even a full disk is no ErrNoSpace, which says that nothing was done.
func (b *Bucket) syncName(path string) error {
	err := b.point("before sync of the directory")
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("%w: sync of the directory: %v", object.ErrUnavailable, pathless(err))
	}
	return nil
}

// taken returns ErrExist once it is sure to stay true. The name may have been
// given by a call that died, or failed, before it made that durable; and whoever
// is told that a name is taken may find its own bytes there, and call it done.
func (b *Bucket) taken(path string) error {
	b.dirs.mu.RLock()
	defer b.dirs.mu.RUnlock()
	dir := filepath.Dir(path)
	if err := b.dirs.make(dir); err != nil {
		return err
	}
	if err := b.syncName(path); err != nil {
		return err
	}
	return object.ErrExist
}

func (b *Bucket) move(t *temp, path string, createOnly bool) error {
	dir := filepath.Dir(path)
	for try := 0; ; try++ {
		err := b.dirs.make(dir)
		if err == nil && createOnly {
			err = os.Link(t.path, path)
		} else if err == nil {
			err = os.Rename(t.path, path)
			t.moved = err == nil
		}
		if err == nil {
			t.named = true
			return nil
		}
		if errors.Is(err, fs.ErrNotExist) && try < 3 && b.there() {
			b.dirs.forget(dir) // another process pruned it
			continue
		}
		if isDir(path) { // link says EEXIST, rename EISDIR or EEXIST
			return fmt.Errorf("%w: names of other objects begin with it and a slash", object.ErrName)
		}
		if createOnly && errors.Is(err, fs.ErrExist) {
			return object.ErrExist
		}
		return err
	}
}

// now returns a time that no other object of this process has.
func (b *Bucket) now() time.Time {
	for {
		last, now := b.stamp.Load(), time.Now().UnixNano()
		now = max(now, last+1)
		if b.stamp.CompareAndSwap(last, now) {
			return time.Unix(0, now)
		}
	}
}

func etag(at time.Time, size int64) string {
	return fmt.Sprintf("%016x-%x", at.UnixNano(), size)
}
