package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A line is one user's partition of jobs, and where to begin to look in it. Looking
// from the start would read over the tombstones of all jobs that ever were:
// with Badger 100 ms after 300,000 jobs, against 20 µs from the cursor.
type line struct {
	uid    string
	cursor string    // there is no job before it, but see rewind
	rewind time.Time // when the cursor was last set to the start
	served uint64    // the turn at which the user last got a job

	stored  bool      // the row of ju is there
	stirred time.Time // when this queue last made rows for it
	quiet   bool      // there was no job, and stirred was long ago: see lively
}

const (
	// behind is how far the cursor stays behind the present, for commits that
	// take their time and for nodes whose clocks differ.
	behind = time.Minute
	// rewindEvery is how often to look from the start all the same, for those
	// that took longer, and for what the wrong clock has put far ahead.
	rewindEvery = time.Minute
	// ahead is what no due time is: what seems to be further was written by a clock
	// that was wrong then, and is due now rather than in years.
	ahead = time.Hour
)

// stir says that the user is about to have a job, and whether the row of ju is there.
func (q *Queue) stir(uid string, now time.Time) (stored bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.line(uid)
	l.stirred, l.quiet = now, false
	return l.stored
}

// line is called with mu held.
func (q *Queue) line(uid string) *line {
	l := q.lines[uid]
	if l == nil {
		l = &line{uid: uid}
		q.lines[uid] = l
	}
	return l
}

// users are all who have jobs or had any, in order.
func (q *Queue) users(ctx context.Context) (lines []*line, err error) {
	for from, more := "", true; more; {
		var rows []kv.Row
		if rows, more, err = q.store.Scan(ctx, userKey("").P, from, "", false, 1000); err != nil {
			return nil, fmt.Errorf("look for jobs: %w", err)
		}
		q.mu.Lock()
		for _, r := range rows {
			from = r.S + "\x00"
			l := q.line(r.S)
			l.stored = true
			lines = append(lines, l)
		}
		q.mu.Unlock()
	}
	return lines, nil
}

