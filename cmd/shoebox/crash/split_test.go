package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

const uid = "aaaaaaaaaaaaa"

// A node is a library over a bucket and an index, without a program around it.
type node struct {
	*backend.Library
	b *backend.Backend
	x kv.Store
}

func openNode(ctx context.Context, b object.Bucket, x kv.Store) (*node, error) {
	n := &node{b: backend.New(b, x, &backend.Options{Journal: journal.Options{AppendTimeout: 2 * time.Second}}), x: x}
	var err error
	n.Library, err = n.b.Library(ctx, uid, backend.Access{})
	return n, err
}

// put writes a body that is like no other, and notes what came of it.
func (n *node) put(ctx context.Context, h *history, client int, path string, rng *rand.Rand) (error, error) {
	body := make([]byte, 8+rng.IntN(200))
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	e, err := h.invoke(client, op{Kind: "put", Path: path, SHA: shaOf(body), Shared: true})
	if err != nil {
		return nil, err
	}
	_, _, said := n.Put(ctx, backend.Key(library+"/"+path), bytes.NewReader(body), int64(len(body)), nil)
	return said, h.answer(e, stateOf(said), 0)
}

// stateOf is what an error of the backend tells a client, as package status has it.
func stateOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrNoSpace):
		return "unknown"
	}
	return "refused"
}

// files reads every file of the library.
func (n *node) files(ctx context.Context) (tree, error) {
	got := tree{}
	for e, err := range n.Members(ctx, library) {
		if err != nil {
			return nil, err
		}
		c, err := n.Open(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", e.Name, err)
		}
		body, err := io.ReadAll(c)
		c.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Name, err)
		}
		got[e.Name] = shaOf(body)
	}
	return got, nil
}

// wrong is what fsck of a level finds.
func (n *node) wrong(ctx context.Context, level int) error {
	rep, err := n.b.Check(ctx, uid, level, memkv.New())
	if err == nil && rep.Wrong > 0 {
		err = fmt.Errorf("fsck: %d wrong: %v", rep.Wrong, rep.Findings)
	}
	return err
}

// TestSplitBrain has two gateways write to one bucket, each as if it were alone. The log
// must stay one: whoever comes second is refused at its next append, and then goes on
// from what the other wrote.
func TestSplitBrain(t *testing.T) {
	t.Parallel()
	total, fenced := &verdict{}, 0
	for n := range *splits {
		when := fmt.Sprintf("trial %d", n)
		fenced += splitOnce(t, n, total, when)
	}
	total.report(t, "two gateways in process", fmt.Sprintf("; fenced %d times", fenced))
	if fenced == 0 {
		t.Error("nobody was ever fenced")
	}
}

