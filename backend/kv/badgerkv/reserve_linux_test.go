package badgerkv

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// Every write-ahead log has all its blocks, also one that was begun later.
func TestLogsHaveBlocks(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, &Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	seen := map[string]bool{}
	look := func() {
		t.Helper()
		logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
		if err != nil || len(logs) == 0 {
			t.Fatal("no log", err)
		}
		for _, name := range logs {
			seen[name] = true
			fi, err := os.Stat(name)
			if err != nil {
				continue // flushed meanwhile
			}
			if got := fi.Sys().(*syscall.Stat_t).Blocks * 512; got < fi.Size() {
				t.Errorf("%s has %d bytes, and blocks for %d", filepath.Base(name), fi.Size(), got)
			}
		}
	}
	probe := filepath.Join(dir, "probe")
	if err := os.WriteFile(probe, make([]byte, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(probe, 1<<20); err != nil {
		t.Fatal(err)
	}
	if allocate(probe) != nil {
		t.Skip("the file system of the tests can not give a file blocks")
	}
	look()
	for i := 0; len(seen) < 2 && i < 200; i++ { // 60 KiB rows, ten a commit
		var ops []kv.Op
		for j := range 10 {
			ops = append(ops, kv.Op{Key: kv.Key{P: "p", S: strings.Repeat(string(rune('a'+j)), i%50+1)}, D: []byte(strings.Repeat("x", 60<<10))})
		}
		if err := s.Commit(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
		if i%9 == 8 {
			look()
		}
	}
	if len(seen) < 2 {
		t.Error("Badger has begun no second log")
	}
}

// On a full disk nothing is written to at the end either; the next start finds everything.
func TestCloseOnFullDisk(t *testing.T) {
	dir, free := t.TempDir(), uint64(1<<30)
	s, err := Open(dir, &Options{Free: func() (uint64, error) { return free, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.db.Close()
	commit(t, s, put("p", "a", "1"))
	free = 1 << 20
	if err := s.Close(); !errors.Is(err, kv.ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
	if tables, _ := filepath.Glob(filepath.Join(dir, "*.sst")); len(tables) > 0 {
		t.Error("it has written a table")
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(copied, &Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := string(get(t, again, "p", "a").D); got != "1" {
		t.Errorf("got %q", got)
	}
}
