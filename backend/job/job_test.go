package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// onEach runs a test on every store.
func onEach(t *testing.T, run func(*testing.T, kv.Store)) {
	t.Run("memkv", func(t *testing.T) { run(t, memkv.New()) })
	t.Run("badgerkv", func(t *testing.T) {
		s, err := badgerkv.Open(t.TempDir(), &badgerkv.Options{MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		run(t, s)
	})
}

// A clock is moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2025, 5, 4, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// exact is a back-off without chance.
func exact(n int) time.Duration { return time.Second << (n - 1) }

func job(uid, object string) Job {
	return Job{Kind: "variants", UID: uid, Ino: "ino-" + object, Object: object}
}

func add(t *testing.T, q *Queue, j Job) {
	t.Helper()
	if added, err := q.Add(t.Context(), j); err != nil || !added {
		t.Fatalf("Add(%s): %v, %v", j.Object, added, err)
	}
}

func claim(t *testing.T, q *Queue, n int) []Lease {
	t.Helper()
	l, err := q.Claim(t.Context(), n)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return l
}

// claimOne claims the only job that is due.
func claimOne(t *testing.T, q *Queue) Lease {
	t.Helper()
	l := claim(t, q, 10)
	if len(l) != 1 {
		t.Fatalf("claimed %s, want one job", objects(l))
	}
	return l[0]
}

func objects(leases []Lease) string {
	var s []string
	for _, l := range leases {
		s = append(s, l.Object)
	}
	return strings.Join(s, " ")
}

func wantStats(t *testing.T, q *Queue, queued, due, running, dead int) {
	t.Helper()
	st, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Queued != queued || st.Due != due || st.Running != running || st.Dead != dead {
		t.Errorf("got %d queued, %d due, %d running, %d dead; want %d, %d, %d, %d",
			st.Queued, st.Due, st.Running, st.Dead, queued, due, running, dead)
	}
}

// wantEmpty says that the store holds no row, but for those that tell of users.
func wantEmpty(t *testing.T, s kv.Store) {
	t.Helper()
	for r, err := range s.(kv.Dumper).Dump(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if r.P != "ju" {
			t.Errorf("left over: %q %s", r.Key, r.D)
		}
	}
}

func TestLife(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now})
		j := job("ana", "o1")
		add(t, q, j)
		if added, err := q.Add(t.Context(), j); err != nil || added {
			t.Errorf("Add of a queued job: %v, %v", added, err)
		}
		wantStats(t, q, 1, 1, 0, 0)
		l := claimOne(t, q)
		want := Job{ID: ID("variants", "o1", ""), Kind: "variants", UID: "ana", Ino: "ino-o1", Object: "o1",
			Attempts: 1, Due: c.now().Add(2 * time.Minute), Queued: c.now()}
		got := l.Job
		got.Due, got.Queued = got.Due.UTC(), got.Queued.UTC()
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		wantStats(t, q, 0, 0, 1, 0)
		if added, err := q.Add(t.Context(), j); err != nil || added {
			t.Errorf("Add of a running job: %v, %v", added, err)
		}
		if l := claim(t, q, 10); len(l) != 0 {
			t.Errorf("claimed twice: %s", objects(l))
		}
		if err := q.Done(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if err := q.Done(t.Context(), l); !errors.Is(err, ErrLost) {
			t.Errorf("Done twice: got %v, want ErrLost", err)
		}
		wantEmpty(t, s)
		add(t, q, j) // done is forgotten
	})
}

func TestIDs(t *testing.T) {
	if a, b := ID("k", "o", "r"), ID("k", "o", "r"); a != b || len(a) != 24 {
		t.Errorf("got %q and %q", a, b)
	}
	ids := map[string]bool{}
	for _, p := range [][3]string{{"k", "o", "r"}, {"k", "or", ""}, {"ko", "", "r"}, {"", "k", "or"}, {"k", "o", ""}} {
		ids[ID(p[0], p[1], p[2])] = true
	}
	if len(ids) != 5 {
		t.Errorf("%d IDs of 5 jobs", len(ids))
	}
}

