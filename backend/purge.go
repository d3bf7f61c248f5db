package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// plansInline is how many plans a Purge makes before it leaves the rest to Run: a file,
// or a hundred, are gone at once, with what they took of the quota.
const plansInline = 8

func (l *Library) purge(ctx context.Context, ino Ino) error {
	if err := l.allow(l.live(ctx), mayChange, ""); err != nil {
		return err
	}
	k, was, err := l.t.findTrashed(l.live(ctx), ino)
	if err == nil && was.Purge {
		err = ErrNotExist
	}
	if err != nil {
		return err
	}
	done, err := l.t.condemn(ctx, k)
	if err == nil && !done {
		err = ErrNotExist
	}
	if err != nil {
		return err
	}
	return l.b.purgeSoon(ctx, l.t, []kv.Key{k})
}

// condemnedAtOnce is how many trash rows EmptyTrash marks with one segment of the log, and
// condemnedBytes about how much data that may be.
const (
	condemnedAtOnce = 4000
	condemnedBytes  = journal.MaxBulk / 2
)

func (l *Library) emptyTrash(ctx context.Context) (int, error) {
	if err := l.allow(l.live(ctx), mayChange, ""); err != nil {
		return 0, err
	}
	total := 0
	var first []kv.Key
	for from, more := "", true; more; {
		var keys []kv.Key
		err := l.t.log.BulkUpdate(ctx, "purge", func(ctx context.Context) (ops []kv.Op, err error) {
			rows, m, err := l.live(ctx).Scan("r#"+l.t.uid, from, "", false, condemnedAtOnce)
			if err != nil {
				return nil, err
			}
			more = m
			size := 0
			for _, row := range rows {
				if size > condemnedBytes {
					more = true
					break
				}
				from = row.S + "\x00"
				marked, err := l.t.condemned(row)
				if err != nil {
					return nil, err
				}
				if len(marked) > 0 {
					ops, keys = append(ops, marked...), append(keys, row.Key)
				}
				for _, op := range marked {
					size += len(op.P) + len(op.S) + len(op.D)
				}
			}
			return ops, nil
		})
		if err != nil {
			return total, fault(err)
		}
		total += len(keys)
		if first == nil {
			first = keys
		}
	}
	if total > len(first) {
		defer l.b.wakeUp(l.t)
	}
	return total, l.b.purgeSoon(ctx, l.t, first)
}

// condemned is what marks the entry of a trash row as being purged; nothing if it is.
func (t *tree) condemned(row kv.Row) ([]kv.Op, error) {
	var was trashed
	if err := json.Unmarshal(row.D, &was); err != nil {
		return nil, fmt.Errorf("trash row: %w", err)
	}
	if was.Purge {
		return nil, nil
	}
	was.Purge = true
	d, err := marshal(was)
	return []kv.Op{{Key: row.Key, D: d}, {Key: deletedKey(t.uid, was, row.S), Kind: kv.Del}}, err
}

// condemn marks a trash row as being purged, and says whether it was not yet.
func (t *tree) condemn(ctx context.Context, k kv.Key) (done bool, err error) {
	err = t.log.Update(ctx, "purge", func(tx *journal.Tx) error {
		done = false
		row, err := tx.Get(k)
		if err != nil || row.V == 0 { // restored
			return err
		}
		ops, err := t.condemned(row)
		for _, op := range ops {
			if done = true; op.Kind == kv.Del {
				tx.Del(op.Key)
			} else {
				tx.Put(op.Key, op.D)
			}
		}
		return err
	})
	return done, fault(err)
}

// purgeSoon purges condemned entries, as far as that is quick; Run does the rest.
func (b *Backend) purgeSoon(ctx context.Context, t *tree, keys []kv.Key) error {
	if !t.keeping.TryLock() { // Run is at it
		b.wakeUp(t)
		return nil
	}
	defer t.keeping.Unlock()
	plans := plansInline
	for _, k := range keys {
		if _, err := t.purge(ctx, k, &plans); err != nil || plans == 0 {
			b.wakeUp(t)
			return err
		}
	}
	return nil
}

