package backend_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// clockBox is a box whose clock now tells.
func clockBox(t *testing.T, bucket object.Bucket, now *time.Time) *box {
	t.Helper()
	*now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	b := &box{t: t, bucket: bucket, x: memkv.New()}
	b.b = backend.New(bucket, b.x, &backend.Options{Now: func() time.Time { return *now }})
	l, err := b.b.Library(t.Context(), uid, backend.Access{})
	b.ok(err)
	b.Library = l
	_, err = b.Mkdir(t.Context(), "photos", nil)
	b.ok(err)
	return b
}

// An upload is abandoned when nothing has come for a week, however long ago it began; and one
// that took so long can be completed again when the answer was lost, for a day.
func TestSlowUpload(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprint("chunked ", chunked), func(t *testing.T) {
			var now time.Time
			b := clockBox(t, membucket.New(), &now)
			ctx := t.Context()
			id := "nc-1"
			if chunked {
				_, err := b.OpenChunked(ctx, id, "photos/a", nil)
				b.ok(err)
			} else {
				u, err := b.CreateUpload(ctx, "photos/a", nil)
				b.ok(err)
				id = u.ID
			}
			var named []backend.CompletePart
			for n := range 5 {
				now = now.Add(3 * day)
				b.ok(b.b.Expire(ctx, uid))
				if chunked {
					b.ok(chunk(t, b.Library, n, object.MinPart, nil))
					continue
				}
				p, err := part(b.Library, t, id, n+1, object.MinPart, object.MinPart)
				b.ok(err)
				named = append(named, backend.CompletePart{Number: n + 1, ETag: p.ETag})
			}
			finish := func() (*backend.Entry, error) {
				if chunked {
					e, _, err := b.FinishChunked(ctx, id, "photos/a", backend.FinishOptions{Size: 5 * object.MinPart})
					return e, err
				}
				return b.CompleteUpload(ctx, id, named, nil)
			}
			e, err := finish()
			b.ok(err)
			now = now.Add(23 * time.Hour)
			b.ok(b.b.Expire(ctx, uid))
			if again, err := finish(); err != nil || again.Ino != e.Ino {
				t.Errorf("asked again: %v", err)
			}
			now = now.Add(2 * time.Hour)
			b.ok(b.b.Expire(ctx, uid))
			if n := b.rows("m#") + b.rows("mp#"); n != 0 {
				t.Errorf("%d rows of the upload are left", n)
			}
			if _, err := finish(); err != backend.ErrNoUpload {
				t.Errorf("a day later: %v", err)
			}
			b.sound()
		})
	}
}