func TestOps(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now})
		row := kv.Op{Key: kv.Key{P: "d#u#0", S: "a.jpg"}, D: []byte("entry")}
		if err := s.Commit(t.Context(), append(q.Ops(job("u", "o")), row)); err != nil {
			t.Fatal(err)
		}
		l := claimOne(t, q)

		// Queued again while it runs: the worker loses its lease, and the job is
		// there once.
		c.advance(time.Second)
		if err := s.Commit(t.Context(), q.Ops(job("u", "o"))); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Second)
		if err := s.Commit(t.Context(), q.Ops(job("u", "o"))); err != nil {
			t.Fatal(err)
		}
		var ce *kv.CondError
		if err := s.Commit(t.Context(), q.DoneOps(l)); !errors.As(err, &ce) {
			t.Errorf("stale DoneOps: got %v, want a CondError", err)
		}
		if jobs, _, err := q.List(t.Context(), "", 10); err != nil || len(jobs) != 1 {
			t.Errorf("List: %d jobs, %v; want 1", len(jobs), err)
		}
		var got []Lease
		for range 3 { // left-overs take turns, too
			got = append(got, claim(t, q, 10)...)
		}
		if len(got) != 1 {
			t.Fatalf("claimed %q, want the job once", objects(got))
		}
		c.advance(3 * time.Minute) // the row of the first lease falls due, and that of the last
		l = claimOne(t, q)
		if err := q.Done(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), []kv.Op{{Key: row.Key, Kind: kv.Del}}); err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
	})
}

// TestLeaseEnds: the job of a worker that died comes back, and what that worker
// still tries is refused.
func TestLeaseEnds(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now, Lease: time.Minute, MaxAttempts: 3})
		add(t, q, job("u", "o"))
		old := claimOne(t, q)
		c.advance(time.Minute - time.Millisecond)
		if l := claim(t, q, 1); len(l) != 0 {
			t.Fatal("claimed before the lease ended")
		}
		c.advance(time.Millisecond)
		now := claimOne(t, q)
		if now.Attempts != 2 {
			t.Errorf("attempt %d, want 2", now.Attempts)
		}
		for what, err := range map[string]error{
			"Done":     q.Done(t.Context(), old),
			"Fail":     q.Fail(t.Context(), old, errors.New("x"), true),
			"Postpone": q.Postpone(t.Context(), old, nil, 0),
			"Extend":   q.Extend(t.Context(), &old),
		} {
			if !errors.Is(err, ErrLost) {
				t.Errorf("%s by the old worker: got %v, want ErrLost", what, err)
			}
		}
		c.advance(30 * time.Second)
		if err := q.Extend(t.Context(), &now); err != nil {
			t.Fatal(err)
		}
		c.advance(59 * time.Second)
		if l := claim(t, q, 1); len(l) != 0 {
			t.Error("claimed although the lease was extended")
		}
		if err := q.Extend(t.Context(), &now); err != nil {
			t.Fatal(err)
		}
		if err := q.Extend(t.Context(), &now); err != nil {
			t.Fatalf("Extend twice in a millisecond: %v", err)
		}
		c.advance(time.Minute)
		third := claimOne(t, q) // and this worker dies, too
		if third.Attempts != 3 || third.Spent {
			t.Errorf("third: %+v", third)
		}
		for range 2 { // and whoever is to give it up
			c.advance(time.Minute)
			if l := claimOne(t, q); l.Attempts != 3 || !l.Spent {
				t.Errorf("a fourth time of 3: got %+v, want it to be spent", l)
			}
		}
		c.advance(time.Minute)
		if err := q.Fail(t.Context(), claimOne(t, q), errors.New("it kills"), true); err != nil {
			t.Fatal(err)
		}
		dead, _, err := q.Dead(t.Context(), "", 10)
		if err != nil || len(dead) != 1 || dead[0].LastError != "it kills" || dead[0].Attempts != 3 {
			t.Errorf("dead: %+v, %v", dead, err)
		}
		if err := q.Done(t.Context(), third); !errors.Is(err, ErrLost) {
			t.Errorf("Done of a dead job: got %v, want ErrLost", err)
		}
		wantStats(t, q, 0, 0, 0, 1)
		if err := q.Retry(t.Context(), dead[0].ID); err != nil {
			t.Fatal(err)
		}
		if l := claimOne(t, q); l.Attempts != 1 || l.Spent {
			t.Errorf("after Retry: %+v", l)
		}
	})
}

