package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

func testConditions(t *testing.T, s kv.Store) {
	for _, kind := range []kv.Kind{kv.Put, kv.Del, kv.Check} {
		for _, c := range []struct {
			name, sort string
			cond       kv.Cond
			dv         int // At: off the version of the row that is there
			ok         bool
		}{
			{"any", "there", kv.Any, 0, true},
			{"any, missing", "nobody", kv.Any, 0, true},
			{"absent", "nobody", kv.Absent, 0, true},
			{"absent, but there", "there", kv.Absent, 0, false},
			{"present", "there", kv.Present, 0, true},
			{"present, but missing", "nobody", kv.Present, 0, false},
			{"at", "there", kv.At, 0, true},
			{"at, but older", "there", kv.At, -1, false},
			{"at, but newer", "there", kv.At, 1, false},
			{"at, but missing", "nobody", kv.At, 0, false},
		} {
			commit(t, s, del("p", "nobody"), put("p", "there", "old"))
			before := get(t, s, "p", "there")
			op := kv.Op{Key: key("p", c.sort), Kind: kind, Cond: c.cond, V: before.V + uint64(c.dv), D: []byte("new")}
			err := s.Commit(t.Context(), []kv.Op{op})
			got := get(t, s, "p", c.sort)
			var ce *kv.CondError
			switch {
			case !c.ok:
				if !errors.As(err, &ce) || ce.Index != 0 {
					t.Errorf("kind %d, %s: got %v, want the CondError of operation 0", kind, c.name, err)
				}
				if now := get(t, s, "p", "there"); now.V != before.V || string(now.D) != "old" {
					t.Errorf("kind %d, %s: a refused commit changed the row", kind, c.name)
				}
				if c.sort == "nobody" && got.V != 0 {
					t.Errorf("kind %d, %s: a refused commit made a row", kind, c.name)
				}
			case err != nil:
				t.Errorf("kind %d, %s: %v", kind, c.name, err)
			case kind == kv.Put && string(got.D) != "new":
				t.Errorf("%s: after Put: got %q", c.name, got.D)
			case kind == kv.Del && got.V != 0:
				t.Errorf("%s: still there after Del", c.name)
			case kind == kv.Check && c.sort == "there" && got.V != before.V:
				t.Errorf("%s: Check changed the version", c.name)
			}
		}
	}
}

func testAllOrNothing(t *testing.T, s kv.Store) {
	commit(t, s, put("p", "a", "1"), put("p", "b", "1"))
	v := get(t, s, "p", "b").V
	for i := range 4 {
		ops := []kv.Op{put("p", "a", "2"), del("p", "b"), put("p", "c", "2"), put("q", "d", "2")}
		ops[i].Cond, ops[i].V = kv.At, v+100
		err := s.Commit(t.Context(), ops)
		var ce *kv.CondError
		if !errors.As(err, &ce) || ce.Index != i {
			t.Errorf("condition %d fails: got %v", i, err)
		}
		if got := scan(t, s, "p", "", "", false, 0); got != "a b" {
			t.Errorf("condition %d fails: rows are %s, want a b", i, got)
		}
		if r := get(t, s, "p", "a"); string(r.D) != "1" {
			t.Errorf("condition %d fails: a is %q", i, r.D)
		}
	}
	// The first of several is named.
	ops := []kv.Op{put("p", "a", "2"), when(put("p", "b", ""), kv.Absent, 0), when(put("p", "c", ""), kv.Present, 0)}
	var ce *kv.CondError
	if err := s.Commit(t.Context(), ops); !errors.As(err, &ce) || ce.Index != 1 {
		t.Errorf("two conditions fail: got %v, want operation 1", err)
	}
	// Conditions see the rows as they were before the commit.
	commit(t, s, when(del("p", "a"), kv.Present, 0), when(put("p", "c", "3"), kv.Absent, 0), when(kv.Op{Key: key("p", "b"), Kind: kv.Check}, kv.At, v))
	if got := scan(t, s, "p", "", "", false, 0); got != "b c" {
		t.Errorf("got %s, want b c", got)
	}
	// Checks alone and no operations at all change nothing and are no error.
	commit(t, s, when(kv.Op{Key: key("p", "b"), Kind: kv.Check}, kv.Present, 0))
	commit(t, s)
	// One commit has one version.
	commit(t, s, put("p", "x", ""), put("q", "x", ""))
	if a, b := get(t, s, "p", "x").V, get(t, s, "q", "x").V; a == 0 || b == 0 {
		t.Errorf("versions %d and %d of one commit", a, b)
	}
}

