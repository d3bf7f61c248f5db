package backend_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// losing is a bucket that loses the end of originals, and does not hide it.
type losing struct{ *membucket.Bucket }

func (b losing) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	if !strings.HasPrefix(name, "v1/o/") {
		return b.Bucket.Put(ctx, name, body, size, opt)
	}
	p, err := io.ReadAll(body)
	if err != nil {
		return object.Info{}, err
	}
	return b.Bucket.Put(ctx, name, strings.NewReader(string(p[:len(p)-1])), -1, opt)
}

// What the bucket says it has stored is compared with what came.
func TestBucketToldSize(t *testing.T) {
	b := &box{t: t, bucket: losing{membucket.New()}}
	b.open(memkv.New())
	_, err := b.Mkdir(t.Context(), "photos", nil)
	b.ok(err)
	for _, size := range []int64{5, -1} {
		if err := third(b.Put(t.Context(), "photos/a", strings.NewReader("whole"), size, nil)); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := b.Stat(t.Context(), "photos/a"); err != backend.ErrNotExist {
		t.Errorf("got %v", err)
	}
	if n := b.originals(); n != 0 {
		t.Errorf("%d originals are left", n)
	}
}
