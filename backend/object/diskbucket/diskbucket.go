// Package diskbucket is a bucket in a directory: the embedded default. It keeps
// to the protocol of a bucket elsewhere. An object is written to a temporary
// file, made durable, and only then gets its name: by link(2), which refuses a
// name that is taken, for a create-only Put, by rename(2) otherwise. Then the
// directory is made durable too. A crash at any point leaves the object whole
// under its name or not there.
//
// The directory has
//
//	objects/<name>              an object; its media type, metadata and ETag are the
//	                            extended attribute user.sb, as JSON
//	meta/<name>/<mtime>         the same JSON, where the filesystem has no extended
//	                            attributes; mtime is the object's, 16 hex digits of ns
//	tmp/<random>                objects and parts being written
//	tmp/uploads/<id>/upload     a multipart upload, as JSON
//	tmp/uploads/<id>/<number>   its parts
//
// and must be one filesystem with hard links.
package diskbucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// Options adjusts a Bucket. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger // nil means slog.DiscardHandler
	// NoXattr keeps metadata in files beside the objects even where the
	// filesystem has extended attributes, for directories that are carried about
	// by tools that lose them. Metadata already in attributes is still read.
	NoXattr bool
	// UploadAge is how long Sweep leaves an upload that gets no parts; 0 means 7 days.
	UploadAge time.Duration
}

// Bucket is a bucket in a directory. Its methods may be called at once from
// several goroutines, and several processes may use one directory.
type Bucket struct {
	objects, meta, tmp, uploads string // directories

	log       *slog.Logger
	uploadAge time.Duration
	xattr     bool               // user.sb can be set
	root      fs.FileInfo        // of objects, to know it again
	closed    atomic.Bool        //
	stamp     atomic.Int64       // newest modification time given, ns
	writing   sync.Map           // paths in tmp that are being written, for Sweep
	locks     keyed              // of names that are being given, uploads being completed
	dirs      durableDirs        // directories known to be durable
	failpoint func(string) error // tests: called at named points of a write
}

var (
	_ object.Bucket      = (*Bucket)(nil)
	_ object.Multiparter = (*Bucket)(nil)
	_ object.Local       = (*Bucket)(nil)
)

// Open opens the bucket in dir, which is created if it is missing. It finds out
// whether the filesystem has what is needed, and says what is missing if not.
func Open(dir string, opt *Options) (*Bucket, error) {
	if opt == nil {
		opt = &Options{}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bucket directory: %w", err)
	}
	b := &Bucket{
		objects:   filepath.Join(dir, "objects"),
		meta:      filepath.Join(dir, "meta"),
		tmp:       filepath.Join(dir, "tmp"),
		uploads:   filepath.Join(dir, "tmp", "uploads"),
		log:       opt.Logger,
		uploadAge: opt.UploadAge,
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.uploadAge <= 0 {
		b.uploadAge = 7 * 24 * time.Hour
	}
	for _, d := range []string{b.objects, b.uploads} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open bucket directory: %w", err) // the operator's own path: shown
		}
	}
	for _, d := range []string{b.uploads, b.tmp, b.objects, dir, filepath.Dir(dir)} {
		if err := syncDir(d); err != nil && d != filepath.Dir(dir) {
			return nil, fmt.Errorf("open bucket directory: sync: %w", err)
		}
	}
	// What a process that was killed has left may be seen, but not be durable yet.
	if err := syncAll(dir); err != nil {
		return nil, fmt.Errorf("open bucket directory: sync: %w", err)
	}
	if b.root, err = os.Stat(b.objects); err != nil {
		return nil, fmt.Errorf("open bucket directory: %w", err)
	}
	b.dirs.reset(b.objects, b.meta)
	if err := b.probe(!opt.NoXattr); err != nil {
		return nil, fmt.Errorf("open bucket directory %s: %w", dir, err)
	}
	return b, nil
}

// probe finds out what the filesystem can do.
func (b *Bucket) probe(xattr bool) error {
	t, err := b.newTemp()
	if err != nil {
		return err
	}
	defer t.discard()
	if _, err := t.f.WriteString("probe"); err != nil {
		return err
	}
	linked := t.path + "-link"
	defer os.Remove(linked)
	if err := os.Link(t.path, linked); err != nil {
		return fmt.Errorf("its filesystem has no hard links, which create-only writes need (use ext4, XFS, Btrfs, ZFS or APFS): %w", err)
	}
	if err := os.Link(t.path, linked); !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("its filesystem does not refuse a second hard link of one name, which create-only writes need: %v", err)
	}
	if xattr && setXattr(t.f, []byte(`{}`)) == nil {
		b.xattr = true
		return nil
	}
	if err := os.MkdirAll(b.meta, 0o700); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(b.meta)); err != nil {
		return err
	}
	// Sidecars are found by the modification time.
	at := time.Unix(1_700_000_000, 123_456_789)
	if err := os.Chtimes(t.path, at, at); err != nil {
		return err
	}
	if fi, err := t.f.Stat(); err != nil || !fi.ModTime().Equal(at) {
		return errors.New("its filesystem has neither extended attributes nor times in nanoseconds, one of which metadata needs")
	}
	return nil
}

