package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// The collector deletes originals on positive evidence only (DESIGN §4):
//
//   - The plan that removes the last reference writes a tombstone, which is logged. When
//     it is due a plan looks once more that there is no reference, and marks the
//     tombstone, so that nothing can refer to the object any more. Then the variants
//     and the original are deleted, and the tombstone goes.
//   - A stray, which no row has ever told of, is an upload that was broken off. It is
//     noted when a listing shows it, and gets a tombstone when another listing a week
//     later shows it still. A chunk, which never was to be an original, is not counted for
//     the brake, and its tombstone is due at once.
//
// Whatever is not certain ends the run and deletes nothing.

const (
	// strayAge is how old an object must be before anybody wonders whose it is, and how
	// long after the first look the second must be.
	strayAge = 7 * 24 * time.Hour
	// strayPercent and strayFloor are the brake: more strays than both say that it is the
	// index that is wrong, not the bucket. The floor lets a small library with a bad
	// connection be cleaned: a client that is broken off on every working day between
	// two weekly looks leaves ten. A tombstone still waits 35 days after that.
	strayPercent = 1.0
	strayFloor   = 10
	// collectAtOnce is how many tombstones one plan deals with: four rows each.
	collectAtOnce = 18
	// How often Run collects what is due, and looks for strays.
	collectEvery, lookEvery = 24 * time.Hour, 7 * 24 * time.Hour
)

var (
	// ErrBrake says that so many originals seem unused that the index must be wrong.
	ErrBrake = errors.New("too many originals seem unused")
	// ErrWrongIndex says that rows of the index contradict each other.
	ErrWrongIndex = errors.New("the index is wrong: run shoebox fsck")
)

// CollectOptions adjusts a Collect. The zero value, and nil, delete what is due.
type CollectOptions struct {
	DryRun bool // only count; nothing is changed
	Strays bool // look for originals that no row has ever told of: it lists the bucket
	// MaxStrays is the part of all originals, in percent, that may be strays; 0 means 1.
	// Ten are taken for possible in any case.
	MaxStrays float64
	Progress  func(done int64) // is told now and then how many objects were looked at; may be nil
}

// Collected is what a Collect did, or with DryRun would have done.
type Collected struct {
	Waiting   int64 // originals with a tombstone that is not due yet
	Withdrawn int64 // tombstones of what is in use again
	Deleted   int64 // originals
	Variants  int64 // deleted with them

	Listed  int64    // originals in the bucket; this and what follows only with Strays
	Strays  int64    // of them, old ones that no row tells of
	Noted   int64    // of these and the Chunks, those seen for the first time
	Buried  int64    // those that got a tombstone
	Chunks  int64    // old pieces of uploads that no row tells of: the index was lost while they came; they are no originals
	Foreign int64    // objects whose names are not ours; nobody touches them
	Names   []string // of the first of them
}

// Collect deletes originals of a user that nothing has referred to for long enough, with
// their variants. An error ends it before anything that is not certain; what was found
// until then is in the result, which is never nil.
func (b *Backend) Collect(ctx context.Context, uid string, opt *CollectOptions) (*Collected, error) {
	c := &collection{b: b, Collected: new(Collected)}
	if opt != nil {
		c.opt = *opt
	}
	if c.opt.MaxStrays == 0 {
		c.opt.MaxStrays = strayPercent
	}
	t, err := b.tree(ctx, uid)
	if err != nil {
		return c.Collected, err
	}
	c.t = t
	t.keeping.Lock()
	defer t.keeping.Unlock()
	if err := c.due(ctx); err != nil {
		return c.Collected, fault(err)
	}
	if c.opt.Strays {
		err = c.strays(ctx)
	}
	return c.Collected, fault(err)
}

// lastCollection is the data of the row o#<uid>/-.
type lastCollection struct {
	Due    int64 `json:"d"` // ms
	Strays int64 `json:"s"`
}

