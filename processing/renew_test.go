package processing_test

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// Variants of another recipe are shown as they are, and made anew for the next time;
// those of today's are not. So are such as the bucket has lost.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		b.b = backend.New(b.bucket, b.x, &backend.Options{Sniff: media.Sniff, Queue: b.queue, Variants: render.Names()})
		var err error
		if b.Library, err = b.b.Library(t.Context(), uid, backend.Access{}); err != nil {
			t.Fatal(err)
		}
		e := b.put(t, "photos/a.jpg", testphoto.JPEG(testphoto.Quarters(640, 480)))
		worker := processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: t.TempDir()})
		b.run(t, worker, 60)

		look := func() (name string, err error) {
			e, err := b.Stat(t.Context(), "photos/a.jpg")
			if err != nil {
				t.Fatal(err)
			}
			body, name, err := b.OpenVariant(t.Context(), e, "thumb")
			if err == nil {
				io.Copy(io.Discard, body)
				body.Close()
			}
			return name, err
		}
		current := render.Recipes[1].Name()
		if name, err := look(); err != nil || name != current || b.stats(t).Queued != 0 {
			t.Fatalf("of today: got %s, %v, queue %+v", name, err, b.stats(t))
		}

		// As an earlier release made it.
		const old = "thumb-0badcafe." + render.Ext
		if err := b.b.PutVariant(t.Context(), uid, e.Object, "thumb", "0badcafe", render.Ext, render.Type, []byte("old")); err != nil {
			t.Fatal(err)
		}
		found := b.media(t, "photos/a.jpg")
		found.Variants = []string{old}
		if err := b.b.Finish(t.Context(), uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: found}}); err != nil {
			t.Fatal(err)
		}
		for range 3 { // it is queued once
			if name, err := look(); err != nil || name != old {
				t.Errorf("of yesterday: got %s, %v", name, err)
			}
		}
		if s := b.stats(t); s.Queued != 1 {
			t.Errorf("queue after a look at the old one: %+v", s)
		}
		b.run(t, worker, 60)
		if name, err := look(); err != nil || name != current || b.stats(t).Queued != 0 {
			t.Errorf("made anew: got %s, %v, queue %+v", name, err, b.stats(t))
		}

		if err := b.bucket.Delete(t.Context(), object.VariantName(uid, e.Object, current)); err != nil {
			t.Fatal(err)
		}
		if _, err := look(); err == nil {
			t.Error("a lost variant was shown")
		}
		b.run(t, worker, 60)
		if name, err := look(); err != nil || name != current {
			t.Errorf("lost: got %s, %v", name, err)
		}
	})
}
