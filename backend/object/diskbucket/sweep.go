package diskbucket

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// sweepAge is how old a leftover must be. Nothing is written for so long
// without being touched.
const sweepAge = 24 * time.Hour

// Sweep removes what crashes have left: temporary files older than a day that
// this process does not write, uploads that got no part for Options.UploadAge,
// metadata of objects that are gone, and directories that have been empty for a
// day. It never touches an object. It may run beside all other calls.
func (b *Bucket) Sweep(ctx context.Context) error {
	n, err := b.sweepTemp(ctx, time.Now())
	if err == nil {
		err = b.sweepTree(ctx, b.objects, nil)
	}
	if err == nil {
		err = b.sweepTree(ctx, b.meta, b.sweepSidecar)
	}
	if n > 0 {
		b.log.Info("swept what interrupted writes had left", "op", "sweep", "files", n)
	}
	if err != nil {
		return b.fail("sweep", err)
	}
	return nil
}

func (b *Bucket) sweepTemp(ctx context.Context, now time.Time) (n int, err error) {
	for _, d := range []struct {
		dir string
		age time.Duration
	}{{b.tmp, sweepAge}, {b.uploads, b.uploadAge}} {
		list, err := os.ReadDir(d.dir)
		if err != nil {
			return n, err
		}
		for _, e := range list {
			if err := ctx.Err(); err != nil {
				return n, err
			}
			path := filepath.Join(d.dir, e.Name())
			if _, busy := b.writing.Load(path); busy || path == b.uploads {
				continue
			}
			fi, err := e.Info() // of an upload: when its newest part came
			if err != nil || now.Sub(fi.ModTime()) < d.age {
				continue
			}
			if d.dir == b.uploads {
				err = b.endUpload(path)
			} else {
				err = os.RemoveAll(path)
			}
			if err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// sweepTree removes directories that have been empty for a day, and calls file
// for each file.
func (b *Bucket) sweepTree(ctx context.Context, root string, file func(path string, fi fs.FileInfo)) error {
	var old []string // directories, parents first
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.IsDir() {
			if file == nil {
				return nil
			}
			if fi, err := e.Info(); err == nil {
				file(path, fi)
			}
			return nil
		}
		if fi, err := e.Info(); err == nil && path != root && time.Since(fi.ModTime()) > sweepAge {
			if empty(path) {
				old = append(old, path)
			}
		}
		return nil
	})
	for _, dir := range old {
		b.dirs.prune(dir, root)
	}
	return err
}

// sweepSidecar removes metadata that no object has: it has another time, or
// there is none. Young ones may belong to a write on its way.
func (b *Bucket) sweepSidecar(path string, fi fs.FileInfo) {
	if time.Since(fi.ModTime()) < sweepAge {
		return
	}
	rel, err := filepath.Rel(b.meta, filepath.Dir(path))
	if err != nil {
		return
	}
	o, err := os.Lstat(filepath.Join(b.objects, rel))
	if err == nil && b.sidecar(filepath.ToSlash(rel), o.ModTime()) == path {
		return
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) && b.there() {
		_ = os.Remove(path)
	}
}

func empty(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close()
	names, _ := f.Readdirnames(1)
	return len(names) == 0
}
