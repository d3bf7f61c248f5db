package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// A mend is what can be done about something that is wrong. It looks again, in its plan,
// whether it is wrong still, and stages at most mendRows rows.
type mend func(w *writer) error

const mendRows = 12

// mend notes that something is wrong, and what can be done about it.
func (c *check) mend(m mend, format string, args ...any) {
	c.wrong(format, args...)
	if c.opt.Repair {
		c.mends = append(c.mends, m)
	}
}

// repairRounds bounds how often repair looks again: one repair may bring to light what is
// wrong with another row.
const repairRounds = 4

func (b *Backend) repair(ctx context.Context, t *tree, opt CheckOptions) (*Report, error) {
	t.keeping.Lock()
	defer t.keeping.Unlock()
	var repairs []string
	say := func(n int, format string) {
		if n > 0 {
			repairs = append(repairs, fmt.Sprintf(format, n))
		}
	}
	for round := 1; ; round++ {
		c := &check{Report: new(Report), t: t, opt: opt}
		if err := c.run(ctx, b, 1, min(opt.Level, 3)); err != nil {
			return nil, err
		}
		jobs, err := b.missingJobs(ctx, c)
		if err != nil {
			return nil, fault(err)
		}
		asLogged := len(c.differ) > 0
		last := opt.DryRun || round == repairRounds || !asLogged && len(c.mends)+len(jobs) == 0
		if opt.DryRun || !last {
			say(len(c.differ), "%d rows of the index are made as the log tells")
			// What the log tells may need no mending: first that, then another look.
			if !asLogged || opt.DryRun {
				say(len(c.mends), "%d faults are mended from other rows")
				say(len(jobs), "%d jobs are queued")
			}
		}
		switch {
		case last:
			c.Repairs = repairs
			return c.Report, c.run(ctx, b, 4, opt.Level)
		case asLogged:
			err = c.makeAsLogged(ctx, b)
		default:
			err = errors.Join(c.mendAll(ctx), b.requeue(ctx, t.uid, jobs))
		}
		if err != nil {
			return nil, fault(err)
		}
	}
}

// makeAsLogged makes the rows that differed as the log tells, while no update is made.
func (c *check) makeAsLogged(ctx context.Context, b *Backend) error {
	return c.t.log.Hold(ctx, func(ctx context.Context, seq uint64) error {
		got, err := c.replay(ctx, b)
		if err != nil {
			return err
		}
		if got != seq {
			return fmt.Errorf("%w: the index is at segment %d, the log at %d", ErrBusy, seq, got)
		}
		for keys := c.differ; len(keys) > 0; {
			part := keys[:min(len(keys), kv.MaxGet)]
			keys = keys[len(part):]
			want, err := c.opt.Scratch.Get(ctx, part...)
			if err != nil {
				return err
			}
			have, err := b.x.Get(ctx, part...)
			if err != nil {
				return err
			}
			var ops []kv.Op
			for i, w := range want {
				switch {
				case w.V == 0 && have[i].V != 0:
					ops = append(ops, kv.Op{Key: w.Key, Kind: kv.Del})
				case w.V != 0 && (have[i].V == 0 || !bytes.Equal(w.D, have[i].D)):
					ops = append(ops, kv.Op{Key: w.Key, D: w.D})
				}
			}
			if err := commitAll(ctx, b.x, ops); err != nil {
				return err
			}
		}
		return nil
	})
}

