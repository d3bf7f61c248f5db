package backend_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// shot puts a picture and says what processing has found in it.
func (b *box) shot(key, taken, camera string, keywords ...string) {
	b.t.Helper()
	e := b.put(key, "\xff\xd8\xff\xe0"+key)
	at, err := time.Parse(time.RFC3339, taken)
	b.ok(err)
	_, offset := at.Zone()
	m := backend.Media{Taken: at, Offset: offset / 60, TakenFrom: "exif", Camera: camera, Variants: []string{"thumb-1.webp"}}
	m.SetDetails(backend.Details{Lens: "Weitwinkel", Keywords: keywords})
	b.ok(b.b.Finish(b.t.Context(), uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m}}))
}

func (b *box) search(q string) (keys []string) {
	b.t.Helper()
	for cursor := ""; ; {
		page, err := b.Search(b.t.Context(), q, cursor, 2)
		b.ok(err)
		for _, e := range page.Items {
			keys = append(keys, string(e.Key))
		}
		if cursor = page.Next; cursor == "" {
			return keys
		}
	}
}

func TestSearch(t *testing.T) {
	b := newBox(t)
	b.shot("photos/Norwegen/a.jpg", "2024-07-14T10:00:00+02:00", "Apple iPhone 15", "Fjord", "Oma")
	b.shot("photos/Norwegen/b.jpg", "2024-07-15T10:00:00+02:00", "Canon EOS R5", "Fjord")
	// It was New Year's Day there, and still the old year in UTC.
	b.shot("photos/Tokio.jpg", "2025-01-01T08:00:00+09:00", "Apple iPhone 15")
	b.shot("photos/Cafe\u0301.jpg", "2023-05-05T10:00:00Z", "")
	for q, want := range map[string][]string{
		"fjord":            {"photos/Norwegen/b.jpg", "photos/Norwegen/a.jpg"},
		"FJORD iphone":     {"photos/Norwegen/a.jpg"},
		"norw":             {"photos/Norwegen/b.jpg", "photos/Norwegen/a.jpg"},
		"2024":             {"photos/Norwegen/b.jpg", "photos/Norwegen/a.jpg"},
		"2024-07-14":       {"photos/Norwegen/a.jpg"},
		"2024-07 canon":    {"photos/Norwegen/b.jpg"},
		"2025":             {"photos/Tokio.jpg"},
		"2025-01-01 apple": {"photos/Tokio.jpg"},
		"2024-12-31":       nil,
		"2024 2025":        nil,
		"caf\u00e9":        {"photos/Caf\u00e9.jpg"},
		"weitwinkel tokio": {"photos/Tokio.jpg"},
		"jpeg 2023":        {"photos/Caf\u00e9.jpg"},
		"nowhere":          nil,
		"":                 nil,
		"   ":              nil,
	} {
		got := b.search(q)
		for i := range got { // the spelling of a name is not the point here
			if got[i] == "photos/Cafe\u0301.jpg" {
				got[i] = "photos/Caf\u00e9.jpg"
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", q, got, want)
		}
	}
	b.ok(b.Delete(t.Context(), "photos/Norwegen/b.jpg", nil))
	if got := b.search("fjord"); len(got) != 1 {
		t.Errorf("what is in the trash is found: %q", got)
	}
	dir, err := b.Stat(t.Context(), "photos/Norwegen")
	b.ok(err)
	within, err := b.b.Library(t.Context(), uid, backend.Access{Root: dir.Ino})
	b.ok(err)
	if page, err := within.Search(t.Context(), "iphone", "", 10); err != nil || len(page.Items) != 1 {
		t.Errorf("within a folder: got %+v, %v", page, err)
	}
}

// A search that finds nothing looks at so many and no more, and goes on from there.
func TestSearchIsBounded(t *testing.T) {
	x, err := badgerkv.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	b := &box{t: t, bucket: membucket.New()}
	b.open(x)
	const n = 5100
	b.ok(backend.Fill(t.Context(), b.Library, x, n))
	looked, calls := 0, 0
	for cursor := ""; ; calls++ {
		page, err := b.Search(t.Context(), "nowhere", cursor, 10)
		b.ok(err)
		if page.Looked > 5000 || len(page.Items) > 0 {
			t.Fatalf("looked at %d, found %d", page.Looked, len(page.Items))
		}
		looked += page.Looked
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if looked != n || calls != 1 {
		t.Errorf("looked at %d in %d calls, want %d in 2", looked, calls+1, n)
	}
	day := time.UnixMilli(1_700_000_000_000).Add(2000 * time.Minute).UTC().Format(time.DateOnly)
	page, err := b.Search(t.Context(), fmt.Sprint("nowhere ", day), "", 10)
	if err != nil || page.Looked > 3500 || page.Looked < 1000 {
		t.Errorf("a day: looked at %+v, %v; want those of some hours before and after it", page, err)
	}
}
