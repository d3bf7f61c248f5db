package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
)

// parentsAtOnce is how many missing collections one plan makes: 24 rows, beside which a
// copy with all the properties that one may have fits into it.
const parentsAtOnce = 12

func (l *Library) mkdir(ctx context.Context, key Key, opt *MkdirOptions) (*Entry, error) {
	if opt == nil {
		opt = new(MkdirOptions)
	}
	r := l.live(ctx)
	if err := l.allow(r, mayCreate, key); err != nil {
		return nil, err
	}
	if err := l.ensureParents(ctx, key, opt.MakeParents); err != nil {
		return nil, err
	}
	now := l.b.opt.Now()
	var made *Entry
	err := l.t.log.Update(ctx, "mkdir", func(tx *journal.Tx) error {
		if err := l.allow(tx, mayCreate, key); err != nil {
			return err
		}
		if opt.MakeParents {
			if err := l.makeParents(tx, key, now); err != nil {
				return err
			}
		}
		p, err := l.t.locate(tx, key)
		if err != nil {
			return err
		}
		if err := opt.check(p.e); err != nil {
			return err
		}
		if p.e != nil {
			if !opt.Existing || !p.e.Dir {
				return fmt.Errorf("%w: %w", ErrExist, isWhat(p.e))
			}
			made = p.e
			amend := opt.Header != nil && l.acc.Mode != UploadOnly
			if !made.Implicit && !amend {
				return nil
			}
			made.Implicit = false // somebody wants it for itself now
			if amend {
				made.Header, made.Changed = opt.Header, now
				if !opt.Modified.IsZero() {
					made.Modified = opt.Modified
				}
			}
			w := l.writer(tx)
			w.put(p.dir, made)
			return w.err
		}
		made, err = l.t.planMkdir(tx, p.dir, key, now, false)
		if err == nil && (!opt.Modified.IsZero() || len(opt.Header) > 0) {
			made.Header = opt.Header
			if !opt.Modified.IsZero() {
				made.Modified = opt.Modified
			}
			w := l.writer(tx)
			w.put(p.dir, made)
			err = w.err
		}
		return err
	})
	if err != nil {
		return nil, fault(err)
	}
	return made, nil
}

// isWhat is the sentinel for what stands at a name that is taken.
func isWhat(e *Entry) error {
	if e.Dir {
		return ErrIsCollection
	}
	return ErrNotCollection
}

// planMkdir makes the member of dir that key names.
func (t *tree) planMkdir(tx *journal.Tx, dir *Entry, key Key, now time.Time, implicit bool) (*Entry, error) {
	_, name := key.Split()
	if dir.Ino == RootIno {
		if err := CheckLibraryName(name); err != nil {
			return nil, err
		}
		implicit = false
	}
	e := &Entry{Key: dir.Key.Join(name), Name: name, Ino: newIno(), Dir: true, Implicit: implicit, Modified: now, Created: now, Changed: now}
	w := t.writer(tx)
	w.put(dir, e)
	return e, w.err
}

// makeParents makes the collections above key that are missing, below its library,
// which must be there.
func (l *Library) makeParents(tx *journal.Tx, key Key, now time.Time) error {
	dirKey, _ := key.Split()
	at := root()
	for i, name := range dirKey.segments() {
		if !at.Dir {
			return ErrNotCollection
		}
		next, err := l.t.lookup(tx, at, name)
		if err != nil {
			return err
		}
		if next == nil {
			if i == 0 {
				return fmt.Errorf("%w: library %q", ErrParent, name)
			}
			if next, err = l.t.planMkdir(tx, at, at.Key.Join(name), now, true); err != nil {
				return err
			}
		}
		at = next
	}
	if !at.Dir {
		return ErrNotCollection
	}
	return nil
}

// ensureParents makes the topmost missing collections above a deep key in plans of
// their own, so that the last few fit into the plan of the operation itself.
func (l *Library) ensureParents(ctx context.Context, key Key, make bool) error {
	dir, _ := key.Split()
	segs := dir.segments()
	if !make || len(segs) <= parentsAtOnce {
		return nil
	}
	for n := parentsAtOnce; n < len(segs); n += parentsAtOnce {
		var upTo Key
		for _, s := range segs[:n] {
			upTo = upTo.Join(s)
		}
		if _, err := l.t.resolve(l.live(ctx), upTo); !errors.Is(err, ErrNotExist) {
			continue
		}
		err := l.t.log.Update(ctx, "mkdir", func(tx *journal.Tx) error { return l.makeParents(tx, upTo.Join("x"), l.b.opt.Now()) })
		if err != nil {
			return fault(err)
		}
	}
	return nil
}
