package backend_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
)

// What is in the trash is told by the keys it had, with its versions, and to whom it was
// visible.
func TestDeletedFiles(t *testing.T) {
	b := newBox(t)
	for _, k := range []string{"photos/a", "photos/dir/b", "photos/dir/sub/c", "photos/kept", "photos/other/d"} {
		b.put(k, "1 "+k)
		b.put(k, "2 "+k)
	}
	other := stat(t, b, "photos/other")
	if _, err := b.Mkdir(t.Context(), "slides", nil); err != nil {
		t.Fatal(err)
	}
	b.put("slides/x", "x")
	for _, k := range []backend.Key{"photos/a", "photos/dir", "slides/x", "photos/other/d"} {
		if err := b.Delete(t.Context(), k, nil); err != nil {
			t.Fatal(err)
		}
	}
	list := func(acc backend.Access, library backend.Key) (got []string) {
		t.Helper()
		l, err := b.b.Library(t.Context(), uid, acc)
		if err != nil {
			t.Fatal(err)
		}
		for d, err := range l.DeletedFiles(t.Context(), library) {
			if err != nil {
				return []string{"refused"}
			}
			versions, err := l.VersionsOf(t.Context(), d.Entry)
			if err != nil {
				t.Error(err)
			}
			got = append(got, fmt.Sprint(d.Entry.Key, " ", d.Cursor != "", " ", len(versions)))
		}
		slices.Sort(got)
		return got
	}
	for _, tt := range []struct {
		acc     backend.Access
		library backend.Key
		want    string
	}{
		{backend.Access{}, "photos", "[photos/a true 1 photos/dir/b false 1 photos/dir/sub/c false 1 photos/other/d true 1]"},
		{backend.Access{}, "slides", "[slides/x true 0]"},
		{backend.Access{Mode: backend.ReadOnly}, "slides", "[]"},
		{backend.Access{Mode: backend.UploadOnly}, "slides", "[refused]"},
		{backend.Access{Root: other.Ino}, "photos", "[photos/other/d true 1]"},
	} {
		if got := fmt.Sprint(list(tt.acc, tt.library)); got != tt.want {
			t.Errorf("%+v, %s: got %s, want %s", tt.acc, tt.library, got, tt.want)
		}
	}
	for range b.DeletedFiles(t.Context(), "photos") {
		break // is heeded
	}
}
