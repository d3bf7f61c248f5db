package journal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// MaxPlanRows is how many rows one plan may change.
const MaxPlanRows = 80

// maxBatchBytes is the data after which no more plans join a segment.
const maxBatchBytes = 1 << 20

// A Tx is what a plan sees of the rows, and where it puts what it wants changed. It
// is valid only while the plan runs.
type Tx struct {
	ctx    context.Context
	l      *Log
	batch  *stage // what earlier plans of the segment staged
	staged *stage // what this one stages
	logged map[kv.Key]bool
	opID   string
}

type update struct {
	op   string
	plan func(*Tx) error
	ctx  context.Context
	lead chan struct{} // receives when this update is to run the next batch
	done chan error
	// alone, if not nil, is done in place of plan, with no batch beside it.
	alone   func(ctx context.Context) error
	verdict error // of the plan, while the segment it was judged in is not there yet
}

// Update runs plan alone, with a view of the newest rows, and makes what it put
// durable: appended to the bucket's log, then applied to the index. All of one plan
// becomes visible at once. op is a word for people who read the log.
//
// nil means it is committed. An error of the plan itself changes nothing. After any
// other error the outcome may be unknown, as when the bucket did not answer: the change
// may still come to light, whole. plan may be run more than once, must not block on
// anything but tx, and must not call Update.
func (l *Log) Update(ctx context.Context, op string, plan func(tx *Tx) error) error {
	return l.do(ctx, &update{op: op, plan: plan})
}

// Hold runs f while no update of this log is under way; those that come meanwhile wait.
// seq is the newest segment, which is applied. f must not call Update, Hold or Bulk.
func (l *Log) Hold(ctx context.Context, f func(ctx context.Context, seq uint64) error) error {
	return l.do(ctx, &update{op: "hold", alone: func(ctx context.Context) error { return f(ctx, l.head.Seq) }})
}

// MaxBulk is the most data, in bytes of keys and rows, that Bulk takes at once.
const MaxBulk = 16 << 20

// Bulk makes rows durable, more of them than one plan may change, in one segment. It is
// for a tree that nobody is reading yet: the index takes them in many commits, so they
// do not become visible all at once. A rebuild has them all or none. ops must name no key
// twice; conditions are not looked at.
func (l *Log) Bulk(ctx context.Context, op string, ops []kv.Op) error {
	if len(ops) == 0 {
		return nil
	}
	return l.BulkUpdate(ctx, op, func(context.Context) ([]kv.Op, error) { return ops, nil })
}

// BulkUpdate is Bulk of what plan returns. No update of this log is under way while plan
// runs, so that the store has the newest rows. plan must not call the Log.
func (l *Log) BulkUpdate(ctx context.Context, op string, plan func(ctx context.Context) ([]kv.Op, error)) error {
	return l.do(ctx, &update{op: op, alone: func(ctx context.Context) error {
		ops, err := plan(ctx)
		if err != nil || len(ops) == 0 {
			return err
		}
		entry := operation{Op: newOp(l.opt.Now()), K: op}
		rows, size := newStage(), 0
		for _, op := range ops {
			rows.set(op)
			if size += len(op.P) + len(op.S) + len(op.D); size > MaxBulk {
				return fmt.Errorf("journal: internal error: more than %d bytes at once: %w", MaxBulk, kv.ErrTooLarge)
			}
			if err := kv.CheckRow(kv.Row{Key: op.Key, D: op.D}); err != nil {
				return err
			}
			if op.Kind == kv.Del {
				entry.X = append(entry.X, rowImage{P: op.P, S: op.S})
			} else {
				entry.W = append(entry.W, imageOf(op.Key, op.D))
			}
		}
		return l.commit(ctx, &segment{header: l.nextHeader(), ops: []operation{entry}}, rows)
	}})
}

func (l *Log) nextHeader() header {
	return header{UID: l.uid, Seq: l.head.Seq + 1, Prev: l.head.Hash, Writer: l.opt.Writer, T: l.opt.Now().UnixMilli()}
}

