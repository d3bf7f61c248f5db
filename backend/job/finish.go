package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

func (l *Lease) place() place { return place{queued, l.UID, l.sort} }

// commit makes a change to a leased job.
func (q *Queue) commit(ctx context.Context, what string, ops []kv.Op) error {
	err := q.store.Commit(ctx, ops)
	var ce *kv.CondError
	switch {
	case errors.As(err, &ce):
		return fmt.Errorf("%s: %w", what, ErrLost)
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Extend makes the lease last Options.Lease from now. The error wraps ErrLost if
// it is the caller's no more, who then should stop working.
func (q *Queue) Extend(ctx context.Context, l *Lease) error {
	next := *l
	next.Due = time.UnixMilli(q.now().Add(q.lease).UnixMilli())
	next.sort = sortKey(next.Due, next.ID)
	if err := q.commit(ctx, "extend lease", move(next.Job, true, l.place(), next.place(), l.v)); err != nil {
		return err
	}
	good, err := q.confirm(ctx, []Lease{next})
	if err != nil {
		return err
	}
	if len(good) == 0 {
		return fmt.Errorf("extend lease: %w", ErrLost)
	}
	*l = good[0]
	return nil
}

// DoneOps are the rows that end the job, to be committed beside its result. The
// first has a condition: the commit fails with a kv.CondError if the lease was
// lost, and then the job is another's, who will make the same result.
//
// A committer that must not fail may set its Cond to kv.Any. A worker whose lease
// was lost then ends the job that another is still working on. That one's Done
// fails or does nothing, its Extend fails, and its job row is removed when it
// falls due. Nothing is lost, for the result is there.
func (q *Queue) DoneOps(l Lease) []kv.Op {
	return []kv.Op{
		{Key: indexKey(l.ID), Kind: kv.Del, Cond: kv.At, V: l.v},
		{Key: l.place().key(), Kind: kv.Del},
	}
}

// Done ends the job. The error wraps ErrLost if the lease was lost.
func (q *Queue) Done(ctx context.Context, l Lease) error {
	return q.commit(ctx, "end job", q.DoneOps(l))
}

// Fail gives the job back after cause. It falls due again after a pause that
// grows with the attempts; without retry, or when it had Options.MaxAttempts, it
// is given up. The error wraps ErrLost if the lease was lost.
func (q *Queue) Fail(ctx context.Context, l Lease, cause error, retry bool) error {
	return q.fail(ctx, l, cause, retry, q.backoff(l.Attempts))
}

// FailFor is Fail, but the job falls due again after d, at most an hour: for a cause that
// may last for a while and need not be the job's.
func (q *Queue) FailFor(ctx context.Context, l Lease, cause error, d time.Duration) error {
	return q.fail(ctx, l, cause, true, d)
}

func (q *Queue) fail(ctx context.Context, l Lease, cause error, retry bool, d time.Duration) error {
	l.LastError = text(cause)
	if !retry || l.Last {
		q.log.Error("job given up", "job", l.ID, "kind", l.Kind, "attempts", l.Attempts, "err", l.LastError)
		to := place{dead, l.UID, sortKey(q.now(), l.ID)}
		return q.commit(ctx, "give up job", move(l.Job, false, l.place(), to, l.v))
	}
	q.log.Warn("job failed", "job", l.ID, "kind", l.Kind, "attempts", l.Attempts, "err", l.LastError)
	return q.giveBack(ctx, l, d)
}

// Postpone gives the job back as if it had not been claimed: for a cause that is
// not the job's, as when the bucket cannot be reached. It falls due after d.
func (q *Queue) Postpone(ctx context.Context, l Lease, cause error, d time.Duration) error {
	l.LastError = text(cause)
	if !l.Spent { // it comes as such again
		l.Attempts--
	}
	return q.giveBack(ctx, l, d)
}

// Continue gives the job back after one of its steps, with the Cursor and the Note that
// the lease's Job has by now. Its attempts begin anew. It falls due again after d.
func (q *Queue) Continue(ctx context.Context, l Lease, d time.Duration) error {
	l.Attempts, l.LastError = 0, ""
	return q.giveBack(ctx, l, d)
}

func (q *Queue) giveBack(ctx context.Context, l Lease, d time.Duration) error {
	j := l.Job
	j.Due = q.now().Add(max(d, 0))
	to := place{queued, l.UID, sortKey(j.Due, j.ID)}
	if err := q.commit(ctx, "give back job", move(j, false, l.place(), to, l.v)); err != nil {
		return err
	}
	q.Ring() // whoever waits for the end of the lease must look again
	return nil
}

const maxError = 500 // bytes

func text(err error) string {
	if err == nil {
		return "failed"
	}
	s := strings.ToValidUTF8(err.Error(), "?")
	if len(s) > maxError {
		s = strings.ToValidUTF8(s[:maxError], "")
	}
	return s
}
