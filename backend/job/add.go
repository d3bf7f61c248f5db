package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// fresh is j as it comes into the queue.
func (q *Queue) fresh(j Job) Job {
	now := q.now()
	j.ID = ID(j.Kind, j.Object, j.Recipe)
	if j.Due.Before(now) {
		j.Due = now // what lies in the past might lie before a cursor
	}
	if j.Queued.IsZero() {
		j.Queued = now
	}
	j.Attempts, j.LastError = 0, ""
	return j
}

// Ops are the rows that queue j, to be committed soon beside those that make it
// necessary: three at most, of which two jobs may have one in common; call Ring
// afterwards. A zero Due means at once, and one more than an hour ahead may do so too;
// Attempts and LastError start anew.
//
// They are without condition, so that they never fail the commit that carries
// them. If the job was queued or dead already it is queued as new; if it is
// being worked on, it may be done once more, and that worker's DoneOps fail.
func (q *Queue) Ops(j Job) []kv.Op {
	j = q.fresh(j)
	to := place{queued, j.UID, sortKey(j.Due, j.ID)}
	ops := []kv.Op{
		{Key: indexKey(j.ID), Kind: kv.Put, D: to.encode()},
		{Key: to.key(), Kind: kv.Put, D: encode(j, false)},
	}
	if !q.stir(j.UID, q.now()) {
		ops = append(ops, kv.Op{Key: userKey(j.UID), Kind: kv.Put, D: []byte{formatVersion}})
	}
	return ops
}

// Add queues j unless it is queued, running or dead already, and rings.
func (q *Queue) Add(ctx context.Context, j Job) (added bool, err error) {
	ops := q.Ops(j)
	ops[0].Cond = kv.Absent
	err = q.store.Commit(ctx, ops)
	var ce *kv.CondError
	switch {
	case errors.As(err, &ce):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("queue job: %w", err)
	}
	q.Ring()
	return true, nil
}

// Again queues j, also if it was given up, and rings. It does nothing if j is queued or
// running. Only who has a reason to believe that it will go better now should use it.
func (q *Queue) Again(ctx context.Context, j Job) (queued bool, err error) {
	if queued, err = q.Add(ctx, j); queued || err != nil {
		return queued, err
	}
	queued, err = q.retry(ctx, ID(j.Kind, j.Object, j.Recipe))
	if errors.Is(err, ErrNotExist) { // it was done this moment
		err = nil
	}
	return queued, err
}

// Ring wakes whoever is in Wait. Call it after a commit that carried Ops.
func (q *Queue) Ring() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.bell)
	q.bell = make(chan struct{})
}

// maxWait bounds Wait: other processes' commits do not ring here.
const maxWait = 5 * time.Second

// Wait returns when a job is due, when Ring was called, or after a few seconds,
// whichever comes first. An error is that of ctx or of the store.
func (q *Queue) Wait(ctx context.Context) error { return q.WaitFor(ctx, nil) }

// WaitFor is Wait for jobs that ClaimFor would claim.
func (q *Queue) WaitFor(ctx context.Context, busy map[string]int) error {
	q.mu.Lock()
	bell := q.bell // before looking: a job queued after the look rings it
	q.mu.Unlock()
	due, ok, err := q.next(ctx, busy)
	if err != nil {
		return err
	}
	d := maxWait
	if ok {
		d = min(d, due.Sub(q.now()))
	}
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-bell:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
