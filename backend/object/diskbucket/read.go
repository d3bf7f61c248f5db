package diskbucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shoebox-photos/shoebox/backend/object"
)

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

func describe(name string, fi fs.FileInfo, a attrs) object.Info {
	info := object.Info{Name: name, Size: fi.Size(), ETag: a.ETag, ModTime: fi.ModTime().UTC()}
	if info.ETag == "" { // put there by another tool
		info.ETag = etag(fi.ModTime(), fi.Size())
	}
	return info
}