func splitOnce(t *testing.T, n int, total *verdict, when string) (fenced int) {
	ctx := t.Context()
	var bucket object.Bucket = membucket.New()
	if n%2 == 1 {
		b, err := diskbucket.Open(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		bucket = b
	}
	first, err := openNode(ctx, bucket, memkv.New())
	if err == nil {
		_, err = first.Mkdir(ctx, library, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	second, err := openNode(ctx, bucket, memkv.New())
	if err != nil {
		t.Fatal(err)
	}
	h := new(history)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 8 {
		rng := source(uint64(n)<<16 | uint64(i))
		wg.Go(func() {
			at := []*node{first, second}[i%2]
			for k := range 12 {
				path := fmt.Sprintf("s%d", rng.IntN(5))
				if k%2 == 0 {
					path = fmt.Sprintf("own%d-%d", i, k)
				}
				said, err := at.put(ctx, h, i, path, rng)
				if err != nil || said != nil && !errors.Is(said, journal.ErrFenced) {
					t.Error(err, said)
				}
				if said != nil {
					mu.Lock()
					fenced++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()

	// One at a time now: whoever is behind is refused once, not twice.
	rng := source(uint64(n) << 32)
	for i, at := range []*node{first, second, first} {
		for try := 0; ; try++ {
			said, err := at.put(ctx, h, 100+i, fmt.Sprintf("last%d", i), rng)
			if err != nil {
				t.Fatal(err)
			}
			if said == nil {
				break
			}
			fenced++
			if try > 0 {
				t.Errorf("%s: fenced again though the other is still", when)
				break
			}
		}
	}
	if _, err := second.put(ctx, h, 200, "last3", rng); err != nil {
		t.Fatal(err)
	}
	second.put(ctx, h, 200, "last3", rng)
	first.put(ctx, h, 200, "last4", rng) // brings the first up to date, or is refused
	first.put(ctx, h, 200, "last4", rng)
	second.put(ctx, h, 200, "last5", rng)
	second.put(ctx, h, 200, "last5", rng)

	// The log alone tells one history, and both have it.
	third, err := openNode(ctx, bucket, memkv.New())
	if err != nil {
		t.Fatalf("%s: the log forks: %v", when, err)
	}
	got, err := third.files(ctx)
	if err != nil {
		t.Fatal(err)
	}
	total.faults(when, compareShared(h.events, got, h.bodies))
	total.add(func(v *verdict) { v.trials++; v.hit++; v.acknowledged += h.acknowledged() })
	for _, at := range []*node{second, third} {
		if err := at.wrong(ctx, 3); err != nil {
			total.add(func(v *verdict) { v.fsck++; v.say("%s: %v", when, err) })
		}
	}
	return fenced
}

// TestTwoPrograms runs two programs on one directory, killing one at the moment it
// learns of the other.
func TestTwoPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program many times")
	}
	t.Parallel()
	tp := newTemplate(t, filepath.Join(t.TempDir(), "template"))
	total := &verdict{}
	for n := range 1 + *splits/10 {
		twoPrograms(t, tp, n, total)
	}
	total.report(t, "two programs on one directory", "")
}

func twoPrograms(t *testing.T, tp *template, n int, total *verdict) {
	ctx := t.Context()
	tr := newTrial(t, total, fmt.Sprintf("trial %d", n))
	defer tr.end()
	one := tp.clone(t, tr.dir)
	two := filepath.Join(tr.dir, "two")
	if err := os.MkdirAll(two, 0o700); err != nil {
		t.Fatal(err)
	}
	two = tp.clone(t, two)
	if err := os.RemoveAll(filepath.Join(two, "bucket")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(one, "bucket"), filepath.Join(two, "bucket")); err != nil {
		t.Fatal(err)
	}
	env := environ(hurry) // both collect what is not used: by their own index, which may be behind
	if n%2 == 0 {
		env = environ(hurry, fmt.Sprintf("SHOEBOX_TEST_FAIL=fenced:%d", 1+source(uint64(n)).IntN(4)))
	}
	g1, err := tr.start(ctx, one, env, "-workers", "0")
	if err == nil {
		err = mkShared(ctx, tp.access, g1)
	}
	if err != nil {
		tr.failed("%v", err)
		return
	}
	g2, err := tr.start(ctx, two, environ(hurry), "-workers", "0")
	if err != nil {
		tr.failed("%v", err)
		return
	}
	w := newCrowd(tr.h, 8, uint64(n)+7000, tp.access, g1)
	c := newHTTPClient()
	for _, client := range w.clients[4:] {
		client.web, client.s3 = g2.web, tp.s3Client(g2.s3, c)
	}
	working, stop := context.WithTimeout(ctx, *workTime/2)
	defer stop()
	if err := w.run(working); err != nil {
		tr.failed("%v", err)
	}
	g1.kill()
	g2.kill()
	tr.done(diedAt(g1, "fenced"), nil)
	for i, data := range []string{one, two} {
		g, err := tr.start(ctx, data, environ())
		if err != nil {
			tr.failed("start %d: %v", i, err)
			return
		}
		before := total.acknowledgedSoFar()
		tr.check(ctx, w, tp.access, g)
		if i == 1 { // what was acknowledged counts once
			total.add(func(v *verdict) { v.acknowledged = before })
		}
		g.kill()
	}
}

func (v *verdict) acknowledgedSoFar() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.acknowledged
}
