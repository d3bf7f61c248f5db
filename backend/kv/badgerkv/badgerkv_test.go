package badgerkv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, &Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func commit(t testing.TB, s *Store, ops ...kv.Op) {
	t.Helper()
	if err := s.Commit(t.Context(), ops); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func put(p, s, d string) kv.Op { return kv.Op{Key: kv.Key{P: p, S: s}, D: []byte(d)} }

func get(t testing.TB, s *Store, p, sort string) kv.Row {
	t.Helper()
	rows, err := s.Get(t.Context(), kv.Key{P: p, S: sort})
	if err != nil {
		t.Fatal(err)
	}
	return rows[0]
}

func TestStore(t *testing.T) {
	kvtest.Store(t, func(t *testing.T) kv.Store { return open(t, t.TempDir()) })
}

// TestOptions: what the promises rest on must not be lost in a refactoring.
func TestOptions(t *testing.T) {
	o := badgerOptions("dir", &Options{}, nil)
	if !o.SyncWrites {
		t.Error("SyncWrites is off: a power cut loses what was acknowledged")
	}
	if o.ChecksumVerificationMode != options.OnBlockRead {
		t.Error("damaged blocks would be served")
	}
	if o.ValueThreshold <= kv.MaxData {
		t.Errorf("ValueThreshold %d: rows would go to the value log", o.ValueThreshold)
	}
	if o.BlockCacheSize != 64<<20 || o.IndexCacheSize != 32<<20 {
		t.Errorf("caches of %d and %d bytes", o.BlockCacheSize, o.IndexCacheSize)
	}
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir, nil)
	if !errors.Is(err, kv.ErrInUse) || !strings.Contains(err.Error(), "another shoebox is running on this index") {
		t.Errorf("second Open: got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "index"), nil); err == nil || errors.Is(err, kv.ErrDamaged) {
		t.Errorf("Open below a file: got %v", err)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 100 {
		commit(t, s, put("p", fmt.Sprintf("%03d", i), "d"), put("q", fmt.Sprintf("%03d", i), "e"))
	}
	v := get(t, s, "p", "099").V
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	rows, _, err := s.Scan(t.Context(), "p", "", "", false, 0)
	if err != nil || len(rows) != 100 {
		t.Fatalf("got %d rows, %v; want 100", len(rows), err)
	}
	if got := get(t, s, "p", "099").V; got != v {
		t.Errorf("version was %d, is %d", v, got)
	}
	commit(t, s, put("p", "099", "d"))
	if got := get(t, s, "p", "099").V; got <= v {
		t.Errorf("version %d after %d", got, v)
	}
}

// TestVersionAfterCompaction: the newest row is deleted, both it and its
// tombstone are compacted away, and the store is opened again.
func TestVersionAfterCompaction(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	commit(t, s, put("p", "other", "d"))
	var last uint64
	for range 3 {
		for range 3 {
			commit(t, s, put("p", "a", "d"))
		}
		if v := get(t, s, "p", "a").V; v <= last {
			t.Fatalf("made again with version %d; it had %d before", v, last)
		} else {
			last = v
		}
		commit(t, s, kv.Op{Key: kv.Key{P: "p", S: "a"}, Kind: kv.Del})
		for range 2 { // once to write the table, once to compact it
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			if err := s.db.Flatten(1); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// copyDir copies the files of a store that is in use, as a snapshot of the disk
// would after a power cut. Holes stay holes: a log is 64 MiB of them.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	buf, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for _, f := range files {
		in, err := os.Open(filepath.Join(from, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(to, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var size int64
		for err == nil {
			var n int
			n, err = in.ReadAt(buf, size)
			if !bytes.Equal(buf[:n], zeros[:n]) {
				if _, err := out.WriteAt(buf[:n], size); err != nil {
					t.Fatal(err)
				}
			}
			size += int64(n)
		}
		if err != io.EOF {
			t.Fatal(err)
		}
		in.Close()
		if err := errors.Join(out.Truncate(size), out.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCopyWhileOpen(t *testing.T) {
	from := t.TempDir()
	s := open(t, from)
	for i := range 50 {
		commit(t, s, put("p", fmt.Sprintf("%03d", i), strings.Repeat("d", i)), put("q", "last", fmt.Sprint(i)))
		if i%10 != 9 {
			continue
		}
		to := t.TempDir()
		copyDir(t, from, to)
		c := open(t, to)
		rows, _, err := c.Scan(t.Context(), "p", "", "", false, 0)
		if err != nil || len(rows) != i+1 {
			t.Fatalf("the copy has %d rows, %v; %d were committed", len(rows), err, i+1)
		}
		for j, r := range rows {
			if len(r.D) != j {
				t.Errorf("row %s has %d bytes, want %d", r.S, len(r.D), j)
			}
		}
		if got := string(get(t, c, "q", "last").D); got != fmt.Sprint(i) {
			t.Errorf("last is %s, want %d", got, i)
		}
		c.Close()
	}
}

// TestDamagedTable: a flipped bit anywhere in the blocks of a table is found at
// Open, and by Verify while the store is open.
func TestDamagedTable(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 50 {
		commit(t, s, put("p", fmt.Sprintf("%03d", i), strings.Repeat(fmt.Sprint(i), 50)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	if len(tables) == 0 {
		t.Fatal("no table was written")
	}
	good, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if err := s.Verify(t.Context()); err != nil {
		t.Errorf("Verify of a good store: %v", err)
	}
	flip(t, tables[0], good, 30)
	if err := s.Verify(t.Context()); !errors.Is(err, kv.ErrDamaged) {
		t.Errorf("Verify: got %v, want ErrDamaged", err)
	}
	s.Close()
	for at := 0; at < len(good); at++ {
		if at < len(good)-200 && at%97 != 0 {
			continue // every byte of the footer, some of the rest
		}
		flip(t, tables[0], good, at)
		s, err := Open(dir, &Options{MinFree: -1})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, kv.ErrDamaged) {
			t.Errorf("bit flipped at %d of %d: Open gave %v, want ErrDamaged", at, len(good), err)
		}
	}
	if err := os.Remove(tables[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, &Options{MinFree: -1}); !errors.Is(err, kv.ErrDamaged) {
		t.Errorf("table missing: Open gave %v, want ErrDamaged", err)
	}
}

func flip(t *testing.T, name string, good []byte, at int) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bad := bytes.Clone(good)
	bad[at] ^= 4
	if _, err := f.WriteAt(bad, 0); err != nil {
		t.Fatal(err)
	}
}

func TestNoSpace(t *testing.T) {
	free := uint64(1 << 30)
	s, err := Open(t.TempDir(), &Options{Free: func() (uint64, error) { return free, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commit(t, s, put("p", "a", "1"))
	free = 100 << 20
	if err := s.Commit(t.Context(), []kv.Op{put("p", "a", "2")}); !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("Commit: got %v, want ErrNoSpace", err)
	}
	if got := string(get(t, s, "p", "a").D); got != "1" {
		t.Errorf("a refused commit was done: %q", got)
	}
	err = s.Load(t.Context(), func(yield func(kv.Row) bool) { yield(kv.Row{Key: kv.Key{P: "p", S: "b"}}) })
	if !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("Load: got %v, want ErrNoSpace", err)
	}
	free = 1 << 30
	commit(t, s, put("p", "a", "3"))

	free = 1 << 20
	if _, err := Open(t.TempDir(), &Options{Free: func() (uint64, error) { return free, nil }}); !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("Open: got %v, want ErrNoSpace", err)
	}
}

func TestFreeBytes(t *testing.T) {
	n, err := Free(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || n == 0 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestStoreError(t *testing.T) {
	for _, c := range []struct{ err, want error }{
		{badger.ErrTxnTooBig, kv.ErrTooLarge},
		{badger.ErrDBClosed, kv.ErrClosed},
		{badger.ErrBlockedWrites, kv.ErrClosed},
	} {
		if got := storeError("x", c.err); !errors.Is(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

func TestLog(t *testing.T) {
	var b bytes.Buffer
	s, err := Open(t.TempDir(), &Options{MinFree: -1, Logger: slog.New(slog.NewTextHandler(&b, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len() != 0 {
		t.Errorf("opening and closing told the operator:\n%s", b.String())
	}
}
