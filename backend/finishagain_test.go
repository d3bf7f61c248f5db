package backend_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// An upload in chunks is finished again with other chunks of the same size, after the commit
// of the first try failed: it never becomes a file with the content of the first and the
// ETag of the second.
func TestFinishedAgainOfOtherChunks(t *testing.T) {
	for _, parts := range []bool{false, true} { // are among the chunks, which the bucket joins
		t.Run(fmt.Sprint("parts ", parts), func(t *testing.T) {
			f := objecttest.NewFaults(membucket.New())
			b := &box{t: t, bucket: f}
			b.open(memkv.New())
			ctx := t.Context()
			_, err := b.Mkdir(ctx, "photos", nil)
			b.ok(err)
			_, err = b.OpenChunked(ctx, "nc-1", "photos/a", nil)
			b.ok(err)
			first := "small"
			if parts {
				first = strings.Repeat("x", object.MinPart)
			}
			send := func(order int, body string) error {
				return chunk(t, b.Library, order, len(body), strings.NewReader(body))
			}
			finish := func() error {
				_, _, err := b.FinishChunked(ctx, "nc-1", "photos/a", backend.FinishOptions{Size: int64(len(first) + 3)})
				return err
			}
			b.ok(send(0, first))
			b.ok(send(1, "one"))
			f.Fail(objecttest.Fault{Method: objecttest.Put, Name: prefixed("v1/l/"), Err: object.ErrNoSpace})
			if finish() == nil {
				t.Fatal("the append did not fail")
			}
			f.Heal()
			b.ok(send(1, "two"))
			err = finish()
			if !parts { // then they are put together anew
				b.ok(err)
				if got := b.read("photos/a"); got != first+"two" {
					t.Errorf("got %q", got)
				}
				b.sound()
				return
			}
			if !errors.Is(err, backend.ErrPart) {
				t.Errorf("of other chunks: got %v", err)
			}
			if err := send(0, strings.Repeat("y", object.MinPart)); err != backend.ErrNoUpload {
				t.Errorf("a part of what is put together: got %v", err)
			}
			if _, err := b.Stat(ctx, "photos/a"); err != backend.ErrNotExist {
				t.Errorf("the file: %v", err)
			}
			b.ok(send(1, "one"))
			b.ok(finish())
			if got := b.read("photos/a"); got != first+"one" {
				t.Errorf("got %d bytes that end in %q", len(got), got[len(got)-3:])
			}
			b.sound()
		})
	}
}

// Whoever finishes an upload is told whether the file is new, also if the commit was made
// although it failed; asked again, it is not new any more.
func TestFinishTellsNew(t *testing.T) {
	for _, size := range []int{10, object.MinPart} {
		for _, old := range []bool{false, true} {
			t.Run(fmt.Sprint(size, " bytes, old ", old), func(t *testing.T) {
				x := &unsureIndex{Store: memkv.New()}
				b := &box{t: t, bucket: membucket.New()}
				b.open(x)
				ctx := t.Context()
				_, err := b.Mkdir(ctx, "photos", nil)
				b.ok(err)
				if old {
					b.put("photos/a", "old")
				}
				_, err = b.OpenChunked(ctx, "nc-1", "photos/a", nil)
				b.ok(err)
				b.ok(chunk(t, b.Library, 0, size, nil))
				x.armed = true
				finish := func() (*backend.Entry, bool) {
					e, created, err := b.FinishChunked(ctx, "nc-1", "photos/a", backend.FinishOptions{Size: int64(size)})
					b.ok(err)
					return e, created
				}
				e, created := finish()
				if x.armed {
					t.Fatal("the commit did not fail")
				}
				if created == old {
					t.Errorf("told that it is new: %v", created)
				}
				if again, created := finish(); created || again.Ino != e.Ino || again.ETag != e.ETag {
					t.Errorf("asked again: new %v, %+v and %+v", created, e, again)
				}
				b.sound()
			})
		}
	}
}
