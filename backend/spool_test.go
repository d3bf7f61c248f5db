package backend

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// onDisk is how many bytes a directory takes.
func onDisk(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil { // it may be gone
				n += info.Size()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func spoolName(i int) string {
	return object.OriginalPrefix("testuser23456") + fmt.Sprintf("2026-11/01JE%022d-a.jpg", i)
}

// A spool never takes more than its bound, however many uploads there are at once, and
// whether or not they said how long they are; afterwards nothing is reserved.
func TestSpoolIsBounded(t *testing.T) {
	const most = 1 << 20
	dir := filepath.Join(t.TempDir(), "spool")
	s, err := OpenSpool(dir, most)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 64 {
		wait.Go(func() {
			size := int64(100_000)
			if i%3 == 0 {
				size = -1
			}
			w := s.begin(spoolName(i), size)
			if w == nil {
				return
			}
			for range 10 {
				w.Write(bytes.Repeat([]byte{byte(i)}, 10_000))
				if n := onDisk(t, dir); n > most {
					t.Errorf("%d bytes on disk, at most %d may be", n, most)
				}
			}
			w.end(i%5 != 0)
		})
	}
	wait.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept int64
	for at := s.order.Front(); at != nil; at = at.Next() {
		kept += at.Value.(spooled).size
	}
	if s.used != kept || kept > most || len(s.files) == 0 {
		t.Errorf("%d bytes are reserved for %d in %d files", s.used, kept, len(s.files))
	}
	if n := onDisk(t, dir); n != kept {
		t.Errorf("%d bytes on disk, want %d", n, kept)
	}
}

func TestSpool(t *testing.T) {
	s, err := OpenSpool(filepath.Join(t.TempDir(), "spool"), 4000)
	if err != nil {
		t.Fatal(err)
	}
	put := func(i, told, n int) {
		w := s.begin(spoolName(i), int64(told))
		if w != nil {
			w.Write(make([]byte, n))
		}
		w.end(true)
	}
	has := func(i int) bool {
		f, size, ok := s.open(spoolName(i))
		if ok {
			f.(*os.File).Close()
		}
		return ok && size > 0
	}
	put(1, 1000, 1000)
	put(2, -1, 1000)
	put(3, 1001, 1001) // more than a quarter
	put(4, -1, 1001)
	put(5, 10, 1001)
	for i, want := range map[int]bool{1: true, 2: true, 3: false, 4: false, 5: false} {
		if has(i) != want {
			t.Errorf("%d: got %v, want %v", i, has(i), want)
		}
	}
	for i := 6; i < 9; i++ {
		put(i, 1000, 1000)
	}
	if has(1) || !has(2) || !has(8) {
		t.Error("not the earliest made room")
	}
	s.drop(spoolName(2))
	s.drop(spoolName(2))
	if s.used != 3000 {
		t.Errorf("%d bytes used, want 3000", s.used)
	}
	var none *Spool
	if none.begin("x", 1) != nil {
		t.Error("no spool keeps something")
	}
}

func TestSpoolOfParts(t *testing.T) {
	s, err := OpenSpool(filepath.Join(t.TempDir(), "spool"), 8000)
	if err != nil {
		t.Fatal(err)
	}
	part := func(i, number, n int) object.Part {
		w := s.beginPart(spoolName(i), number, int64(n))
		if w != nil {
			w.Write(bytes.Repeat([]byte{byte('0' + number)}, n))
		}
		w.end(true)
		return object.Part{Number: number, Size: int64(n)}
	}
	content := func(i int) string {
		f, _, ok := s.open(spoolName(i))
		if !ok {
			return "none"
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, test := range []struct {
		name   string
		parts  func(i int) []object.Part
		wanted bool
		want   string
	}{
		{"two", func(i int) []object.Part { b := part(i, 2, 2); return []object.Part{part(i, 1, 3), b} }, true, "11122"},
		{"sent again", func(i int) []object.Part { part(i, 1, 7); return []object.Part{part(i, 1, 2)} }, true, "11"},
		{"sent again, too large", func(i int) []object.Part {
			part(i, 2, 2)
			return []object.Part{part(i, 1, 3), part(i, 2, 1500)}
		}, true, "none"},
		{"sent again, of unknown size", func(i int) []object.Part {
			part(i, 1, 3)
			s.beginPart(spoolName(i), 1, -1).end(true)
			return []object.Part{{Number: 1, Size: 3}}
		}, true, "none"},
		{"one is not of it", func(i int) []object.Part { part(i, 2, 2); return []object.Part{part(i, 1, 3)} }, true, "111"},
		{"one is not there", func(i int) []object.Part { return []object.Part{part(i, 1, 3), {Number: 2, Size: 2}} }, true, "none"},
		{"another size", func(i int) []object.Part { part(i, 1, 3); return []object.Part{{Number: 1, Size: 4}} }, true, "none"},
		{"too large", func(i int) []object.Part { return []object.Part{part(i, 1, 10), part(i, 2, 1990)} }, true, "none"},
		{"not wanted", func(i int) []object.Part { return []object.Part{part(i, 1, 3)} }, false, "none"},
	} {
		i := len(test.name)
		s.join(spoolName(i), test.parts(i), test.wanted)
		if got := content(i); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		s.drop(spoolName(i))
		if left := onDisk(t, s.dir); left != 0 || s.used != 0 {
			t.Errorf("%s: %d bytes are left, %d counted", test.name, left, s.used)
		}
	}
}

// An upload whose end is asked for twice, as by a client that lost the answer: the second
// touches nothing of what is spooled, which may be being read.
func TestSpoolJoinTwice(t *testing.T) {
	s, err := OpenSpool(filepath.Join(t.TempDir(), "spool"), 8000)
	if err != nil {
		t.Fatal(err)
	}
	w := s.beginPart(spoolName(1), 1, 3)
	w.Write([]byte("abc"))
	w.end(true)
	parts := []object.Part{{Number: 1, Size: 3}}
	s.join(spoolName(1), parts, true)
	f, _, ok := s.open(spoolName(1))
	if !ok {
		t.Fatal("not spooled")
	}
	defer f.Close()
	s.join(spoolName(1), parts, true)
	if got, err := io.ReadAll(f); err != nil || string(got) != "abc" {
		t.Errorf("what was open: got %q, %v", got, err)
	}
	again, _, ok := s.open(spoolName(1))
	if !ok {
		t.Fatal("not spooled any more")
	}
	again.Close()
	s.drop(spoolName(1))
	if left := onDisk(t, s.dir); left != 0 || s.used != 0 {
		t.Errorf("%d bytes are left, %d counted", left, s.used)
	}
}
