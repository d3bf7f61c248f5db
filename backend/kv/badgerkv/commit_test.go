package badgerkv

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// gather starts commits while another has the turn, waits until all of them wait, and
// returns their outcomes.
func gather(t *testing.T, s *Store, commits ...[]kv.Op) []error {
	t.Helper()
	type outcome struct {
		i   int
		err error
	}
	done := make(chan outcome)
	s.queue.turn.Lock()
	for i, ops := range commits {
		go func() { done <- outcome{i, s.Commit(t.Context(), ops)} }()
		for waiting := 0; waiting <= i; runtime.Gosched() {
			s.queue.mu.Lock()
			waiting = len(s.queue.waiting)
			s.queue.mu.Unlock()
		}
	}
	s.queue.turn.Unlock()
	errs := make([]error, len(commits))
	for range commits {
		o := <-done
		errs[o.i] = o.err
	}
	return errs
}

// TestGroup: commits that wait together are one transaction, and so one sync.
func TestGroup(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, put("p", "a", "0"))
	before := get(t, s, "p", "a").V
	var commits [][]kv.Op
	for i := range 64 {
		commits = append(commits, []kv.Op{put("p", fmt.Sprint(i), "d"), {Key: kv.Key{P: "p", S: "a"}, Kind: kv.Check, Cond: kv.Present}})
	}
	commits = append(commits, []kv.Op{put("p", "x", "d"), {Key: kv.Key{P: "p", S: "b"}, Kind: kv.Check, Cond: kv.Present}})
	for i, err := range gather(t, s, commits...) {
		switch ce := (*kv.CondError)(nil); {
		case i < 64 && err != nil:
			t.Errorf("commit %d: %v", i, err)
		case i == 64 && (!errors.As(err, &ce) || ce.Index != 1):
			t.Errorf("a condition that does not hold: got %v", err)
		}
	}
	for i := range 64 {
		if r := get(t, s, "p", fmt.Sprint(i)); r.V != before+1 {
			t.Errorf("row %d has version %d, want %d", i, r.V, before+1)
		}
	}
	if r := get(t, s, "p", "x"); r.V != 0 {
		t.Error("a commit whose condition does not hold was made with the others")
	}
}

// TestGroupConflict: of commits that touch the same row, each sees what the one before did.
func TestGroupConflict(t *testing.T) {
	s := open(t, t.TempDir())
	create := func(d string) []kv.Op {
		return []kv.Op{{Key: kv.Key{P: "p", S: "a"}, Cond: kv.Absent, D: []byte(d)}}
	}
	errs := gather(t, s, create("1"), create("2"), []kv.Op{{Key: kv.Key{P: "p", S: "a"}, Cond: kv.Present, D: []byte("3")}},
		[]kv.Op{{Key: kv.Key{P: "p", S: "a"}, Kind: kv.Del, Cond: kv.Present}}, create("4"))
	ce := (*kv.CondError)(nil)
	if errs[0] != nil || !errors.As(errs[1], &ce) || errs[2] != nil || errs[3] != nil || errs[4] != nil {
		t.Errorf("got %v", errs)
	}
	if got := string(get(t, s, "p", "a").D); got != "4" {
		t.Errorf("got %q, want 4", got)
	}
}

// TestGroupLimit: more than a transaction takes is made in several.
func TestGroupLimit(t *testing.T) {
	s := open(t, t.TempDir())
	var commits [][]kv.Op
	big := strings.Repeat("x", kv.MaxData)
	for i := range 3 {
		var ops []kv.Op
		for j := range 60 {
			ops = append(ops, put("p", fmt.Sprint(i, "-", j), big))
		}
		commits = append(commits, ops)
	}
	if err := errors.Join(gather(t, s, commits...)...); err != nil {
		t.Fatal(err)
	}
	if first, last := get(t, s, "p", "0-0").V, get(t, s, "p", "2-59").V; last != first+2 {
		t.Errorf("versions %d and %d", first, last)
	}
}

// TestReadDoesNotWait: reads see the last version while a commit is on its way.
func TestReadDoesNotWait(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, put("p", "a", "1"))
	s.queue.turn.Lock()
	defer s.queue.turn.Unlock()
	if got := string(get(t, s, "p", "a").D); got != "1" {
		t.Errorf("got %q", got)
	}
}

