package sim

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
)

var (
	seedsFlag = flag.Int("sim.seeds", 2000, "how many `histories` to run")
	firstFlag = flag.Uint64("sim.first", 1, "the first `seed`")
	seedFlag  = flag.Uint64("sim.seed", 0, "run only this `seed`, and print its trace")
	opsFlag   = flag.Int("sim.ops", 60, "`operations` in a history")

	withoutFlag = flag.String("sim.without", "", "leave out `what` is listed, of: faults,crashes,janitor,rival")
)

// TestSim runs histories. Of one that goes wrong it prints the seed and the shortest
// trace that does, which is found by making less and less of it.
func TestSim(t *testing.T) {
	defer oneAtATime()()
	warm(t)
	first, n := *firstFlag, *seedsFlag
	if *seedFlag != 0 {
		first, n = *seedFlag, 1
	} else if testing.Short() {
		n = min(n, 200)
	}
	var total tally
	for seed := first; seed < first+uint64(n); seed++ {
		if done := seed - first; done > 0 && done%1000 == 0 {
			t.Logf("%d histories so far: %v", done, &total)
		}
		if end, ok := t.Deadline(); ok && time.Until(end) < time.Minute {
			t.Logf("no time for more")
			n = int(seed - first)
			break
		}
		v := variant{ops: *opsFlag, without: *withoutFlag}
		w := simulate(t, seed, v, &total)
		if w.bad == nil {
			if *seedFlag != 0 {
				t.Logf("%s", w.story())
			}
			continue
		}
		v, w = shrink(t, seed, v, w)
		t.Errorf("seed %d: %v\n%s\nThe same again: go test ./backend/sim -run TestSim -v -sim.seed %d %s", seed, w.bad, w.story(), seed, v)
		if t.Failed() && *seedsFlag <= 2000 {
			break
		}
	}
	t.Logf("%d histories: %v", n, &total)
}

// oneAtATime makes one thing happen after another until the function it returns is called:
// with that, and with pauses that are never equal, a history follows from its seed.
func oneAtATime() (end func()) {
	procs, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(400)
	return func() {
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(percent)
	}
}

// TestSame: a seed makes the same history each time; but for those with large parts, during
// whose sums the scheduler has its own mind. On a machine that is busy it has at times
// anyway, so it is asked a few times.
func TestSame(t *testing.T) {
	defer oneAtATime()()
	warm(t)
	for seed := uint64(1); seed <= 12; seed++ {
		if large(seed) {
			continue
		}
		differ := ""
		for range 4 {
			first, again := simulate(t, seed, variant{ops: *opsFlag}, nil), simulate(t, seed, variant{ops: *opsFlag}, nil)
			if differ = firstOther(first.story(), again.story()); differ == "" {
				break
			}
			t.Logf("seed %d: %s", seed, differ)
		}
		if differ != "" {
			t.Errorf("seed %d makes no two histories that are the same", seed)
		}
	}
}

// firstOther is the first line in which two texts are not the same, "" if they are.
func firstOther(a, b string) string {
	if a == b {
		return ""
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d is\n%s\nand then\n%s", i, x[i], y[i])
		}
	}
	return "one goes on after the other"
}

// tally counts what happened, so that a test that tests nothing is seen.
type tally struct {
	ops, unknown, fenced, crashes, lost, holes, rivals, snapshots, jobs, reindexed, collected int

	did map[string]int // what went well, by its kind
}

func (t *tally) String() string {
	return fmt.Sprintf("%d operations, %d without a verdict, %d fenced; %d crashes, %d with another index, %d with a hole in it; %d with a second writer; %d snapshots, %d jobs, %d indexes too old; %d originals collected; of these went well: %v",
		t.ops, t.unknown, t.fenced, t.crashes, t.lost, t.holes, t.rivals, t.snapshots, t.jobs, t.reindexed, t.collected, t.did)
}

func (w *world) story() string {
	var b strings.Builder
	for _, e := range w.trace {
		fmt.Fprintf(&b, "%12v %-8s %s\n", e.at.Round(time.Microsecond), e.who, e.text)
	}
	return b.String()
}

// A history is one run.
type history struct {
	*world
	v       variant
	seed    uint64
	current atomic.Pointer[proc] // the main process
	rival   atomic.Pointer[proc] // another one on the same bucket, or nil
	clients []*client            // the rival's is the last, if there is one
	shared  []*register
	lossy   bool // the index is lost now and then
	torn    bool // or a part of it
	crashes bool
	faulty  int           // the rate of faults, when there are to be any
	stop    chan struct{} // closed when a round is over
	side    sync.WaitGroup
	tally   tally
}

