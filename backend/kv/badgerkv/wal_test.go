package badgerkv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// TestDamagedLog damages the write-ahead log of a store that was not closed.
// What Open then lets pass may lack the last commit, and nothing else.
func TestDamagedLog(t *testing.T) {
	const commits = 100
	from := t.TempDir()
	s := open(t, from)
	for i := range commits {
		commit(t, s, put("p", fmt.Sprintf("%03d", i), "data"), put("h", "-", fmt.Sprint(i)))
	}
	logs, _ := filepath.Glob(filepath.Join(from, "*.mem"))
	if len(logs) != 1 {
		t.Fatalf("%d logs, want 1", len(logs))
	}
	f, err := os.Open(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 64<<10)
	if _, err := f.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	size := len(data)
	for data[size-1] == 0 {
		size--
	}

	try := func(what string, damage func(*os.File) error, older bool) (rows int, err error) {
		t.Helper()
		dir := t.TempDir()
		copyDir(t, from, dir)
		f, err := os.OpenFile(filepath.Join(dir, filepath.Base(logs[0])), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(damage(f), f.Close()); err != nil {
			t.Fatal(err)
		}
		if older {
			if err := os.WriteFile(filepath.Join(dir, "99999.mem"), make([]byte, walHead), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := checkLogs(dir); err != nil {
			_, openErr := Open(dir, &Options{MinFree: -1})
			if !errors.Is(err, kv.ErrDamaged) || !errors.Is(openErr, kv.ErrDamaged) {
				t.Errorf("%s: got %v, and %v from Open; want ErrDamaged", what, err, openErr)
			}
			return 0, err
		}
		s := open(t, dir)
		defer s.Close()
		got, _, err := s.Scan(t.Context(), "p", "", "", false, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range got {
			if r.S != fmt.Sprintf("%03d", i) {
				t.Errorf("%s: row %d is %s: a hole", what, i, r.S)
			}
		}
		return len(got), nil
	}
	flip := func(at int) func(*os.File) error {
		return func(f *os.File) error {
			_, err := f.WriteAt([]byte{data[at] ^ 0x10}, int64(at))
			return err
		}
	}
	if n, err := try("unharmed", func(*os.File) error { return nil }, false); err != nil || n != commits {
		t.Errorf("unharmed: %d rows, %v; want %d", n, err, commits)
	}
	if n, err := try("unharmed, with a successor", func(*os.File) error { return nil }, true); err != nil && n != commits {
		t.Errorf("unharmed, with a successor: %d rows, %v", n, err)
	}
	for at := walHead; at < size; at += size / 7 {
		n, err := try(fmt.Sprintf("bit flipped at %d of %d", at, size), flip(at), false)
		if err == nil && n < commits-1 {
			t.Errorf("bit flipped at %d of %d: %d of %d commits are left, and no error", at, size, n, commits)
		}
	}
	if n, err := try("last byte flipped", flip(size-1), false); err != nil || n != commits-1 {
		t.Errorf("last commit torn: %d rows, %v; want %d", n, err, commits-1)
	}
	if _, err := try("last byte flipped, with a successor", flip(size-1), true); err == nil {
		t.Error("last commit of an older log damaged: no error")
	}
	cut := func(f *os.File) error { return f.Truncate(int64(size - 3)) }
	if n, err := try("cut off", cut, false); err != nil || n != commits-1 {
		t.Errorf("cut off: %d rows, %v; want %d", n, err, commits-1)
	}
}