// TestOldVersions: Badger keeps what a read still sees, and not what none does.
func TestOldVersions(t *testing.T) {
	dir := t.TempDir()
	a, b := kv.Key{P: "p", S: "a"}, kv.Key{P: "p", S: "b"}
	// Each store that is closed leaves a table, and enough of them are compacted.
	s := open(t, dir)
	for range 8 {
		commit(t, s, put("p", "a", "old"), put("p", "b", "old"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	txn, err := s.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		commit(t, s, put("p", "a", fmt.Sprint(i)), put("p", "b", fmt.Sprint(i)))
	}
	commit(t, s, kv.Op{Key: b, Kind: kv.Del})
	if err := s.db.Flatten(2); err != nil {
		t.Fatal(err)
	}
	for _, k := range []kv.Key{a, b} {
		item, err := txn.Get(badgerKey(k))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := item.ValueCopy(nil); err != nil || string(d) != "old" {
			t.Errorf("%s: a read under way sees %q, %v", k.S, d, err)
		}
	}
	s.end(txn)
	if len(s.readers) != 0 {
		t.Errorf("readers left: %v", s.readers)
	}
	for range 8 {
		commit(t, s, put("p", "c", ""))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	if err := s.db.Flatten(2); err != nil {
		t.Fatal(err)
	}
	versions := 0
	txn = s.db.NewTransactionAt(s.last, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true, Prefix: badgerKey(a)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		versions++
	}
	if versions != 1 {
		t.Errorf("%d versions of a row are kept", versions)
	}
}

// TestIndexOfBefore: an index that was written when Badger gave out the versions.
func TestIndexOfBefore(t *testing.T) {
	dir := t.TempDir()
	db, err := badger.Open(badgerOptions(dir, &Options{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		err := db.Update(func(txn *badger.Txn) error {
			return txn.Set(badgerKey(kv.Key{P: "p", S: "a"}), fmt.Append(nil, i))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	old := get(t, s, "p", "a")
	if string(old.D) != "9" {
		t.Errorf("got %q", old.D)
	}
	commit(t, s, kv.Op{Key: old.Key, Cond: kv.At, V: old.V, D: []byte("10")})
	if got := get(t, s, "p", "a"); got.V <= old.V || string(got.D) != "10" {
		t.Errorf("got %q, version %d after %d", got.D, got.V, old.V)
	}
}

// TestLoadBrokenOff: what there is of a load that failed can be seen, and so cleared, and
// its version is not given out again.
func TestLoadBrokenOff(t *testing.T) {
	s := open(t, t.TempDir())
	big := []byte(strings.Repeat("x", kv.MaxData))
	err := s.Load(t.Context(), func(yield func(kv.Row) bool) {
		for i := range 200 { // more than a transaction takes
			if !yield(kv.Row{Key: kv.Key{P: "p", S: fmt.Sprintf("%03d", i)}, D: big}) {
				return
			}
		}
		yield(kv.Row{Key: kv.Key{P: "p"}})
	})
	if err == nil {
		t.Fatal("a row without a key was loaded")
	}
	rows, _, err := s.Scan(t.Context(), "p", "", "", false, 0)
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows to be seen, %v", len(rows), err)
	}
	commit(t, s, put("q", "a", ""))
	if v := get(t, s, "q", "a").V; v <= rows[0].V {
		t.Errorf("version %d comes again, after %d", v, rows[0].V)
	}
}

// TestCommitBesideLoad: a load of one user's rows takes seconds, and nobody waits for it.
func TestCommitBesideLoad(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, put("q", "a", "before"))
	const n = 50_000 // more than a transaction takes
	made := make(chan error, 1)
	err := s.Load(t.Context(), func(yield func(kv.Row) bool) {
		for i := range n {
			if i == n/2 {
				go func() {
					made <- s.Commit(t.Context(), []kv.Op{put("q", "a", "meanwhile"), {Key: kv.Key{P: "q", S: "b"}, Kind: kv.Del}})
				}()
				select {
				case err := <-made:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(time.Minute):
					t.Error("a commit waits for the load")
				}
				if got := get(t, s, "q", "a"); string(got.D) != "meanwhile" {
					t.Errorf("got %q", got.D)
				}
				if rows, _, err := s.Scan(t.Context(), "p", "", "", false, 1); err != nil || len(rows) != 0 {
					t.Errorf("%d rows can be seen before all can, %v", len(rows), err)
				}
			}
			if !yield(kv.Row{Key: kv.Key{P: "p", S: fmt.Sprintf("%05d", i)}, D: []byte("x")}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // and once more when it was closed and opened
		rows, _, err := s.Scan(t.Context(), "p", "", "", false, 0)
		if err != nil || len(rows) != n || string(get(t, s, "q", "a").D) != "meanwhile" {
			t.Errorf("%d of %d rows, %v, %q", len(rows), n, err, get(t, s, "q", "a").D)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	commit(t, s, put("q", "a", "after"))
	if got := get(t, s, "q", "a"); string(got.D) != "after" {
		t.Errorf("got %q", got.D)
	}
}