// wakeUp tells Run that there is something to purge.
func (b *Backend) wakeUp(t *tree) {
	t.toPurge.Store(true)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// expireTrash purges what has been in the trash for longer than keep, and goes on with
// what was condemned, in at most *plans plans, as purge has it. The caller holds t.keeping.
func (b *Backend) expireTrash(ctx context.Context, t *tree, plans *int) error {
	limit := b.opt.Now().Add(-b.opt.TrashKeep)
	r := live{ctx, b.x}
	for from, more := "", true; more; {
		rows, m, err := r.Scan("r#"+t.uid, from, "", false, scanPage)
		if err != nil {
			return err
		}
		more = m
		for _, row := range rows {
			from = row.S + "\x00"
			var was trashed
			if err := json.Unmarshal(row.D, &was); err != nil {
				return fmt.Errorf("trash row: %w", err)
			}
			if !was.Purge && time.UnixMilli(was.T).After(limit) {
				continue
			}
			if n, err := t.purge(ctx, row.Key, plans); err != nil {
				return err
			} else if n > 0 {
				b.log.Info("purged from the trash", "uid", t.uid, "entries", n)
			}
			if *plans == 0 {
				return nil
			}
		}
	}
	return nil
}

// A purgeFrame is a collection that is being emptied, and how far that is.
type purgeFrame struct {
	at   pointer
	ino  Ino
	from string
}

// purge removes the trashed entry that trash row k tells of, and all below it, in at most
// *plans plans, which it counts down; below 0 is without limit. Each plan leaves the
// tree whole, so it can be broken off and begun again at any point.
func (t *tree) purge(ctx context.Context, k kv.Key, plans *int) (removed int64, err error) {
	_, inoText, _ := strings.Cut(k.S, "#")
	top := Ino(inoText)
	if _, ok := t.copying.Load(top); ok {
		return 0, nil
	}
	var stack []purgeFrame
	for done := false; !done && *plans != 0; *plans-- {
		var next []purgeFrame
		var n int64
		err := t.log.Update(ctx, "purge", func(tx *journal.Tx) error {
			w := t.writer(tx)
			w.logs, n = true, 0
			var err error
			next, n, err = w.purgeSome(k, top, append([]purgeFrame(nil), stack...))
			return errors.Join(err, w.err)
		})
		if err != nil {
			return removed, fault(err)
		}
		fail.Point("purge.some")
		stack, done = next, len(next) == 0
		removed += n
	}
	return removed, nil
}

// purgeSome is one plan of purge. It returns the frames that are left.
func (w *writer) purgeSome(k kv.Key, top Ino, stack []purgeFrame) ([]purgeFrame, int64, error) {
	row, err := w.tx.Get(k)
	if err != nil || row.V == 0 { // done, or restored before it was condemned
		return nil, 0, err
	}
	var was trashed
	if err := json.Unmarshal(row.D, &was); err != nil {
		return nil, 0, fmt.Errorf("trash row: %w", err)
	}
	if !was.Purge || was.Copying {
		was.Purge, was.Copying = true, false
		d, err := marshal(was)
		if err != nil {
			return nil, 0, err
		}
		w.tx.Put(k, d)
		w.tx.Del(deletedKey(w.t.uid, was, k.S))
	}
	if len(stack) == 0 {
		p, ok, err := w.t.pointerOf(w.tx, top)
		if err != nil {
			return nil, 0, err
		}
		if !ok || p.Dir != TrashIno {
			return nil, 0, fmt.Errorf("the trash lists %s, which is not in it: run shoebox fsck", top)
		}
		stack = append(stack, purgeFrame{at: p, ino: top})
	}
	var removed int64
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		more := true
		if strings.HasSuffix(f.at.S, "/") {
			members, m, err := w.tx.Scan(entryKey(w.t.uid, f.ino, "").P, f.from, "", false, 20)
			if err != nil {
				return nil, 0, err
			}
			var deeper *purgeFrame
			for _, row := range members {
				e, err := decodeEntry("", row.S, row.D)
				if err != nil {
					return nil, 0, err
				}
				if e.Dir {
					deeper = &purgeFrame{at: pointer{f.ino, row.S}, ino: e.Ino}
					break
				}
				fits, err := w.erase(row.Key, e)
				if err != nil || !fits {
					return stack, removed, err
				}
				removed++
				f.from = row.S + "\x00"
			}
			if deeper != nil {
				stack = append(stack, *deeper)
				continue
			}
			more = m
			if !more && f.from != "" { // is it empty indeed?
				left, _, err := w.tx.Scan(entryKey(w.t.uid, f.ino, "").P, "", "", false, 1)
				if err != nil {
					return nil, 0, err
				}
				more, f.from = len(left) > 0, ""
			}
			if more {
				continue
			}
		}
		key := entryKey(w.t.uid, f.at.Dir, f.at.S)
		row, err := w.tx.Get(key)
		if err != nil {
			return nil, 0, err
		}
		if row.V != 0 {
			e, err := decodeEntry("", f.at.S, row.D)
			if err != nil {
				return nil, 0, err
			}
			fits, err := w.erase(key, e)
			if err != nil || !fits {
				return stack, removed, err
			}
			removed++
		}
		stack = stack[:len(stack)-1]
		if len(stack) > 0 {
			stack[len(stack)-1].from = f.at.S + "\x00"
		}
	}
	w.tx.Del(k)
	return nil, removed, nil
}