// A variant says what a history is to be besides what its seed says.
type variant struct {
	ops     int
	without string // of: faults crashes janitor rival
	broken  mutation
}

func (v variant) String() string {
	s := fmt.Sprint("-sim.ops ", v.ops)
	if v.without != "" {
		s += " -sim.without " + v.without
	}
	return s
}

func (v variant) has(what string) bool { return !strings.Contains(v.without, what) }

// shrink finds a smaller variant that goes wrong too: without what is not needed for it, and
// with as few operations as can be.
func shrink(t *testing.T, seed uint64, v variant, w *world) (variant, *world) {
	fewer := func() {
		for ops := 1; ops < v.ops; ops++ {
			try := v
			try.ops = ops
			if found := simulate(t, seed, try, nil); found.bad != nil {
				v, w = try, found
			}
		}
	}
	for _, what := range []string{"rival", "janitor", "crashes", "faults"} {
		try := v
		if try.without = strings.TrimPrefix(v.without+","+what, ","); !v.has(what) {
			continue
		}
		if found := simulate(t, seed, try, nil); found.bad != nil {
			v, w = try, found
		}
	}
	fewer()
	return v, w
}

func simulate(t *testing.T, seed uint64, v variant, total *tally) *world {
	cryptotest.SetGlobalRandom(t, seed)
	var w *world
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(seed, v)
		w = h.world
		h.run(v.ops)
		if total != nil {
			h.tally.did = h.world.did
			total.add(&h.tally)
		}
	})
	return w
}

func (t *tally) add(h *tally) {
	t.ops, t.unknown, t.fenced = t.ops+h.ops, t.unknown+h.unknown, t.fenced+h.fenced
	t.crashes, t.lost, t.holes, t.reindexed = t.crashes+h.crashes, t.lost+h.lost, t.holes+h.holes, t.reindexed+h.reindexed
	t.collected += h.collected
	t.rivals, t.snapshots, t.jobs = t.rivals+h.rivals, t.snapshots+h.snapshots, t.jobs+h.jobs
	if t.did == nil {
		t.did = map[string]int{}
	}
	for kind, n := range h.did {
		t.did[kind] += n
	}
}

func newActor(seed uint64, n uint64, name string) *actor {
	return &actor{name: name, rng: rand.New(rand.NewPCG(seed, n))}
}

func newHistory(seed uint64, v variant) *history {
	h := &history{world: newWorld(), seed: seed, v: v}
	h.broken = v.broken
	h.rng = rand.New(rand.NewPCG(seed, 0))
	h.lossy, h.crashes = h.rng.IntN(3) > 0, h.rng.IntN(5) > 0
	h.rate = []int{0, 10, 30, 80}[h.rng.IntN(4)]
	if h.lossy {
		h.keep = 20 * time.Second
		h.torn = h.rng.IntN(2) == 0
	}
	if h.wanders = h.rng.IntN(5) == 0; h.wanders {
		h.keep = time.Hour
	}
	h.crashes = h.crashes && v.has("crashes")
	if !v.has("faults") {
		h.rate = 0
	}
	h.current.Store(h.startNode(1, newIndex()))
	for i := range 2 + h.rng.IntN(2) {
		h.clients = append(h.clients, h.newClient(i, func() *proc { return h.current.Load() }))
	}
	if h.rng.IntN(4) == 0 && v.has("rival") {
		h.rival.Store(h.startNode(-1, newIndex()))
		h.clients = append(h.clients, h.newClient(9, func() *proc { return h.rival.Load() }))
		h.tally.rivals++
	}
	h.shared = []*register{{key: "regs/r0"}, {key: "regs/r1"}}
	return h
}

func (h *history) newClient(i int, at func() *proc) *client {
	c := &client{actor: newActor(h.seed, uint64(i+1), fmt.Sprint("client", i)), w: h.world, lib: fmt.Sprint("lib-", i), node: at, lossy: h.lossy, torn: h.torn, large: large(h.seed), locks: true, nextID: (i + 1) << 20}
	root := &node{id: c.id(), name: c.lib, dir: true, kids: map[string]*node{}}
	c.guesses = []guess{{&state{root: root, uploads: map[string]ended{}}, nil}}
	return c
}

// setUp makes the libraries, with nothing going wrong.
func (h *history) setUp() {
	ctx := (&actor{name: "setup", calm: true}).ctx()
	l, err := h.current.Load().b.Library(ctx, uid, backend.Access{})
	s, err2 := h.current.Load().b.Library(ctx, sharedUID, backend.Access{})
	if err = errors.Join(err, err2); err == nil {
		_, err = s.Mkdir(ctx, "regs", nil)
	}
	for _, c := range h.clients {
		if err == nil {
			_, err = l.Mkdir(ctx, c.key(""), nil)
		}
	}
	if err != nil {
		h.fail("setup", "%v", err)
		return
	}
	for _, c := range h.clients {
		c.calm = true
		for _, key := range []string{"d/a.jpg", "d/e/b.jpg", "c.txt", "a.jpg"} {
			c.do(&op{kind: "put", id: c.id(), dst: key, body: c.anyBody(), parents: true})
		}
		c.calm = false
	}
}

