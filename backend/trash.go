package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

func (l *Library) delete(ctx context.Context, key Key, opt *DeleteOptions) (*Trashed, error) {
	if opt == nil {
		opt = new(DeleteOptions)
	}
	if key == "" {
		return nil, fmt.Errorf("%w: the root cannot be deleted", ErrForbidden)
	}
	if err := l.allow(l.live(ctx), mayChange, key); err != nil {
		return nil, err
	}
	now := l.b.opt.Now()
	var gone *Trashed
	err := l.t.log.Update(ctx, "delete", func(tx *journal.Tx) error {
		if err := l.allow(tx, mayChange, key); err != nil {
			return err
		}
		p, err := l.t.locate(tx, key)
		if err == ErrParent || err == nil && p.e == nil {
			if cond := opt.check(nil); cond != nil {
				return cond
			}
			err = ErrNotExist
		}
		if err != nil {
			return err
		}
		if err := opt.check(p.e); err != nil {
			return err
		}
		w := l.writer(tx)
		if opt.EmptyOnly && p.e.Dir {
			members, _, err := tx.Scan(entryKey(l.t.uid, p.e.Ino, "").P, "", "", false, 1)
			if err != nil {
				return err
			}
			if len(members) > 0 {
				return ErrNotEmpty
			}
		}
		locks, err := w.locksOf(key, p.e)
		if err != nil {
			return err
		}
		gone = w.trash(p.dir, p.e, now)
		if opt.Prune {
			if err := w.prune(p.dir); err != nil {
				return err
			}
		}
		w.endLocks(locks)
		return w.err
	})
	if err != nil {
		return nil, fault(err)
	}
	return gone, nil
}

// trash moves an entry's row into the trash. Junk, and what is empty and always was, is
// not worth it: then it returns nil.
func (w *writer) trash(dir *Entry, e *Entry, now time.Time) *Trashed {
	w.remove(dir, e)
	if !e.Dir && e.Object == "" {
		versions, _, err := w.tx.Scan(versionPartition(w.t.uid, e.Ino), "", "", false, 1)
		w.err = errors.Join(w.err, err)
		if len(versions) == 0 {
			w.dropProps(e)
			w.del(e, pointerKey(w.t.uid, e.Ino))
			if !junkRow(e) {
				w.grow(-e.Size, -1)
			}
			return nil
		}
	}
	return w.intoTrash(dir, e, now)
}

// intoTrash writes the rows of an entry that is in the trash, where it was in dir. Those
// of its place there are gone.
func (w *writer) intoTrash(dir *Entry, e *Entry, now time.Time) *Trashed {
	w.inTrash(e, trashKey(w.t.uid, now, e.Ino))
	return w.list(e, trashed{Dir: dir.Ino, Key: string(e.Key), Name: e.Name, T: now.UnixMilli(), Collection: e.Dir, By: w.by})
}

// inTrash writes the rows of e as a member of the trash, where its name is its ino. Row k
// lists it there.
func (w *writer) inTrash(e *Entry, k kv.Key) {
	s := sortName(string(e.Ino), e.Dir)
	d, err := encodeEntry(e)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.tx.Put(entryKey(w.t.uid, TrashIno, s), d)
	w.json(e, pointerKey(w.t.uid, e.Ino), trashPointer{pointer{TrashIno, s}, k.S})
}

// list writes the two rows by which the trash lists e.
func (w *writer) list(e *Entry, was trashed) *Trashed {
	at := time.UnixMilli(was.T).UTC()
	k := trashKey(w.t.uid, at, e.Ino)
	w.json(e, k, was)
	w.row(e, deletedKey(w.t.uid, was, k.S), []byte{1})
	return &Trashed{Entry: e, Deleted: at, By: was.By, Cursor: k.S}
}

// unlist removes both.
func (w *writer) unlist(k kv.Key, was trashed) {
	w.tx.Del(k)
	w.tx.Del(deletedKey(w.t.uid, was, k.S))
}

