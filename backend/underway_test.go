package backend_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// TestUploadsUnderWay: what is under way of all kinds, whose it is, how far, and the end.
func TestUploadsUnderWay(t *testing.T) {
	ctx, now := t.Context(), time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	b := backend.New(membucket.New(), memkv.New(), &backend.Options{Now: func() time.Time { return now }})
	open := func(a backend.Access) *backend.Library {
		l, err := b.Library(ctx, "aaaaaaaaaaaaa", a)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open(backend.Access{})
	for _, name := range []backend.Key{"photos", "other"} {
		if _, err := l.Mkdir(ctx, name, nil); err != nil {
			t.Fatal(err)
		}
	}
	u, err := open(backend.Access{By: "LAPTOP"}).CreateUpload(ctx, "photos/a.mp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	for n, body := range []string{"one", "two", "three"} {
		if _, err := l.PutPart(ctx, u.ID, n+1, strings.NewReader(body), int64(len(body)), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	if _, err := open(backend.Access{By: "PHONE"}).OpenChunked(ctx, "chunked", "", nil); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if _, err := l.PutChunk(ctx, "chunked", backend.ChunkPlace{Order: 1, Part: 1, Name: "1"}, strings.NewReader("chunk"), 5, nil); err != nil {
		t.Fatal(err)
	}
	list, err := l.UploadsUnderWay(ctx)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if c := list[0]; c.ID != "chunked" || !c.Chunked || c.Key != "" || c.By != "PHONE" || c.Parts != 1 || c.Bytes != 5 || !c.Last.Equal(now) {
		t.Errorf("the first is %+v", c)
	}
	if c := list[1]; c.ID != u.ID || c.Chunked || c.Key != "photos/a.mp4" || c.By != "LAPTOP" || c.Parts != 3 || c.Bytes != 11 || !c.Last.Equal(now.Add(-61*time.Minute)) {
		t.Errorf("the second is %+v", c)
	}
	other, err := l.Stat(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := open(backend.Access{Root: other.Ino}).UploadsUnderWay(ctx); err != nil || len(list) != 1 || list[0].Key != "" {
		t.Errorf("within another library: %+v, %v", list, err)
	}
	for _, id := range []string{u.ID, "chunked"} {
		if err := l.Abort(ctx, id); err != nil {
			t.Errorf("abort %s: %v", id, err)
		}
		if err := l.Abort(ctx, id); !errors.Is(err, backend.ErrNoUpload) {
			t.Errorf("abort %s again: %v", id, err)
		}
	}
	if list, err := l.UploadsUnderWay(ctx); err != nil || len(list) != 0 {
		t.Errorf("after it: %+v, %v", list, err)
	}
}
