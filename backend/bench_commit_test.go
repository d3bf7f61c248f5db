package backend_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// A distantBucket takes its time for every request, as a store in a network does, and
// counts the segments of the log.
type distantBucket struct {
	object.Bucket
	delay    time.Duration // of each request
	segments atomic.Int64
}

func (d *distantBucket) travel(ctx context.Context) error {
	if d.delay == 0 {
		return nil
	}
	t := time.NewTimer(d.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *distantBucket) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	if strings.HasPrefix(name, object.LogPrefix(uid)) {
		d.segments.Add(1)
	}
	if err := d.travel(ctx); err != nil {
		return object.Info{}, err
	}
	return d.Bucket.Put(ctx, name, body, size, opt)
}

func (d *distantBucket) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := d.travel(ctx); err != nil {
		return nil, err
	}
	return d.Bucket.Get(ctx, name, off, n)
}

func (d *distantBucket) Head(ctx context.Context, name string) (object.Info, error) {
	if err := d.travel(ctx); err != nil {
		return object.Info{}, err
	}
	return d.Bucket.Head(ctx, name)
}

func (d *distantBucket) Delete(ctx context.Context, name string) error {
	if err := d.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.Delete(ctx, name)
}

func (d *distantBucket) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		if err := d.travel(ctx); err != nil {
			yield(object.Info{}, err)
			return
		}
		d.Bucket.List(ctx, prefix, after)(yield)
	}
}

// BenchmarkCommit is how long a client waits until what it asked is durable, and how many
// operations a second one person's library takes: on a disk, and on a bucket that needs 30 ms
// for every request; of collections, which are a commit and nothing else, and of files of
// 1 KiB, which are an object too. A round is 20 operations of every client.
func BenchmarkCommit(b *testing.B) {
	for _, on := range []struct {
		name   string
		bucket func(b *testing.B) *distantBucket
	}{
		{"disk", func(b *testing.B) *distantBucket {
			d, err := diskbucket.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { d.Close() })
			return &distantBucket{Bucket: d}
		}},
		{"30ms", func(*testing.B) *distantBucket {
			return &distantBucket{Bucket: membucket.New(), delay: 30 * time.Millisecond}
		}},
	} {
		for _, what := range []string{"mkdir", "put"} {
			for _, clients := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("%s/%s/clients=%d", on.name, what, clients), func(b *testing.B) {
					benchmarkCommit(b, on.bucket(b), what, clients)
				})
			}
		}
	}
}

func benchmarkCommit(b *testing.B, bucket *distantBucket, what string, clients int) {
	const each = 20
	x, err := badgerkv.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	l, err := backend.New(bucket, x, nil).Library(b.Context(), uid, backend.Access{})
	if err == nil {
		_, err = l.Mkdir(b.Context(), "photos", nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	content := strings.Repeat("x", 1000)
	do := func(name string) error {
		if what == "mkdir" {
			_, err := l.Mkdir(b.Context(), backend.Key("photos/"+name), nil)
			return err
		}
		body := content + fmt.Sprintf("%24s", name) // equal contents would be kept once
		_, _, err := l.Put(b.Context(), backend.Key("photos/"+name), strings.NewReader(body), int64(len(body)), nil)
		return err
	}
	bucket.segments.Store(0)
	var took []time.Duration // of every operation
	var mu sync.Mutex
	round := 0
	for b.Loop() {
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				own := make([]time.Duration, 0, each)
				for i := range each {
					start := time.Now()
					if err := do(fmt.Sprintf("%d-%d-%d", round, c, i)); err != nil {
						b.Error(err)
						return
					}
					own = append(own, time.Since(start))
				}
				mu.Lock()
				took = append(took, own...)
				mu.Unlock()
			})
		}
		wg.Wait()
		round++
	}
	if b.Failed() || len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(part float64) float64 {
		return float64(took[int(part*float64(len(took)-1))]) / float64(time.Millisecond)
	}
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(len(took))/float64(bucket.segments.Load()), "ops/segment")
	b.ReportMetric(0, "ns/op") // of a round, which says nothing
}