// lively are those who may have a job now. Everybody may, every few seconds, because of
// other processes; in between, it is those who had one when they were last looked at, and
// those for whom this queue has made rows since: thousands who have none cost nothing.
func (q *Queue) lively(ctx context.Context, now time.Time) (lines []*line, err error) {
	q.mu.Lock()
	since := now.Sub(q.looked)
	q.mu.Unlock()
	all := since >= maxWait || since < 0
	if all {
		if _, err := q.users(ctx); err != nil {
			return nil, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if all {
		q.looked = now
	}
	for _, l := range q.lines {
		if l.quiet = l.quiet && !all; !l.quiet {
			lines = append(lines, l)
		}
	}
	return lines, nil
}

// from is where to look for a user's jobs at the time now; rewound says that it has just
// become the start.
func (q *Queue) from(l *line, now time.Time) (cursor string, rewound bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if since := now.Sub(l.rewind); since >= rewindEvery || since < 0 {
		l.cursor, l.rewind, rewound = "", now, true
	}
	return l.cursor, rewound
}

// found moves the cursor: the first job from it on is at first, or there is none.
func (q *Queue) found(l *line, first string, now time.Time) {
	at := sortTime(now.Add(-behind))
	if first != "" {
		at = min(at, first)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l.cursor = at
	l.quiet = first == "" && now.Sub(l.stirred) > behind
}

// next says when the first job is due, but for those of users who are busy < 0.
func (q *Queue) next(ctx context.Context, busy map[string]int) (due time.Time, ok bool, err error) {
	lines, err := q.lively(ctx, q.now())
	if err != nil {
		return time.Time{}, false, err
	}
	first := ""
	for _, l := range lines {
		if busy[l.uid] < 0 {
			continue
		}
		q.mu.Lock()
		from := l.cursor
		q.mu.Unlock()
		rows, _, err := q.store.Scan(ctx, partition(queued, l.uid), from, "", false, 1)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("look for jobs: %w", err)
		}
		if len(rows) > 0 && (first == "" || rows[0].S < first) {
			first = rows[0].S
		}
	}
	if first == "" {
		return time.Time{}, false, nil
	}
	ms, _, _ := strings.Cut(first, "#")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return time.Time{}, false, nil // Claim will see to it
	}
	return time.UnixMilli(n), true, nil
}

type candidate struct {
	at  place
	row kv.Row // of the job
	Job        // what it says, once it is picked
	v   uint64 // of the index row
}

// Claim takes up to n jobs that are due, and they are the caller's for as long
// as Options.Lease. Users take turns; of one user, what fell due first comes
// first. A job that was claimed too often without a result comes as Spent. What another
// process has queued may be found some seconds later.
func (q *Queue) Claim(ctx context.Context, n int) ([]Lease, error) {
	return q.ClaimFor(ctx, n, nil)
}

// ClaimFor is Claim for who says how many jobs of each user are under way already: whoever
// has fewest comes first, so that those whose jobs take long do not get all workers. Whoever
// has less than none, for the caller's own reasons, gets none.
func (q *Queue) ClaimFor(ctx context.Context, n int, busy map[string]int) ([]Lease, error) {
	q.claim.Lock()
	defer q.claim.Unlock()
	now := q.now()
	all, err := q.due(ctx, now, n, busy)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	picked, err := q.check(ctx, q.takeTurns(all, n, busy))
	if err != nil {
		return nil, err
	}
	var leases []Lease
	const perCommit = kv.MaxOps / 3
	for chunk := range slices.Chunk(picked, perCommit) {
		l, err := q.take(ctx, chunk, now)
		leases = append(leases, l...)
		if err != nil && len(leases) == 0 {
			return nil, err
		}
		if err != nil {
			q.log.Warn("some jobs were not claimed", "err", err)
			break
		}
	}
	return leases, nil
}

// due reads jobs that are due, the first few of every user, or of those whose turn it is
// if they are many.
func (q *Queue) due(ctx context.Context, now time.Time, n int, busy map[string]int) (all []candidate, err error) {
	lines, err := q.lively(ctx, now)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	slices.SortFunc(lines, func(a, b *line) int {
		return cmp.Or(cmp.Compare(busy[a.uid], busy[b.uid]), cmp.Compare(a.served, b.served), cmp.Compare(a.uid, b.uid))
	})
	q.mu.Unlock()
	window := n + 8 // some may be left over
	users := 0      // who have jobs
	for _, l := range lines {
		if users == window {
			break
		}
		if busy[l.uid] < 0 {
			continue
		}
		from, rewound := q.from(l, now)
		p := partition(queued, l.uid)
		rows, _, err := q.store.Scan(ctx, p, from, "", false, window)
		if err != nil {
			return nil, fmt.Errorf("look for jobs: %w", err)
		}
		first := ""
		if len(rows) > 0 {
			first = rows[0].S
		}
		q.found(l, first, now)
		soon := sortTime(now.Add(time.Millisecond))
		rows = slices.DeleteFunc(rows, func(r kv.Row) bool { return r.S >= soon })
		if rewound {
			far, _, err := q.store.Scan(ctx, p, sortTime(now.Add(ahead+time.Millisecond)), "", false, window)
			if err != nil {
				return nil, fmt.Errorf("look for jobs: %w", err)
			}
			rows = append(rows, far...)
		}
		if len(rows) > 0 {
			users++
		}
		for _, r := range rows {
			all = append(all, candidate{at: place{queued, l.uid, r.S}, row: r})
		}
	}
	return all, nil
}

// takeTurns picks n jobs, each of the user who has the fewest under way then, and among
// those, of the one who got none for the longest time.
func (q *Queue) takeTurns(all []candidate, n int, busy map[string]int) (picked []candidate) {
	byUser := map[string][]candidate{}
	for _, c := range all {
		byUser[c.at.uid] = append(byUser[c.at.uid], c)
	}
	users := make([]string, 0, len(byUser))
	under := make(map[string]int, len(byUser))
	for uid, jobs := range byUser {
		slices.SortFunc(jobs, func(a, b candidate) int { return cmp.Compare(a.at.sort, b.at.sort) })
		users = append(users, uid)
		under[uid] = busy[uid]
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(picked) < n && len(users) > 0 {
		uid := slices.MinFunc(users, func(a, b string) int {
			return cmp.Or(cmp.Compare(under[a], under[b]), cmp.Compare(q.lines[a].served, q.lines[b].served),
				cmp.Compare(byUser[a][0].at.sort, byUser[b][0].at.sort), cmp.Compare(a, b))
		})
		picked = append(picked, byUser[uid][0])
		q.turn++
		q.lines[uid].served = q.turn
		under[uid]++
		if byUser[uid] = byUser[uid][1:]; len(byUser[uid]) == 0 {
			users = slices.DeleteFunc(users, func(u string) bool { return u == uid })
		}
	}
	return picked
}

// check reads jobs and finds their index rows, and removes those that are left over or
// cannot be read.
func (q *Queue) check(ctx context.Context, jobs []candidate) (good []candidate, err error) {
	for chunk := range slices.Chunk(jobs, kv.MaxGet) {
		keys := make([]kv.Key, len(chunk))
		for i, c := range chunk {
			keys[i] = indexKey(c.at.id())
		}
		rows, err := q.store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("look for jobs: %w", err)
		}
		for i, c := range chunk {
			index := rows[i]
			at, badIndex := decodePlace(index.D)
			var bad error
			if c.Job, _, bad = decode(c.row); bad == nil && index.V != 0 {
				bad = badIndex
			}
			if bad != nil {
				q.log.Error("unreadable job removed", "err", bad)
			} else if at == c.at {
				c.v = index.V
				good = append(good, c)
				continue
			}
			left := []kv.Row{c.row}
			if index.V != 0 && (badIndex != nil || at == c.at) {
				left = append(left, index) // else the job could not be queued again
			}
			if err := q.remove(ctx, left...); err != nil {
				return nil, err
			}
		}
	}
	return good, nil
}

// remove deletes rows unless one has changed since it was read.
func (q *Queue) remove(ctx context.Context, rows ...kv.Row) error {
	var ops []kv.Op
	for _, r := range rows {
		ops = append(ops, kv.Op{Key: r.Key, Kind: kv.Del, Cond: kv.At, V: r.V})
	}
	err := q.store.Commit(ctx, ops)
	var ce *kv.CondError
	if err == nil || errors.As(err, &ce) || errors.Is(err, kv.ErrConflict) {
		return nil
	}
	return fmt.Errorf("remove left-over job: %w", err)
}

// take leases jobs in one commit. Those that another took meanwhile are left
// out.
func (q *Queue) take(ctx context.Context, jobs []candidate, now time.Time) ([]Lease, error) {
	jobs = slices.Clone(jobs)
	var ops []kv.Op
	var leases []Lease
	var owner []int // of which job each operation is
	for tries := 0; ; {
		ops, leases, owner = ops[:0], leases[:0], owner[:0]
		for i, c := range jobs {
			l := Lease{Job: c.Job, Spent: c.Attempts >= q.maxAttempts}
			if !l.Spent {
				l.Attempts++
			}
			l.Last = l.Attempts >= q.maxAttempts
			l.Due = time.UnixMilli(now.Add(q.lease).UnixMilli())
			l.sort = sortKey(l.Due, l.ID)
			leases = append(leases, l)
			o := move(l.Job, true, c.at, l.place(), c.v)
			ops = append(ops, o...)
			for range o {
				owner = append(owner, i)
			}
		}
		if len(jobs) == 0 {
			return nil, nil
		}
		err := q.store.Commit(ctx, ops)
		var ce *kv.CondError
		switch {
		case errors.As(err, &ce):
			i := owner[ce.Index]
			jobs = slices.Delete(jobs, i, i+1)
			continue
		case errors.Is(err, kv.ErrConflict) && tries < 3:
			tries++
			continue
		case err != nil:
			return nil, fmt.Errorf("claim jobs: %w", err)
		}
		return q.confirm(ctx, leases)
	}
}

// confirm reads the versions of the index rows just written.
func (q *Queue) confirm(ctx context.Context, leases []Lease) (good []Lease, err error) {
	if len(leases) == 0 {
		return nil, nil
	}
	keys := make([]kv.Key, len(leases))
	for i, l := range leases {
		keys[i] = indexKey(l.ID)
	}
	rows, err := q.store.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	for i, l := range leases {
		if string(rows[i].D) == string(l.place().encode()) {
			l.v = rows[i].V
			good = append(good, l)
		}
	}
	return good, nil
}
