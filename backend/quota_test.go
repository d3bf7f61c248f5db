package backend_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

func (b *box) as(acc backend.Access) *backend.Library {
	b.t.Helper()
	l, err := b.b.Library(b.t.Context(), uid, acc)
	b.ok(err)
	return l
}

func part(l *backend.Library, t *testing.T, id string, number, n int, size int64) (backend.Part, error) {
	return l.PutPart(t.Context(), id, number, strings.NewReader(strings.Repeat("x", n)), size, nil, nil)
}

// What uploads under way have brought counts for the quota: for other uploads, for files,
// and after a restart. What ends gives it back.
func TestQuotaOfUploads(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	l := b.as(backend.Access{Quota: 1000})
	one, err := l.CreateUpload(ctx, "photos/one", nil)
	b.ok(err)
	p, err := part(l, t, one.ID, 1, 600, 600)
	b.ok(err)
	two, err := l.CreateUpload(ctx, "photos/two", nil)
	b.ok(err)
	for _, size := range []int64{500, -1} {
		if _, err := part(l, t, two.ID, 1, 500, size); !errors.Is(err, backend.ErrQuota) {
			t.Errorf("a part of another upload, size %d: got %v", size, err)
		}
	}
	if err := third(l.Put(ctx, "photos/file", strings.NewReader(strings.Repeat("x", 500)), 500, nil)); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("a file: got %v", err)
	}
	for range 2 { // the same once more takes no more
		p, err = part(l, t, one.ID, 1, 700, 700)
		b.ok(err)
	}
	b.open(b.x) // a restart
	l = b.as(backend.Access{Quota: 1000})
	if _, err := part(l, t, two.ID, 1, 500, 500); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("after a restart: got %v", err)
	}
	_, err = part(l, t, two.ID, 1, 200, 200)
	b.ok(err)
	_, err = l.CompleteUpload(ctx, one.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
	b.ok(err) // its own bytes are not counted twice
	if _, err := part(l, t, two.ID, 2, 200, 200); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("beside the file: got %v", err)
	}
	b.ok(l.AbortUpload(ctx, two.ID))
	_, _, err = l.Put(ctx, "photos/file", strings.NewReader(strings.Repeat("x", 300)), 300, nil)
	b.ok(err)
	b.sound()
}

// Parts that arrive at once do not pass the quota together.
func TestQuotaOfPartsAtOnce(t *testing.T) {
	b := newBox(t)
	l := b.as(backend.Access{Quota: 1000})
	u, err := l.CreateUpload(t.Context(), "photos/a", nil)
	b.ok(err)
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := l.PutPart(t.Context(), u.ID, 1, r, 600, nil, nil)
		done <- err
	}()
	if _, err := io.WriteString(w, strings.Repeat("x", 300)); err != nil {
		t.Fatal(err)
	}
	if _, err := part(l, t, u.ID, 2, 600, 600); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("the second: got %v", err)
	}
	if _, err := io.WriteString(w, strings.Repeat("x", 300)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	b.ok(<-done)
	_, err = part(l, t, u.ID, 2, 400, 400)
	b.ok(err)
}

// Each upload under way counts as a file; chunks count as parts.
func TestQuotaOfChunksAndFiles(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	l := b.as(backend.Access{Quota: 1000, QuotaFiles: 2})
	_, err := l.OpenChunked(ctx, "a", "", nil)
	b.ok(err)
	_, err = l.PutChunk(ctx, "a", backend.ChunkPlace{Part: 1, Name: "1"}, strings.NewReader(strings.Repeat("x", 600)), 600, nil)
	b.ok(err)
	if err := third(l.Put(ctx, "photos/b", strings.NewReader(strings.Repeat("x", 500)), 500, nil)); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("too many bytes: got %v", err)
	}
	_, _, err = l.Put(ctx, "photos/b", strings.NewReader("x"), 1, nil)
	b.ok(err)
	if err := third(l.Put(ctx, "photos/c", strings.NewReader("x"), 1, nil)); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("too many files: got %v", err)
	}
	_, _, err = l.FinishChunked(ctx, "a", "photos/a", backend.FinishOptions{Size: 600})
	b.ok(err)
	b.ok(l.Delete(ctx, "photos/b", nil))
	_, err = l.EmptyTrash(ctx)
	b.ok(err)
	_, _, err = l.Put(ctx, "photos/c", strings.NewReader(strings.Repeat("x", 400)), 400, nil)
	b.ok(err)
}

