package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

const uid = "u"

var part = []string{"d#u#"}

func open(t *testing.T, b object.Bucket, x kv.Store) *journal.Log {
	t.Helper()
	l, err := journal.Open(t.Context(), b, x, uid, &journal.Options{Prefixes: part})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func key(s string) kv.Key { return kv.Key{P: "d#u#x", S: s} }

func put(ctx context.Context, l *journal.Log, k, v string) error {
	return l.Update(ctx, "put", func(tx *journal.Tx) error {
		tx.Put(key(k), []byte(v))
		return nil
	})
}

func get(t *testing.T, x kv.Store, k string) string {
	t.Helper()
	rows, err := x.Get(t.Context(), key(k))
	if err != nil {
		t.Fatal(err)
	}
	return string(rows[0].D)
}

func segments(t *testing.T, b object.Bucket) (names []string) {
	t.Helper()
	for info, err := range b.List(t.Context(), object.LogPrefix(uid), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

func TestUpdateIsInBucketAndIndex(t *testing.T) {
	b, x := membucket.New(), memkv.New()
	l := open(t, b, x)
	if err := put(t.Context(), l, "a", `{"json":"<&>"}`); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), l, "b", "\x00\xffbinary"); err != nil {
		t.Fatal(err)
	}
	err := l.Update(t.Context(), "no", func(tx *journal.Tx) error { tx.Put(key("a"), []byte("changed")); return io.ErrNoProgress })
	if err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
	if n := len(segments(t, b)); n != 2 {
		t.Errorf("segments: got %d, want 2", n)
	}
	again := memkv.New()
	open(t, b, again)
	for _, store := range []kv.Store{x, again} {
		if a, b := get(t, store, "a"), get(t, store, "b"); a != `{"json":"<&>"}` || b != "\x00\xffbinary" {
			t.Errorf("got %q, %q", a, b)
		}
	}
}

func TestTxSeesWhatIsStaged(t *testing.T) {
	l := open(t, membucket.New(), memkv.New())
	for _, k := range []string{"a", "c", "e", "g"} {
		if err := put(t.Context(), l, k, k); err != nil {
			t.Fatal(err)
		}
	}
	scan := func(tx *journal.Tx, from, to string, rev bool, n int) string {
		rows, more, err := tx.Scan("d#u#x", from, to, rev, n)
		if err != nil {
			t.Error(err)
		}
		var out strings.Builder
		for _, r := range rows {
			out.WriteString(r.S)
		}
		return fmt.Sprint(out.String(), more)
	}
	err := l.Update(t.Context(), "x", func(tx *journal.Tx) error {
		tx.Put(key("b"), []byte("b"))
		tx.Del(key("c"))
		tx.Put(key("z"), []byte("z"))
		for _, c := range []struct {
			from, to string
			rev      bool
			n        int
			want     string
		}{
			{"", "", false, 0, "abegzfalse"},
			{"", "", true, 0, "zgebafalse"},
			{"", "", false, 2, "abtrue"},
			{"", "", false, 4, "abegtrue"},
			{"", "", true, 2, "zgtrue"},
			{"b", "g", false, 0, "befalse"},
			{"b", "g", true, 1, "etrue"},
		} {
			if got := scan(tx, c.from, c.to, c.rev, c.n); got != c.want {
				t.Errorf("scan %+v: got %s", c, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// While a segment is in flight, all that comes gathers for the next.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := objecttest.NewFaults(membucket.New())
		l := open(t, b, memkv.New())
		gate := make(chan struct{})
		b.Fail(objecttest.Fault{Method: objecttest.Put, Do: func(context.Context) error { <-gate; return nil }})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if err := put(t.Context(), l, fmt.Sprint(i), "x"); err != nil {
					t.Error(err)
				}
			})
		}
		gone, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := put(gone, l, "gone", "x"); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate)
		wg.Wait()
		if n := len(segments(t, b)); n > 2 { // 1 if all came before the first was on its way
			t.Errorf("segments: got %d, want at most 2", n)
		}
	})
}

