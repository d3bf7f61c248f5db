package kvtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A model says what a store must hold, in the simplest way.
type model struct {
	rows  map[kv.Key]kv.Row
	oldV  map[kv.Key]uint64 // the highest version each key ever had
	parts []string
}

func (m *model) commit(ops []kv.Op) (failed int) {
	for i, op := range ops {
		r, ok := m.rows[op.Key]
		if c := op.Cond; c == kv.Absent && ok || c == kv.Present && !ok || c == kv.At && (!ok || r.V != op.V) {
			return i
		}
	}
	for _, op := range ops {
		switch op.Kind {
		case kv.Put:
			m.rows[op.Key] = kv.Row{Key: op.Key, D: op.D} // V follows from the store
		case kv.Del:
			delete(m.rows, op.Key)
		}
	}
	return -1
}

func (m *model) scan(p, from, to string, rev bool, n int) (rows []kv.Row, more bool) {
	for k, r := range m.rows {
		if k.P == p && k.S >= from && (to == "" || k.S < to) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b kv.Row) int { return cmp.Compare(a.S, b.S) })
	if rev {
		slices.Reverse(rows)
	}
	if n > 0 && len(rows) > n {
		return rows[:n], true
	}
	return rows, false
}

// testModel does random operations on the store and on the model. The seed is
// logged; SHOEBOX_TEST_SEED repeats a run, SHOEBOX_TEST_STEPS lengthens it.
func testModel(t *testing.T, s kv.Store) {
	seed, steps := rand.Uint64(), 600
	if v := os.Getenv("SHOEBOX_TEST_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	if v := os.Getenv("SHOEBOX_TEST_STEPS"); v != "" {
		steps, _ = strconv.Atoi(v)
	}
	t.Logf("SHOEBOX_TEST_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	m := &model{rows: map[kv.Key]kv.Row{}, oldV: map[kv.Key]uint64{}, parts: []string{"a", "a\x01", "ab", "b", "\xff"}}
	sorts := []string{"\x00", "\x01", "a", "a\x00", "a\xff", "b", "ba", "c", "d", "e", "f", "\xff", "\xff\xff"}
	randKey := func() kv.Key { return key(m.parts[rnd.IntN(len(m.parts))], sorts[rnd.IntN(len(sorts))]) }
	bound := func() string {
		if rnd.IntN(3) == 0 {
			return ""
		}
		return sorts[rnd.IntN(len(sorts))]
	}
	for step := range steps {
		switch rnd.IntN(4) {
		case 0, 1:
			m.step(t, s, rnd, step, randKey)
		case 2:
			var keys []kv.Key
			for range rnd.IntN(6) {
				keys = append(keys, randKey())
			}
			got, err := s.Get(t.Context(), keys...)
			var want []kv.Row
			for _, k := range keys {
				r := m.rows[k]
				r.Key = k
				want = append(want, r)
			}
			m.compare(t, fmt.Sprintf("step %d: Get(%q)", step, keys), got, want, err)
		case 3:
			p, from, to, rev, n := m.parts[rnd.IntN(len(m.parts))], bound(), bound(), rnd.IntN(2) == 0, rnd.IntN(5)
			got, more, err := s.Scan(t.Context(), p, from, to, rev, n)
			want, wantMore := m.scan(p, from, to, rev, n)
			what := fmt.Sprintf("step %d: Scan(%q, %q, %q, %v, %d)", step, p, from, to, rev, n)
			m.compare(t, what, got, want, err)
			if more != wantMore {
				t.Fatalf("%s: more is %v, want %v", what, more, wantMore)
			}
		}
	}
}

// step does one random commit on both.
func (m *model) step(t *testing.T, s kv.Store, rnd *rand.Rand, step int, randKey func() kv.Key) {
	var ops []kv.Op
	seen := map[kv.Key]bool{}
	for range 1 + rnd.IntN(5) {
		k := randKey()
		if seen[k] {
			continue
		}
		seen[k] = true
		op := kv.Op{Key: k, Kind: kv.Kind(rnd.IntN(3))}
		if op.Kind == kv.Put {
			op.D = bytes.Repeat([]byte{byte(step)}, rnd.IntN(40))
		}
		r, there := m.rows[k]
		switch rnd.IntN(8) { // mostly conditions that hold
		case 0, 1:
			op.Cond, op.V = kv.At, r.V
		case 2, 3, 4:
			op.Cond = kv.Absent
			if there {
				op.Cond = kv.Present
			}
		case 5:
			op.Cond, op.V = kv.Cond(rnd.IntN(4)), r.V+uint64(rnd.IntN(2))
		}
		ops = append(ops, op)
	}
	err := s.Commit(t.Context(), ops)
	failed := m.commit(ops)
	var ce *kv.CondError
	switch {
	case failed < 0 && err != nil:
		t.Fatalf("step %d: Commit(%+v): %v", step, ops, err)
	case failed >= 0 && (!errors.As(err, &ce) || ce.Index != failed):
		t.Fatalf("step %d: Commit(%+v): got %v, want operation %d to fail", step, ops, err, failed)
	case failed >= 0:
		return
	}
	for _, op := range ops {
		if op.Kind != kv.Put {
			continue
		}
		r := get(t, s, op.P, op.S)
		if r.V <= m.oldV[op.Key] {
			t.Fatalf("step %d: %q has version %d after %d", step, op.Key, r.V, m.oldV[op.Key])
		}
		m.oldV[op.Key] = r.V
		m.rows[op.Key] = r
		if !bytes.Equal(r.D, op.D) {
			t.Fatalf("step %d: %q holds %q, want %q", step, op.Key, r.D, op.D)
		}
	}
}

func (m *model) compare(t *testing.T, what string, got, want []kv.Row, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !slices.EqualFunc(got, want, equal) {
		t.Fatalf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

func equal(a, b kv.Row) bool { return a.Key == b.Key && a.V == b.V && bytes.Equal(a.D, b.D) }

// dump collects a Dump as "partition/sort=data".
func dump(t *testing.T, d kv.Dumper, prefixes ...string) (got []string) {
	t.Helper()
	for r, err := range d.Dump(t.Context(), prefixes...) {
		if err != nil {
			t.Fatalf("Dump: %v", err)
		}
		if r.V == 0 {
			t.Errorf("Dump gave %q with version 0", r.Key)
		}
		got = append(got, fmt.Sprintf("%s/%s=%s", r.P, r.S, r.D))
	}
	return got
}

func testDump(t *testing.T, s kv.Store) {
	d, ok := s.(kv.Dumper)
	if !ok {
		t.Skip("not a Dumper")
	}
	commit(t, s, put("d#u#1", "b", "1"), put("d#u#1", "a", "2"), put("d#u#0", "z", "3"), put("d#u", "x", "4"),
		put("d#v#0", "a", "5"), put("i#u#1", "-", "6"), put("h#u", "-", "7"), put("d#u\x01", "-", "8"))
	commit(t, s, del("i#u#1", "-"), put("i#u#2", "-", "9"))
	for _, c := range []struct{ prefixes, want string }{
		{"d#u#", "d#u#0/z=3 d#u#1/a=2 d#u#1/b=1"},
		{"i#u#,d#u#,nobody,h#u", "i#u#2/-=9 d#u#0/z=3 d#u#1/a=2 d#u#1/b=1 h#u/-=7"},
		{"d#u", "d#u/x=4 d#u\x01/-=8 d#u#0/z=3 d#u#1/a=2 d#u#1/b=1"},
		{"", "d#u/x=4 d#u\x01/-=8 d#u#0/z=3 d#u#1/a=2 d#u#1/b=1 d#v#0/a=5 h#u/-=7 i#u#2/-=9"},
	} {
		if got := strings.Join(dump(t, d, strings.Split(c.prefixes, ",")...), " "); got != c.want {
			t.Errorf("Dump(%s):\ngot  %q\nwant %q", c.prefixes, got, c.want)
		}
	}
	for range d.Dump(t.Context(), "") {
		break // leaving early must not hold anything
	}
	commit(t, s, put("p", "a", "1"))
}

// testDumpWhileWriting: a dump is of one moment, and commits do not wait for it.
func testDumpWhileWriting(t *testing.T, s kv.Store) {
	d, ok := s.(kv.Dumper)
	if !ok {
		t.Skip("not a Dumper")
	}
	for i := range 20 {
		commit(t, s, put("a", fmt.Sprintf("%02d", i), "old"), put("b", fmt.Sprintf("%02d", i), "old"))
	}
	n := 0
	for r, err := range d.Dump(t.Context(), "b", "a") {
		if err != nil {
			t.Fatal(err)
		}
		if string(r.D) != "old" {
			t.Fatalf("row %d, %q, is %q: written after the dump began", n, r.Key, r.D)
		}
		if n == 0 {
			for i := range 20 {
				commit(t, s, put("a", fmt.Sprintf("%02d", i), "new"), del("b", fmt.Sprintf("%02d", i)))
			}
			commit(t, s, put("a", "later", "new"))
		}
		n++
	}
	if n != 40 {
		t.Errorf("dump has %d rows, want 40", n)
	}

	// Two rows are always written together: no dump may see them differ.
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 50 {
			if err := s.Commit(t.Context(), []kv.Op{put("x", "1", strconv.Itoa(i)), put("y", "1", strconv.Itoa(i))}); err != nil {
				t.Errorf("Commit: %v", err)
			}
		}
	})
	for range 20 {
		rows := map[string]bool{}
		for r, err := range d.Dump(t.Context(), "y", "x") {
			if err != nil {
				t.Errorf("Dump: %v", err)
			}
			rows[string(r.D)] = true
		}
		if len(rows) > 1 {
			t.Errorf("dump saw half a commit: %v", slices.Collect(maps.Keys(rows)))
		}
	}
	wg.Wait()
}

func testLoad(t *testing.T, s kv.Store) {
	l, ok := s.(kv.Loader)
	if !ok {
		t.Skip("not a Loader")
	}
	const n = 5000
	buf := make([]byte, 8)
	rows := func(yield func(kv.Row) bool) {
		for i := range n + 1 {
			i = (i * 7919) % n // out of order; 0 comes twice
			copy(buf, fmt.Sprintf("%08d", i))
			if !yield(kv.Row{Key: key("p"+strconv.Itoa(i%3), fmt.Sprintf("%05d", i)), V: 99, D: buf}) {
				return
			}
		}
	}
	if err := l.Load(t.Context(), rows); err != nil {
		t.Fatalf("Load: %v", err)
	}
	total := 0
	for p := range 3 {
		got, _, err := s.Scan(t.Context(), "p"+strconv.Itoa(p), "", "", false, 0)
		if err != nil {
			t.Fatal(err)
		}
		total += len(got)
		for _, r := range got {
			if want := fmt.Sprintf("%08s", r.S); string(r.D) != want || r.V == 0 {
				t.Fatalf("row %q: data %q, version %d", r.S, r.D, r.V)
			}
		}
	}
	if total != n {
		t.Errorf("loaded %d rows, want %d", total, n)
	}
	// Ordinary commits go on from there.
	r := get(t, s, "p0", "00000")
	commit(t, s, when(put("p0", "00000", "x"), kv.At, r.V))
	if now := get(t, s, "p0", "00000"); now.V <= r.V {
		t.Errorf("version %d after %d", now.V, r.V)
	}
	bad := iter.Seq[kv.Row](func(yield func(kv.Row) bool) { yield(kv.Row{Key: key("", "x")}) })
	if err := l.Load(t.Context(), bad); err == nil {
		t.Error("a row without a partition was loaded")
	}
}