// An upload that was completed is remembered for a day, and not for as long as one that was
// not; and many are forgotten with few segments of the log.
func TestManyDoneUploads(t *testing.T) {
	var now time.Time
	f := objecttest.NewFaults(membucket.New())
	b := clockBox(t, f, &now)
	ctx := t.Context()
	const many = 300
	for i := range many {
		u, err := b.CreateUpload(ctx, backend.Key(fmt.Sprint("photos/", i)), nil)
		b.ok(err)
		p, err := part(b.Library, t, u.ID, 1, 1, 1)
		b.ok(err)
		_, err = b.CompleteUpload(ctx, u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
		b.ok(err)
	}
	now = now.Add(25 * time.Hour)
	f.Reset()
	b.ok(b.b.Expire(ctx, uid))
	if n := b.rows("m#"); n != 0 {
		t.Errorf("%d of %d uploads are remembered", n, many)
	}
	if n := f.Count(objecttest.Put); n > many/30 {
		t.Errorf("%d segments were written", n)
	}
	if n := f.Count(objecttest.AbortMultipart); n != 0 {
		t.Errorf("%d uploads were aborted that were done", n)
	}
	b.sound()
}

// unsureIndex is an index whose next commit of an upload's row is made, and fails.
type unsureIndex struct {
	*memkv.Store
	armed bool
}

func (x *unsureIndex) Commit(ctx context.Context, ops []kv.Op) error {
	err := x.Store.Commit(ctx, ops)
	if err == nil && x.armed {
		for _, op := range ops {
			if op.P == "m#"+uid {
				x.armed = false
				return errors.New("lost the answer")
			}
		}
	}
	return err
}

// If it is not known whether an upload has begun, it may be there when its client asks
// again: then it takes its parts.
func TestUploadOfUnknownOutcome(t *testing.T) {
	x := &unsureIndex{Store: memkv.New()}
	b := &box{t: t, bucket: membucket.New()}
	b.open(x)
	ctx := t.Context()
	_, err := b.Mkdir(ctx, "photos", nil)
	b.ok(err)
	x.armed = true
	if _, err := b.OpenChunked(ctx, "nc-1", "photos/a", nil); !errors.Is(err, backend.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if _, err := b.OpenChunked(ctx, "nc-1", "photos/a", nil); err != nil && err != backend.ErrExist {
		t.Fatal(err)
	}
	body := strings.Repeat("x", object.MinPart)
	if err := chunk(t, b.Library, 0, len(body), strings.NewReader(body)); err != nil {
		t.Fatalf("a chunk: %v", err)
	}
	_, _, err = b.FinishChunked(ctx, "nc-1", "photos/a", backend.FinishOptions{Size: int64(len(body))})
	b.ok(err)
	if got := b.read("photos/a"); got != body {
		t.Errorf("got %d bytes", len(got))
	}
	b.sound()
}

// What was completed in the bucket, and could not become a file, goes when its client aborts.
func TestAbortedCompletion(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		f := objecttest.NewFaults(membucket.New())
		b := &box{t: t, bucket: f}
		b.open(memkv.New())
		ctx := t.Context()
		_, err := b.Mkdir(ctx, "photos", nil)
		b.ok(err)
		id, finish := "nc-1", func() error {
			_, _, err := b.FinishChunked(ctx, "nc-1", "photos/a", backend.FinishOptions{Size: object.MinPart})
			return err
		}
		if chunked {
			_, err := b.OpenChunked(ctx, id, "photos/a", nil)
			b.ok(err)
			b.ok(chunk(t, b.Library, 0, object.MinPart, nil))
		} else {
			u, err := b.CreateUpload(ctx, "photos/a", nil)
			b.ok(err)
			p, err := part(b.Library, t, u.ID, 1, 6, 6)
			b.ok(err)
			id, finish = u.ID, func() error {
				_, err := b.CompleteUpload(ctx, u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
				return err
			}
		}
		f.Fail(objecttest.Fault{Method: objecttest.Put, Err: object.ErrNoSpace})
		if finish() == nil {
			t.Fatal("the append did not fail")
		}
		f.Heal()
		b.ok(b.Abort(ctx, id))
		if n := b.originals(); n != 0 {
			t.Errorf("chunked %v: %d originals are left", chunked, n)
		}
		b.sound()
	}
}

// What is spooled of an upload's parts goes with it when it is aborted, by its client or because
// nothing comes any more.
func TestEndedUploadLeavesNoSpool(t *testing.T) {
	for _, expire := range []bool{false, true} {
		now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		dir := filepath.Join(t.TempDir(), "spool")
		spool, err := backend.OpenSpool(dir, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		b := &box{t: t, bucket: membucket.New(), x: memkv.New()}
		b.b = backend.New(b.bucket, b.x, &backend.Options{Now: func() time.Time { return now }, Spool: spool})
		b.Library, err = b.b.Library(t.Context(), uid, backend.Access{})
		b.ok(err)
		_, err = b.Mkdir(t.Context(), "photos", nil)
		b.ok(err)
		u, err := b.CreateUpload(t.Context(), "photos/a", nil)
		b.ok(err)
		for n := range 2 {
			_, err := part(b.Library, t, u.ID, n+1, object.MinPart, object.MinPart)
			b.ok(err)
		}
		spooled := func() int {
			files, err := os.ReadDir(dir)
			b.ok(err)
			return len(files)
		}
		if n := spooled(); n != 2 {
			t.Fatalf("%d parts are spooled", n)
		}
		if expire {
			now = now.Add(30 * day)
			b.ok(b.b.Expire(t.Context(), uid))
		} else {
			b.ok(b.AbortUpload(t.Context(), u.ID))
		}
		if n := spooled(); n != 0 {
			t.Errorf("expired: %v: %d parts stay", expire, n)
		}
	}
}
