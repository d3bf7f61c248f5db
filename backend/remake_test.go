package backend_test

import (
	"io"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
)

// A program that can not make what an earlier one made, as without a tool that was there,
// takes nothing away: the variants and what is known of the picture stay, and it is not
// asked again.
func TestWorseProgram(t *testing.T) {
	ctx := t.Context()
	b := newBox(t)
	e := b.put("photos/a.gif", gif)
	q := job.New(b.x, nil)
	b.b = backend.New(b.bucket, b.x, &backend.Options{Queue: q, Variants: []string{"thumb-2222.webp"}})
	b.Library = b.as(backend.Access{})
	b.ok(b.b.PutVariant(ctx, uid, e.Object, "thumb", "1111", "webp", "image/webp", []byte("old")))
	finish := func(m backend.Media) {
		t.Helper()
		b.ok(b.b.Finish(ctx, uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m}}))
	}
	finish(backend.Media{Variants: []string{"thumb-1111.webp"}, Camera: "Holga"})
	finish(backend.Media{NoPreview: "there is no preview of GIF", By: "worse"})

	e = stat(t, b, "photos/a.gif")
	if m := e.Media; m.NoPreview != "" || m.Camera != "Holga" || len(m.Variants) != 1 || m.By != "worse" {
		t.Errorf("got %+v", m)
	}
	before, err := q.Stats(ctx)
	b.ok(err)
	body, _, err := b.OpenVariant(ctx, e, "thumb")
	b.ok(err)
	defer body.Close()
	if d, err := io.ReadAll(body); err != nil || string(d) != "old" {
		t.Errorf("got %q, %v", d, err)
	}
	if after, err := q.Stats(ctx); err != nil || after != before {
		t.Errorf("a look at it queued a job: %+v, %+v, %v", before, after, err)
	}
	for _, by := range []string{"worse", "better"} {
		c, err := b.b.Sweep(ctx, uid, by, "", 100, 100)
		if b.ok(err); (c.Queued > 0) != (by == "better") {
			t.Errorf("sweep by %s: %+v", by, c)
		}
	}
	finish(backend.Media{Variants: []string{"thumb-2222.webp"}, Camera: "Holga"})
	if m := stat(t, b, "photos/a.gif").Media; m.By != "" || len(b.objects("v1/v/")) != 0 {
		t.Errorf("made anew: %+v, %q", m, b.objects("v1/v/"))
	}
}