const rounds = 3

// large says whether a history has parts so large that the bucket takes them before the
// last, which are slow.
func large(seed uint64) bool { return seed%20 == 7 }

// run is the whole history: rounds in which clients, the worker and fate are at it all
// at once, and after each a silence in which everything is compared.
func (h *history) run(ops int) {
	rate := h.rate
	h.set(0)
	h.setUp()
	left := ops
	h.faulty = rate
	for r := range rounds {
		h.set(rate)
		n := left / (rounds - r)
		left -= n
		h.round(r, n)
		h.set(0)
		time.Sleep(30 * time.Second) // what is late arrives
		if h.crashes && r == rounds-1 {
			h.crash(newActor(h.seed, 200, "fate"))
		}
		h.silence()
		if r == 0 && h.seed%3 == 0 && !h.failed() {
			h.ages()
		}
		if !h.failed() {
			h.quiet(newActor(h.seed, uint64(400+r), "quiet"))
		}
		if h.failed() {
			return
		}
	}
	h.finishJobs()
}

func (h *history) round(r, ops int) {
	h.stop = make(chan struct{})
	var clients sync.WaitGroup
	for i, c := range h.clients {
		n := ops / len(h.clients)
		if i < ops%len(h.clients) {
			n++
		}
		clients.Go(func() {
			for range n {
				time.Sleep(c.pause(0, 20*time.Millisecond))
				if c.rest || h.failed() {
					return
				}
				c.did++
				if !h.isRival(c) {
					if c.chance(150) {
						pick(c, h.shared).touch(c)
						continue
					}
				}
				c.step()
			}
		})
	}
	for i := range 2 {
		h.side.Go(func() { h.work(newActor(h.seed, uint64(100+10*r+1000*i), fmt.Sprint("worker", i))) })
	}
	h.side.Go(func() { h.fate(newActor(h.seed, uint64(110+r), "fate")) })
	if h.v.has("janitor") {
		h.side.Go(func() { h.janitor(newActor(h.seed, uint64(120+r), "janitor")) })
	}
	clients.Wait()
	for _, c := range h.clients {
		h.count(c)
	}
	close(h.stop)
	h.side.Wait()
}

func (h *history) count(c *client) {
	h.tally.unknown, h.tally.fenced = h.tally.unknown+c.unknown, h.tally.fenced+c.fenced
	h.tally.ops += c.did
	c.unknown, c.fenced, c.did = 0, 0, 0
}

func (h *history) over() bool {
	select {
	case <-h.stop:
		return true
	default:
		return false
	}
}

