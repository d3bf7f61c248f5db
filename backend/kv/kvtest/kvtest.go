// Package kvtest is the contract of kv.Store as a test suite, and a decorator
// that injects faults. A driver's whole test of the contract is one line:
//
//	func TestStore(t *testing.T) {
//		kvtest.Store(t, func(*testing.T) kv.Store { return memkv.New() })
//	}
package kvtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// Store tests that a driver keeps the contract of kv.Store, and those of
// kv.Dumper and kv.Loader if it has them. Each case opens a fresh, empty store,
// which the suite closes.
func Store(t *testing.T, open func(*testing.T) kv.Store) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, kv.Store)
	}{
		{"get", testGet},
		{"scan", testScan},
		{"partitions", testPartitions},
		{"order", testOrder},
		{"conditions", testConditions},
		{"all or nothing", testAllOrNothing},
		{"limits", testLimits},
		{"versions", testVersions},
		{"ownership", testOwnership},
		{"cancelled", testCancelled},
		{"closed", testClosed},
		{"compare and set", testCompareAndSet},
		{"half a commit", testHalf},
		{"model", testModel},
		{"dump", testDump},
		{"dump while writing", testDumpWhileWriting},
		{"load", testLoad},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			c.run(t, s)
			if err := s.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func key(p, s string) kv.Key { return kv.Key{P: p, S: s} }

func put(p, s, d string) kv.Op { return kv.Op{Key: key(p, s), Kind: kv.Put, D: []byte(d)} }

func del(p, s string) kv.Op { return kv.Op{Key: key(p, s), Kind: kv.Del} }

func when(op kv.Op, c kv.Cond, v uint64) kv.Op {
	op.Cond, op.V = c, v
	return op
}

func commit(t *testing.T, s kv.Store, ops ...kv.Op) {
	t.Helper()
	if err := s.Commit(t.Context(), ops); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func get(t *testing.T, s kv.Store, p, sort string) kv.Row {
	t.Helper()
	rows, err := s.Get(t.Context(), key(p, sort))
	if err != nil || len(rows) != 1 {
		t.Fatalf("Get(%q, %q): %d rows, %v", p, sort, len(rows), err)
	}
	return rows[0]
}

// scan returns the sort keys found, quoted, with … after them if there are more.
func scan(t *testing.T, s kv.Store, p, from, to string, rev bool, n int) string {
	t.Helper()
	rows, more, err := s.Scan(t.Context(), p, from, to, rev, n)
	if err != nil {
		t.Fatalf("Scan(%q, %q, %q, %v, %d): %v", p, from, to, rev, n, err)
	}
	var b strings.Builder
	for _, r := range rows {
		if r.P != p {
			t.Errorf("Scan of partition %q gave a row of %q", p, r.P)
		}
		if r.V == 0 {
			t.Errorf("Scan gave %q with version 0", r.S)
		}
		fmt.Fprintf(&b, "%s ", strings.Trim(fmt.Sprintf("%q", r.S), `"`))
	}
	if more {
		b.WriteString("…")
	}
	return strings.TrimSpace(b.String())
}

func testGet(t *testing.T, s kv.Store) {
	commit(t, s, put("p", "a", "1"), put("p", "b", ""), put("q", "a", "3"))
	rows, err := s.Get(t.Context(), key("q", "a"), key("p", "nobody"), key("p", "b"), key("p", "a"), key("p", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 5 {
		t.Fatalf("got %d rows, want one a key: 5", len(rows))
	}
	for i, want := range []struct {
		k kv.Key
		d string
	}{{key("q", "a"), "3"}, {key("p", "nobody"), ""}, {key("p", "b"), ""}, {key("p", "a"), "1"}, {key("p", "b"), ""}} {
		if rows[i].Key != want.k || string(rows[i].D) != want.d {
			t.Errorf("row %d: got %v %q, want %v %q", i, rows[i].Key, rows[i].D, want.k, want.d)
		}
		if missing := want.k.S == "nobody"; missing != (rows[i].V == 0) || missing && rows[i].D != nil {
			t.Errorf("row %d %v: got version %d, data %v", i, want.k, rows[i].V, rows[i].D)
		}
	}
	if rows, err := s.Get(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("Get of no keys: %d rows, %v", len(rows), err)
	}
}

func testScan(t *testing.T, s kv.Store) {
	for _, k := range []string{"c", "a", "e", "b", "d"} {
		commit(t, s, put("p", k, k))
	}
	commit(t, s, put("o", "z", ""), put("q", "0", ""), del("p", "nobody"))
	for _, c := range []struct {
		from, to string
		rev      bool
		n        int
		want     string
	}{
		{"", "", false, 0, "a b c d e"},
		{"", "", true, 0, "e d c b a"},
		{"", "", false, -1, "a b c d e"},
		{"b", "", false, 0, "b c d e"},
		{"b", "", true, 0, "e d c b"},
		{"bb", "", false, 0, "c d e"},
		{"", "d", false, 0, "a b c"},
		{"", "d", true, 0, "c b a"},
		{"", "dd", true, 0, "d c b a"},
		{"b", "e", false, 0, "b c d"},
		{"b", "e", true, 0, "d c b"},
		{"", "", false, 2, "a b …"},
		{"", "", true, 2, "e d …"},
		{"", "", false, 5, "a b c d e"},
		{"", "", true, 5, "e d c b a"},
		{"", "", false, 4, "a b c d …"},
		{"b", "d", false, 1, "b …"},
		{"b", "d", false, 2, "b c"},
		{"b", "d", true, 1, "c …"},
		{"b", "d", true, 2, "c b"},
		{"b", "b", false, 0, ""},
		{"d", "b", false, 0, ""},
		{"d", "b", true, 0, ""},
		{"f", "", false, 0, ""},
		{"f", "", true, 0, ""},
		{"", "a", false, 0, ""},
		{"", "a", true, 0, ""},
	} {
		if got := scan(t, s, "p", c.from, c.to, c.rev, c.n); got != c.want {
			t.Errorf("Scan(from %q, to %q, rev %v, n %d): got %q, want %q", c.from, c.to, c.rev, c.n, got, c.want)
		}
	}
	commit(t, s, del("p", "c"), del("p", "e"))
	if got, want := scan(t, s, "p", "", "", true, 2), "d b …"; got != want {
		t.Errorf("after two deletes, backwards: got %q, want %q", got, want)
	}
	if got, want := scan(t, s, "p", "b", "", false, 2), "b d"; got != want {
		t.Errorf("after two deletes, a deleted row is not more: got %q, want %q", got, want)
	}
	if got := scan(t, s, "nobody", "", "", false, 0); got != "" {
		t.Errorf("empty partition: got %q", got)
	}
}

func testPartitions(t *testing.T, s kv.Store) {
	// Joined without care, the keys of these partitions would mix.
	rows := map[string][]string{
		"a":        {"\x00", "\x00x", "\x01", "b", "b\x00c", "\xff", "\xff\xff"},
		"a\x01":    {"\x00", "in between"},
		"ab":       {"\x00", "a", "b"},
		"a\xff":    {"z"},
		"\x01":     {"s"},
		"\xff\xff": {"\xff\xff"},
		"!":        {"s"},
	}
	for p, keys := range rows {
		for _, k := range keys {
			commit(t, s, put(p, k, p+k))
		}
	}
	for p, keys := range rows {
		quoted := func(rev bool) string {
			var b []string
			for i := range keys {
				if rev {
					i = len(keys) - 1 - i
				}
				b = append(b, strings.Trim(fmt.Sprintf("%q", keys[i]), `"`))
			}
			return strings.Join(b, " ")
		}
		if got, want := scan(t, s, p, "", "", false, 0), quoted(false); got != want {
			t.Errorf("partition %q: got %s, want %s", p, got, want)
		}
		if got, want := scan(t, s, p, "", "", true, 0), quoted(true); got != want {
			t.Errorf("partition %q backwards: got %s, want %s", p, got, want)
		}
		for _, k := range keys {
			if r := get(t, s, p, k); string(r.D) != p+k {
				t.Errorf("Get(%q, %q): got %q", p, k, r.D)
			}
		}
	}
}

func testOrder(t *testing.T, s kv.Store) {
	// By bytes: not by rune, by case or by number; a prefix comes first.
	want := []string{"\x00", "\x01", "-", ".", "/", "10", "9", "A", "a", "a\x00", "a!", "a-b", "a.b", "a/", "a0", "aa", "z", "\u00e9", "\uffff", "\U0001F4F7", "\xfe", "\xff"}
	for i := range want {
		commit(t, s, put("p", want[(i*7)%len(want)], "x"))
	}
	rows, _, err := s.Scan(t.Context(), "p", "", "", false, 0)
	if err != nil || len(rows) != len(want) {
		t.Fatalf("got %d rows, %v; want %d", len(rows), err, len(want))
	}
	for i, r := range rows {
		if r.S != want[i] {
			t.Errorf("row %d: got %q, want %q", i, r.S, want[i])
		}
	}
}