// TestStaleDone: a committer carries the DoneOps of a lost lease without their
// condition. Nothing may be left of the job, and nothing else may be hurt.
func TestStaleDone(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now})
		add(t, q, job("u", "o"))
		add(t, q, job("u", "other"))
		leases := claim(t, q, 2)
		old := leases[slices.IndexFunc(leases, func(l Lease) bool { return l.Object == "o" })]
		c.advance(2 * time.Minute)
		leases = claim(t, q, 2)
		now := leases[slices.IndexFunc(leases, func(l Lease) bool { return l.Object == "o" })]
		for range 2 {
			ops := q.DoneOps(old)
			for i := range ops {
				ops[i].Cond = kv.Any
			}
			if err := s.Commit(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
		}
		if err := q.Done(t.Context(), now); !errors.Is(err, ErrLost) {
			t.Errorf("the worker's Done: got %v, want ErrLost", err)
		}
		c.advance(3 * time.Minute)
		var got []Lease
		for range 2 {
			got = append(got, claim(t, q, 2)...)
		}
		if objects(got) != "other" {
			t.Errorf("claimed %q, want other", objects(got))
		}
		if err := q.Done(t.Context(), got[0]); err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
	})
}

func TestFail(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now, Backoff: exact})
		add(t, q, job("u", "o"))
		start := c.now()
		for n := 1; n <= 6; n++ {
			l := claimOne(t, q)
			if l.Attempts != n {
				t.Errorf("attempt %d, want %d", l.Attempts, n)
			}
			if n > 1 && l.LastError != fmt.Sprint("cause ", n-1) {
				t.Errorf("attempt %d: last error %q", n, l.LastError)
			}
			if err := q.Fail(t.Context(), l, fmt.Errorf("cause %d", n), true); err != nil {
				t.Fatal(err)
			}
			if n == 6 {
				break
			}
			c.advance(exact(n) - time.Millisecond)
			if l := claim(t, q, 1); len(l) != 0 {
				t.Errorf("attempt %d came too early", n+1)
			}
			c.advance(time.Millisecond)
		}
		if d := c.now().Sub(start); d != 31*time.Second {
			t.Errorf("given up after %v, want 31s", d)
		}
		wantStats(t, q, 0, 0, 0, 1)
		c.advance(time.Hour)
		if l := claim(t, q, 1); len(l) != 0 {
			t.Error("claimed a dead job")
		}
		if added, err := q.Add(t.Context(), job("u", "o")); err != nil || added {
			t.Errorf("Add of a dead job: %v, %v", added, err)
		}

		id := ID("variants", "o", "")
		if j, dead, err := q.Get(t.Context(), id); err != nil || !dead || j.LastError != "cause 6" {
			t.Errorf("Get: %+v, dead %v, %v", j, dead, err)
		}
		for range 2 { // the second does nothing
			if err := q.Retry(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		l := claimOne(t, q)
		if l.Attempts != 1 {
			t.Errorf("after Retry: attempt %d, want 1", l.Attempts)
		}
		if err := q.Fail(t.Context(), l, errors.New(strings.Repeat("é", 400)), false); err != nil {
			t.Fatal(err)
		}
		dead, _, err := q.Dead(t.Context(), "", 1)
		if err != nil || len(dead) != 1 || dead[0].LastError != strings.Repeat("é", 250) {
			t.Errorf("dead at once: %+v, %v", dead, err)
		}
		if err := q.Retry(t.Context(), "nobody"); !errors.Is(err, ErrNotExist) {
			t.Errorf("Retry of nothing: got %v, want ErrNotExist", err)
		}
		if _, _, err := q.Get(t.Context(), ""); !errors.Is(err, ErrNotExist) {
			t.Errorf("Get of nothing: got %v, want ErrNotExist", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	for n := 1; n < 100; n++ {
		want := maxBackoff
		if n <= 10 {
			want = min(want, time.Second<<(n-1))
		}
		if d := backoff(n); d > want || d < want*3/4 {
			t.Errorf("attempt %d: %v, want up to %v", n, d, want)
		}
	}
}

func TestPostpone(t *testing.T) {
	c := newClock()
	q := New(memkv.New(), &Options{Now: c.now})
	add(t, q, job("u", "o"))
	for range 20 { // more often than MaxAttempts
		l := claimOne(t, q)
		if l.Attempts != 1 {
			t.Fatalf("attempt %d, want 1", l.Attempts)
		}
		if err := q.Postpone(t.Context(), l, errors.New("bucket unreachable"), 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		wantStats(t, q, 1, 0, 0, 0)
		c.advance(2 * time.Minute)
	}
}

func TestDue(t *testing.T) {
	c := newClock()
	q := New(memkv.New(), &Options{Now: c.now})
	later := job("u", "later")
	later.Due = c.now().Add(50 * time.Minute)
	add(t, q, later)
	past := job("u", "past")
	past.Due = c.now().Add(-time.Hour)
	add(t, q, past)
	if got := objects(claim(t, q, 10)); got != "past" {
		t.Errorf("got %q, want past", got)
	}
	c.advance(50 * time.Minute)
	if got := objects(claim(t, q, 10)); got != "past later" && got != "later past" {
		t.Errorf("50 minutes later: got %q", got)
	}
}

// TestLateCommit: rows whose commit took longer than the cursor waits are found.
func TestLateCommit(t *testing.T) {
	c := newClock()
	s := memkv.New()
	q := New(s, &Options{Now: c.now})
	ops := q.Ops(job("u", "late"))
	for range 20 {
		c.advance(10 * time.Second)
		if l := claim(t, q, 1); len(l) != 0 {
			t.Fatal("claimed before it was queued")
		}
	}
	if err := s.Commit(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	claimOne(t, q)
}

func TestList(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now})
		want := map[string]bool{}
		for i := range 25 {
			j := job(fmt.Sprint("user", i%5), fmt.Sprint("o", i))
			add(t, q, j)
			want[j.Object] = true
		}
		for _, n := range []int{1, 7, 25, 100} {
			got, pages := map[string]bool{}, 0
			for after := ""; ; pages++ {
				jobs, next, err := q.List(t.Context(), after, n)
				if err != nil || len(jobs) > n {
					t.Fatalf("%d jobs, %v", len(jobs), err)
				}
				for _, j := range jobs {
					if got[j.Object] {
						t.Errorf("pages of %d: %s twice", n, j.Object)
					}
					got[j.Object] = true
				}
				if after = next; next == "" {
					break
				}
			}
			if len(got) != len(want) {
				t.Errorf("pages of %d: %d jobs, want %d", n, len(got), len(want))
			}
		}
		if _, _, err := q.List(t.Context(), "x", 1); err == nil {
			t.Error("a bad cursor went through")
		}
		for _, l := range claim(t, q, 20) {
			if err := q.Fail(t.Context(), l, errors.New("broken"), false); err != nil {
				t.Fatal(err)
			}
		}
		wantStats(t, q, 5, 5, 0, 20)
		if n, err := q.RetryAll(t.Context()); err != nil || n != 20 {
			t.Errorf("RetryAll: %d, %v; want 20", n, err)
		}
		wantStats(t, q, 25, 25, 0, 0)
	})
}

// TestUnreadable: a row that cannot be read is removed, and does not keep its job from being
// queued again.
func TestUnreadable(t *testing.T) {
	s := memkv.New()
	q := New(s, nil)
	add(t, q, job("u", "o"))
	add(t, q, job("u", "spoilt"))
	spoilt, at, _, err := q.find(t.Context(), ID("variants", "spoilt", ""))
	if err != nil {
		t.Fatal(err)
	}
	bad := []kv.Op{{Key: at.key(), D: []byte("\x09{}")}}
	for i, d := range []string{"", "\x09{}", "\x01{", "\x01[]"} {
		bad = append(bad, kv.Op{Key: kv.Key{P: "j#u", S: fmt.Sprintf("%013d#x", i)}, D: []byte(d)})
	}
	if err := s.Commit(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	if l := claimOne(t, q); l.Object != "o" {
		t.Errorf("got %s", l.Object)
	} else if err := q.Done(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, s)
	add(t, q, spoilt)
}

// TestUnreadableFaults: whatever fails while such a row is removed, its job can be queued
// again in the end. So it can if it is the index row that cannot be read.
func TestUnreadableFaults(t *testing.T) {
	for _, index := range []bool{false, true} {
		for n := 1; ; n++ {
			s := memkv.New()
			q := New(s, nil)
			add(t, q, job("u", "spoilt"))
			spoilt, at, _, err := q.find(t.Context(), ID("variants", "spoilt", ""))
			if err != nil {
				t.Fatal(err)
			}
			k := at.key()
			if index {
				k = indexKey(spoilt.ID)
			}
			if err := s.Commit(t.Context(), []kv.Op{{Key: k, D: []byte("\x09{}")}}); err != nil {
				t.Fatal(err)
			}
			f := kvtest.NewFaults(s, kvtest.Nth(n, kvtest.Fault{}))
			if l, err := New(f, nil).Claim(t.Context(), 1); len(l) != 0 || err == nil && f.Calls() >= n {
				t.Errorf("call %d fails: %v, %v", n, l, err)
			}
			if l := claim(t, New(s, nil), 1); len(l) != 0 {
				t.Errorf("call %d fails: claimed %s", n, objects(l))
			}
			wantEmpty(t, s)
			add(t, q, spoilt)
			if f.Calls() < n {
				break
			}
		}
	}
}

// TestDeadLeftOver: a job that was given up and is queued again by a commit is not also
// among the dead.
func TestDeadLeftOver(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now})
		add(t, q, job("u", "o"))
		if err := q.Fail(t.Context(), claimOne(t, q), errors.New("x"), false); err != nil {
			t.Fatal(err)
		}
		wantStats(t, q, 0, 0, 0, 1)
		if err := s.Commit(t.Context(), q.Ops(job("u", "o"))); err != nil {
			t.Fatal(err)
		}
		wantStats(t, q, 1, 1, 0, 0)
		if n, err := q.RetryAll(t.Context()); n != 0 || err != nil {
			t.Errorf("retried %d, %v", n, err)
		}
		if err := q.Done(t.Context(), claimOne(t, q)); err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
	})
}

