package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
)

func TestStatNumber(t *testing.T) {
	l := newBox(t)
	for _, key := range []backend.Key{"photos/a.jpg", "photos/b.jpg"} {
		e, _, err := l.Put(t.Context(), key, strings.NewReader("x"), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.StatNumber(t.Context(), e.Ino.Number())
		if err != nil || got.Key != key || got.Ino != e.Ino {
			t.Errorf("%s: got %v, %v", key, got, err)
		}
		if e.Ino.Number()>>60 != 0 {
			t.Errorf("%d has more than 60 bits", e.Ino.Number())
		}
		other, err := l.b.Library(t.Context(), "otheruser2345", backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.StatNumber(t.Context(), e.Ino.Number()); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("another user's: got %v", err)
		}
		blind, err := l.b.Library(t.Context(), uid, backend.Access{Mode: backend.UploadOnly})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := blind.StatNumber(t.Context(), e.Ino.Number()); !errors.Is(err, backend.ErrForbidden) {
			t.Errorf("for who may only upload: got %v", err)
		}
		if err := l.Delete(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := l.StatNumber(t.Context(), e.Ino.Number()); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("in the trash: got %v", err)
		}
	}
	if e, err := l.StatNumber(t.Context(), backend.RootIno.Number()); err != nil || e.Ino != backend.RootIno {
		t.Errorf("the root: got %v, %v", e, err)
	}
	for _, n := range []uint64{0, 7, 1<<60 - 1, 1 << 60, 1<<64 - 1} {
		if _, err := l.StatNumber(t.Context(), n); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("%d: got %v", n, err)
		}
	}
}