// prune removes collections that S3 made implicitly, from dir upwards, as long as
// they are empty.
func (w *writer) prune(dir *Entry) error {
	// As far as one plan goes; deeper trees than that keep an empty collection.
	for dir.Ino != RootIno && dir.Implicit && w.tx.Len()+2+MaxProps <= journal.MaxPlanRows {
		rows, _, err := w.tx.Scan(entryKey(w.t.uid, dir.Ino, "").P, "", "", false, 1)
		if err != nil || len(rows) > 0 {
			return err
		}
		at, ok, err := w.t.pointerOf(w.tx, dir.Ino)
		if err != nil || !ok {
			return err
		}
		above, err := w.t.byIno(w.tx, at.Dir)
		if err != nil {
			return err
		}
		w.remove(above, dir)
		w.dropProps(dir)
		w.tx.Del(pointerKey(w.t.uid, dir.Ino))
		dir = above
	}
	return w.err
}

func (l *Library) trash(ctx context.Context, cursor string, n int) ([]Trashed, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayChange, ""); err != nil {
		return nil, err
	}
	from := ""
	if cursor != "" {
		from = cursor + "\x00"
	}
	var out []Trashed
	for more := true; more && len(out) < n; {
		rows, m, err := r.Scan("r#"+l.t.uid, from, "", false, n-len(out))
		if err != nil {
			return nil, err
		}
		more = m
		for _, row := range rows {
			from = row.S + "\x00"
			var t trashed
			if err := json.Unmarshal(row.D, &t); err != nil {
				return nil, fmt.Errorf("trash row: %w", err)
			}
			if t.Purge {
				continue
			}
			_, ino, _ := strings.Cut(row.S, "#")
			e, err := l.t.trashedEntry(r, Ino(ino), t)
			if err == ErrNotExist { // restored or removed meanwhile
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, Trashed{Entry: e, Deleted: time.UnixMilli(t.T).UTC(), By: t.By, Cursor: row.S})
		}
	}
	return out, nil
}

func (l *Library) trashedAt(ctx context.Context, ino Ino) (*Trashed, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayChange, ""); err != nil {
		return nil, err
	}
	k, was, err := l.t.findTrashed(r, ino)
	if err == nil && was.Purge {
		err = ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	e, err := l.t.trashedEntry(r, ino, was)
	if err != nil {
		return nil, err
	}
	return &Trashed{Entry: e, Deleted: time.UnixMilli(was.T).UTC(), By: was.By, Cursor: k.S}, nil
}

// trashedEntry is an entry in the trash, with the name and key it had.
func (t *tree) trashedEntry(r rows, ino Ino, was trashed) (*Entry, error) {
	p, ok, err := t.pointerOf(r, ino)
	if err != nil {
		return nil, err
	}
	if !ok || p.Dir != TrashIno {
		return nil, ErrNotExist
	}
	row, err := r.Get(entryKey(t.uid, TrashIno, p.S))
	if err != nil {
		return nil, err
	}
	if row.V == 0 {
		return nil, ErrNotExist
	}
	e, err := decodeEntry("", p.S, row.D)
	if err != nil {
		return nil, err
	}
	e.Name, e.Key = was.Name, Key(was.Key)
	return e, nil
}

// findTrashed is the trash row of ino, also of what is being purged.
func (t *tree) findTrashed(r rows, ino Ino) (kv.Key, trashed, error) {
	found, err := t.pointerRow(r, ino)
	if err != nil {
		return kv.Key{}, trashed{}, err
	}
	var p trashPointer
	if found.V != 0 {
		if err := json.Unmarshal(found.D, &p); err != nil {
			return kv.Key{}, trashed{}, fmt.Errorf("back pointer: %w", err)
		}
	}
	if p.Dir != TrashIno {
		return kv.Key{}, trashed{}, ErrNotExist
	}
	if p.Row != "" {
		row, err := r.Get(kv.Key{P: "r#" + t.uid, S: p.Row})
		if err != nil {
			return kv.Key{}, trashed{}, err
		}
		if row.V != 0 {
			return readTrashed(row)
		}
	}
	return t.searchTrashed(r, ino)
}

