package sim

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// What happens beside the clients: processes die, houses are kept, jobs are done.

// fate lets processes die and buckets go away.
func (h *history) fate(a *actor) {
	for h.rest(a.pause(0, 900*time.Millisecond)) {
		if h.current.Load().lost.Load() {
			h.reindex(&h.current)
		}
		switch n := a.rng.IntN(10); {
		case n < 4 && h.crashes:
			h.crash(a)
		case n == 4 && h.rate > 0:
			d := a.pause(0, 40*time.Second)
			h.log("fate", "the bucket is away for %v", d)
			h.away(d)
		case n == 5 && h.wanders:
			d := a.pause(-wander, wander)
			h.log("fate", "the clock is %v wrong", d)
			h.step(d)
		}
	}
}

// crash ends the process and starts another, on the same index or on what is left of it.
func (h *history) crash(a *actor) {
	old := h.current.Load()
	old.dead.Store(true)
	h.tally.crashes++
	x, what := old.x, "the same index"
	marks := x.segments()
	hole := false
	switch n := a.rng.IntN(10); {
	case !h.lossy || n < 3:
	case !h.torn || n < 6 || len(x.history) < 2 || len(marks) == 0:
		x, what = newIndex(), "no index"
	case n < 9:
		k := len(x.history) - 1 - min(a.rng.IntN(len(x.history)), a.rng.IntN(len(x.history)))
		x, what = x.again(k, -1), fmt.Sprintf("%d of %d commits", k, len(x.history))
	default:
		k := marks[a.rng.IntN(len(marks))]
		x, what, hole = x.again(len(x.history), k), fmt.Sprintf("commit %d missing of %d", k, len(x.history)), true
	}
	h.log("fate", "process %d dies; the next has %s", old.gen, what)
	next := h.startNode(old.gen+1, x)
	if x != old.x {
		h.tally.lost++
		h.lostIndex(&h.current)
	}
	if hole && !h.opens(next) {
		h.tally.holes++
		h.log("fate", "the hole is noticed; rebuild")
		next.dead.Store(true)
		next = h.startNode(old.gen+1, newIndex())
	}
	h.current.Store(next)
}

// lostIndex tells the clients of a process that its index is gone, and all that was in it
// alone.
func (h *history) lostIndex(p *atomic.Pointer[proc]) {
	if h.torn {
		return // none was put
	}
	for _, c := range h.clients {
		if h.isRival(c) != (p == &h.rival) {
			continue
		}
		var next []guess
		have := map[string]bool{}
		add := func(s *state, late []*op) {
			s = s.clone()
			s.loseJunk()
			if id := s.text() + fmt.Sprint(late); !have[id] {
				have[id] = true
				next = append(next, guess{s, late})
			}
		}
		for _, g := range c.guesses {
			for _, e := range g.expand() {
				add(e.state, e.late)
				if c.doing == nil {
					continue
				}
				steps, _ := expect(e.state, c.doing) // it may have been done with junk that is lost now
				for _, s := range steps {
					add(s, nil)
				}
			}
		}
		c.guesses = next
	}
}

// opens says whether the index is accepted.
func (h *history) opens(n *proc) bool {
	rate := h.rate
	defer func() { h.set(rate) }()
	for _, u := range []string{uid, sharedUID} {
		_, err := n.b.Library((&actor{name: "fate", calm: true}).ctx(), u, backend.Access{})
		if errors.Is(err, journal.ErrIndex) {
			return false
		}
		if err != nil {
			h.fail("fate", "open: %v", err)
		}
	}
	return true
}

// janitor keeps house.
func (h *history) janitor(a *actor) {
	for h.rest(a.pause(0, 2*time.Second)) {
		u := []string{uid, sharedUID}[a.rng.IntN(2)]
		n := h.current.Load()
		if r := h.rival.Load(); r != nil && a.chance(300) {
			n = r
		}
		switch k := a.rng.IntN(6); k {
		case 0:
			err := h.keepingHouse(func() error { return n.b.Expire(a.ctx(), u) })
			h.log("janitor", "expire %s: %s", u, outcome(err))
		case 1:
			err := h.keepingHouse(func() error {
				_, err := n.b.Collect(a.ctx(), u, &backend.CollectOptions{Strays: true})
				return err
			})
			h.log("janitor", "collect %s: %s", u, outcome(err))
		default:
			err := n.b.Snapshot(a.ctx(), u)
			h.log("janitor", "snapshot of %s by %d: %s", u, n.gen, outcome(err))
			if err == nil {
				h.tally.snapshots++
			}
		}
	}
}

// work claims jobs and does them, or dies over them.
func (h *history) work(a *actor) {
	for !h.over() {
		time.Sleep(a.pause(0, 100*time.Millisecond))
		h.workOnce(a, h.current.Load())
	}
}

func (h *history) workOnce(a *actor, n *proc) (did int) {
	ctx := a.ctx()
	h.claims <- struct{}{}
	leases, err := n.q.Claim(ctx, 50)
	<-h.claims
	if err != nil {
		return 0
	}
	// Their own order follows from the names of objects, and these from no seed.
	slices.SortFunc(leases, func(x, y job.Lease) int {
		return cmp.Or(strings.Compare(x.Ino, y.Ino), strings.Compare(x.Object, y.Object)) // that begins with its time
	})
	var done []backend.Processed
	for _, l := range leases {
		did++
		if !a.calm && a.chance(150) {
			continue // the worker dies
		}
		if l.Kind == backend.JobSweep { // of a collection that came back
			_, err := n.b.SweepBelow(ctx, l.UID, backend.Ino(l.Ino), "", "", 1000, 1000)
			if err == nil {
				err = n.q.Done(ctx, l)
			} else {
				err = n.q.Postpone(ctx, l, err, a.pause(0, 10*time.Second))
			}
			if err != nil {
				h.log(a.name, "sweep: %v", err)
			}
			continue
		}
		r, _, err := n.b.OpenOriginal(ctx, l.UID, l.Object)
		if errors.Is(err, backend.ErrNotExist) {
			if err := n.q.Done(ctx, l); err != nil {
				h.log(a.name, "done: %v", err)
			}
			continue
		}
		var d []byte
		if err == nil {
			d, err = io.ReadAll(r)
			r.Close()
		}
		m := mediaOf(string(d))
		if err == nil {
			err = n.b.PutVariant(ctx, l.UID, l.Object, "thumb", "r1", "webp", "image/webp", d)
		}
		if err != nil {
			n.q.Postpone(ctx, l, err, a.pause(0, 10*time.Second))
			continue
		}
		ops := n.q.DoneOps(l)
		for i := range ops {
			ops[i].Cond = kv.Any
		}
		done = append(done, backend.Processed{Ino: backend.Ino(l.Ino), Object: l.Object, Media: m, Done: ops})
	}
	if len(done) > 0 {
		h.finishing.Add(1)
		h.finishes.Add(1)
		err := n.b.Finish(ctx, uid, done)
		h.finishing.Add(-1)
		h.log(a.name, "%d processed: %s", len(done), outcome(err))
		h.tally.jobs += len(done)
	}
	return did
}

func (h *history) isRival(c *client) bool {
	return h.rival.Load() != nil && c == h.clients[len(h.clients)-1]
}