// collectWhenDue is Collect as often as Run does it.
func (b *Backend) collectWhenDue(ctx context.Context, t *tree) error {
	k := strayKey(t.uid, "-")
	rows, err := b.x.Get(ctx, k)
	if err != nil {
		return err
	}
	var last lastCollection
	if rows[0].V != 0 {
		if err := json.Unmarshal(rows[0].D, &last); err != nil {
			return fmt.Errorf("row of the last collection: %w", err)
		}
	}
	now := b.opt.Now()
	if now.Sub(time.UnixMilli(last.Due)) < fail.Duration("collect.every", collectEvery) {
		return nil
	}
	strays := now.Sub(time.UnixMilli(last.Strays)) >= lookEvery
	found, err := b.Collect(ctx, t.uid, &CollectOptions{Strays: strays})
	if found.Deleted+found.Noted+found.Buried+found.Foreign > 0 {
		b.log.Info("collected", "uid", t.uid, "deleted", found.Deleted, "variants", found.Variants, "strays", found.Strays, "buried", found.Buried, "foreign", found.Foreign)
	}
	if err != nil && !errors.Is(err, ErrBrake) { // the brake is told once a day too
		return err
	}
	if last.Due = now.UnixMilli(); strays {
		last.Strays = now.UnixMilli()
	}
	d, merr := marshal(last)
	if merr != nil {
		return merr
	}
	return errors.Join(err, b.x.Commit(ctx, []kv.Op{{Key: k, D: d}}))
}

type collection struct {
	*Collected
	b    *Backend
	t    *tree
	opt  CollectOptions
	seen int64
}

func (c *collection) progress() {
	if c.seen++; c.opt.Progress != nil && c.seen%1000 == 0 {
		c.opt.Progress(c.seen)
	}
}

// due deals with the tombstones.
func (c *collection) due(ctx context.Context) error {
	r := live{ctx, c.b.x}
	until := dueKey(c.t.now(), "~")
	for from, more := "", true; more; {
		rows, m, err := r.Scan("g#"+c.t.uid, from, "", false, collectAtOnce)
		if err != nil {
			return err
		}
		more = m
		var due []kv.Row
		for _, row := range rows {
			from = row.S + "\x00"
			c.progress()
			if row.S > until {
				c.Waiting++
				continue
			}
			_, id, ok := strings.Cut(row.S, "#")
			if name := string(row.D); !ok || !strings.HasPrefix(name, object.OriginalPrefix(c.t.uid)) || object.ULIDOf(name) != id {
				return fmt.Errorf("%w: tombstone %q is not of an original of %s", ErrWrongIndex, row.S, c.t.uid)
			}
			due = append(due, row)
		}
		if len(due) == 0 {
			continue
		}
		if err := c.deleteDue(ctx, r, due); err != nil {
			return err
		}
	}
	return nil
}

// unused says whether nothing refers to an object.
func (t *tree) unused(r rows, id string) (bool, error) {
	refs, _, err := r.Scan(refPartition(t.uid, id), "", "", false, 1)
	return len(refs) == 0, err
}

// deleteDue deletes the objects of due tombstones.
func (c *collection) deleteDue(ctx context.Context, r rows, due []kv.Row) error {
	var going []kv.Row
	var withdrawn int64
	uid := c.t.uid
	mark := func(r rows, tx *journal.Tx) error {
		going, withdrawn = nil, 0
		for _, old := range due {
			row, err := r.Get(old.Key)
			if err != nil {
				return err
			}
			if row.V == 0 {
				continue
			}
			_, id, _ := strings.Cut(row.S, "#")
			unused, err := c.t.unused(r, id)
			if err != nil {
				return err
			}
			if unused {
				going = append(going, kv.Row{Key: tombstoneKey(uid, beingDeleted+id), D: row.D})
			} else {
				withdrawn++
			}
			if tx == nil || unused && strings.HasPrefix(row.S, beingDeleted) {
				continue
			}
			tx.Del(row.Key)
			if !unused {
				tx.Del(tombstoneOf(uid, id))
				continue
			}
			tx.Put(tombstoneKey(uid, beingDeleted+id), row.D)
			tx.Put(tombstoneOf(uid, id), []byte(beingDeleted+id))
		}
		return nil
	}
	var err error
	if c.opt.DryRun {
		err = mark(r, nil)
	} else {
		// Through the log, so that a gateway that another has taken over from deletes nothing.
		err = c.t.log.Update(ctx, "collect", func(tx *journal.Tx) error { return mark(tx, tx) })
	}
	if err != nil {
		return err
	}
	c.Withdrawn += withdrawn
	fail.Point("collect.marked")
	for _, row := range going {
		if err := c.deleteObject(ctx, string(row.D)); err != nil {
			return err
		}
	}
	if c.opt.DryRun || len(going) == 0 {
		return nil
	}
	return c.t.log.Update(ctx, "collect", func(tx *journal.Tx) error {
		for _, row := range going {
			tx.Del(row.Key)
			tx.Del(tombstoneOf(uid, object.ULIDOf(string(row.D))))
		}
		return nil
	})
}