// An append whose answer is lost is found to have happened, once.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, x := objecttest.NewFaults(membucket.New()), memkv.New()
		l := open(t, b, x)
		b.Fail(objecttest.Fault{Method: objecttest.Put, After: true})
		if err := put(t.Context(), l, "a", "1"); err != nil {
			t.Fatal(err)
		}
		if n := len(segments(t, b)); n != 1 || get(t, x, "a") != "1" {
			t.Errorf("segments %d, row %q", n, get(t, x, "a"))
		}
	})
}

// A bucket that stays away gives an error in the end; what it had taken all the same
// comes to light with the next update.
func TestNoVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []bool{false, true} {
			b, x := objecttest.NewFaults(membucket.New()), memkv.New()
			l := open(t, b, x)
			b.Fail(objecttest.Fault{Every: true, After: after})
			if err := put(t.Context(), l, "a", "1"); !errors.Is(err, object.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
			if get(t, x, "a") != "" {
				t.Error("a row without a verdict is visible")
			}
			b.Heal()
			if err := put(t.Context(), l, "b", "2"); err != nil {
				t.Fatal(err)
			}
			if got := get(t, x, "a") == "1"; got != after {
				t.Errorf("after=%v: the row is there: %v", after, got)
			}
			again := memkv.New()
			open(t, b, again)
			if get(t, again, "a") != get(t, x, "a") || get(t, again, "b") != "2" {
				t.Error("a rebuild differs")
			}
		}
	})
}

// Two writers can not both have a number: the slower one is told, reloads, and goes on
// after the other.
func TestFence(t *testing.T) {
	b := membucket.New()
	x1, x2 := memkv.New(), memkv.New()
	l1, l2 := open(t, b, x1), open(t, b, x2)
	if err := put(t.Context(), l1, "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), l2, "a", "2"); !errors.Is(err, journal.ErrFenced) {
		t.Fatalf("got %v", err)
	}
	if err := put(t.Context(), l2, "b", "2"); err != nil {
		t.Fatal(err)
	}
	if get(t, x2, "a") != "1" {
		t.Error("the second writer did not reload")
	}
	if n := len(segments(t, b)); n != 2 {
		t.Errorf("segments: got %d, want 2", n)
	}
}

// The index may lag behind the log, never the reverse: whatever call of the store fails,
// an acknowledged row is there after a restart, and one that is refused is there whole or
// not at all.
func TestEveryStoreCallFails(t *testing.T) {
	for n := 1; n < 30; n++ {
		for _, after := range []bool{false, true} {
			b, x := membucket.New(), memkv.New()
			l := open(t, b, x)
			_ = l
			f := kvtest.NewFaults(x, kvtest.Nth(n, kvtest.Fault{After: after}))
			l, err := journal.Open(t.Context(), b, f, uid, &journal.Options{Prefixes: part})
			if err != nil {
				continue
			}
			acked := make(map[string]bool)
			for i := range 5 {
				k := fmt.Sprint(i)
				acked[k] = put(t.Context(), l, k, "x") == nil
			}
			open(t, b, x)
			for k, ok := range acked {
				if ok && get(t, x, k) != "x" {
					t.Errorf("call %d, after=%v: acknowledged row %s is lost", n, after, k)
				}
			}
		}
	}
}

