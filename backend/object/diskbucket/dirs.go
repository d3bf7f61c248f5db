package diskbucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// durableDirs makes directories that survive a power cut, and remembers them. A
// name is durable only if every directory above it is, and that another call has
// just made one does not mean that it has synced its parent yet: so each call
// syncs what it does not know to be durable.
type durableDirs struct {
	mu sync.RWMutex // held for reading while a name is given, for writing to prune

	known struct {
		sync.Mutex
		set   map[string]struct{}
		roots []string // always known
	}
}

const maxKnownDirs = 8192

func (d *durableDirs) reset(roots ...string) {
	d.known.Lock()
	defer d.known.Unlock()
	if len(roots) > 0 {
		d.known.roots = roots
	}
	d.known.set = make(map[string]struct{})
	for _, r := range d.known.roots {
		d.known.set[r] = struct{}{}
	}
}

func (d *durableDirs) has(dir string) bool {
	d.known.Lock()
	defer d.known.Unlock()
	_, ok := d.known.set[dir]
	return ok
}

func (d *durableDirs) add(dir string) {
	if d.full() {
		d.reset()
	}
	d.known.Lock()
	defer d.known.Unlock()
	d.known.set[dir] = struct{}{}
}

func (d *durableDirs) full() bool {
	d.known.Lock()
	defer d.known.Unlock()
	return len(d.known.set) >= maxKnownDirs
}

// forget drops dir and all above it but the roots.
func (d *durableDirs) forget(dir string) {
	d.known.Lock()
	defer d.known.Unlock()
	for ; !contains(d.known.roots, dir) && filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		delete(d.known.set, dir)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// make makes dir and what is missing above it, durably. The roots are never
// made: without them the disk is not there.
func (d *durableDirs) make(dir string) error {
	if d.has(dir) {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := d.make(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		if !isDir(dir) {
			return fmt.Errorf("%w: a part of it up to a slash is the name of another object", object.ErrName)
		}
	} else if err != nil {
		return err
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	d.add(dir)
	return nil
}

// prune removes dir and what is above it up to root, as far as they are empty.
// It does nothing while names are being given: Sweep comes back.
func (d *durableDirs) prune(dir, root string) {
	if !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	for ; dir != root && len(dir) > len(root); dir = filepath.Dir(dir) {
		if !isDir(dir) || os.Remove(dir) != nil {
			return
		}
		d.known.Lock()
		delete(d.known.set, dir)
		d.known.Unlock()
	}
}

// keyed is a set of locks, one for each key in use. The zero value is ready.
type keyed struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	held chan struct{} // capacity 1: full while held
	refs int           // guarded by keyed.mu
}

// lock waits for the lock of key, or for the end of ctx.
func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	l := k.locks[key]
	if l == nil {
		l = &keyedLock{held: make(chan struct{}, 1)}
		if k.locks == nil {
			k.locks = make(map[string]*keyedLock)
		}
		k.locks[key] = l
	}
	l.refs++
	k.mu.Unlock()
	release := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.refs--; l.refs == 0 {
			delete(k.locks, key)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; release() }, nil
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
	}
}