// newOp is the identity of an operation: a ULID.
func newOp(t time.Time) string {
	return ulid.MustNew(ulid.Timestamp(t), ulid.DefaultEntropy()).String()
}

func (l *Log) do(ctx context.Context, u *update) error {
	if !l.opt.Until.IsZero() {
		return errors.New("journal: internal error: the past cannot be changed")
	}
	u.ctx, u.lead, u.done = ctx, make(chan struct{}, 1), make(chan error, 1)
	l.mu.Lock()
	l.queue = append(l.queue, u)
	if !l.leading {
		l.leading = true
		u.lead <- struct{}{}
	}
	l.mu.Unlock()

	for {
		select {
		case err := <-u.done:
			return err
		case <-u.lead:
			l.batch(context.WithoutCancel(ctx))
			l.pass()
		case <-ctx.Done():
			if l.withdraw(u) {
				return ctx.Err()
			}
			ctx = context.WithoutCancel(ctx) // it is in a batch: the outcome decides
		}
	}
}

// pass hands the lead to the first that waits.
func (l *Log) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.leading = false
		return
	}
	l.queue[0].lead <- struct{}{}
}

// withdraw takes u out of the queue, if no batch has it yet.
func (l *Log) withdraw(u *update) bool {
	l.mu.Lock()
	i := slices.Index(l.queue, u)
	if i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 {
		return false
	}
	select {
	case <-u.lead:
		l.pass()
	default:
	}
	return true
}

// next takes the first of the queue; undo puts it back.
func (l *Log) next() *update {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil
	}
	u := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	return u
}

func (l *Log) putBack(u *update) {
	l.mu.Lock()
	l.queue = slices.Insert(l.queue, 0, u)
	l.mu.Unlock()
}

// batch makes one segment of what waits, and commits it.
func (l *Log) batch(ctx context.Context) {
	if l.stale || l.isOld() {
		if err := l.sync(ctx); err != nil {
			l.opt.Logger.Error("log cannot be read", "uid", l.uid, "err", err)
			if u := l.next(); u != nil {
				u.done <- fmt.Errorf("read log: %w", err)
			}
			return
		}
	}
	var (
		batch  = newStage()
		seg    = segment{header: l.nextHeader()}
		took   []*update
		judged []*update // refused, or with nothing to do, for what others of the batch have staged
		size   int
	)
	verdict := func(u *update, err error) {
		if len(took) == 0 {
			u.done <- err
			return
		}
		u.verdict = err
		judged = append(judged, u)
	}
	for size < maxBatchBytes {
		u := l.next()
		if u == nil {
			break
		}
		if err := u.ctx.Err(); err != nil {
			u.done <- err
			continue
		}
		if u.alone != nil {
			if len(took) > 0 {
				l.putBack(u)
				break
			}
			err := guard(l, func() error { return u.alone(ctx) })
			l.stale = err != nil
			u.done <- err
			return
		}
		tx := &Tx{ctx: context.WithoutCancel(u.ctx), l: l, batch: batch, staged: newStage(), logged: make(map[kv.Key]bool), opID: newOp(time.UnixMilli(seg.T))}
		if err := tx.run(u.plan); err != nil {
			verdict(u, err)
			continue
		}
		if len(tx.staged.ops) == 0 {
			verdict(u, nil)
			continue
		}
		if err := kv.CheckOps(tx.staged.ops); err != nil || len(tx.staged.ops) > MaxPlanRows {
			u.done <- fmt.Errorf("journal: internal error: %s changes %d rows: %w", u.op, len(tx.staged.ops), errors.Join(err, kv.ErrTooLarge))
			continue
		}
		fresh := 0
		for _, op := range tx.staged.ops {
			if _, dup := batch.at[op.Key]; !dup {
				fresh++
			}
		}
		if len(batch.ops)+fresh > maxRows {
			l.putBack(u)
			break
		}
		entry := operation{Op: tx.opID, K: u.op}
		for _, op := range tx.staged.ops {
			batch.set(op)
			size += len(op.P) + len(op.S) + len(op.D)
			switch {
			case !tx.logged[op.Key]:
			case op.Kind == kv.Del:
				entry.X = append(entry.X, rowImage{P: op.P, S: op.S})
			default:
				entry.W = append(entry.W, imageOf(op.Key, op.D))
			}
		}
		if len(entry.W)+len(entry.X) > 0 {
			seg.ops = append(seg.ops, entry)
		}
		took = append(took, u)
	}
	if len(took) == 0 {
		return
	}
	err := guard(l, func() error { return l.commit(ctx, &seg, batch) })
	if err != nil {
		l.stale = true
	}
	for _, u := range took {
		u.done <- err
	}
	for _, u := range slices.Backward(judged) {
		if err != nil { // what it was judged by has not come to be: judge it again
			l.putBack(u)
			continue
		}
		u.done <- u.verdict
	}
}

