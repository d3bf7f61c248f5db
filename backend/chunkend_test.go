package backend_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// How uploads in chunks end when not all goes its way.

func chunk(t *testing.T, l *backend.Library, order, size int, body io.Reader) error {
	t.Helper()
	if body == nil {
		body = bytes.NewReader(make([]byte, size))
	}
	_, err := l.PutChunk(t.Context(), "nc-1", backend.ChunkPlace{Order: int64(order), Part: order + 1, Name: "chunk"}, body, int64(size), nil)
	return err
}

// reading calls before when the body is first read.
type reading struct {
	io.Reader
	before func()
}

func (r *reading) Read(p []byte) (int, error) {
	if r.before != nil {
		r.before()
		r.before = nil
	}
	return r.Reader.Read(p)
}

// A chunk that is on its way when its upload is aborted leaves nothing.
func TestLateChunk(t *testing.T) {
	b := newBox(t)
	if _, err := b.OpenChunked(t.Context(), "nc-1", "photos/a", nil); err != nil {
		t.Fatal(err)
	}
	late := &reading{bytes.NewReader([]byte("late")), func() {
		if err := b.AbortChunked(t.Context(), "nc-1"); err != nil {
			t.Error(err)
		}
	}}
	if err := chunk(t, b.Library, 0, 4, late); !errors.Is(err, backend.ErrNoUpload) {
		t.Errorf("got %v", err)
	}
	if n := originals(t, b.bucket); n != 0 {
		t.Errorf("%d objects are left", n)
	}
	if _, err := b.OpenChunked(t.Context(), "nc-1", "photos/a", nil); err != nil {
		t.Fatal(err)
	}
	if parts, err := b.Chunks(t.Context(), "nc-1"); err != nil || len(parts) != 0 {
		t.Errorf("the next upload of that name begins with %d chunks, %v", len(parts), err)
	}
}

// The bucket completed the object, and the append to the log failed: asked again, it is done.
func TestFinishChunkedAgain(t *testing.T) {
	f := objecttest.NewFaults(membucket.New())
	b := &box{t: t, bucket: f}
	b.open(memkv.New())
	if _, err := b.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.OpenChunked(t.Context(), "nc-1", "photos/a", nil); err != nil {
		t.Fatal(err)
	}
	for i, size := range []int{object.MinPart, 100, 50} {
		if err := chunk(t, b.Library, i, size, nil); err != nil {
			t.Fatal(err)
		}
	}
	opt := backend.FinishOptions{Size: object.MinPart + 150}
	f.Fail(objecttest.Fault{Method: objecttest.Put, Err: object.ErrNoSpace})
	if _, _, err := b.FinishChunked(t.Context(), "nc-1", "photos/a", opt); err == nil {
		t.Fatal("the append did not fail")
	}
	f.Heal()
	e, _, err := b.FinishChunked(t.Context(), "nc-1", "photos/a", opt)
	if err != nil || e.Size != opt.Size {
		t.Fatalf("asked again: %+v, %v", e, err)
	}
	if got := b.read("photos/a"); len(got) != int(opt.Size) {
		t.Errorf("got %d bytes", len(got))
	}
}