// rest sleeps, or says that the round is over.
func (h *history) rest(d time.Duration) bool {
	select {
	case <-h.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// settle brings every process up to the end of the logs.
func (h *history) settle() {
	h.reindex(&h.current)
	h.barrier("main", h.current.Load())
	if h.rival.Load() != nil {
		h.reindex(&h.rival)
		h.barrier("rival", h.rival.Load())
		h.barrier("main", h.current.Load())
	}
}

// reindex starts a process anew whose index is older than the log reaches back.
func (h *history) reindex(p *atomic.Pointer[proc]) {
	n := p.Load()
	ctx := (&actor{name: "reindex", calm: true}).ctx()
	for _, u := range []string{uid, sharedUID} {
		l, err := n.b.Library(ctx, u, backend.Access{})
		if err == nil { // it may have been opened long ago
			_, err = l.Mkdir(ctx, "barrier", &backend.MkdirOptions{Existing: true})
		}
		n.lost.CompareAndSwap(false, errors.Is(err, journal.ErrIndex))
	}
	if !n.lost.Load() {
		return
	}
	h.log("fate", "process %d has too old an index; rebuild", n.gen)
	if !h.lossy {
		h.fail("fate", "segments have expired too early")
	}
	n.dead.Store(true)
	h.lostIndex(p)
	h.tally.reindexed++
	p.Store(h.startNode(n.gen+1, newIndex()))
}

// silence compares everything with the model, and the index with the bucket.
func (h *history) silence() {
	h.settle()
	n := h.current.Load()
	// A purge that was broken off goes on.
	if err := n.b.Expire((&actor{name: "silence", calm: true}).ctx(), uid); err != nil {
		h.fail("silence", "expire: %v", err)
	}
	if h.failed() {
		return
	}
	h.log("", "silence")
	for _, c := range h.clients {
		c.compare()
		if h.failed() {
			return
		}
	}
	h.checkAll("main", n, h.clients)
	if r := h.rival.Load(); r != nil {
		h.barrier("rival", r)
		h.checkAll("rival", r, h.clients)
		h.barrier("main", n)
	}
	ctx := (&actor{name: "silence", calm: true}).ctx()
	l, err := n.b.Library(ctx, sharedUID, backend.Access{})
	if err != nil {
		h.fail("silence", "%v", err)
		return
	}
	for _, r := range h.shared {
		now := time.Now()
		value, err := r.read(&client{actor: &actor{calm: true}}, l)
		if err != nil {
			h.fail("silence", "%s: %v", r.key, err)
			continue
		}
		r.add(access{"get", value, now, now.Add(1)})
		if !r.explained("") {
			h.fail("silence", "no order explains what was seen of %s: %v", r.key, r.history)
		}
	}
}

// ages lets so much time pass that nothing is left of what was deleted or overwritten, and
// its originals are collected; nothing else may go with them.
func (h *history) ages() {
	n := h.current.Load()
	ctx := (&actor{name: "ages", calm: true}).ctx()
	time.Sleep(31 * 24 * time.Hour)
	if err := n.b.Expire(ctx, uid); err != nil {
		h.fail("ages", "expire: %v", err)
	}
	for range 3 {
		time.Sleep(36 * 24 * time.Hour)
		found, err := n.b.Collect(ctx, uid, &backend.CollectOptions{Strays: true})
		if err != nil && !errors.Is(err, backend.ErrBrake) {
			h.fail("ages", "collect: %v", err)
		}
		h.log("ages", "collected %d, %d strays: %s", found.Deleted, found.Strays, outcome(err))
		h.tally.collected += int(found.Deleted)
	}
	for _, c := range h.clients {
		for _, g := range c.guesses {
			g.age()
			for _, u := range c.uploads {
				g.uploads[u.id] = ended{}
			}
			if c.chunked != nil {
				g.uploads[c.chunked.id] = ended{}
			}
		}
		if c.chunked != nil && !c.chunked.opened {
			c.chunked = nil
		}
		c.leaked, c.began, c.past = 0, false, nil
	}
	h.silence()
}

// finishJobs lets the worker do what is left; then every picture has been looked at.
func (h *history) finishJobs() {
	n := h.current.Load()
	a := newActor(h.seed, 300, "worker")
	a.calm = true
	h.step(wander) // so that whatever the clock was, all is due
	for range 40 {
		if h.workOnce(a, n) == 0 {
			time.Sleep(20 * time.Second)
		}
	}
	for _, c := range h.clients {
		c.compare()
		if h.failed() {
			return
		}
		if h.isRival(c) {
			continue // its jobs are in its own index
		}
		l, err := n.b.Library(a.ctx(), uid, backend.Access{})
		if err != nil {
			h.fail("end", "%v", err)
			return
		}
		c.guesses[0].root.walk("", func(key string, f *node) {
			if !f.showable() {
				return
			}
			e, err := l.Stat(a.ctx(), c.key(key))
			if err != nil || !e.Media.Processed {
				h.fail("end", "%s has not been looked at, and never will be (%v)", key, err)
			}
		})
	}
	// Emptying the trash leaves to Run what takes longer.
	if err := n.b.Expire(a.ctx(), uid); err != nil {
		h.fail("end", "expire: %v", err)
	}
	h.checkAll("end", n, h.clients)
	if st, err := n.q.Stats(a.ctx()); err != nil || st.Queued+st.Running+st.Dead > 0 {
		h.fail("end", "jobs are left over: %+v, %v", st, err)
	}
}

// warm makes what the packages below make only once, so that it belongs to no bubble.
func warm(t *testing.T) {
	w := newWorld()
	n := w.startNode(0, newIndex())
	ctx := context.Background()
	l, err := n.b.Library(ctx, uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Mkdir(ctx, "warm", nil); err != nil {
		t.Fatal(err)
	}
	opt := &backend.PutOptions{Header: map[string]string{"x-amz-meta-sim": strings.Repeat("long ", 2000)}}
	if _, _, err := l.Put(ctx, "warm/a", strings.NewReader("x"), 1, opt); err != nil {
		t.Fatal(err)
	}
	if err := n.b.Snapshot(ctx, uid); err != nil {
		t.Fatal(err)
	}
	if _, err := w.startNode(0, newIndex()).b.Library(ctx, uid, backend.Access{}); err != nil {
		t.Fatal(err)
	}
}