// TestAgain: also what was given up is queued, and what waits or runs is left alone.
func TestAgain(t *testing.T) {
	c := newClock()
	q := New(memkv.New(), &Options{Now: c.now})
	again := func(want bool) {
		t.Helper()
		if got, err := q.Again(t.Context(), job("u", "o")); got != want || err != nil {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	again(true)
	again(false)
	l := claimOne(t, q)
	again(false)
	if err := q.Fail(t.Context(), l, errors.New("x"), false); err != nil {
		t.Fatal(err)
	}
	again(true)
	wantStats(t, q, 1, 1, 0, 0)
}

// A job that works in steps keeps where it is, and may take as many as it likes.
func TestContinue(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		c := newClock()
		q := New(s, &Options{Now: c.now})
		add(t, q, job("u", "o"))
		for step := range 20 { // more often than MaxAttempts
			l := claimOne(t, q)
			if want := fmt.Sprint("at ", step); step > 0 && (l.Cursor != want || l.Note != "note "+want || l.LastError != "") || l.Attempts != 1 {
				t.Fatalf("step %d: got %+v", step, l.Job)
			}
			l.Cursor = fmt.Sprint("at ", step+1)
			l.Note = "note " + l.Cursor
			if err := q.Continue(t.Context(), l, time.Second); err != nil {
				t.Fatal(err)
			}
			if leases, err := q.Claim(t.Context(), 1); err != nil || len(leases) != 0 {
				t.Fatalf("got %v, %v before it is due", leases, err)
			}
			c.advance(time.Second)
		}
	})
}

func TestPending(t *testing.T) {
	c := newClock()
	q := New(memkv.New(), &Options{Now: c.now})
	for i := range 7 {
		add(t, q, job("ana", fmt.Sprint("a", i)))
		add(t, q, job("bo", fmt.Sprint("b", i)))
	}
	if _, err := q.Claim(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	other := job("ana", "a0")
	other.Kind = "sweep"
	add(t, q, other)
	for _, test := range []struct {
		uid, kind  string
		most, want int
	}{{"ana", "variants", 100, 7}, {"ana", "variants", 5, 5}, {"ana", "sweep", 5, 1}, {"bo", "variants", 100, 7}, {"cy", "variants", 100, 0}} {
		if got, err := q.Pending(t.Context(), test.uid, test.kind, test.most); err != nil || got != test.want {
			t.Errorf("%s of %s, at most %d: got %d, %v, want %d", test.kind, test.uid, test.most, got, err, test.want)
		}
	}
}
