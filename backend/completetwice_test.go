package backend_test

import (
	"context"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// A client that waits no longer asks for the end of an upload again while the first try is
// still at it: both are told of the one file.
func TestCompleteTwiceAtOnce(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		f := objecttest.NewFaults(membucket.New())
		b := &box{t: t, bucket: f}
		b.open(memkv.New())
		ctx := t.Context()
		_, err := b.Mkdir(ctx, "photos", nil)
		b.ok(err)
		var finish func() (*backend.Entry, error)
		if chunked {
			_, err = b.OpenChunked(ctx, "nc-1", "photos/a", nil)
			b.ok(err)
			b.ok(chunk(t, b.Library, 0, 5<<20, nil))
			finish = func() (*backend.Entry, error) {
				e, _, err := b.FinishChunked(ctx, "nc-1", "photos/a", backend.FinishOptions{Size: -1})
				return e, err
			}
		} else {
			u, err := b.CreateUpload(ctx, "photos/a", nil)
			b.ok(err)
			p, err := part(b.Library, t, u.ID, 1, 6, 6)
			b.ok(err)
			finish = func() (*backend.Entry, error) {
				return b.CompleteUpload(ctx, u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
			}
		}
		var other *backend.Entry
		f.Fail(objecttest.Fault{Method: objecttest.CompleteMultipart, Do: func(context.Context) error {
			var err error
			other, err = finish()
			b.ok(err)
			return nil
		}})
		e, err := finish()
		b.ok(err)
		if e.Ino != other.Ino || e.ETag != other.ETag {
			t.Errorf("got %+v and %+v", e, other)
		}
		b.sound()
	}
}