// Small chunks are objects of their own; they go when their upload expires.
func TestAbandonedChunks(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	bucket := membucket.New()
	b := backend.New(bucket, memkv.New(), &backend.Options{Now: func() time.Time { return now }})
	l, err := b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.OpenChunked(t.Context(), "nc-1", "photos/a", nil); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		if err := chunk(t, l, i, 10, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := originals(t, bucket); n != 12 {
		t.Fatalf("%d objects of 12 chunks", n)
	}
	now = now.Add(8 * 24 * time.Hour)
	if err := b.Expire(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	if n := originals(t, bucket); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// If the index is lost while chunks come, nobody knows of them any more. They do not make
// the collector believe that the index is wrong, are not made files of, and go when two
// looks a week apart have found them.
func TestChunksWithoutAnIndex(t *testing.T) {
	now := time.Now() // as the bucket says
	bucket := membucket.New()
	open := func() (*backend.Backend, *backend.Library) {
		b := backend.New(bucket, memkv.New(), &backend.Options{Now: func() time.Time { return now }})
		l, err := b.Library(t.Context(), uid, backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		return b, l
	}
	_, l := open()
	if _, err := l.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.OpenChunked(t.Context(), "nc-1", "photos/a", nil); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if err := chunk(t, l, i, 10, nil); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := open()
	if rec, err := b.RecoverOriginals(t.Context(), uid, nil); err != nil || rec.Files != 0 {
		t.Errorf("recovered: %+v, %v", rec, err)
	}
	now = now.Add(8 * 24 * time.Hour)
	if err := b.Expire(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	for _, want := range []backend.Collected{{Chunks: 30, Noted: 30}, {Chunks: 30, Buried: 30}, {Deleted: 30}} {
		got, err := b.Collect(t.Context(), uid, &backend.CollectOptions{Strays: true})
		if err != nil || got.Chunks != want.Chunks || got.Noted != want.Noted || got.Buried != want.Buried || got.Deleted != want.Deleted || got.Strays != 0 {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		now = now.Add(8 * 24 * time.Hour)
	}
	if n := originals(t, bucket); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// An upload that was completed in the bucket, but never became a file, takes its object with
// it when it expires.
func TestExpiredCompletion(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f := objecttest.NewFaults(membucket.New())
	b := backend.New(f, memkv.New(), &backend.Options{Now: func() time.Time { return now }})
	l, err := b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	u, err := l.CreateUpload(t.Context(), "photos/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.PutPart(t.Context(), u.ID, 1, strings.NewReader("part"), 4, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Fail(objecttest.Fault{Method: objecttest.Put, Err: object.ErrNoSpace})
	if _, err := l.CompleteUpload(t.Context(), u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil); err == nil {
		t.Fatal("the append did not fail")
	}
	f.Heal()
	if n := originals(t, f); n != 1 {
		t.Fatalf("%d objects", n)
	}
	now = now.Add(8 * 24 * time.Hour)
	if err := b.Expire(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	if n := originals(t, f); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// A small chunk that the bucket gives back other than it came makes no file: all of it has
// to come again.
func TestDamagedChunk(t *testing.T) {
	for _, sizes := range [][]int{{100, 50}, {object.MinPart, 100, 50}} {
		b := newBox(t)
		if _, err := b.OpenChunked(t.Context(), "nc-1", "photos/a", nil); err != nil {
			t.Fatal(err)
		}
		for i, size := range sizes {
			b.ok(chunk(t, b.Library, i, size, nil))
		}
		for info, err := range b.bucket.List(t.Context(), object.OriginalPrefix(uid), "") {
			b.ok(err)
			if !object.IsChunk(info.Name) || info.Size != 50 {
				continue
			}
			bad := make([]byte, info.Size)
			bad[7] = 1
			_, err := b.bucket.Put(t.Context(), info.Name, bytes.NewReader(bad), info.Size, nil)
			b.ok(err)
		}
		_, _, err := b.FinishChunked(t.Context(), "nc-1", "photos/a", backend.FinishOptions{Size: -1})
		if !errors.Is(err, backend.ErrChecksum) {
			t.Errorf("%d chunks: got %v", len(sizes), err)
		}
		if _, err := b.Stat(t.Context(), "photos/a"); err != backend.ErrNotExist {
			t.Errorf("%d chunks: the file: %v", len(sizes), err)
		}
		if _, err := b.Chunks(t.Context(), "nc-1"); err != backend.ErrNoUpload {
			t.Errorf("%d chunks: the upload: %v", len(sizes), err)
		}
		if n := b.originals(); n != 0 {
			t.Errorf("%d chunks: %d objects are left", len(sizes), n)
		}
		b.sound()
	}
}
