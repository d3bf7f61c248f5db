package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// List reads n jobs that are queued or running, in an order that keeps one
// user's together and is by due time among them. after is "" or the next of the
// call before; next is "" after the last.
func (q *Queue) List(ctx context.Context, after string, n int) (jobs []Job, next string, err error) {
	return q.list(ctx, queued, after, n)
}

// Dead reads n jobs that were given up, as List does. Due is when that was.
func (q *Queue) Dead(ctx context.Context, after string, n int) (jobs []Job, next string, err error) {
	return q.list(ctx, dead, after, n)
}

func (q *Queue) list(ctx context.Context, state byte, after string, n int) (jobs []Job, next string, err error) {
	if n <= 0 {
		return nil, "", errors.New("job: list of no length")
	}
	uid, from, ok := strings.Cut(after, "/")
	if ok {
		from += "\x00" // right after it
	} else if after != "" {
		return nil, "", errors.New("job: bad cursor")
	}
	lines, err := q.users(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, l := range lines {
		if l.uid < uid {
			continue
		}
		if l.uid > uid {
			from = ""
		}
		for more := true; more; {
			if len(jobs) == n {
				return jobs, next, nil
			}
			var rows []kv.Row
			rows, more, err = q.store.Scan(ctx, partition(state, l.uid), from, "", false, min(n-len(jobs), kv.MaxGet))
			if err != nil {
				return nil, "", fmt.Errorf("list jobs: %w", err)
			}
			if len(rows) == 0 {
				break
			}
			last := rows[len(rows)-1].S
			from, next = last+"\x00", l.uid+"/"+last
			good, err := q.real(ctx, state, l.uid, rows)
			if err != nil {
				return nil, "", err
			}
			jobs = append(jobs, good...)
		}
	}
	return jobs, "", nil
}

// real are the jobs of the rows that are not left over. Those of the dead that are, it
// removes: nobody else comes by them.
func (q *Queue) real(ctx context.Context, state byte, uid string, rows []kv.Row) (jobs []Job, err error) {
	var keys []kv.Key
	var all []Job
	var from []kv.Row
	for _, r := range rows {
		j, _, err := decode(r)
		if err != nil {
			continue
		}
		all, keys, from = append(all, j), append(keys, indexKey(j.ID)), append(from, r)
	}
	index, err := q.store.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	for i, j := range all {
		at := place{state, uid, from[i].S}
		switch {
		case string(index[i].D) == string(at.encode()):
			jobs = append(jobs, j)
		case state == dead:
			if err := q.remove(ctx, from[i]); err != nil {
				q.log.Warn("left-over job not removed", "err", err)
			}
		}
	}
	return jobs, nil
}

// Get finds a job by its ID; isDead says whether it was given up. The error
// wraps ErrNotExist if there is none.
func (q *Queue) Get(ctx context.Context, id string) (j Job, isDead bool, err error) {
	j, at, _, err := q.find(ctx, id)
	return j, at.state == dead, err
}

func (q *Queue) find(ctx context.Context, id string) (j Job, at place, v uint64, err error) {
	for range 3 { // the job may move between the two reads
		index, err := q.get(ctx, indexKey(id))
		if err != nil {
			return Job{}, place{}, 0, err
		}
		if index.V == 0 {
			return Job{}, place{}, 0, fmt.Errorf("find job: %w", ErrNotExist)
		}
		if at, err = decodePlace(index.D); err != nil {
			return Job{}, place{}, 0, err
		}
		row, err := q.get(ctx, at.key())
		if err != nil {
			return Job{}, place{}, 0, err
		}
		if row.V == 0 {
			continue
		}
		j, _, err := decode(row)
		return j, at, index.V, err
	}
	return Job{}, place{}, 0, fmt.Errorf("find job: %w", kv.ErrConflict)
}

func (q *Queue) get(ctx context.Context, k kv.Key) (kv.Row, error) {
	if err := kv.CheckKey(k); err != nil {
		return kv.Row{}, fmt.Errorf("find job: %w", ErrNotExist)
	}
	rows, err := q.store.Get(ctx, k)
	if err != nil {
		return kv.Row{}, fmt.Errorf("find job: %w", err)
	}
	return rows[0], nil
}

// Retry queues a job again that was given up, with all its attempts. It does
// nothing for one that is queued. The error wraps ErrNotExist if there is none.
func (q *Queue) Retry(ctx context.Context, id string) error {
	_, err := q.retry(ctx, id)
	return err
}

func (q *Queue) retry(ctx context.Context, id string) (done bool, err error) {
	j, at, v, err := q.find(ctx, id)
	if err != nil || at.state != dead {
		return false, err
	}
	j.Attempts, j.Due = 0, q.now()
	q.stir(at.uid, j.Due)
	to := place{queued, at.uid, sortKey(j.Due, id)}
	err = q.commit(ctx, "retry job", move(j, false, at, to, v))
	if errors.Is(err, ErrLost) {
		return false, nil // another did
	}
	if err != nil {
		return false, err
	}
	q.Ring()
	return true, nil
}

// RetryAll queues all jobs again that were given up, and says how many.
func (q *Queue) RetryAll(ctx context.Context) (n int, err error) {
	const perCommit = kv.MaxOps / 3
	for after := ""; ; {
		jobs, next, err := q.Dead(ctx, after, perCommit)
		if err != nil {
			return n, err
		}
		done, err := q.retryEach(ctx, jobs)
		if n += done; err != nil {
			return n, err
		}
		if after = next; next == "" {
			return n, nil
		}
	}
}

// retryEach is retry for several, in one commit if nobody else changes any of them.
func (q *Queue) retryEach(ctx context.Context, jobs []Job) (n int, err error) {
	var ops []kv.Op
	for _, j := range jobs {
		j, at, v, err := q.find(ctx, j.ID)
		if errors.Is(err, ErrNotExist) || err == nil && at.state != dead {
			continue
		}
		if err != nil {
			return 0, err
		}
		j.Attempts, j.Due = 0, q.now()
		q.stir(at.uid, j.Due)
		ops = append(ops, move(j, false, at, place{queued, at.uid, sortKey(j.Due, j.ID)}, v)...)
		n++
	}
	if n == 0 {
		return 0, nil
	}
	switch err = q.commit(ctx, "retry jobs", ops); {
	case err == nil:
		q.Ring()
		return n, nil
	case !errors.Is(err, ErrLost):
		return 0, err
	}
	n = 0
	for _, j := range jobs {
		done, err := q.retry(ctx, j.ID)
		if err != nil && !errors.Is(err, ErrNotExist) {
			return n, err
		}
		if done {
			n++
		}
	}
	return n, nil
}

// Of calls do for the jobs that a user has queued or running, by due time, until it says
// false. It is for counting: a job that moves meanwhile may come twice, or not at all.
func (q *Queue) Of(ctx context.Context, uid string, do func(Job) (more bool)) error {
	q.mu.Lock()
	from := ""
	if l := q.lines[uid]; l != nil {
		from = l.cursor
	}
	q.mu.Unlock()
	for n, more := 100, true; more; n = 1000 {
		var rows []kv.Row
		var err error
		if rows, more, err = q.store.Scan(ctx, partition(queued, uid), from, "", false, n); err != nil {
			return fmt.Errorf("look through jobs: %w", err)
		}
		for _, r := range rows {
			from = r.S + "\x00"
			if j, _, err := decode(r); err == nil && !do(j) {
				return nil
			}
		}
	}
	return nil
}

// Pending counts the jobs of one kind that a user has queued or running, but not beyond
// most.
func (q *Queue) Pending(ctx context.Context, uid, kind string, most int) (n int, err error) {
	err = q.Of(ctx, uid, func(j Job) bool {
		if j.Kind == kind {
			n++
		}
		return n < most
	})
	return n, err
}

// Stats counts the jobs.
type Stats struct {
	Queued  int // waiting, due or not
	Due     int // of those, how many may be claimed now
	Running int // leased
	Dead    int // given up
	// Oldest is when the first of the due fell due; zero if there is none.
	Oldest time.Time
}

// Stats reads all jobs and counts them: some milliseconds for ten thousand.
func (q *Queue) Stats(ctx context.Context) (st Stats, err error) {
	now := q.now()
	err = q.each(ctx, func(j Job, leased bool) {
		isDue := !j.Due.After(now)
		switch {
		case leased && !isDue:
			st.Running++
			return
		case isDue:
			st.Due++
			if st.Oldest.IsZero() || j.Due.Before(st.Oldest) {
				st.Oldest = j.Due
			}
		}
		st.Queued++
	})
	if err != nil {
		return Stats{}, err
	}
	for after := ""; ; {
		jobs, next, err := q.Dead(ctx, after, 1000)
		if err != nil {
			return Stats{}, err
		}
		st.Dead += len(jobs)
		if after = next; next == "" {
			return st, nil
		}
	}
}

// each calls do for all that are queued or running.
func (q *Queue) each(ctx context.Context, do func(j Job, leased bool)) error {
	lines, err := q.users(ctx)
	if err != nil {
		return err
	}
	for _, l := range lines {
		for from, more := "", true; more; {
			var rows []kv.Row
			rows, more, err = q.store.Scan(ctx, partition(queued, l.uid), from, "", false, 1000)
			if err != nil {
				return fmt.Errorf("count jobs: %w", err)
			}
			for _, r := range rows {
				from = r.S + "\x00"
				if j, leased, err := decode(r); err == nil {
					do(j, leased)
				}
			}
		}
	}
	return nil
}
