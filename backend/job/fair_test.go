package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// TestFair: one user's bulk upload does not keep the others waiting.
func TestFair(t *testing.T) {
	for _, users := range [][]string{{"ana", "ben", "cleo"}, {"cleo", "ben", "ana"}} {
		c := newClock()
		q := New(memkv.New(), &Options{Now: c.now})
		for i := range 100 {
			add(t, q, job(users[0], fmt.Sprintf("bulk%03d", i)))
			c.advance(time.Millisecond)
		}
		for i := range 2 {
			add(t, q, job(users[1], fmt.Sprintf("b%d", i)))
			add(t, q, job(users[2], fmt.Sprintf("c%d", i)))
			c.advance(time.Millisecond)
		}
		if got, want := objects(claim(t, q, 8)), "bulk000 b0 c0 bulk001 b1 c1 bulk002 bulk003"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// The turn goes on from claim to claim.
		add(t, q, job(users[1], "b2"))
		add(t, q, job(users[2], "c2"))
		var got []string
		for range 4 {
			got = append(got, objects(claim(t, q, 1)))
		}
		if got, want := strings.Join(got, " "), "b2 c2 bulk004 bulk005"; got != want {
			t.Errorf("one by one: got %s, want %s", got, want)
		}
	}
}

// TestFairAmongMany: nobody waits behind thousands of jobs of others, whatever came first
// and whoever comes in the middle.
func TestFairAmongMany(t *testing.T) {
	c := newClock()
	s := memkv.New()
	q := New(s, &Options{Now: c.now})
	const n = 5000
	users := []string{"ana", "ben", "cleo", "dan"}
	for _, u := range users[:3] {
		var ops []kv.Op
		for i := range n {
			if ops = append(ops, q.Ops(job(u, fmt.Sprintf("%s%05d", u, i)))...); len(ops) > kv.MaxOps-6 {
				slices.SortFunc(ops, func(a, b kv.Op) int { return strings.Compare(a.P+a.S, b.P+b.S) })
				ops = slices.CompactFunc(ops, func(a, b kv.Op) bool { return a.Key == b.Key }) // ju
				if err := s.Commit(t.Context(), ops); err != nil {
					t.Fatal(err)
				}
				ops = ops[:0]
			}
		}
		c.advance(time.Second)
	}
	add(t, q, job(users[3], "only"))
	got := map[string]int{}
	for range 20 {
		for _, l := range claim(t, q, 2) {
			got[l.UID]++
			if err := q.Done(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got["ana"] != 13 || got["ben"] != 13 || got["cleo"] != 13 || got["dan"] != 1 {
		t.Errorf("of 40: got %v", got)
	}
}

// TestClaimFor: whoever has fewest under way comes first, and some not at all.
func TestClaimFor(t *testing.T) {
	q := New(memkv.New(), nil)
	for i := range 4 {
		for _, u := range []string{"ana", "ben", "cleo"} {
			add(t, q, job(u, fmt.Sprint(u, i)))
		}
	}
	l, err := q.ClaimFor(t.Context(), 5, map[string]int{"ana": 2, "ben": 0, "cleo": -1})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, l := range l {
		got[l.UID]++
	}
	if got["ben"] != 3 || got["ana"] != 2 || len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

// TestClock: what was queued while the clock was wrong does not wait for that time to come,
// and what was leased then is not lost.
func TestClock(t *testing.T) {
	c := newClock()
	q := New(memkv.New(), &Options{Now: c.now})
	add(t, q, job("u", "leased"))
	c.advance(365 * 24 * time.Hour)
	if got := objects(claim(t, q, 1)); got != "leased" {
		t.Fatal(got)
	}
	add(t, q, job("u", "queued"))
	c.advance(-365 * 24 * time.Hour)
	add(t, q, job("u", "now"))
	var got []string
	for range 3 {
		for _, l := range claim(t, q, 10) {
			got = append(got, l.Object)
			if err := q.Done(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		c.advance(rewindEvery)
	}
	if slices.Sort(got); fmt.Sprint(got) != "[leased now queued]" {
		t.Errorf("got %v", got)
	}
}

// TestManyIdle: what a claim costs does not grow with those who have no jobs, and theirs are
// found all the same, also those that another process queues.
func TestManyIdle(t *testing.T) {
	c := newClock()
	store := kvtest.NewFaults(memkv.New(), nil)
	q := New(store, &Options{Now: c.now})
	const n = 2000
	for i := range n {
		add(t, q, job(fmt.Sprintf("u%04d", i), fmt.Sprint("o", i)))
	}
	for range n / 100 {
		for _, l := range claim(t, q, 100) {
			if err := q.Done(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
	}
	calls := func(do func()) int {
		before := store.Calls()
		do()
		return store.Calls() - before
	}
	c.advance(2 * time.Minute)
	if got := calls(func() { claim(t, q, 1) }); got < n {
		t.Errorf("%d calls to look at all", got)
	}
	for i, uid := range []string{"u0007", "new"} {
		c.advance(time.Second)
		add(t, q, job(uid, fmt.Sprint("again", i)))
		if got := calls(func() {
			if _, ok, err := q.next(t.Context(), nil); !ok || err != nil {
				t.Error(ok, err)
			}
			if err := q.Done(t.Context(), claimOne(t, q)); err != nil {
				t.Error(err)
			}
		}); got > 12 {
			t.Errorf("%s: %d calls", uid, got)
		}
	}
	// Rows that are committed some time after they are made.
	ops := q.Ops(job("u0008", "late"))
	claim(t, q, 1)
	c.advance(time.Second)
	claim(t, q, 1)
	if err := store.Commit(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	if err := q.Fail(t.Context(), claimOne(t, q), errors.New("broken"), false); err != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Minute)
	claim(t, q, 1)
	for range 2 { // one that was given up, alone and with others
		if n, err := q.RetryAll(t.Context()); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if err := q.Fail(t.Context(), claimOne(t, q), errors.New("broken"), false); err != nil {
			t.Fatal(err)
		}
		c.advance(2 * time.Minute)
		claim(t, q, 1)
		if err := q.Retry(t.Context(), ID("variants", "late", "")); err != nil {
			t.Fatal(err)
		}
		if err := q.Fail(t.Context(), claimOne(t, q), errors.New("broken"), false); err != nil {
			t.Fatal(err)
		}
	}
	add(t, New(store, &Options{Now: c.now}), job("u0009", "another's"))
	c.advance(maxWait)
	claimOne(t, q)
}