// deleteObject deletes an original and its variants, these first: nobody would find them
// without it.
func (c *collection) deleteObject(ctx context.Context, name string) error {
	for info, err := range c.b.bucket.List(ctx, object.VariantName(c.t.uid, name, ""), "") {
		if err != nil {
			return fmt.Errorf("list variants: %w", err)
		}
		if !c.opt.DryRun {
			if err := c.b.bucket.Delete(ctx, info.Name); err != nil {
				return fmt.Errorf("delete variant: %w", err)
			}
			fail.Point("collect.variant")
		}
		c.Variants++
	}
	if !c.opt.DryRun {
		c.b.opt.Spool.drop(name)
		if err := c.b.bucket.Delete(ctx, name); err != nil {
			return fmt.Errorf("delete original: %w", err)
		}
		fail.Point("collect.deleted")
	}
	c.Deleted++
	return nil
}

// What is known of an object, by ULID.
const (
	toldOf  = 1 << iota // an entry, version or upload has it
	counted             // a reference row says so
	buried              // it has a tombstone
)

// known reads what the index knows of a user's objects: 17 bytes each, so that a large
// library's fit into memory.
func (c *collection) known(ctx context.Context) (map[ulid.ULID]uint8, error) {
	uid := c.t.uid
	known := make(map[ulid.ULID]uint8)
	note := func(id string, as uint8) error {
		u, err := ulid.ParseStrict(id)
		if err != nil {
			return fmt.Errorf("%w: %q is not the id of an original", ErrWrongIndex, id)
		}
		known[u] |= as
		return nil
	}
	err := dump(ctx, c.b.x, []string{"d#" + uid + "#", "w#" + uid + "#", "b#" + uid + "#", "m#" + uid, "mp#" + uid + "#", "g#" + uid + "#"}, func(row kv.Row) error {
		last := row.P[strings.LastIndexByte(row.P, '#')+1:]
		switch row.P[0] {
		case 'd', 'w':
			e, err := decodeEntry("", row.S, row.D)
			if err != nil {
				return fmt.Errorf("%w: %v", ErrWrongIndex, err)
			}
			if e.Object == "" {
				return nil
			}
			return note(object.ULIDOf(e.Object), toldOf)
		case 'b':
			return note(last, counted)
		case 'g':
			return note(last, buried)
		}
		if strings.HasPrefix(row.P, "mp#") {
			var p partRow
			if err := json.Unmarshal(row.D, &p); err != nil {
				return fmt.Errorf("%w: part row: %v", ErrWrongIndex, err)
			}
			if p.Own == "" {
				return nil
			}
			return note(object.ULIDOf(p.Own), toldOf|counted)
		}
		var u uploadRow
		if err := json.Unmarshal(row.D, &u); err != nil {
			return fmt.Errorf("%w: upload row: %v", ErrWrongIndex, err)
		}
		if u.Done != "" || u.Object == "" { // the entry tells of it, or did; or there is none yet
			return nil
		}
		return note(object.ULIDOf(u.Object), toldOf|counted)
	})
	if err != nil {
		return nil, err
	}
	for id, as := range known {
		if as&toldOf != 0 != (as&counted != 0) {
			return nil, fmt.Errorf("%w: original %s is in use by one row and not by another", ErrWrongIndex, id)
		}
	}
	return known, nil
}

// stray is the data of a stray's row.
type stray struct {
	Name string `json:"n"`
	T    int64  `json:"t"` // when it was first seen, ms
}

// maxStrays is how many names are kept in memory; more are too many in any case.
const maxStrays = 100_000

