package diskbucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// List implements object.Bucket. One directory is in memory at a time for each
// level of the tree. What is put or deleted meanwhile may be yielded or not.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		l := &lister{b: b, ctx: ctx, prefix: prefix, after: after, yield: yield}
		err := ctx.Err()
		if err == nil && b.closed.Load() {
			err = fmt.Errorf("%w: it was closed", object.ErrUnavailable)
		}
		if err == nil {
			err = l.walk(startDir(prefix))
		}
		if err == nil && !l.stopped && !b.there() {
			err = b.missing(fs.ErrNotExist) // nothing is not the same as no disk
		}
		if err != nil && !l.stopped {
			yield(object.Info{}, b.fail("list objects", err))
		}
	}
}

// startDir is the deepest directory that has all of prefix, "" or "a/b/". A
// prefix that no valid name has starts at the top, where nothing matches it.
func startDir(prefix string) string {
	dir := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if dir != "" && object.CheckName(dir+"x") != nil {
		return ""
	}
	return dir
}

type lister struct {
	b             *Bucket
	ctx           context.Context // a lister lives for one List
	prefix, after string
	yield         func(object.Info, error) bool
	stopped       bool
}

// walk lists one directory, dir being "" or ending in a slash.
func (l *lister) walk(dir string) error {
	entries, err := l.read(dir)
	if err != nil {
		return err
	}
	for i, name := range entries {
		entries[i] = "" // let go of what is done
		if strings.HasSuffix(name, "/") {
			err = l.walk(dir + name)
		} else {
			err = l.object(dir + name)
		}
		if err != nil || l.stopped {
			return err
		}
	}
	return nil
}

// read returns the entries of a directory that can matter, directories with a
// slash at the end. With it they sort as the whole names below them do:
// "a-b" < "a.b" < "a/" < "a0".
func (l *lister) read(dir string) ([]string, error) {
	f, err := os.Open(l.b.path(dir))
	if err != nil {
		return nil, unlessNoDir(err)
	}
	defer f.Close()
	var names []string
	for {
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			name := dir + e.Name()
			if e.IsDir() {
				name += "/"
				if !strings.HasPrefix(name, l.prefix) && !strings.HasPrefix(l.prefix, name) {
					continue
				}
				// All below are smaller than after unless they share its start.
				if name <= l.after && !strings.HasPrefix(l.after, name) {
					continue
				}
			} else if !e.Type().IsRegular() || !strings.HasPrefix(name, l.prefix) || name <= l.after {
				continue
			}
			names = append(names, name[len(dir):])
		}
		if len(entries) == 0 || err != nil {
			if err != nil && err != io.EOF {
				return nil, unlessNoDir(err)
			}
			break
		}
	}
	sort.Strings(names)
	return names, nil
}

// unlessNoDir drops the errors of what is no directory: it was pruned this
// instant, never there, or is an object.
func unlessNoDir(err error) error {
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) || isNameTooLong(err) {
		return nil
	}
	return err
}

func (l *lister) object(name string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	path := filepath.Join(l.b.objects, filepath.FromSlash(name))
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	p, err := getXattrAt(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	a, err := l.b.readAttrs(name, fi, p, err)
	if err != nil {
		return err
	}
	if !l.yield(describe(name, fi, a), nil) {
		l.stopped = true
	}
	return nil
}