func testLimits(t *testing.T, s kv.Store) {
	ctx := t.Context()
	big := strings.Repeat("d", kv.MaxData)
	many := func(n int, d string) (ops []kv.Op) {
		for i := range n {
			ops = append(ops, put("p", fmt.Sprintf("%03d", i), d))
		}
		return ops
	}
	for _, c := range []struct {
		name string
		ops  []kv.Op
		ok   bool
		is   error
	}{
		{"most operations", many(kv.MaxOps, "d"), true, nil},
		{"too many operations", many(kv.MaxOps+1, "d"), false, kv.ErrTooLarge},
		{"largest row", many(1, big), true, nil},
		{"row too large", many(1, big+"d"), false, kv.ErrTooLarge},
		{"largest commit", many(kv.MaxCommit/kv.MaxData-1, big), true, nil},
		{"commit too large", many(kv.MaxCommit/kv.MaxData, big), false, kv.ErrTooLarge},
		{"longest key", []kv.Op{put(strings.Repeat("p", kv.MaxPartition), strings.Repeat("s", kv.MaxSort), "")}, true, nil},
		{"partition too long", []kv.Op{put(strings.Repeat("p", kv.MaxPartition+1), "s", "")}, false, kv.ErrTooLarge},
		{"sort key too long", []kv.Op{put("p", strings.Repeat("s", kv.MaxSort+1), "")}, false, kv.ErrTooLarge},
		{"no partition", []kv.Op{put("", "s", "")}, false, nil},
		{"no sort key", []kv.Op{put("p", "", "")}, false, nil},
		{"NUL in the partition", []kv.Op{put("p\x00q", "s", "")}, false, nil},
		{"a key twice", []kv.Op{put("p", "s", "1"), del("p", "s")}, false, nil},
		{"a key twice, once to check", []kv.Op{put("p", "s", "1"), {Key: key("p", "s"), Kind: kv.Check}}, false, nil},
		{"no such kind", []kv.Op{{Key: key("p", "s"), Kind: 9}}, false, nil},
		{"no such condition", []kv.Op{when(put("p", "s", ""), 9, 0)}, false, nil},
	} {
		err := s.Commit(ctx, c.ops)
		if (err == nil) != c.ok || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: got %v, want ok = %v, %v", c.name, err, c.ok, c.is)
		}
	}
	if rows, _, err := s.Scan(ctx, "p", "", "", false, 0); err != nil || len(rows) != kv.MaxOps {
		t.Errorf("got %d rows, %v: refused commits left something", len(rows), err)
	}

	keys := make([]kv.Key, kv.MaxGet+1)
	for i := range keys {
		keys[i] = key("p", strconv.Itoa(i))
	}
	if _, err := s.Get(ctx, keys...); !errors.Is(err, kv.ErrTooLarge) {
		t.Errorf("Get of %d keys: got %v, want ErrTooLarge", len(keys), err)
	}
	if _, err := s.Get(ctx, keys[:kv.MaxGet]...); err != nil {
		t.Errorf("Get of %d keys: %v", kv.MaxGet, err)
	}
	for _, k := range []kv.Key{{P: "", S: "s"}, {P: "p", S: ""}, {P: "p\x00", S: "s"}} {
		if _, err := s.Get(ctx, k); err == nil {
			t.Errorf("Get(%q) went through", k)
		}
	}
	for _, p := range []string{"", "p\x00"} {
		if _, _, err := s.Scan(ctx, p, "", "", false, 0); err == nil {
			t.Errorf("Scan of partition %q went through", p)
		}
	}
}

func testVersions(t *testing.T, s kv.Store) {
	var last uint64
	step := func(what string, ops ...kv.Op) {
		t.Helper()
		commit(t, s, ops...)
		r := get(t, s, "p", "a")
		if r.V <= last {
			t.Fatalf("%s: version %d after %d", what, r.V, last)
		}
		last = r.V
	}
	step("first", put("p", "a", "1"))
	step("same data again", put("p", "a", "1"))
	commit(t, s, put("p", "b", "1"), put("q", "a", "1"))
	if got := get(t, s, "p", "a").V; got != last {
		t.Errorf("another row's write changed the version from %d to %d", last, got)
	}
	step("third", put("p", "a", "2"))
	for range 20 {
		commit(t, s, del("p", "a"))
		step("deleted and made again", when(put("p", "a", "1"), kv.Absent, 0))
	}
	rows, _, err := s.Scan(t.Context(), "p", "a", "b", false, 1)
	if err != nil || len(rows) != 1 || rows[0].V != last {
		t.Errorf("Scan: got %v, %v; want version %d as Get says", rows, err, last)
	}
}