// strays looks for originals that no row tells of.
func (c *collection) strays(ctx context.Context) error {
	old := c.t.now().Add(-strayAge)
	// What comes into the index after this is too young to matter.
	known, err := c.known(ctx)
	if err != nil {
		return err
	}
	oldChunk := c.t.now().Add(-max(strayAge, c.b.opt.UploadAge))
	names := make(map[ulid.ULID]string)
	chunks := make(map[ulid.ULID]string)
	for info, err := range c.b.bucket.List(ctx, object.OriginalPrefix(c.t.uid), "") {
		if err != nil {
			return fmt.Errorf("list originals: %w", err)
		}
		c.progress()
		id, ok := originalID(c.t.uid, info.Name)
		if !ok {
			if c.Foreign++; len(c.Names) < 20 {
				c.Names = append(c.Names, info.Name)
			}
			continue
		}
		if object.IsChunk(info.Name) {
			if known[id] == 0 && id.Timestamp().Before(oldChunk) && info.ModTime.Before(oldChunk) && len(chunks) < maxStrays {
				c.Chunks++
				chunks[id] = info.Name
			}
			continue
		}
		c.Listed++
		if !id.Timestamp().Before(old) || !info.ModTime.Before(old) {
			continue
		}
		if known[id] != 0 {
			continue
		}
		if c.Strays++; len(names) < maxStrays {
			names[id] = info.Name
		}
	}
	if limit := max(int64(float64(c.Listed)*c.opt.MaxStrays/100), strayFloor); c.Strays > limit || c.Strays > maxStrays {
		return fmt.Errorf("%w: %d of %d originals of %s, at most %d are believed; nothing was changed. "+
			"Run shoebox fsck; if it finds nothing wrong they are uploads that were broken off, and shoebox gc -max-strays takes them", ErrBrake, c.Strays, c.Listed, c.t.uid, limit)
	}
	maps.Copy(names, chunks)
	return c.noteStrays(ctx, names)
}

// originalID is the ULID in the name of an object that is just as we name originals of uid.
func originalID(uid, name string) (ulid.ULID, bool) {
	month, base := path.Split(strings.TrimPrefix(name, object.OriginalPrefix(uid)))
	if _, err := time.Parse("2006-01/", month); err != nil {
		return ulid.ULID{}, false
	}
	text, _, ok := strings.Cut(base, "-")
	id, err := ulid.ParseStrict(text)
	return id, ok && err == nil
}

// noteStrays compares the strays with those that were noted before.
func (c *collection) noteStrays(ctx context.Context, names map[ulid.ULID]string) error {
	r := live{ctx, c.b.x}
	now := c.t.now()
	var local []kv.Op
	var bury []string
	for from, more := "0", true; more; { // after "-"
		rows, m, err := r.Scan("o#"+c.t.uid, from, "", false, scanPage)
		if err != nil {
			return err
		}
		more = m
		for _, row := range rows {
			from = row.S + "\x00"
			var s stray
			if err := json.Unmarshal(row.D, &s); err != nil {
				return fmt.Errorf("stray row: %w", err)
			}
			id, err := ulid.ParseStrict(row.S)
			name, there := names[id]
			if err != nil || !there || name != s.Name { // in use after all, or gone
				local = append(local, kv.Op{Key: row.Key, Kind: kv.Del})
				continue
			}
			delete(names, id)
			if now.Sub(time.UnixMilli(s.T)) >= strayAge {
				bury = append(bury, name)
			}
		}
	}
	for id, name := range names {
		d, err := marshal(stray{name, now.UnixMilli()})
		if err != nil {
			return err
		}
		local = append(local, kv.Op{Key: strayKey(c.t.uid, id.String()), D: d})
		c.Noted++
	}
	if c.opt.DryRun {
		c.Buried = int64(len(bury))
		return nil
	}
	for len(local) > 0 {
		n := min(len(local), kv.MaxOps)
		if err := c.b.x.Commit(ctx, local[:n]); err != nil {
			return err
		}
		local = local[n:]
	}
	for len(bury) > 0 {
		part := bury[:min(len(bury), collectAtOnce)]
		bury = bury[len(part):]
		var n int64
		err := c.t.log.Update(ctx, "stray", func(tx *journal.Tx) error {
			w := c.t.writer(tx)
			n = 0
			for _, name := range part {
				id := object.ULIDOf(name)
				unused, err := c.t.unused(tx, id)
				if err != nil {
					return err
				}
				tx.Local(kv.Op{Key: strayKey(c.t.uid, id), Kind: kv.Del})
				if unused {
					due := now
					if !object.IsChunk(name) {
						due = due.Add(c.t.collectAfter)
					}
					w.buryUntil(name, due)
					n++
				}
			}
			return w.err
		})
		if err != nil {
			return err
		}
		c.Buried += n
	}
	return nil
}