// eraseRows is how many rows erase stages at most beside versions and properties: entry,
// back pointer, timeline, reference, four for the tombstone, usage, and three of the trash.
const eraseRows = 12

// erase removes all rows of the entry in row k, an empty collection or a file, with its
// versions. fits is false if that was too much for this plan; then it has made a
// beginning and has to be asked again in the next.
func (w *writer) erase(k kv.Key, e *Entry) (fits bool, err error) {
	for {
		versions, more, err := w.tx.Scan(versionPartition(w.t.uid, e.Ino), "", "", false, 10)
		if err != nil {
			return false, err
		}
		for _, row := range versions {
			if w.tx.Len()+8 > journal.MaxPlanRows {
				return false, nil
			}
			if err := w.eraseVersion(row); err != nil {
				return false, err
			}
		}
		if !more {
			break
		}
	}
	props, _, err := w.tx.Scan(propPartition(w.t.uid, e.Ino), "", "", false, 0)
	if err != nil {
		return false, err
	}
	if w.tx.Len()+len(props)+eraseRows > journal.MaxPlanRows {
		return false, nil
	}
	for _, row := range props {
		w.del(e, row.Key)
	}
	w.del(e, k)
	w.del(e, pointerKey(w.t.uid, e.Ino))
	w.forget(e)
	if e.Object != "" {
		w.drop(e.Object, string(e.Ino))
	}
	if !e.Dir && !junkRow(e) {
		w.grow(-e.Size, -1)
	}
	return true, w.err
}

// eraseVersion removes a version: at most 6 rows.
func (w *writer) eraseVersion(row kv.Row) error {
	ino := row.P[strings.LastIndexByte(row.P, '#')+1:]
	v, err := decodeEntry("", ino, row.D)
	if err != nil {
		return err
	}
	w.tx.Del(row.Key)
	if v.Object != "" {
		w.drop(v.Object, ino+"@"+row.S)
	}
	w.grow(-v.Size, 0)
	return w.err
}

// del removes a row that belongs to e: see row. A plan that is logged anyway tells of junk
// too, which an index from before it may have.
func (w *writer) del(e *Entry, k kv.Key) {
	if junkRow(e) && !w.logs {
		w.tx.Local(kv.Op{Key: k, Kind: kv.Del})
		return
	}
	w.tx.Del(k)
}