// testOwnership: the store keeps no slice it was given, and gives none it keeps.
func testOwnership(t *testing.T, s kv.Store) {
	d := []byte("mine")
	if err := s.Commit(t.Context(), []kv.Op{{Key: key("p", "a"), D: d}, {Key: key("p", "b"), D: []byte("other")}}); err != nil {
		t.Fatal(err)
	}
	copy(d, "XXXX")
	rows, _, err := s.Scan(t.Context(), "p", "", "", false, 0)
	if err != nil || len(rows) != 2 {
		t.Fatalf("Scan: %d rows, %v", len(rows), err)
	}
	_ = append(rows[0].D, "overrun"...)
	copy(rows[0].D, "YYYY")
	if string(rows[1].D) != "other" {
		t.Errorf("appending to one row's data changed the next: %q", rows[1].D)
	}
	r := get(t, s, "p", "a")
	copy(r.D, "ZZZZ")
	if r := get(t, s, "p", "a"); string(r.D) != "mine" {
		t.Errorf("got %q, want mine", r.D)
	}
}

func testCancelled(t *testing.T, s kv.Store) {
	commit(t, s, put("p", "a", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, key("p", "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, _, err := s.Scan(ctx, "p", "", "", false, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan: %v", err)
	}
	if err := s.Commit(ctx, []kv.Op{put("p", "a", "2")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	if r := get(t, s, "p", "a"); string(r.D) != "1" {
		t.Errorf("a commit whose context had ended was done")
	}
}

func testClosed(t *testing.T, s kv.Store) {
	commit(t, s, put("p", "a", "1"))
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	ctx := t.Context()
	_, getErr := s.Get(ctx, key("p", "a"))
	_, _, scanErr := s.Scan(ctx, "p", "", "", false, 0)
	for what, err := range map[string]error{
		"Get":    getErr,
		"Scan":   scanErr,
		"Commit": s.Commit(ctx, []kv.Op{put("p", "a", "2")}),
		"Close":  s.Close(),
	} {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", what, err)
		}
	}
	if d, ok := s.(kv.Dumper); ok {
		for _, err := range d.Dump(ctx, "") {
			if !errors.Is(err, kv.ErrClosed) {
				t.Errorf("Dump after Close: got %v, want ErrClosed", err)
			}
		}
	}
}

// testCompareAndSet counts in one row from several goroutines: no increment may
// be lost or done twice.
func testCompareAndSet(t *testing.T, s kv.Store) {
	const workers, each = 4, 25
	commit(t, s, put("p", "n", "0"))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := increment(t.Context(), s); err != nil {
					t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := string(get(t, s, "p", "n").D); got != strconv.Itoa(workers*each) {
		t.Errorf("counted %s, want %d", got, workers*each)
	}
}

func increment(ctx context.Context, s kv.Store) error {
	for {
		rows, err := s.Get(ctx, key("p", "n"))
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(rows[0].D))
		if err != nil {
			return err
		}
		err = s.Commit(ctx, []kv.Op{when(put("p", "n", strconv.Itoa(n+1)), kv.At, rows[0].V)})
		var ce *kv.CondError
		if errors.As(err, &ce) || errors.Is(err, kv.ErrConflict) {
			continue
		}
		return err
	}
}

// testHalf: whoever reads while others commit sees a whole commit or none.
func testHalf(t *testing.T, s kv.Store) {
	keys := []kv.Key{key("p", "a"), key("p", "b"), key("p", "c"), key("q", "a")}
	write := func(d string) []kv.Op {
		var ops []kv.Op
		for _, k := range keys {
			ops = append(ops, kv.Op{Key: k, D: []byte(d)})
		}
		return ops
	}
	commit(t, s, write("0")...)
	ctx := t.Context()
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		for i := range 50 {
			if err := s.Commit(ctx, write(strconv.Itoa(i))); err != nil {
				t.Errorf("Commit: %v", err)
				return
			}
		}
	}()
	same := func(what string, rows []kv.Row, n int, err error) {
		if err != nil || len(rows) != n {
			t.Fatalf("%s: %d rows, %v", what, len(rows), err)
		}
		for _, r := range rows {
			if !bytes.Equal(r.D, rows[0].D) {
				t.Fatalf("%s saw half a commit: %q beside %q", what, r.D, rows[0].D)
			}
		}
	}
	for {
		select {
		case <-done:
			return
		default:
		}
		rows, err := s.Get(ctx, keys...)
		same("Get", rows, len(keys), err)
		rows, _, err = s.Scan(ctx, "p", "", "", false, 0)
		same("Scan", rows, 3, err)
		rows, _, err = s.Scan(ctx, "p", "", "", true, 0)
		same("Scan backwards", rows, 3, err)
	}
}
