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

func (b *Bucket) point(name string) error {
	if b.failpoint == nil {
		return nil
	}
	return b.failpoint(name)
}
