package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

const (
	uid       = "simuser234567"
	sharedUID = "shareduser234"
)

var (
	errDead = errors.New("sim: the process died")
	errIO   = errors.New("sim: the index cannot be read or written")
	errOdd  = errors.New("sim: the bucket answered strangely")
)

// An actor is whoever makes calls; its randomness decides how long they take and
// whether they fail, so that these do not depend on what others do.
type actor struct {
	name string
	rng  *rand.Rand
	calm bool // calls take no time and do not fail
}

type actorKey struct{}

func (a *actor) ctx() context.Context {
	return context.WithValue(context.Background(), actorKey{}, a)
}

func (a *actor) chance(permille int) bool { return a.rng.IntN(1000) < permille }

// pause is between from and to, and never the same twice: that makes the order of events
// follow from the seed.
func (a *actor) pause(from, to time.Duration) time.Duration {
	return from + time.Duration(a.rng.Int64N(int64(to-from)))
}

// A world is the bucket and the nodes on it.
type world struct {
	bucket *membucket.Bucket
	start  time.Time
	claims chan struct{} // holds who claims jobs, for the same reason as house
	house  chan struct{} // holds what keeps house: the Library's own lock is none that fake time knows

	finishes  atomic.Int64  // recordings of results of processing that began
	finishing atomic.Int64  // of them under way
	keep      time.Duration // how long segments are
	wanders   bool          // the clock of the processes does
	broken    mutation      // "" for a world as it should be

	mu     sync.Mutex
	skew   time.Duration // how wrong that is
	rate   int           // calls of the bucket, and of the index, that fail, permille
	outage time.Time     // the bucket is away until then
	trace  []event
	did    map[string]int // what went well, by its kind
	bad    error          // the first thing found
	rng    *rand.Rand
}

type event struct {
	at   time.Duration
	who  string
	text string
}

func (w *world) log(who, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, event{time.Since(w.start), who, fmt.Sprintf(format, args...)})
}

// wander is how far the clock of the processes goes wrong at most, either way: less than
// half of the time that segments are kept, as the journal asks for.
const wander = 20 * time.Minute

// now is the time by the clock of the processes.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

// step sets that clock.
func (w *world) step(skew time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew = skew
}

