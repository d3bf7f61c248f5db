package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// overlap refuses what RFC 4918 §9.8.5 and §9.9.4 call 403: source and destination are
// the same, or one lies in the other.
func overlap(src, dst Key) error {
	switch {
	case src == "" || dst == "":
		return fmt.Errorf("%w: the root", ErrSameResource)
	case src.Same(dst):
		return fmt.Errorf("%w: they are the same", ErrSameResource)
	case src.Contains(dst):
		return fmt.Errorf("%w: the destination lies in the source", ErrSameResource)
	case dst.Contains(src):
		return fmt.Errorf("%w: the source lies in the destination", ErrSameResource)
	}
	return nil
}

func (l *Library) move(ctx context.Context, src, dst Key, opt *MoveOptions) (*Entry, bool, error) {
	if opt == nil {
		opt = new(MoveOptions)
	}
	r := l.live(ctx)
	if err := l.allowBoth(r, src, dst, mayChange); err != nil {
		return nil, false, err
	}
	if err := l.ensureParents(ctx, dst, opt.MakeParents); err != nil {
		return nil, false, err
	}
	now := l.b.opt.Now()
	var created bool
	made, err := l.transfer(ctx, "move", src, dst, func(tx *journal.Tx, own *Entry) (*Entry, error) {
		s, d, err := l.planTransfer(tx, src, dst, opt, now)
		if err != nil {
			return nil, err
		}
		made := clone(s.e)
		_, made.Name = dst.Split()
		made.Key, made.Changed, made.Implicit = dst, now, false
		if !opt.Modified.IsZero() {
			made.Modified = opt.Modified
		}
		if err := makeOwn(made, own); err != nil {
			return nil, err
		}
		made.logged = made.logged || replacesLogged(d.e)
		w := l.writer(tx)
		w.logs = !junkRow(made)
		locks, err := w.locksOf(src, s.e)
		if err != nil {
			return nil, err
		}
		w.remove(s.dir, s.e)
		if created = d.e == nil; !created {
			w.trash(d.dir, d.e, now)
		}
		if junkRow(made) != junkRow(s.e) {
			// Junk becomes something else, or something empty junk: one is in the log, the
			// other is not. So it is another entry.
			made = w.copyOf(l.b, made, d.dir, made.Name, now)
			made.Created = s.e.Created
			w.trash(s.dir, s.e, now)
			files := boolInt(!junkRow(made))
			if err := l.roomFor(tx, grownBy(made), files, ""); err != nil {
				return nil, err
			}
			w.grow(grownBy(made), files)
		} else if made.Object != s.e.Object && showable(made) { // junk that is logged
			for _, op := range l.b.jobOps(l.t.uid, made) {
				tx.Local(op)
			}
		}
		w.put(d.dir, made)
		w.endLocks(locks)
		if made.Dir {
			fail.Point("move.folder")
		}
		return made, w.err
	})
	if err != nil {
		return nil, false, err
	}
	return made, created, nil
}

// allowBoth checks the Access for both ends; v is what happens to the source.
func (l *Library) allowBoth(r rows, src, dst Key, v verb) error {
	if err := overlapAllowed(src, dst, v); err != nil {
		return err
	}
	if err := l.allow(r, v, src); err != nil {
		return err
	}
	return l.allow(r, mayChange, dst)
}

func overlapAllowed(src, dst Key, v verb) error {
	if v == mayRead && src.Same(dst) {
		return nil // a copy onto itself, to change metadata; planned for in copy
	}
	return overlap(src, dst)
}

// planTransfer finds both places and checks all that a Move and a Copy have in common.
func (l *Library) planTransfer(tx *journal.Tx, src, dst Key, opt *MoveOptions, now time.Time) (s, d place, err error) {
	if err := l.allow(tx, mayChange, dst); err != nil { // once more: its collection may have moved
		return s, d, err
	}
	if s, err = l.t.locate(tx, src); err == ErrParent || err == nil && s.e == nil {
		err = ErrNotExist
	}
	if err != nil {
		return s, d, err
	}
	if err := opt.Source.check(s.e); err != nil {
		return s, d, err
	}
	if opt.MakeParents {
		if err := l.makeParents(tx, dst, now); err != nil {
			return s, d, err
		}
	}
	if d, err = l.t.locate(tx, dst); err != nil {
		return s, d, err
	}
	if d.dir.Ino == RootIno {
		if !s.e.Dir {
			return s, d, fmt.Errorf("%w: it is a file", ErrTopLevel)
		}
		_, name := dst.Split()
		if err := CheckLibraryName(name); err != nil {
			return s, d, err
		}
	}
	if err := opt.check(d.e); err != nil {
		return s, d, err
	}
	if d.e != nil && !opt.Overwrite {
		return s, d, ErrExist
	}
	return s, d, nil
}