// run runs the plan.
func (tx *Tx) run(plan func(*Tx) error) error {
	return guard(tx.l, func() error { return plan(tx) })
}

// guard makes a panic in f an error: whoever leads must go on, or all others wait for ever.
func guard(l *Log, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.opt.Logger.Error("commit panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("journal: internal error: %v", p)
		}
	}()
	return f()
}

// commit appends the segment (the commit point) and applies it.
func (l *Log) commit(ctx context.Context, seg *segment, rows *stage) error {
	if len(seg.ops) == 0 { // only rows of this index
		return l.x.Commit(ctx, rows.ops)
	}
	fail.Point("W4.planned")
	stored, hash, err := seg.encode()
	if err != nil {
		return fmt.Errorf("encode log segment: %w", err)
	}
	if g, ok := l.x.(kv.Guard); ok {
		// Once the segment is there, it is too late to say that nothing was changed.
		if err := g.Room(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	fail.Point("W5.begin")
	if err := l.append(ctx, seg.Seq, stored); err != nil {
		return err
	}
	fail.Point("W6.begin")
	if err := l.apply(ctx, rows, 1, head{Seq: seg.Seq, Hash: hash, Base: l.head.Base, Snap: l.head.Snap}); err != nil {
		// It is committed; the index follows as soon as the store takes rows again.
		l.opt.Logger.Error("committed segment not applied yet", "uid", l.uid, "seq", seg.Seq, "err", err)
		// Whatever it was, even a full disk: to the client the outcome is not known.
		return fmt.Errorf("apply log segment: %w: %v", object.ErrUnavailable, err)
	}
	fail.Point("W6.done")
	l.mu.Lock()
	l.sinceN += len(seg.ops)
	l.mu.Unlock()
	return nil
}

// append creates the segment. An answer that says nothing (time-out, reset) is retried
// with the same bytes under the same number, which can do no harm: either the first
// try has got there, and then the object has these very bytes, or another writer has
// the number.
func (l *Log) append(ctx context.Context, seq uint64, stored []byte) error {
	ctx, cancel := context.WithTimeout(ctx, l.opt.AppendTimeout)
	defer cancel()
	name := object.LogName(l.uid, seq)
	began := l.opt.Now()
	wait := 50 * time.Millisecond
	for try := 1; ; try++ {
		_, err := l.b.Put(ctx, name, bytes.NewReader(stored), int64(len(stored)), &object.PutOptions{CreateOnly: true, Type: "application/jsonl"})
		if lost := fail.Error("W5.sent"); lost != nil {
			err = fmt.Errorf("%w: %w", object.ErrUnavailable, lost)
		}
		if errors.Is(err, object.ErrExist) {
			var there []byte
			if there, err = readAll(ctx, l.b, name); err == nil {
				if bytes.Equal(there, stored) {
					l.known = began
					return nil
				}
				fail.Point("fenced")
				l.opt.Logger.Warn("fenced by another writer", "uid", l.uid, "seq", seq)
				return fmt.Errorf("append to log: %w", ErrFenced)
			}
		}
		if err == nil {
			l.known = began
			return nil
		}
		if !errors.Is(err, object.ErrUnavailable) && !errors.Is(err, object.ErrNotExist) {
			if try > 1 { // an earlier try may have got there, whatever has become of this one
				err = fmt.Errorf("%w: %v", object.ErrUnavailable, err)
			}
			return fmt.Errorf("append to log: %w", err)
		}
		l.opt.Logger.Warn("append to log has no verdict", "uid", l.uid, "seq", seq, "try", try, "err", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("append to log: %w", err)
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// Op is the identity of this operation in the log: a ULID.
func (tx *Tx) Op() string { return tx.opID }

// Len is how many rows the plan has staged so far; see MaxPlanRows.
func (tx *Tx) Len() int { return len(tx.staged.ops) }

// Context is that of the Update, without its cancellation.
func (tx *Tx) Context() context.Context { return tx.ctx }

// Get reads a row as it is now, with what this plan has put; V is 0 if there is none.
// (A row that is staged has V 1.)
func (tx *Tx) Get(k kv.Key) (kv.Row, error) {
	for _, s := range [...]*stage{tx.staged, tx.batch} {
		if i, ok := s.at[k]; ok {
			if s.ops[i].Kind == kv.Del {
				return kv.Row{Key: k}, nil
			}
			return kv.Row{Key: k, V: 1, D: s.ops[i].D}, nil
		}
	}
	rows, err := tx.l.x.Get(tx.ctx, k)
	if err != nil {
		return kv.Row{}, err
	}
	return rows[0], nil
}

// Gets is Get of several rows, in their order.
func (tx *Tx) Gets(keys ...kv.Key) ([]kv.Row, error) {
	rows := make([]kv.Row, len(keys))
	for i, k := range keys {
		var err error
		if rows[i], err = tx.Get(k); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// Scan is kv.Store.Scan with what this plan has put.
func (tx *Tx) Scan(p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	over := make(map[string]kv.Op)
	for _, s := range [...]*stage{tx.batch, tx.staged} {
		for _, op := range s.ops {
			if op.P == p && op.S >= from && (to == "" || op.S < to) {
				over[op.S] = op
			}
		}
	}
	ask := n
	if n > 0 {
		ask += len(over)
	}
	rows, more, err := tx.l.x.Scan(tx.ctx, p, from, to, rev, ask)
	if err != nil || len(over) == 0 {
		return rows, more, err
	}
	// Beyond the last row read there may be others in the store, so staged rows
	// there must wait for the next scan.
	edge, bounded := "", more
	if bounded {
		edge = rows[len(rows)-1].S
	}
	merged := rows[:0:0]
	for _, r := range rows {
		if _, ok := over[r.S]; !ok {
			merged = append(merged, r)
		}
	}
	for s, op := range over {
		if op.Kind == kv.Put && (!bounded || !rev && s <= edge || rev && s >= edge) {
			merged = append(merged, kv.Row{Key: op.Key, V: 1, D: op.D})
		}
	}
	slices.SortFunc(merged, func(a, b kv.Row) int {
		if rev {
			a, b = b, a
		}
		return cmp.Compare(a.S, b.S)
	})
	if n > 0 && len(merged) > n {
		merged, more = merged[:n], true
	}
	return merged, more, nil
}

// Put stages a row for the log and the index.
func (tx *Tx) Put(k kv.Key, d []byte) {
	tx.staged.set(kv.Op{Key: k, D: d})
	tx.logged[k] = true
}

// Del stages the removal of a row.
func (tx *Tx) Del(k kv.Key) {
	tx.staged.set(kv.Op{Key: k, Kind: kv.Del})
	tx.logged[k] = true
}

// Local stages a row of this index only, such as a job: it is in the same transaction,
// but not in the log, so a rebuild does not bring it back. Conditions are not looked at.
func (tx *Tx) Local(op kv.Op) { tx.staged.set(op) }