func TestDamageIsNamed(t *testing.T) {
	b, x := membucket.New(), memkv.New()
	l := open(t, b, x)
	for i := range 5 {
		if err := put(t.Context(), l, fmt.Sprint(i), strings.Repeat("x", i*3000)); err != nil {
			t.Fatal(err)
		}
	}
	names := segments(t, b)
	for i, damage := range map[int]func(d string) string{
		2: func(d string) string { return d[:len(d)-1] },
		3: func(d string) string { return strings.Replace(d, `"seq":4`, `"seq":5`, 1) },
		4: func(d string) string { return strings.ToUpper(d[:1]) + d[1:len(d)/2] + "?" + d[len(d)/2+1:] },
		1: func(d string) string { return strings.Replace(d, `"op":"0`, `"op":"1`, 1) },
	} {
		r, err := b.Get(t.Context(), names[i], 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		old, _ := io.ReadAll(r)
		bad := damage(string(old))
		if bad == string(old) {
			continue
		}
		b.Put(t.Context(), names[i], strings.NewReader(bad), int64(len(bad)), nil)
		if _, err := journal.Open(t.Context(), b, memkv.New(), uid, nil); !errors.Is(err, journal.ErrDamaged) {
			t.Errorf("segment %d: got %v", i, err)
		}
		b.Put(t.Context(), names[i], strings.NewReader(string(old)), int64(len(old)), nil)
	}
	b.Delete(t.Context(), names[2])
	if _, err := journal.Open(t.Context(), b, memkv.New(), uid, nil); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("missing segment: got %v", err)
	}
}

// An index that was away for so long that the segments it needs have expired is the one
// that is wrong, not the bucket.
func TestIndexOlderThanTheLog(t *testing.T) {
	b, old, x := membucket.New(), memkv.New(), memkv.New()
	l := open(t, b, old)
	for i := range 2 {
		if err := put(t.Context(), l, fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, b, x)
	for i := range 4 {
		if err := put(t.Context(), l, fmt.Sprint(i), "y"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), l, "last", "z"); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(6) {
		b.Delete(t.Context(), object.LogName(uid, seq+1))
	}
	if _, err := journal.Open(t.Context(), b, old, uid, nil); !errors.Is(err, journal.ErrIndex) {
		t.Errorf("old index: got %v", err)
	}
	if l = open(t, b, memkv.New()); l == nil {
		t.Error("an empty index is not loaded")
	}
}

// A writer that was idle for so long that what another has appended meanwhile has expired
// again must not take one of those numbers for the next.
func TestIdleWriterIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membucket.New()
		opt := &journal.Options{Prefixes: part, KeepSegments: 35 * 24 * time.Hour}
		var logs [2]*journal.Log
		for i := range logs {
			l, err := journal.Open(t.Context(), b, memkv.New(), uid, opt)
			if err != nil {
				t.Fatal(err)
			}
			logs[i] = l
		}
		if err := put(t.Context(), logs[0], "a", "x"); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			time.Sleep(20 * 24 * time.Hour)
			if err := put(t.Context(), logs[1], fmt.Sprint(i), "y"); err != nil && i > 0 {
				t.Fatal(err)
			}
			if err := logs[1].Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for info := range b.List(t.Context(), object.LogPrefix(uid), "") {
			if seq, _ := object.SeqOf(info.Name); seq < 3 {
				t.Fatal("nothing has expired: this tests nothing")
			}
		}
		if err := put(t.Context(), logs[0], "b", "x"); !errors.Is(err, journal.ErrIndex) {
			t.Errorf("got %v: a number was taken for the second time, or the bucket is blamed", err)
		}
		if _, err := journal.Open(t.Context(), b, memkv.New(), uid, opt); err != nil {
			t.Errorf("the log is forked: %v", err)
		}
	})
}

