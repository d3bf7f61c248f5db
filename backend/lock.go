package backend

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// Bounds of a lock's life.
const (
	minLock = time.Second
	maxLock = time.Hour

	maxSharedLocks = 16 // on one entry and what it lies in

	// maxLocks is how many locks a user holds at once, on whatever: each write looks at all.
	// Clients have one for each file they write just now.
	maxLocks = 500
)

// lockRow is the data of a lock's row. The lock root is kept by ino, so that the lock
// follows a rename of a collection above it.
type lockRow struct {
	Ino      Ino    `json:"i"`
	Infinite bool   `json:"inf,omitempty"`
	Shared   bool   `json:"sh,omitempty"`
	Owner    string `json:"o,omitempty"`
	By       string `json:"by,omitempty"`
	Created  int64  `json:"c"`
	Expires  int64  `json:"e"`
}

// allLocks are the locks of the tree, with their keys of now, and the rows of those that
// have ended: they have expired, or their entry is gone.
func (t *tree) allLocks(r rows, now time.Time) (held []Lock, ended []kv.Key, err error) {
	rows, _, err := r.Scan("l#"+t.uid, "", "", false, 0)
	if err != nil {
		return nil, nil, err
	}
	memo := make(map[Ino]*Key)
	for _, row := range rows {
		var d lockRow
		if err := json.Unmarshal(row.D, &d); err != nil {
			return nil, nil, fmt.Errorf("lock row: %w", err)
		}
		if d.Expires <= now.UnixMilli() {
			ended = append(ended, row.Key)
			continue
		}
		e, err := t.byInoVia(r, d.Ino, memo)
		if err == ErrNotExist {
			ended = append(ended, row.Key)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		held = append(held, d.lock(row.S, e))
	}
	return held, ended, nil
}

// lock is the lock called token, on e.
func (d *lockRow) lock(token string, e *Entry) Lock {
	return Lock{Token: token, Key: e.Key, Ino: d.Ino, Infinite: d.Infinite, Shared: d.Shared, Owner: d.Owner, By: d.By,
		Created: time.UnixMilli(d.Created).UTC(), Expires: time.UnixMilli(d.Expires).UTC()}
}

// covers says whether the lock protects key: its root, or what is below if infinite.
func (k *Lock) covers(key Key) bool { return k.Key.Same(key) || k.Infinite && k.Key.Contains(key) }

func (l *Library) locks(ctx context.Context, key Key, below bool) ([]Lock, error) {
	r, now := l.live(ctx), l.b.opt.Now()
	rows, _, err := r.Scan("l#"+l.t.uid, "", "", false, 0)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	way, at, err := l.t.way(r, key)
	if err != nil {
		return nil, err
	}
	if !below || at == nil || !at.Dir {
		return locksOn(rows, way, key, now)
	}
	all, _, err := l.t.allLocks(r, now)
	if err != nil {
		return nil, err
	}
	var out []Lock
	for _, k := range all {
		if k.covers(key) || below && key.Contains(k.Key) {
			out = append(out, k)
		}
	}
	return out, nil
}

// locksOn are the locks that cover key, of those that rows are of: they are of what is on its
// way. The keys of others are not looked up, for each write asks this several times, however
// many locks there are.
func locksOn(rows []kv.Row, way map[Ino]*Entry, key Key, now time.Time) ([]Lock, error) {
	var out []Lock
	for _, row := range rows {
		var d lockRow
		if err := json.Unmarshal(row.D, &d); err != nil {
			return nil, fmt.Errorf("lock row: %w", err)
		}
		if e := way[d.Ino]; e != nil && d.Expires > now.UnixMilli() {
			if k := d.lock(row.S, e); k.covers(key) {
				out = append(out, k)
			}
		}
	}
	return out, nil
}

func (l *Library) lock(ctx context.Context, key Key, infinite, shared bool, owner, by string, timeout time.Duration) (Lock, error) {
	if err := l.allow(l.live(ctx), mayChange, key); err != nil {
		return Lock{}, err
	}
	now := l.b.opt.Now()
	made := Lock{Token: newToken(), Infinite: infinite, Shared: shared, Owner: owner, By: by, Created: now, Expires: now.Add(clampLock(timeout))}
	err := l.t.log.Update(ctx, "lock", func(tx *journal.Tx) error {
		e, err := l.t.resolve(tx, key)
		if err != nil {
			return err
		}
		all, ended, err := l.t.allLocks(tx, now)
		if err != nil {
			return err
		}
		held := 0
		for _, k := range all {
			if k.covers(key) || infinite && key.Contains(k.Key) {
				// RFC 4918 §6.2: shared locks live side by side.
				if held++; shared && k.Shared && held < maxSharedLocks {
					continue
				}
				return fmt.Errorf("%w until %s", ErrLocked, k.Expires.Format(time.RFC3339))
			}
		}
		if len(all) >= maxLocks {
			return ErrLocks
		}
		made.Key, made.Ino = e.Key, e.Ino
		if err := l.t.putLock(tx, made); err != nil {
			return err
		}
		l.writer(tx).endLocks(ended) // or those that nobody unlocks would gather
		return nil
	})
	return made, fault(err)
}

func (t *tree) putLock(tx *journal.Tx, k Lock) error {
	d, err := marshal(lockRow{k.Ino, k.Infinite, k.Shared, k.Owner, k.By, k.Created.UnixMilli(), k.Expires.UnixMilli()})
	tx.Local(kv.Op{Key: lockKey(t.uid, k.Token), D: d})
	return err
}

func clampLock(d time.Duration) time.Duration { return min(max(d, minLock), maxLock) }

// newToken is a URI that is unique and cannot be guessed (RFC 4918 §6.5, RFC 9562 §5.4).
func newToken() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("opaquelocktoken:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// heldLock is the lock called token, if it covers key.
func (t *tree) heldLock(tx *journal.Tx, key Key, token string, now time.Time) (Lock, error) {
	all, _, err := t.allLocks(tx, now)
	if err != nil {
		return Lock{}, err
	}
	for _, k := range all {
		if k.Token == token && k.covers(key) {
			return k, nil
		}
	}
	return Lock{}, ErrNoLock
}

func (l *Library) refreshLock(ctx context.Context, key Key, token string, timeout time.Duration) (Lock, error) {
	if err := l.allow(l.live(ctx), mayChange, key); err != nil {
		return Lock{}, err
	}
	now := l.b.opt.Now()
	var held Lock
	err := l.t.log.Update(ctx, "lock", func(tx *journal.Tx) (err error) {
		if held, err = l.t.heldLock(tx, key, token, now); err != nil {
			return err
		}
		held.Expires = now.Add(clampLock(timeout))
		return l.t.putLock(tx, held)
	})
	return held, fault(err)
}

func (l *Library) unlock(ctx context.Context, key Key, token string) error {
	if err := l.allow(l.live(ctx), mayChange, key); err != nil {
		return err
	}
	return fault(l.t.log.Update(ctx, "unlock", func(tx *journal.Tx) error {
		k, err := l.t.heldLock(tx, key, token, l.b.opt.Now())
		if err != nil {
			return err
		}
		tx.Local(kv.Op{Key: lockKey(l.t.uid, k.Token), Kind: kv.Del})
		return nil
	}))
}

// locksOf are the rows of the locks on e, which is at key, and below it, and then of those
// that have ended. They go with the resource (RFC 4918 §6.1), and a MOVE does not take them
// along (§7.6): the plan ends them when it has staged all else.
func (w *writer) locksOf(key Key, e *Entry) ([]kv.Key, error) {
	held, ended, err := w.t.allLocks(w.tx, w.t.now())
	if err != nil {
		return nil, err
	}
	var of []kv.Key
	for _, k := range held {
		if k.Ino == e.Ino || key.Contains(k.Key) {
			of = append(of, lockKey(w.t.uid, k.Token))
		}
	}
	return append(of, ended...), nil
}

// endLocks removes rows of locks, as many as the plan has room for: others end by expiring.
func (w *writer) endLocks(rows []kv.Key) {
	for _, k := range rows[:min(len(rows), max(0, journal.MaxPlanRows-w.tx.Len()))] {
		w.tx.Local(kv.Op{Key: k, Kind: kv.Del})
	}
}