// fail notes that an invariant does not hold.
func (w *world) fail(who, format string, args ...any) {
	err := fmt.Errorf("%s: "+format, append([]any{who}, args...)...)
	w.log(who, "WRONG: %v", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bad == nil {
		w.bad = err
	}
}

// done counts what went well, so that what is never tried is seen.
func (w *world) done(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.did[kind]++
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad != nil
}

func (w *world) set(rate int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rate = rate; rate == 0 {
		w.outage = time.Time{}
	}
}

func (w *world) away(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outage = time.Now().Add(d)
}

// faults says how many calls of the actor fail, permille, and whether the bucket is away.
func (w *world) faults(a *actor) (rate int, away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.calm {
		return 0, false
	}
	return w.rate, time.Now().Before(w.outage)
}

func (w *world) actor(ctx context.Context) *actor {
	if a, ok := ctx.Value(actorKey{}).(*actor); ok {
		return a
	}
	return &actor{calm: true}
}

// A proc is a process: a Backend over the bucket, with an index of its own.
type proc struct {
	w    *world
	gen  int
	dead atomic.Bool
	lost atomic.Bool // it says that its index is lost
	x    *index
	b    *backend.Backend
	q    *job.Queue
}

func (w *world) startNode(gen int, x *index) *proc {
	n := &proc{w: w, gen: gen, x: x}
	view := &store{n, x}
	n.q = job.New(view, &job.Options{Now: w.now, Lease: 30 * time.Second, MaxAttempts: 20, Backoff: func(int) time.Duration { return time.Second }})
	n.b = backend.New(&bucket{n}, view, &backend.Options{
		Now:     w.now,
		MaxSize: 64 << 20,
		Queue:   n.q,
		Journal: journal.Options{Writer: fmt.Sprint("node", gen), KeepSegments: w.keep, ReadAhead: 1},
	})
	return n
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A bucket is the bucket as one process sees it over the network.
type bucket struct{ n *proc }

var _ object.Multiparter = (*bucket)(nil)

// call makes one call. It may fail before or after its effect, and the effect of one
// that fails may come late.
func (b *bucket) call(ctx context.Context, write bool, effect func() error) error {
	if b.n.dead.Load() {
		return errDead
	}
	w := b.n.w
	a := w.actor(ctx)
	if a.calm {
		return effect()
	}
	late := func() {
		if write {
			d := a.pause(0, 8*time.Second)
			go func() {
				time.Sleep(d)
				effect()
			}()
		}
	}
	rate, away := w.faults(a)
	d := a.pause(time.Millisecond, 30*time.Millisecond)
	strike, kind := a.chance(rate), a.rng.IntN(8)
	if strike && kind == 0 {
		d += a.pause(0, 20*time.Second) // slow
	}
	if err := sleep(ctx, d); err != nil {
		if a.chance(500) {
			late() // it was sent
		}
		return err
	}
	switch {
	case b.n.dead.Load():
		if a.chance(500) {
			late()
		}
		return errDead
	case away:
		return fmt.Errorf("sim: away: %w", object.ErrUnavailable)
	case strike && (kind == 1 || kind == 2):
		return fmt.Errorf("sim: before: %w", object.ErrUnavailable)
	case strike && kind == 3:
		late()
		return fmt.Errorf("sim: late: %w", object.ErrUnavailable)
	case strike && kind == 4 && write:
		return fmt.Errorf("sim: full: %w", object.ErrNoSpace)
	}
	err := effect()
	if e := sleep(ctx, a.pause(0, 5*time.Millisecond)); e != nil {
		return e
	}
	switch {
	case b.n.dead.Load():
		return errDead
	case strike && (kind == 5 || kind == 6):
		return fmt.Errorf("sim: after: %w", object.ErrUnavailable)
	case strike && kind == 7:
		return errOdd
	}
	return err
}

func (b *bucket) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (info object.Info, err error) {
	d, err := io.ReadAll(object.NewBody(ctx, body, size))
	if err != nil {
		return info, err
	}
	var o object.PutOptions
	if opt != nil {
		o = *opt
	}
	if o.Meta, err = opt.Final(); err != nil {
		return info, err
	}
	o.FinalMeta = nil
	d, done := b.mutatePut(b.n.w.actor(ctx), name, d, &o)
	if done {
		return object.Info{Name: name, Size: int64(len(d))}, nil
	}
	err = b.call(ctx, true, func() (err error) {
		info, err = b.n.w.bucket.Put(context.Background(), name, bytes.NewReader(d), int64(len(d)), &o)
		if strings.HasPrefix(name, "v1/l/") && b.n.w.strikes(loseSegment, b.n.w.actor(ctx), 30) {
			b.n.w.bucket.Delete(context.Background(), name)
		}
		return err
	})
	return info, err
}

func (b *bucket) Get(ctx context.Context, name string, off, n int64) (r io.ReadCloser, err error) {
	err = b.call(ctx, false, func() (err error) {
		r, err = b.n.w.bucket.Get(ctx, name, off, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	if a := b.n.w.actor(ctx); !a.calm {
		if rate, _ := b.n.w.faults(a); a.chance(rate) {
			return &cut{r, a.rng.IntN(40), b.n.w.is(cutShort)}, nil
		}
	}
	return r, nil
}

// cut is a body that breaks off: with an error, or, which is a mutation, as if that were its
// end.
type cut struct {
	io.ReadCloser
	left  int
	quiet bool
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 && c.quiet {
		return 0, io.EOF
	}
	if c.left == 0 {
		return 0, fmt.Errorf("sim: cut: %w", object.ErrUnavailable)
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (b *bucket) Head(ctx context.Context, name string) (info object.Info, err error) {
	err = b.call(ctx, false, func() (err error) {
		info, err = b.n.w.bucket.Head(ctx, name)
		return err
	})
	return info, err
}

func (b *bucket) Delete(ctx context.Context, name string) error {
	return b.call(ctx, true, func() error { return b.n.w.bucket.Delete(context.Background(), name) })
}

func (b *bucket) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		var all []object.Info
		err := b.call(ctx, false, func() error {
			all = nil
			for info, err := range b.n.w.bucket.List(ctx, prefix, after) {
				if err != nil {
					return err
				}
				all = append(all, info)
			}
			return nil
		})
		if err != nil {
			yield(object.Info{}, err)
			return
		}
		a := b.n.w.actor(ctx)
		rate, _ := b.n.w.faults(a)
		broken := rate > 0 && a.chance(rate)
		if broken {
			all = all[:a.rng.IntN(len(all)+1)]
		}
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
		if broken {
			yield(object.Info{}, fmt.Errorf("sim: list cut: %w", object.ErrUnavailable))
		}
	}
}

func (b *bucket) CreateMultipart(ctx context.Context, name string, opt *object.PutOptions) (id string, err error) {
	err = b.call(ctx, true, func() (err error) {
		id, err = b.n.w.bucket.CreateMultipart(context.Background(), name, opt)
		return err
	})
	return id, err
}

func (b *bucket) PutPart(ctx context.Context, name, id string, number int, body io.Reader, size int64) (p object.Part, err error) {
	d, err := io.ReadAll(object.NewBody(ctx, body, size))
	if err != nil {
		return p, err
	}
	err = b.call(ctx, true, func() (err error) {
		p, err = b.n.w.bucket.PutPart(context.Background(), name, id, number, bytes.NewReader(d), int64(len(d)))
		return err
	})
	return p, err
}

func (b *bucket) CompleteMultipart(ctx context.Context, name, id string, parts []object.Part) (info object.Info, err error) {
	err = b.call(ctx, true, func() (err error) {
		info, err = b.n.w.bucket.CompleteMultipart(context.Background(), name, id, parts)
		return err
	})
	return info, err
}

func (b *bucket) AbortMultipart(ctx context.Context, name, id string) error {
	return b.call(ctx, true, func() error { return b.n.w.bucket.AbortMultipart(context.Background(), name, id) })
}

// An index is a kv.Store that remembers its commits, so that it can be had again as it
// was before.
type index struct {
	mem     *memkv.Store
	mu      sync.Mutex // never held while time passes
	history [][]kv.Op
	leases  map[string]time.Time // by job: until when a worker has it
}

// A store is an index as one process has it open.
type store struct {
	n *proc
	x *index
}

var (
	_ kv.Dumper = (*store)(nil)
	_ kv.Loader = (*store)(nil)
)

func newIndex() *index { return &index{mem: memkv.New(), leases: map[string]time.Time{}} }

// again makes an index of the first n commits, without commit hole.
func (x *index) again(n, hole int) *index {
	c := newIndex()
	for i, ops := range x.history[:n] {
		if i == hole {
			continue
		}
		if err := c.put(context.Background(), ops); err != nil {
			panic(err)
		}
	}
	return c
}

// put does ops, whatever their conditions.
func (x *index) put(ctx context.Context, ops []kv.Op) error {
	for len(ops) > 0 {
		some := append([]kv.Op(nil), ops[:min(len(ops), kv.MaxOps)]...)
		ops = ops[len(some):]
		for i := range some {
			some[i].Cond = kv.Any
		}
		if err := x.mem.Commit(ctx, some); err != nil {
			return err
		}
		x.note(some)
	}
	return nil
}

func (x *index) note(ops []kv.Op) {
	keep := make([]kv.Op, len(ops))
	for i, op := range ops {
		op.D, op.Cond = bytes.Clone(op.D), kv.Any
		keep[i] = op
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.history = append(x.history, keep)
}

// leases looks which jobs a commit leases: nobody gets one that somebody has, even if that
// one's process died, unless it was queued anew.
func (s *store) leases(ops []kv.Op) {
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	for _, op := range ops {
		due, id, _ := strings.Cut(op.S, "#")
		switch {
		case strings.HasPrefix(op.P, "ji#") && op.Kind == kv.Del:
			delete(s.x.leases, strings.TrimPrefix(op.P, "ji#"))
		case !strings.HasPrefix(op.P, "j#") || op.Kind == kv.Del:
		case !bytes.Contains(op.D, []byte(`"l":true`)):
			delete(s.x.leases, id)
		default:
			if until := s.x.leases[id]; until.After(s.n.w.now()) && !s.n.w.wanders {
				s.n.w.fail("index", "job %s is leased twice", id)
			}
			ms, err := strconv.ParseInt(due, 10, 64)
			if err != nil {
				s.n.w.fail("index", "job row: %v", err)
			}
			s.x.leases[id] = time.UnixMilli(ms)
		}
	}
}

// call makes one call. One that is at once may fail, but takes no time: it is made with a
// lock held that fake time does not know of.
func (s *store) call(ctx context.Context, write, atOnce bool, effect func() error) error {
	n := s.n
	if n.dead.Load() {
		return errDead
	}
	a := n.w.actor(ctx)
	if a.calm {
		return effect()
	}
	if d := a.pause(10*time.Microsecond, 200*time.Microsecond); !atOnce {
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
	if n.dead.Load() {
		return errDead
	}
	rate, _ := n.w.faults(a)
	strike := a.chance(rate / 3)
	if strike && !write && n.w.is(blindIndex) {
		return nil
	}
	if strike && a.chance(500) {
		if write && a.chance(300) {
			return kv.ErrNoSpace
		}
		return errIO
	}
	err := effect()
	if !write {
		return err
	}
	if err := sleep(ctx, a.pause(10*time.Microsecond, 200*time.Microsecond)); err != nil {
		return err
	}
	if n.dead.Load() {
		return errDead
	}
	if strike {
		return errIO
	}
	return err
}

// ofUsage says whether rows are of the usage, or of uploads under way, which quotas count.
func ofUsage(p string) bool {
	return strings.HasPrefix(p, "q#") || strings.HasPrefix(p, "m#") || strings.HasPrefix(p, "mp#")
}

func (s *store) Get(ctx context.Context, keys ...kv.Key) (rows []kv.Row, err error) {
	for _, k := range keys {
		rows = append(rows, kv.Row{Key: k}) // for blindIndex
	}
	err = s.call(ctx, false, len(keys) > 0 && ofUsage(keys[0].P), func() (err error) { rows, err = s.x.mem.Get(ctx, keys...); return err })
	return rows, err
}

func (s *store) Scan(ctx context.Context, p, from, to string, rev bool, n int) (rows []kv.Row, more bool, err error) {
	err = s.call(ctx, false, ofUsage(p), func() (err error) { rows, more, err = s.x.mem.Scan(ctx, p, from, to, rev, n); return err })
	if len(rows) > 0 && s.n.w.strikes(shortScan, s.n.w.actor(ctx), 20) {
		rows = rows[:len(rows)-1]
	}
	return rows, more, err
}

func (s *store) Commit(ctx context.Context, ops []kv.Op) error {
	ops = s.mutateCommit(s.n.w.actor(ctx), ops)
	if len(ops) == 0 {
		return nil
	}
	return s.call(ctx, true, false, func() error {
		err := s.x.mem.Commit(ctx, ops)
		if err == nil {
			s.x.note(ops)
			s.leases(ops)
		}
		return err
	})
}

func (s *store) Dump(ctx context.Context, prefixes ...string) iter.Seq2[kv.Row, error] {
	return func(yield func(kv.Row, error) bool) {
		if err := s.call(ctx, false, false, func() error { return nil }); err != nil {
			yield(kv.Row{}, err)
			return
		}
		s.x.mem.Dump(ctx, prefixes...)(yield)
	}
}

func (s *store) Load(ctx context.Context, rows iter.Seq[kv.Row]) error {
	return s.call(ctx, true, false, func() error {
		var ops []kv.Op
		at := make(map[kv.Key]int)
		for r := range rows {
			op := kv.Op{Key: r.Key, D: bytes.Clone(r.D)}
			if i, twice := at[r.Key]; twice { // the last counts
				ops[i] = op
				continue
			}
			at[r.Key] = len(ops)
			ops = append(ops, op)
		}
		defer s.leases(ops)
		return s.x.put(ctx, ops)
	})
}

func (s *store) Close() error { return nil }

// segments says which commits applied a segment of the log.
func (x *index) segments() (at []int) {
	for i, ops := range x.history {
		for _, op := range ops {
			if strings.HasPrefix(op.P, "hb#") && op.Kind == kv.Put {
				at = append(at, i)
				break
			}
		}
	}
	return at
}

// keepingHouse runs f when nobody else does.
func (w *world) keepingHouse(f func() error) error {
	w.house <- struct{}{}
	defer func() { <-w.house }()
	return f()
}

func newWorld() *world {
	return &world{did: map[string]int{}, bucket: membucket.New(), start: time.Now(), house: make(chan struct{}, 1), claims: make(chan struct{}, 1), keep: time.Hour}
}
