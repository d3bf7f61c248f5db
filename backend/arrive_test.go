package backend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// rowsCounted counts the rows that are read and written.
type rowsCounted struct {
	kv.Store
	read, written atomic.Int64
}

func (s *rowsCounted) Get(ctx context.Context, keys ...kv.Key) ([]kv.Row, error) {
	s.read.Add(int64(len(keys)))
	return s.Store.Get(ctx, keys...)
}

func (s *rowsCounted) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	rows, more, err := s.Store.Scan(ctx, p, from, to, rev, n)
	s.read.Add(int64(len(rows)) + 1)
	return rows, more, err
}

func (s *rowsCounted) Commit(ctx context.Context, ops []kv.Op) error {
	s.written.Add(int64(len(ops)))
	return s.Store.Commit(ctx, ops)
}

// TestArriveCost puts photographs into a small and a large library and makes their variants:
// both read and write as many rows of the index. (BenchmarkArrive has the times.)
func TestArriveCost(t *testing.T) {
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, image.NewRGBA(image.Rect(0, 0, 300, 200)), nil); err != nil {
		t.Fatal(err)
	}
	const photos = 5
	cost := func(files int) (read, written int64) {
		x := memkv.New()
		counted := &rowsCounted{Store: x}
		queue := job.New(counted, nil)
		be := backend.New(membucket.New(), counted, &backend.Options{Sniff: media.Sniff, Queue: queue, Variants: render.Names()})
		l, err := be.Library(t.Context(), uid, backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		if err := backend.Fill(t.Context(), l, x, files); err != nil {
			t.Fatal(err)
		}
		for n := range photos {
			body := snap(plain.Bytes(), n)
			key := backend.Key(fmt.Sprintf("photos/d00000/new-%06d.jpg", n))
			if _, _, err := l.Put(t.Context(), key, bytes.NewReader(body), int64(len(body)), &backend.PutOptions{Modified: time.UnixMilli(1_700_000_000_000)}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			err := processing.New(&until{be, 1, cancel}, queue, here{}, &processing.Options{TempDir: t.TempDir()}).Run(ctx)
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		return counted.read.Load(), counted.written.Load()
	}
	read, written := cost(100)
	t.Logf("%d rows are read and %d written of each photograph", read/photos, written/photos)
	if r, w := cost(50_000); r > read || w > written {
		t.Errorf("among 50,000: %d rows are read and %d written; among 100 it was %d and %d", r, w, read, written)
	}
}