// dropProps removes the dead properties of e.
func (w *writer) dropProps(e *Entry) {
	props, _, err := w.tx.Scan(propPartition(w.t.uid, e.Ino), "", "", false, 0)
	w.err = errors.Join(w.err, err)
	for _, row := range props {
		w.del(e, row.Key)
	}
}

// drop is unref of what will not be referred to from elsewhere either, unless it is by
// now: the last one to go writes the tombstone.
func (w *writer) drop(obj, by string) {
	w.unref(obj, by)
	left, _, err := w.tx.Scan(refPartition(w.t.uid, object.ULIDOf(obj)), "", "", false, 1)
	w.err = errors.Join(w.err, err)
	if err == nil && len(left) == 0 {
		w.bury(obj)
	}
}

// beingDeleted begins the S of the tombstone of an object that is being deleted.
const beingDeleted = "0000000000000#"

// dueKey is the S of a tombstone.
func dueKey(due time.Time, ulid string) string { return fmt.Sprintf("%013d#%s", due.UnixMilli(), ulid) }

// bury writes the tombstone of an object that nothing refers to. One that there is
// would be due too early.
func (w *writer) bury(obj string) { w.buryUntil(obj, w.t.now().Add(w.t.collectAfter)) }

func (w *writer) buryUntil(obj string, due time.Time) {
	if !w.exhume(obj) {
		return // it is going already
	}
	id := object.ULIDOf(obj)
	s := dueKey(due, id)
	w.tx.Put(tombstoneKey(w.t.uid, s), []byte(obj))
	w.tx.Put(tombstoneOf(w.t.uid, id), []byte(s))
}

// exhume takes the tombstone of an object away, if it has one, because it is referred to
// again. It says false if it is too late for that.
func (w *writer) exhume(obj string) bool {
	at := tombstoneOf(w.t.uid, object.ULIDOf(obj))
	row, err := w.tx.Get(at)
	w.err = errors.Join(w.err, err)
	if err != nil || row.V == 0 {
		return err == nil
	}
	if bytes.HasPrefix(row.D, []byte(beingDeleted)) {
		return false
	}
	w.tx.Del(tombstoneKey(w.t.uid, string(row.D)))
	w.tx.Del(at)
	return true
}

// recall is exhume for an object that an earlier time tells of. It says false, too, if the
// collector has taken it: then nothing refers to it, and it has no tombstone any more.
func (w *writer) recall(obj string) (ok bool, err error) {
	id := object.ULIDOf(obj)
	unused, err := w.t.unused(w.tx, id)
	if err != nil {
		return false, err
	}
	if unused {
		if row, err := w.tx.Get(tombstoneOf(w.t.uid, id)); err != nil || row.V == 0 {
			return false, err
		}
	}
	return w.exhume(obj), w.err
}

// expireVersions removes versions that were replaced longer ago than VersionKeep. The
// caller holds t.keeping.
func (b *Backend) expireVersions(ctx context.Context, t *tree) error {
	limit := inv(b.opt.Now().Add(-b.opt.VersionKeep))
	var due []kv.Key
	flush := func() error {
		err := t.log.Update(ctx, "expire", func(tx *journal.Tx) error {
			w := t.writer(tx)
			for _, k := range due {
				row, err := tx.Get(k)
				if err != nil {
					return err
				}
				if row.V == 0 {
					continue
				}
				if err := w.eraseVersion(row); err != nil {
					return err
				}
			}
			return w.err
		})
		due = due[:0]
		return fault(err)
	}
	total := 0
	err := dump(ctx, b.x, []string{"w#" + t.uid + "#"}, func(row kv.Row) error {
		if row.S < limit { // newer
			return nil
		}
		total++
		if due = append(due, row.Key); len(due) < 12 {
			return nil
		}
		return flush()
	})
	if err == nil && len(due) > 0 {
		err = flush()
	}
	if err == nil && total > 0 {
		b.log.Info("expired versions", "uid", t.uid, "versions", total)
	}
	return fault(err)
}