// commitAll does operations, in their order, in as many commits as they need.
func commitAll(ctx context.Context, x kv.Store, ops []kv.Op) error {
	for len(ops) > 0 {
		n, size := 0, 0
		for ; n < min(len(ops), kv.MaxOps); n++ {
			size += len(ops[n].P) + len(ops[n].S) + len(ops[n].D)
			if size > kv.MaxCommit {
				break
			}
		}
		if err := x.Commit(ctx, ops[:n]); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

// mendAll runs the mends, several in a plan.
func (c *check) mendAll(ctx context.Context) error {
	mends := c.mends
	for len(mends) > 0 {
		done := 0
		err := c.t.log.Update(ctx, "repair", func(tx *journal.Tx) error {
			w := c.t.writer(tx)
			for done = 0; done < len(mends) && tx.Len()+mendRows <= journal.MaxPlanRows; done++ {
				if err := mends[done](w); err != nil {
					return err
				}
			}
			return w.err
		})
		if err != nil {
			return err
		}
		mends = mends[done:]
	}
	return nil
}

// missingJobs are those of files that nobody has looked at and that are not queued, and of
// those whose variants are missing.
func (b *Backend) missingJobs(ctx context.Context, c *check) (missing []job.Job, err error) {
	if b.opt.Queue == nil {
		return nil, nil
	}
	need := make(map[Ino]bool)
	for ino, e := range c.entries {
		if e.pending {
			need[ino] = true
		}
	}
	for _, ino := range c.variants {
		need[ino] = true
	}
	for ino := range need {
		at := c.entries[ino].at
		row, err := b.x.Get(ctx, entryKey(c.t.uid, at.Dir, at.S))
		if err != nil {
			return nil, err
		}
		if row[0].V == 0 {
			continue
		}
		e, err := decodeEntry("", at.S, row[0].D)
		if err != nil {
			return nil, err
		}
		j := jobOf(c.t.uid, e.Ino, e.Object)
		_, _, err = b.opt.Queue.Get(ctx, job.ID(j.Kind, j.Object, j.Recipe))
		if errors.Is(err, job.ErrNotExist) {
			missing = append(missing, j)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
}

func (b *Backend) requeue(ctx context.Context, uid string, jobs []job.Job) error {
	for _, j := range jobs {
		if _, err := b.opt.Queue.Add(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// mendEntry writes the rows that follow from an entry.
func mendEntry(ino Ino, at pointer) mend {
	return func(w *writer) error {
		e, err := w.entryAt(at)
		if err != nil || e == nil || e.Ino != ino {
			return err
		}
		w.json(e, pointerKey(w.t.uid, ino), at)
		if e.Object != "" {
			w.exhume(e.Object)
			w.ref(e.Object, string(ino))
		}
		if showable(e) && at.Dir != TrashIno {
			taken, _ := e.CaptureTime()
			w.tx.Put(timelineKey(w.t.uid, taken, ino), []byte{1})
		}
		return w.err
	}
}

// entryAt is the entry in a row, nil if there is none.
func (w *writer) entryAt(at pointer) (*Entry, error) {
	row, err := w.tx.Get(entryKey(w.t.uid, at.Dir, at.S))
	if err != nil || row.V == 0 {
		return nil, err
	}
	return decodeEntry("", at.S, row.D)
}

// entryOf is the entry called ino, where its back pointer says, in the trash too; nil if
// there is none.
func (w *writer) entryOf(ino Ino) (e *Entry, at pointer, err error) {
	at, ok, err := w.t.pointerOf(w.tx, ino)
	if err != nil || !ok {
		return nil, at, err
	}
	if e, err = w.entryAt(at); err != nil || e == nil || e.Ino != ino {
		return nil, at, err
	}
	return e, at, nil
}

// rescue moves an entry that hangs on nothing into the trash, from where it can be
// restored.
func rescue(ino Ino, at pointer) mend {
	return func(w *writer) error {
		e, err := w.entryAt(at)
		if err != nil || e == nil || e.Ino != ino {
			return err
		}
		if above, _, err := w.entryOf(at.Dir); err != nil || above != nil {
			return err
		}
		e.Key = Key(RecoveredLibrary).Join(e.Name)
		w.del(e, entryKey(w.t.uid, at.Dir, at.S))
		w.forget(e)
		if junkRow(e) {
			w.del(e, pointerKey(w.t.uid, ino))
		} else {
			w.intoTrash(&Entry{Ino: at.Dir}, e, w.t.now())
		}
		return w.err
	}
}

// mendPointer removes a back pointer that leads nowhere.
func mendPointer(ino Ino, p pointer) mend {
	return func(w *writer) error {
		e, at, err := w.entryOf(ino)
		if err == nil && e == nil && at == p {
			w.tx.Del(pointerKey(w.t.uid, ino))
		}
		return err
	}
}

// mendReference makes a reference row be there if, and only if, something refers.
func mendReference(k kv.Key, obj string) mend {
	return func(w *writer) error {
		var e *Entry
		var err error
		if ino, at, isVersion := strings.Cut(k.S, "@"); isVersion {
			var row kv.Row
			if row, err = w.tx.Get(kv.Key{P: versionPartition(w.t.uid, Ino(ino)), S: at}); err == nil && row.V != 0 {
				e, err = decodeEntry("", ino, row.D)
			}
		} else {
			e, _, err = w.entryOf(Ino(ino))
		}
		if err != nil {
			return err
		}
		if e != nil && e.Object == obj {
			w.exhume(obj)
			w.ref(obj, k.S)
		} else {
			w.drop(obj, k.S)
		}
		return w.err
	}
}

// mendTimeline removes a row of the timeline that leads nowhere.
func mendTimeline(s string) mend {
	return func(w *writer) error {
		_, ino, _ := strings.Cut(s, "#")
		e, at, err := w.entryOf(Ino(ino))
		if err != nil {
			return err
		}
		if e != nil && showable(e) && at.Dir != TrashIno {
			if taken, _ := e.CaptureTime(); timelineKey(w.t.uid, taken, e.Ino).S == s {
				return nil
			}
		}
		w.tx.Del(kv.Key{P: "t#" + w.t.uid, S: s})
		return nil
	}
}

// mendTrash makes the trash list an entry if, and only if, it is there. s is the S of the
// row that there is, or "".
func mendTrash(ino Ino, s string) mend {
	return func(w *writer) error {
		e, at, err := w.entryOf(ino)
		if err != nil {
			return err
		}
		in := e != nil && at.Dir == TrashIno
		switch {
		case in && s == "":
			now := w.t.now()
			w.list(e, trashed{Dir: RootIno, Key: RecoveredLibrary + "/" + e.Name, Name: e.Name, T: now.UnixMilli(), Collection: e.Dir})
		case !in && s != "":
			w.tx.Del(kv.Key{P: "r#" + w.t.uid, S: s}) // what finds it by key is the next round's
		}
		return w.err
	}
}

// mendDeleted makes the trash row with S s, which is of ino, be found by the key that was
// there, if it is to be.
func mendDeleted(ino Ino, s string) mend {
	return func(w *writer) error {
		k := kv.Key{P: "r#" + w.t.uid, S: s}
		row, err := w.tx.Get(k)
		if err != nil || row.V == 0 {
			return err
		}
		e, at, err := w.entryOf(ino)
		if err != nil || e == nil || at.Dir != TrashIno {
			return err
		}
		var was trashed
		if err := json.Unmarshal(row.D, &was); err != nil || was.Purge {
			return nil
		}
		was.Collection = e.Dir
		w.list(e, was)
		return w.err
	}
}

// mendLost removes a row that finds something in the trash which is not there.
func mendLost(k kv.Key) mend {
	return func(w *writer) error {
		_, s, _ := strings.Cut(k.S, "\x00")
		row, err := w.tx.Get(kv.Key{P: "r#" + w.t.uid, S: s})
		if err != nil {
			return err
		}
		var was trashed
		if row.V == 0 || json.Unmarshal(row.D, &was) != nil || was.Purge || deletedKey(w.t.uid, was, s) != k {
			w.tx.Del(k)
		}
		return nil
	}
}

// mendLeftovers removes some of the versions and properties of what does not exist.
func mendLeftovers(ino Ino) mend {
	return func(w *writer) error {
		e, _, err := w.entryOf(ino)
		if err != nil || e != nil {
			return err
		}
		versions, _, err := w.tx.Scan(versionPartition(w.t.uid, ino), "", "", false, 1)
		if err != nil {
			return err
		}
		for _, row := range versions {
			if err := w.eraseVersion(row); err != nil {
				return err
			}
		}
		props, _, err := w.tx.Scan(propPartition(w.t.uid, ino), "", "", false, 4)
		if err != nil {
			return err
		}
		for _, row := range props {
			w.tx.Del(row.Key)
		}
		return nil
	}
}

// mendGrave takes the tombstone of an object away that is in use.
func mendGrave(obj string) mend {
	return func(w *writer) error {
		unused, err := w.t.unused(w.tx, object.ULIDOf(obj))
		if err == nil && !unused {
			w.exhume(obj)
		}
		return errors.Join(err, w.err)
	}
}

// mendTombstone makes the two rows of a tombstone be there, or none.
func mendTombstone(id, s string) mend {
	return func(w *writer) error {
		row, err := w.tx.Get(tombstoneKey(w.t.uid, s))
		if err != nil {
			return err
		}
		if row.V == 0 {
			w.tx.Del(tombstoneOf(w.t.uid, id))
		} else {
			w.tx.Put(tombstoneOf(w.t.uid, id), []byte(s))
		}
		return nil
	}
}

// mendUsage corrects the usage by what it was wrong.
func mendUsage(bytes, files int64) mend {
	return func(w *writer) error {
		row, err := w.tx.Get(usageKey(w.t.uid))
		if err == nil && row.V != 0 && !json.Valid(row.D) {
			w.tx.Del(row.Key)
		}
		w.grow(bytes, files)
		return errors.Join(err, w.err)
	}
}