// Close ends the use of the bucket; calls after it fail with ErrUnavailable.
func (b *Bucket) Close() error {
	b.closed.Store(true)
	return nil
}

// Local reports true: objects are files of this machine.
func (b *Bucket) Local() bool { return true }

// Free returns the bytes that can still be written and those of the whole
// filesystem.
func (b *Bucket) Free() (free, total uint64, err error) {
	free, total, err = statfs(b.objects)
	if err != nil {
		return 0, 0, b.fail("ask for free space", err)
	}
	return free, total, nil
}

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
		if err := b.point("before sync of the directory"); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return err
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
	if err := b.point("before sync of the directory"); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
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

// Get implements object.Bucket. The reader has a WriteTo that lets the kernel copy.
func (b *Bucket) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := b.check(ctx, name, nil); err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	f, fi, err := openFile(b.path(name))
	if err != nil {
		return nil, b.fail("get object", b.missing(err))
	}
	off = max(off, 0)
	left := max(fi.Size()-off, 0)
	if n >= 0 {
		left = min(left, n)
	}
	if off > 0 && left > 0 {
		if _, err := f.Seek(off, io.SeekStart); err != nil {
			_ = f.Close()
			return nil, b.fail("get object", err)
		}
	}
	return &reader{b: b, f: f, lim: io.LimitedReader{R: f, N: left}}, nil
}

// Head implements object.Bucket.
func (b *Bucket) Head(ctx context.Context, name string) (object.Info, error) {
	if err := b.check(ctx, name, nil); err != nil {
		return object.Info{}, fmt.Errorf("head object: %w", err)
	}
	f, fi, err := openFile(b.path(name))
	if err != nil {
		return object.Info{}, b.fail("head object", b.missing(err))
	}
	defer f.Close()
	p, err := getXattr(f)
	a, err := b.readAttrs(name, fi, p, err)
	if err != nil {
		return object.Info{}, b.fail("head object", err)
	}
	info := describe(name, fi, a)
	info.Type, info.Meta = a.Type, a.Meta
	return info, nil
}

// Delete implements object.Bucket. It returns after the deletion is durable.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := b.check(ctx, name, nil); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	path := b.path(name)
	if fi, err := os.Lstat(path); err != nil || fi.IsDir() {
		if err == nil {
			return nil // a directory is no object
		}
		if err = b.missing(err); errors.Is(err, object.ErrNotExist) {
			return nil
		}
		return b.fail("delete object", err)
	}
	unlock, err := b.locks.lock(ctx, name)
	if err != nil {
		return b.fail("delete object", err)
	}
	defer unlock()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return b.fail("delete object", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return b.fail("delete object", err)
	}
	b.dropSidecars(name, "")
	b.dirs.prune(filepath.Dir(path), b.objects)
	return nil
}

// check is what every method does first.
func (b *Bucket) check(ctx context.Context, name string, opt *object.PutOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.closed.Load() {
		return fmt.Errorf("%w: it was closed", object.ErrUnavailable)
	}
	if err := object.CheckName(name); err != nil {
		return err
	}
	return opt.Check()
}

func (b *Bucket) path(name string) string {
	return filepath.Join(b.objects, filepath.FromSlash(name))
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

func (b *Bucket) point(name string) error {
	if b.failpoint == nil {
		return nil
	}
	return b.failpoint(name)
}

// reader is an open object. When it is given to io.Copy, WriteTo hands the
// *os.File to the destination, which may be able to send it without copying
// (net.TCPConn and http.ResponseWriter are).
type reader struct {
	b   *Bucket
	f   *os.File
	lim io.LimitedReader
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.lim.Read(p)
	if err == io.EOF && r.lim.N > 0 {
		err = fmt.Errorf("%w: the file became shorter", io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF {
		err = r.b.fail("read object", err)
	}
	return n, err
}

func (r *reader) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, &r.lim)
	if p := (*fs.PathError)(nil); errors.As(err, &p) && p.Path == r.f.Name() {
		err = r.b.fail("read object", err) // the file's error, not the destination's
	}
	if err == nil && r.lim.N > 0 {
		err = fmt.Errorf("read object: %w: the file became shorter", io.ErrUnexpectedEOF)
	}
	return n, err
}

func (r *reader) Close() error { return r.f.Close() }

// openFile opens a regular file. Anything else is as if it did not exist.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, fi, nil
}

func isDir(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.IsDir()
}

func etag(at time.Time, size int64) string {
	return fmt.Sprintf("%016x-%x", at.UnixNano(), size)
}

func describe(name string, fi fs.FileInfo, a attrs) object.Info {
	info := object.Info{Name: name, Size: fi.Size(), ETag: a.ETag, ModTime: fi.ModTime().UTC()}
	if info.ETag == "" { // put there by another tool
		info.ETag = etag(fi.ModTime(), fi.Size())
	}
	return info
}