func (l *Library) copy(ctx context.Context, src, dst Key, opt *MoveOptions) (*Entry, bool, error) {
	if opt == nil {
		opt = new(MoveOptions)
	}
	r := l.live(ctx)
	if err := l.allowBoth(r, src, dst, mayRead); err != nil {
		return nil, false, err
	}
	if src.Same(dst) {
		e, err := l.rewrite(ctx, src, opt)
		return e, false, err
	}
	from, err := l.t.resolve(r, src)
	if err != nil {
		return nil, false, err
	}
	if from.Dir {
		if err := overlap(src, dst); err != nil {
			return nil, false, err
		}
	}
	if err := l.ensureParents(ctx, dst, opt.MakeParents); err != nil {
		return nil, false, err
	}
	if from.Dir && !opt.Shallow {
		return l.copyTree(ctx, src, dst, from, opt)
	}
	now := l.b.opt.Now()
	var created bool
	made, err := l.transfer(ctx, "copy", src, dst, func(tx *journal.Tx, own *Entry) (*Entry, error) {
		s, d, err := l.planTransfer(tx, src, dst, opt, now)
		if err != nil {
			return nil, err
		}
		source := clone(s.e)
		_, source.Name = dst.Split()
		source.logged = replacesLogged(d.e)
		if err := makeOwn(source, own); err != nil {
			return nil, err
		}
		w := l.writer(tx)
		w.logs = !junkRow(source)
		var locks []kv.Key
		if created = d.e == nil; !created {
			if locks, err = w.locksOf(dst, d.e); err != nil {
				return nil, err
			}
			w.trash(d.dir, d.e, now)
		}
		made := w.copyOf(l.b, source, d.dir, source.Name, now)
		if !opt.Modified.IsZero() {
			made.Modified = opt.Modified
		}
		if opt.Replace && !made.Dir {
			made.Header = opt.Header
			retype(made, opt.Type)
		}
		files := boolInt(!made.Dir && !junkRow(made))
		if err := l.roomFor(tx, grownBy(made), files, ""); err != nil {
			return nil, err
		}
		w.put(d.dir, made)
		w.grow(grownBy(made), files)
		w.endLocks(locks)
		return made, w.err
	})
	if err != nil {
		return nil, false, err
	}
	return made, created, nil
}

// roomForAll checks the quota for a copy of all that is in dir, before the first of it is made.
func (l *Library) roomForAll(ctx context.Context, dir *Entry) error {
	if l.acc.Quota <= 0 && l.acc.QuotaFiles <= 0 {
		return nil
	}
	r := l.live(ctx)
	var bytes, files int64
	var err error
	l.t.files(r, dir, func(e *Entry, ferr error) bool {
		if err = ferr; err == nil {
			bytes, files = bytes+grownBy(e), files+1
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return l.roomFor(r, bytes, files, "")
}

// replacesLogged says whether what is put in the place of old, nil if there is nothing,
// has to be in the log even if it is junk: old's row is, and must not come back.
func replacesLogged(old *Entry) bool {
	return old != nil && !old.Dir && Junk(old.Name) && !junkRow(old)
}

// retype gives an entry the media type that a client told. As at a PUT only content
// makes a picture: else it would stand on the timeline with nobody to make its variants.
func retype(e *Entry, told string) {
	if told != "" && !showable(e) && !strings.HasPrefix(told, "image/") && !strings.HasPrefix(told, "video/") {
		e.Type = told
	}
}

// grownBy is what an entry adds to the usage: a copy's bytes are the original's, but it
// is counted like any other, since either may go first.
func grownBy(e *Entry) int64 {
	if junkRow(e) {
		return 0
	}
	return e.Size
}

// rewrite is a copy of a file onto itself: it changes metadata only.
func (l *Library) rewrite(ctx context.Context, key Key, opt *MoveOptions) (*Entry, error) {
	if !opt.Replace {
		return nil, fmt.Errorf("%w: a copy onto itself must change something", ErrSameResource)
	}
	return l.amend(ctx, "rewrite", key, func(tx *journal.Tx, e *Entry) error {
		if e.Dir {
			return ErrIsCollection
		}
		if err := opt.Source.check(e); err != nil {
			return err
		}
		if err := opt.check(e); err != nil {
			return err
		}
		e.Header = opt.Header
		retype(e, opt.Type)
		if !opt.Modified.IsZero() {
			e.Modified = opt.Modified
		}
		return nil
	})
}

// amend changes an entry where it stands.
func (l *Library) amend(ctx context.Context, op string, key Key, edit func(tx *journal.Tx, e *Entry) error) (*Entry, error) {
	if err := l.allow(l.live(ctx), mayChange, key); err != nil {
		return nil, err
	}
	var made *Entry
	err := l.t.log.Update(ctx, op, func(tx *journal.Tx) error {
		if err := l.allow(tx, mayChange, key); err != nil {
			return err
		}
		p, err := l.t.locate(tx, key)
		if err == nil && p.e == nil || err == ErrParent {
			err = ErrNotExist
		}
		if err != nil {
			return err
		}
		w := l.writer(tx)
		w.forget(p.e)
		made = p.e
		if err := edit(tx, made); err != nil {
			return err
		}
		made.Changed = l.b.opt.Now()
		w.put(p.dir, made)
		return w.err
	})
	if err != nil {
		return nil, fault(err)
	}
	return made, nil
}
