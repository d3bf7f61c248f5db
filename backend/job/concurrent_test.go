package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(memkv.New(), nil)
		wait := func(want time.Duration) {
			t.Helper()
			start := time.Now()
			if err := q.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d != want {
				t.Errorf("waited %v, want %v", d, want)
			}
		}
		wait(maxWait)
		go func() {
			time.Sleep(time.Second)
			q.Ring()
		}()
		wait(time.Second)
		j := job("u", "o")
		j.Due = time.Now().Add(3 * time.Second)
		add(t, q, j)
		wait(3 * time.Second)
		wait(0) // still due
		start := time.Now()
		if err := q.WaitFor(t.Context(), map[string]int{"u": -1}); err != nil || time.Since(start) != maxWait {
			t.Errorf("without the user: waited %v, %v", time.Since(start), err)
		}
		l := claimOne(t, q)
		wait(maxWait)
		go func() {
			time.Sleep(time.Second)
			if err := q.Fail(t.Context(), l, errors.New("x"), true); err != nil {
				t.Error(err)
			}
		}()
		wait(time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := q.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the end of ctx", err)
		}
	})
}

// TestWorkersOnClock runs workers as serve does, with Wait and Extend, in the
// synthetic time of a bubble. Work may take longer than a lease.
func TestWorkersOnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 200
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		store := memkv.New()
		var mu sync.Mutex
		rnd := rand.New(rand.NewPCG(seed, 0))
		chance := func(n int) bool {
			mu.Lock()
			defer mu.Unlock()
			return rnd.IntN(n) == 0
		}
		running, done := map[string]bool{}, map[string]bool{}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var wg sync.WaitGroup
		for range 8 {
			q := New(store, &Options{Lease: 30 * time.Second, MaxAttempts: 1000}) // each as if in its own process
			wg.Go(func() {
				for ctx.Err() == nil {
					leases, err := q.Claim(ctx, 1)
					if err != nil && ctx.Err() == nil {
						t.Errorf("Claim: %v", err)
					}
					for _, l := range leases {
						mu.Lock()
						if running[l.ID] {
							t.Errorf("job %s runs twice", l.Object)
						}
						running[l.ID] = true
						mu.Unlock()
						for range 4 { // a minute's work
							time.Sleep(15 * time.Second)
							if err := q.Extend(ctx, &l); err != nil && ctx.Err() == nil {
								t.Errorf("Extend: %v", err)
							}
						}
						mu.Lock()
						running[l.ID] = false
						mu.Unlock()
						switch {
						case chance(8): // dies
						case chance(4):
							err = q.Fail(ctx, l, errors.New("no luck"), true)
						default:
							if err = q.Done(ctx, l); err == nil {
								mu.Lock()
								done[l.Object] = true
								if len(done) == jobs {
									stop()
								}
								mu.Unlock()
							}
						}
						if err != nil && ctx.Err() == nil {
							t.Errorf("end of work: %v", err)
						}
					}
					if len(leases) == 0 {
						if err := q.Wait(ctx); err != nil && ctx.Err() == nil {
							t.Errorf("Wait: %v", err)
						}
					}
				}
			})
		}
		q := New(store, nil)
		for i := range jobs {
			add(t, q, job(fmt.Sprint("u", i%7), fmt.Sprint("o", i)))
		}
		wg.Wait()
		if len(done) != jobs {
			t.Errorf("%d jobs done, want %d", len(done), jobs)
		}
		wantEmpty(t, store)
	})
}

// TestWorkers has 8 workers fight over the jobs of a real store, round by round:
// time only passes when nobody works, so that no lease ends by it.
func TestWorkers(t *testing.T) {
	onEach(t, func(t *testing.T, s kv.Store) {
		const jobs, workers, rounds = 60, 8, 300
		c := newClock()
		queues, rnds := make([]*Queue, workers), make([]*rand.Rand, workers)
		for w := range workers {
			queues[w] = New(s, &Options{Now: c.now, MaxAttempts: 1000, Backoff: exact})
			rnds[w] = rand.New(rand.NewPCG(uint64(w), 1))
		}
		for i := range jobs {
			add(t, queues[0], job(fmt.Sprint("u", i%7), fmt.Sprint("o", i)))
		}
		var mu sync.Mutex
		done := map[string]int{}
		for range rounds {
			claimed := map[string]bool{} // a job that fails falls due later than this round
			var wg sync.WaitGroup
			for w, q := range queues {
				rnd := rnds[w]
				wg.Go(func() {
					leases, err := q.Claim(t.Context(), 1+rnd.IntN(3))
					if err != nil {
						t.Errorf("Claim: %v", err)
					}
					for _, l := range leases {
						mu.Lock()
						if claimed[l.ID] {
							t.Errorf("job %s runs twice", l.Object)
						}
						claimed[l.ID] = true
						mu.Unlock()
						var err error
						switch rnd.IntN(5) {
						case 0: // dies
						case 1:
							err = q.Fail(t.Context(), l, errors.New("no luck"), true)
						default:
							err = q.Done(t.Context(), l)
							mu.Lock()
							done[l.Object]++
							mu.Unlock()
						}
						if err != nil {
							t.Errorf("end of work: %v", err)
						}
					}
				})
			}
			wg.Wait()
			if len(done) == jobs {
				break
			}
			c.advance(10 * time.Second)
		}
		if len(done) != jobs {
			t.Errorf("%d jobs done, want %d", len(done), jobs)
		}
		for o, n := range done {
			if n != 1 {
				t.Errorf("%s done %d times", o, n)
			}
		}
		wantEmpty(t, s)
	})
}

// TestFaults fails every call of the store in turn, before and after its
// effect. The job must be done in the end, and nothing be left over.
func TestFaults(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			c := newClock()
			store := memkv.New()
			f := kvtest.NewFaults(store, nil)
			q := New(f, &Options{Now: c.now, Backoff: exact})
			f.Script(kvtest.Nth(n, kvtest.Fault{After: after}))
			done, reached := false, false
			for range 10 {
				if _, err := q.Add(t.Context(), job("u", "o")); err != nil {
					continue // the caller tries again
				}
				break
			}
			for range 20 {
				leases, err := q.Claim(t.Context(), 1)
				if err == nil && len(leases) == 1 {
					l := leases[0]
					if l.Attempts == 1 {
						_ = q.Fail(t.Context(), l, errors.New("once"), true)
					} else if q.Extend(t.Context(), &l) == nil {
						done = q.Done(t.Context(), l) == nil || after
					}
				}
				if reached = f.Calls() >= n; done && reached || done && n > 200 {
					break
				}
				c.advance(time.Minute)
			}
			if !done {
				t.Errorf("call %d fails (after effect: %v): the job was never done", n, after)
			}
			q = New(store, &Options{Now: c.now}) // without faults
			for range 5 {
				c.advance(5 * time.Minute)
				for _, l := range claim(t, q, 1) {
					_ = q.Done(t.Context(), l)
				}
			}
			wantEmpty(t, store)
			if !reached || n > 200 {
				break
			}
		}
	}
}
