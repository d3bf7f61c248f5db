package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// copiesAtOnce is how many members one plan copies.
const copiesAtOnce = 6

// A collection is copied in many commits, and yet all or nothing of it is seen: the copy
// is made in the trash, as what is being purged, and the last commit moves it to its place.
// Of one that was broken off, by a fault or a crash, Run removes what there is.

// copyTree copies the collection from, with all below it.
func (l *Library) copyTree(ctx context.Context, src, dst Key, from *Entry, opt *MoveOptions) (made *Entry, created bool, err error) {
	ino, now := newIno(), l.b.opt.Now()
	l.t.copying.Store(ino, true)
	listed := trashKey(l.t.uid, now, ino)
	staged := false
	defer func() {
		l.t.copying.Delete(ino)
		if err == nil {
			return
		}
		if errors.Is(err, ErrUnavailable) || ctx.Err() != nil { // it would not go now
			l.b.wakeUp(l.t)
			return
		}
		if !staged {
			return
		}
		if perr := l.b.purgeSoon(ctx, l.t, []kv.Key{listed}); perr != nil {
			l.b.log.Info("what was copied of a collection stays for a while", "uid", l.t.uid, "err", perr)
		}
	}()
	var top *Entry
	err = l.t.log.Update(ctx, "copy", func(tx *journal.Tx) error {
		// What can be refused now is. Collections above are made at the end.
		early := *opt
		early.MakeParents = false
		s, _, err := l.planTransfer(tx, src, dst, &early, now)
		if err == ErrParent && opt.MakeParents && s.e != nil {
			err = opt.check(nil)
		}
		if err != nil {
			return err
		}
		if s.e.Ino != from.Ino {
			return errReplaced
		}
		w := l.writer(tx)
		_, name := dst.Split()
		top = w.copyAs(l.b, ino, s.e, &Entry{Ino: TrashIno}, name, now)
		if !opt.Modified.IsZero() {
			top.Modified = opt.Modified
		}
		w.inTrash(top, listed)
		w.json(top, listed, trashed{Dir: RootIno, Key: string(dst), Name: name, T: now.UnixMilli(), Collection: true, Purge: true, Copying: true})
		return w.err
	})
	if err != nil {
		return nil, false, fault(err)
	}
	staged = true
	// What else is wrong comes before the quota.
	if err := l.roomForAll(ctx, from); err != nil {
		return nil, false, err
	}
	if err := l.copyMembers(ctx, listed, from, top); err != nil {
		return nil, false, err
	}
	err = l.t.log.Update(ctx, "copy", func(tx *journal.Tx) error {
		s, d, err := l.planTransfer(tx, src, dst, opt, l.b.opt.Now())
		if err != nil {
			return err
		}
		if s.e.Ino != from.Ino {
			return errReplaced
		}
		if err := stillCopying(tx, listed); err != nil {
			return err
		}
		w := l.writer(tx)
		w.logs = true
		var locks []kv.Key
		if created = d.e == nil; !created {
			if locks, err = w.locksOf(dst, d.e); err != nil {
				return err
			}
			w.trash(d.dir, d.e, l.b.opt.Now())
		}
		tx.Del(listed)
		tx.Del(entryKey(l.t.uid, TrashIno, string(ino)+"/"))
		made = clone(top)
		made.Key = d.dir.Key.Join(made.Name)
		w.put(d.dir, made)
		w.endLocks(locks)
		return w.err
	})
	if err != nil {
		return nil, false, fault(err)
	}
	return made, created, nil
}

// errReplaced says that what was being copied is not there any more. Nothing was changed.
var errReplaced = fmt.Errorf("%w: the collection was replaced while it was copied", ErrUnavailable)

// stillCopying is an error if a gateway that does not know of the copy has begun to remove it:
// one that has taken over this log.
func stillCopying(tx *journal.Tx, listed kv.Key) error {
	row, err := tx.Get(listed)
	if err != nil {
		return err
	}
	var was trashed
	if row.V == 0 || json.Unmarshal(row.D, &was) != nil || !was.Copying {
		return fmt.Errorf("%w: the copy was begun by one gateway, and another has taken over", ErrUnavailable)
	}
	return nil
}

// copyMembers copies what is in the collection from into to, a few in a commit; listed is
// the trash row of the whole copy.
func (l *Library) copyMembers(ctx context.Context, listed kv.Key, from, to *Entry) error {
	var batch []*Entry
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		now := l.b.opt.Now()
		var dirs [][2]*Entry
		err := l.t.log.Update(ctx, "copy", func(tx *journal.Tx) error {
			dirs = dirs[:0]
			if err := stillCopying(tx, listed); err != nil {
				return err
			}
			w := l.writer(tx)
			for _, was := range batch {
				// As it is now: nothing may refer any more to what it was when it was listed.
				e, err := w.entryAt(pointer{from.Ino, sortName(was.Name, was.Dir)})
				if err != nil {
					return err
				}
				if e == nil {
					continue
				}
				c := w.copyOf(l.b, e, to, e.Name, now)
				files := boolInt(!c.Dir && !junkRow(c))
				if err := l.roomFor(tx, grownBy(c), files, ""); err != nil {
					return err
				}
				w.put(to, c)
				w.grow(grownBy(c), files)
				if c.Dir {
					dirs = append(dirs, [2]*Entry{e, c})
				}
			}
			return w.err
		})
		batch = batch[:0]
		if err != nil {
			return fault(err)
		}
		for _, d := range dirs {
			if err := l.copyMembers(ctx, listed, d[0], d[1]); err != nil {
				return err
			}
		}
		return nil
	}
	for e, err := range l.t.membersOf(l.live(ctx), from) {
		if err != nil {
			return err
		}
		// One with dead properties takes the room of several.
		if batch = append(batch, e); len(batch) == copiesAtOnce || e.Props {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// copyOf is a new entry with the content of e. The caller puts it.
func (w *writer) copyOf(b *Backend, e *Entry, dir *Entry, name string, now time.Time) *Entry {
	return w.copyAs(b, newIno(), e, dir, name, now)
}

// copyAs is copyOf for an entry that is to be called ino.
func (w *writer) copyAs(b *Backend, ino Ino, e *Entry, dir *Entry, name string, now time.Time) *Entry {
	c := *e
	c.Ino, c.Name, c.Key = ino, name, dir.Key.Join(name)
	c.Created, c.Changed, c.Implicit, c.ByLock = now, now, false, false
	if showable(&c) && !c.Media.Processed {
		for _, op := range b.jobOps(w.t.uid, &c) {
			w.tx.Local(op)
		}
	}
	if e.Props { // RFC 4918 §9.8.2
		props, _, err := w.tx.Scan(propPartition(w.t.uid, e.Ino), "", "", false, MaxProps)
		w.err = errors.Join(w.err, err)
		for _, p := range props {
			w.row(&c, kv.Key{P: propPartition(w.t.uid, c.Ino), S: p.S}, p.D)
		}
	}
	return &c
}