// A user has so many uploads under way, and no more.
func TestMaxUploads(t *testing.T) {
	x := memkv.New()
	be := backend.New(membucket.New(), x, &backend.Options{MaxUploads: 3})
	l, err := be.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	var last *backend.Upload
	for i := range 4 {
		u, err := l.CreateUpload(t.Context(), backend.Key(fmt.Sprint("photos/", i)), nil)
		if i < 3 && err != nil || i == 3 && !errors.Is(err, backend.ErrUploads) {
			t.Errorf("upload %d: %v", i, err)
		}
		if u != nil {
			last = u
		}
	}
	if _, err := l.OpenChunked(t.Context(), "nc", "", nil); !errors.Is(err, backend.ErrUploads) {
		t.Errorf("in chunks: got %v", err)
	}
	if err := l.AbortUpload(t.Context(), last.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := l.OpenChunked(t.Context(), "nc", "", nil); err != nil {
		t.Errorf("after one was aborted: %v", err)
	}
}

// An upload without a destination is for who began it, and the whole tree's owner.
func TestChunkedIsBound(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	_, err := b.Mkdir(ctx, "photos/scans", nil)
	b.ok(err)
	phone := b.as(backend.Access{By: "PHONE"})
	_, err = phone.OpenChunked(ctx, "a", "", nil)
	b.ok(err)
	chunk := func(l *backend.Library) error {
		_, err := l.PutChunk(ctx, "a", backend.ChunkPlace{Part: 1, Name: "1"}, strings.NewReader("secret"), 6, nil)
		return err
	}
	b.ok(chunk(phone))
	for _, acc := range []backend.Access{
		{By: "SCANNER", Root: stat(t, b, "photos/scans").Ino}, {By: "OTHER", Mode: backend.UploadOnly}, {By: "PHONE", Mode: backend.ReadOnly},
	} {
		l := b.as(acc)
		_, listErr := l.Chunks(ctx, "a")
		_, _, finishErr := l.FinishChunked(ctx, "a", "photos/scans/a", backend.FinishOptions{Size: 6})
		for what, err := range map[string]error{"a chunk": chunk(l), "list": listErr, "finish": finishErr, "abort": l.AbortChunked(ctx, "a")} {
			if !errors.Is(err, backend.ErrForbidden) {
				t.Errorf("%+v: %s: got %v", acc, what, err)
			}
		}
	}
	b.ok(chunk(b.as(backend.Access{By: "web"})))
	_, _, err = phone.FinishChunked(ctx, "a", "photos/scans/a", backend.FinishOptions{Size: 6})
	b.ok(err)
}

// An end of an upload that was done, and its answer lost for longer than anybody waits,
// takes nothing of the quota for ever.
func TestQuotaAfterUnknownOutcome(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(l *backend.Library, t *testing.T, id string, p backend.Part) error
		want error // when it is asked again
		room int   // that there is then
	}{
		{"abort", func(l *backend.Library, t *testing.T, id string, _ backend.Part) error {
			return l.AbortUpload(t.Context(), id)
		}, backend.ErrNoUpload, 1000},
		{"complete", func(l *backend.Library, t *testing.T, id string, p backend.Part) error {
			_, err := l.CompleteUpload(t.Context(), id, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
			return err
		}, nil, 400},
	} {
		for _, again := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				f := objecttest.NewFaults(membucket.New())
				b := &box{t: t, bucket: f}
				b.open(memkv.New())
				_, err := b.Mkdir(t.Context(), "photos", nil)
				b.ok(err)
				l := b.as(backend.Access{Quota: 1000})
				u, err := l.CreateUpload(t.Context(), "photos/a", nil)
				b.ok(err)
				p, err := part(l, t, u.ID, 1, 600, 600)
				b.ok(err)
				f.Fail(objecttest.Fault{Method: objecttest.Put, After: true, Every: true, Name: func(name string) bool {
					return strings.HasPrefix(name, object.LogPrefix(uid))
				}}, objecttest.Fault{Method: objecttest.Get, Every: true})
				if err := test.end(l, t, u.ID, p); !errors.Is(err, backend.ErrUnavailable) {
					t.Fatalf("%s: got %v", test.name, err)
				}
				f.Heal()
				b.put("photos/small", "")
				if again {
					if err := test.end(l, t, u.ID, p); !errors.Is(err, test.want) {
						t.Errorf("%s again: got %v", test.name, err)
					}
				} else {
					b.ok(b.b.Expire(t.Context(), uid))
				}
				if _, _, err := l.Put(t.Context(), "photos/file", strings.NewReader(strings.Repeat("x", test.room)), int64(test.room), nil); err != nil {
					t.Errorf("%s, asked again: %v: %v", test.name, again, err)
				}
				b.sound()
			})
		}
	}
}