// A store that lost rows in the middle is found out by its markers.
func TestLostMarker(t *testing.T) {
	b, x := membucket.New(), memkv.New()
	l := open(t, b, x)
	for i := range 5 {
		if err := put(t.Context(), l, fmt.Sprint(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []kv.Key{{P: "hb#u", S: fmt.Sprintf("%016x", 3)}, {P: "h#u", S: "-"}} {
		rows, err := x.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		x.Commit(t.Context(), []kv.Op{{Key: k, Kind: kv.Del}})
		if _, err := journal.Open(t.Context(), b, x, uid, nil); !errors.Is(err, journal.ErrIndex) {
			t.Errorf("without %v: got %v", k, err)
		}
		x.Commit(t.Context(), []kv.Op{{Key: k, D: rows[0].D}})
	}
	open(t, b, x)
}

// A machine that is off every night writes a snapshot a day all the same: what has happened
// since the last is known after a start, with the index and without.
func TestSnapshotAcrossStarts(t *testing.T) {
	now := time.Now()
	b, x := membucket.New(), memkv.New()
	open := func() *journal.Log {
		t.Helper()
		l, err := journal.Open(t.Context(), b, x, uid, &journal.Options{Prefixes: part, SnapshotEvery: 10, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	change := func(l *journal.Log, n int) {
		t.Helper()
		for i := range n {
			if err := put(t.Context(), l, fmt.Sprint(i), now.String()); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := open()
	change(l, 4)
	l = open()
	change(l, 6)
	if !l.WantsSnapshot() {
		t.Error("no snapshot of ten changes, between which it was started")
	}
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, index := range []*memkv.Store{x, memkv.New()} {
		x = index
		l = open()
		now = now.Add(30 * time.Hour)
		if i == 0 && l.WantsSnapshot() {
			t.Error("a snapshot wanted of no change")
		}
		change(l, 1)
		now = now.Add(-15 * time.Hour)
		for range 2 {
			l = open()
			if l.WantsSnapshot() {
				t.Error("a snapshot wanted 15 hours after one")
			}
		}
		now = now.Add(10 * time.Hour)
		if l = open(); !l.WantsSnapshot() {
			t.Error("no snapshot wanted a day after one")
		}
		now = now.Add(-25 * time.Hour)
	}
}

func TestSnapshot(t *testing.T) {
	now := time.Now()
	b, x := membucket.New(), memkv.New()
	opt := &journal.Options{Prefixes: part, SnapshotEvery: 10, Now: func() time.Time { return now }, KeepSegments: time.Hour}
	l, err := journal.Open(t.Context(), b, x, uid, opt)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := put(t.Context(), l, fmt.Sprint(i), fmt.Sprint("value ", i)); err != nil {
				t.Fatal(err)
			}
		}
		if !l.WantsSnapshot() {
			t.Error("no snapshot wanted")
		}
		if err := l.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l.WantsSnapshot() {
			t.Error("another snapshot wanted")
		}
	}
	snapshot(0, 10)
	snapshot(10, 20)
	now = time.Now().Add(2 * time.Hour)
	snapshot(20, 30)
	if n := len(segments(t, b)); n != 10 {
		t.Errorf("segments: got %d, want 10: those since the older snapshot", n)
	}
	check := func() {
		t.Helper()
		again := memkv.New()
		open(t, b, again)
		for i := range 30 {
			if got := get(t, again, fmt.Sprint(i)); got != fmt.Sprint("value ", i) {
				t.Errorf("row %d: got %q", i, got)
			}
		}
	}
	check()
	// The newest is damaged: the one before it and the segments tell the same.
	name := object.SnapshotName(uid, 30)
	r, err := b.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := io.ReadAll(r)
	b.Put(t.Context(), name, strings.NewReader(string(d[:len(d)-5])), int64(len(d)-5), nil)
	check()
}

func FuzzSegment(f *testing.F) {
	f.Add([]byte("{\"v\":1,\"uid\":\"u\",\"seq\":1,\"n\":0}\n"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		b := membucket.New()
		if _, err := b.Put(t.Context(), object.LogName(uid, 1), strings.NewReader(string(stored)), int64(len(stored)), nil); err != nil {
			t.Fatal(err)
		}
		journal.Open(t.Context(), b, memkv.New(), uid, nil) // an error or not, never a panic
	})
}

// The loading of a snapshot is broken off, and the next one that is loaded is another: of
// the first nothing is left.
func TestBrokenLoad(t *testing.T) {
	b := membucket.New()
	l := open(t, b, memkv.New())
	for _, k := range []string{"a", "b"} {
		if err := put(t.Context(), l, k, "1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The head comes last: without it the load does not count.
	x := memkv.New()
	f := kvtest.NewFaults(x, func(c kvtest.Call) kvtest.Fault {
		return kvtest.Fault{Fail: slices.ContainsFunc(c.Ops, func(op kv.Op) bool { return op.P == "h#u" })}
	})
	if _, err := journal.Open(t.Context(), b, f, uid, &journal.Options{Prefixes: part}); err == nil {
		t.Fatal("the load was not broken off")
	}
	if get(t, x, "a") != "1" {
		t.Fatal("nothing was loaded")
	}
	err := l.Update(t.Context(), "del", func(tx *journal.Tx) error { tx.Del(key("a")); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, b, x)
	if got := get(t, x, "a"); got != "" || get(t, x, "b") != "1" {
		t.Errorf("got %q, %q", got, get(t, x, "b"))
	}
}

// A plan that is judged by what another of its batch has staged gets no answer before that
// is committed; if it never is, it is judged again.
func TestVerdictWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := objecttest.NewFaults(membucket.New())
		l := open(t, b, memkv.New())
		if err := put(t.Context(), l, "a", "1"); err != nil {
			t.Fatal(err)
		}
		del := func() error {
			return l.Update(t.Context(), "del", func(tx *journal.Tx) error {
				row, err := tx.Get(key("a"))
				if err == nil && row.V == 0 {
					err = io.EOF // gone: a client is told that it is done
				}
				tx.Del(key("a"))
				return err
			})
		}
		gate := make(chan struct{})
		b.Fail(objecttest.Fault{Method: objecttest.Put, Do: func(context.Context) error { <-gate; return nil }})
		b.Fail(objecttest.Fault{Method: objecttest.Put, N: 2, Err: object.ErrNoSpace})
		var wg sync.WaitGroup
		wg.Go(func() { put(t.Context(), l, "b", "1") }) // in flight while the others gather
		synctest.Wait()
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() { errs[i] = del() })
			synctest.Wait()
		}
		close(gate)
		wg.Wait()
		if !errors.Is(errs[0], object.ErrNoSpace) || errs[1] != nil {
			t.Errorf("got %v and %v; want the second to be done after the first failed", errs[0], errs[1])
		}
	})
}

// TestHeadNeverGoesBack: a commit of the index that was made although it failed is not made
// again by halves. A crash in between would leave a head behind its markers, which is what
// an index looks like that lost rows.
func TestHeadNeverGoesBack(t *testing.T) {
	b, x := objecttest.NewFaults(membucket.New()), memkv.New()
	newest, fault := uint64(0), false
	f := kvtest.NewFaults(x, func(c kvtest.Call) kvtest.Fault {
		for _, op := range c.Ops {
			var h struct{ Seq uint64 }
			if op.P != "h#"+uid || json.Unmarshal(op.D, &h) != nil {
				continue
			}
			if h.Seq < newest {
				t.Errorf("the head goes back from %d to %d", newest, h.Seq)
			}
			newest = h.Seq
			return kvtest.Fault{Fail: fault, After: true}
		}
		return kvtest.Fault{}
	})
	l, err := journal.Open(t.Context(), b, f, uid, &journal.Options{Prefixes: part})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t.Context(), l, "a", "1"); err != nil {
		t.Fatal(err)
	}
	rival := open(t, b, memkv.New())
	for i := range 5 {
		if err := put(t.Context(), rival, fmt.Sprint(i), "1"); err != nil {
			t.Fatal(err)
		}
	}
	fault = true
	for range 2 { // the first learns of the rival, the second reads on
		if err := put(t.Context(), l, "b", "1"); err == nil {
			t.Fatal("the commit did not fail")
		}
	}
	fault = false
	fifth := segments(t, b)[4]
	// Now only some of the segments can be read.
	b.Fail(objecttest.Fault{Every: true, Method: objecttest.Get, Name: func(name string) bool { return name == fifth }})
	put(t.Context(), l, "b", "2")
	b.Heal()
	if err := put(t.Context(), l, "b", "3"); err != nil {
		t.Error(err)
	}
	open(t, b, x)
	if got := get(t, x, "b") + get(t, x, "4"); got != "31" {
		t.Errorf("got %q", got)
	}
}