// searchTrashed is findTrashed where the back pointer does not tell: rows are in order of
// time, so it is a scan of the trash.
func (t *tree) searchTrashed(r rows, ino Ino) (kv.Key, trashed, error) {
	from := ""
	for {
		rows, more, err := r.Scan("r#"+t.uid, from, "", false, 1000)
		if err != nil {
			return kv.Key{}, trashed{}, err
		}
		for _, row := range rows {
			if strings.HasSuffix(row.S, "#"+string(ino)) {
				return readTrashed(row)
			}
		}
		if !more {
			return kv.Key{}, trashed{}, ErrNotExist
		}
		from = rows[len(rows)-1].S + "\x00"
	}
}

func readTrashed(row kv.Row) (kv.Key, trashed, error) {
	var was trashed
	if err := json.Unmarshal(row.D, &was); err != nil {
		return kv.Key{}, was, fmt.Errorf("trash row: %w", err)
	}
	return row.Key, was, nil
}

// restoreParents makes the library that a trashed entry was in, and all but the last few
// of the collections above it, if they are gone: more than one plan can make.
func (l *Library) restoreParents(ctx context.Context, was trashed) error {
	if _, err := l.t.byIno(l.live(ctx), was.Dir); err != ErrNotExist {
		return err
	}
	key := Key(was.Key)
	if lib, below := key.Library(); below != "" {
		err := l.t.log.Update(ctx, "restore", func(tx *journal.Tx) error {
			_, err := l.t.resolve(tx, Key(lib))
			if err == ErrNotExist {
				_, err = l.t.planMkdir(tx, root(), Key(lib), l.b.opt.Now(), false)
			}
			return err
		})
		if err != nil {
			return fault(err)
		}
	}
	return l.ensureParents(ctx, key, true)
}

func (l *Library) restore(ctx context.Context, ino Ino) (*Entry, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayChange, ""); err != nil {
		return nil, err
	}
	_, was, err := l.t.findTrashed(r, ino)
	if err == nil && was.Purge {
		err = ErrNotExist
	}
	if err == nil {
		err = l.restoreParents(ctx, was)
	}
	if err != nil {
		return nil, err
	}
	var made *Entry
	err = l.t.log.Update(ctx, "restore", func(tx *journal.Tx) error {
		row, was, err := l.t.findTrashed(tx, ino)
		if err != nil {
			return err
		}
		if was.Purge {
			return ErrNotExist
		}
		e, err := l.t.trashedEntry(tx, ino, was)
		if err != nil {
			return err
		}
		dir, err := l.t.byIno(tx, was.Dir)
		if err == ErrNotExist {
			// Its collection is gone too: back by name, made anew where it must be.
			key := Key(was.Key)
			if err := l.makeParents(tx, key, l.b.opt.Now()); err != nil {
				return err
			}
			above, _ := key.Split()
			dir, err = l.t.resolve(tx, above)
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		name, err := l.t.freeName(tx, dir, was.Name, e.Dir)
		if err != nil {
			return err
		}
		w := l.writer(tx)
		s := string(e.Ino)
		if e.Dir {
			s += "/"
		}
		tx.Del(entryKey(l.t.uid, TrashIno, s))
		w.unlist(row, was)
		e.Name, e.Key, e.Changed = name, dir.Key.Join(name), l.b.opt.Now()
		w.put(dir, e)
		if e.Dir || e.Media.Processed { // else its job has waited in the trash, too
			l.lookAgain(tx, e)
		}
		made = e
		return w.err
	})
	if err != nil {
		return nil, fault(err)
	}
	if l.b.opt.Queue != nil {
		l.b.opt.Queue.Ring()
	}
	return made, nil
}

// freeName is name, or the first of "name (restored)", "name (restored 2)", … that no
// member of dir has.
func (t *tree) freeName(r rows, dir *Entry, name string, isDir bool) (string, error) {
	ext := path.Ext(name)
	if isDir {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	if !isDir && Junk(name) { // stays junk: its content may be in its row
		stem, ext = "._"+strings.TrimPrefix(name, "._"), ""
	}
	for i := 1; ; i++ {
		try := name
		switch {
		case i == 2:
			try = stem + " (restored)" + ext
		case i > 2:
			try = stem + " (restored " + strconv.Itoa(i-1) + ")" + ext
		}
		if dir.Ino == RootIno && i > 1 {
			try = name + "-restored-" + strconv.Itoa(i-1)
		}
		there, err := t.lookup(r, dir, try)
		if err != nil || there == nil {
			return try, err
		}
	}
}
