package backend_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
)

// What has no preview is found, with the reason, and can be tried again, by whoever may
// change it.
func TestWithoutPreview(t *testing.T) {
	ctx := t.Context()
	b := newBox(t)
	q := job.New(b.x, nil)
	b.b = backend.New(b.bucket, b.x, &backend.Options{Queue: q})
	b.Library = b.as(backend.Access{})
	var bad *backend.Entry
	for i := range 5 {
		e := b.put(fmt.Sprintf("photos/%d.gif", i), gif)
		leases, err := q.Claim(ctx, 1)
		b.ok(err)
		m := backend.Media{Variants: []string{"thumb-1.webp"}}
		if i == 3 {
			bad, m = e, backend.Media{NoPreview: "the file is damaged", By: "me"}
		}
		b.ok(b.b.Finish(ctx, uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m, Done: q.DoneOps(leases[0])}}))
	}
	note := b.put("photos/note.txt", "no picture")
	page, err := b.WithoutPreview(ctx, "", 10)
	if b.ok(err); len(page.Items) != 1 || page.Items[0].Ino != bad.Ino || page.Next != "" || page.Looked != 5 {
		t.Fatalf("got %+v", page)
	}
	remaking := func(want bool) {
		t.Helper()
		if got, err := b.Remaking(ctx, bad); got != want || err != nil {
			t.Errorf("being made: got %v, %v, want %v", got, err, want)
		}
	}
	remaking(false)
	if _, err := b.as(backend.Access{Mode: backend.ReadOnly}).Remake(ctx, bad.Ino); !errors.Is(err, backend.ErrForbidden) {
		t.Errorf("by who may only read: %v", err)
	}
	if _, err := b.Remake(ctx, note.Ino); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("of a text: %v", err)
	}
	for range 2 {
		_, err = b.Remake(ctx, bad.Ino)
		b.ok(err)
	}
	remaking(true)
	leases, err := q.Claim(ctx, 10)
	if b.ok(err); len(leases) != 1 {
		t.Fatalf("%d jobs", len(leases))
	}
	remaking(true)
	b.ok(q.Fail(ctx, leases[0], errors.New("broken"), false))
	remaking(false)
	_, err = b.Remake(ctx, bad.Ino)
	b.ok(err)
	remaking(true)
}
