package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// TestDeletedElsewhere: a password for a collection shows nothing of the trash of others that
// had its key before it.
func TestDeletedElsewhere(t *testing.T) {
	b := newBox(t)
	now := time.Date(2100, 7, 14, 9, 0, 0, 0, time.UTC) // after newBox made the library
	b.b = backend.New(b.bucket, b.x, &backend.Options{Now: func() time.Time { now = now.Add(time.Second); return now }})
	all, err := b.b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	b.Library = all
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// One that is called otherwise now, and one that was deleted.
	b.put("photos/shared/renamed.jpg", "a")
	b.put("photos/shared/keeps it", "a")
	must(b.Delete(t.Context(), "photos/shared/renamed.jpg", nil))
	_, _, err = b.Move(t.Context(), "photos/shared", "photos/private", nil)
	must(err)
	b.put("photos/shared/gone.jpg", "b")
	b.put("photos/shared/sub/gone.jpg", "b")
	must(b.Delete(t.Context(), "photos/shared/sub/gone.jpg", &backend.DeleteOptions{Prune: true}))
	must(b.Delete(t.Context(), "photos/shared", nil))

	shared, err := b.Mkdir(t.Context(), "photos/shared", nil)
	must(err)
	for _, key := range []string{"photos/shared/mine.jpg", "photos/shared/dir/mine.jpg", "photos/shared/pruned/mine.jpg", "photos/shared/earlier/mine.jpg"} {
		b.put(key, "c")
	}
	must(b.Delete(t.Context(), "photos/shared/mine.jpg", nil))
	must(b.Delete(t.Context(), "photos/shared/dir", nil))
	must(b.Delete(t.Context(), "photos/shared/pruned/mine.jpg", &backend.DeleteOptions{Prune: true}))

	lib, err := b.b.Library(t.Context(), uid, backend.Access{Root: shared.Ino})
	must(err)
	list := func() string {
		t.Helper()
		page, err := lib.ListDeleted(t.Context(), backend.ListOptions{Library: "photos", Max: 100})
		must(err)
		var keys []string
		for _, d := range page.Objects {
			keys = append(keys, d.Key)
		}
		return fmt.Sprint(keys)
	}
	if got, want := list(), "[shared/dir/mine.jpg shared/mine.jpg shared/pruned/mine.jpg]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, key := range []backend.Key{"photos/shared/renamed.jpg", "photos/shared/gone.jpg", "photos/shared/sub/gone.jpg"} {
		if found, err := lib.DeletedAs(t.Context(), key); err != nil || len(found) > 0 {
			t.Errorf("%s: got %v, %v", key, found, err)
		}
	}
	// Who sees everything sees these, too.
	if page, err := all.ListDeleted(t.Context(), backend.ListOptions{Library: "photos", Max: 100}); err != nil || len(page.Objects) != 6 {
		t.Errorf("all: got %+v, %v", page, err)
	}
}
