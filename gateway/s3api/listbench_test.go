//go:build unix

package s3api_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
)

var benchKeys = flag.Int("bench.keys", 20_000, "keys in the bucket that the benchmark of listings has, a multiple of 10,000, and a tenth of it common prefixes; 1000000 is what the promise is about")

// fillKeys makes n keys: 10,000 in a collection, the other collections being copies of it.
func fillKeys(ctx context.Context, l *backend.Library, n int) error {
	puts, ctx := errgroup.WithContext(ctx)
	puts.SetLimit(100) // they share commits
	for i := range 10_000 {
		puts.Go(func() error {
			_, _, err := l.Put(ctx, backend.Key(fmt.Sprintf("photos/d00000/%08d.jpg", i)), strings.NewReader("x"), 1, &backend.PutOptions{MakeParents: true})
			return err
		})
	}
	if err := puts.Wait(); err != nil {
		return err
	}
	for i := 1; i < n/10_000; i++ {
		if _, _, err := l.Copy(context.WithoutCancel(ctx), "photos/d00000", backend.Key(fmt.Sprintf("photos/d%05d", i)), nil); err != nil {
			return err
		}
	}
	return nil
}

// fillPrefixes makes n collections with a key in each.
func fillPrefixes(ctx context.Context, l *backend.Library, n int) error {
	puts, ctx := errgroup.WithContext(ctx)
	puts.SetLimit(100)
	for i := range n {
		puts.Go(func() error {
			_, _, err := l.Put(ctx, backend.Key(fmt.Sprintf("photos/p%06d/a", i)), strings.NewReader(""), 0, &backend.PutOptions{MakeParents: true})
			return err
		})
	}
	return puts.Wait()
}

// BenchmarkListHTTP is a page of 1,000 over HTTP and its XML read, at the start and at the
// end: of many keys and of many common prefixes by ListObjectsV2, and of many versions, the
// first 10,000 of them in the trash. Where it lies in the bucket makes no difference.
//
//	go test ./gateway/s3api -run - -bench ListHTTP -bench.keys 1000000 -timeout 30m
func BenchmarkListHTTP(b *testing.B) {
	n := *benchKeys
	filled := func(b *testing.B, fill func(context.Context, *backend.Library, int) error, n int) *world {
		x, err := badgerkv.Open(b.TempDir(), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { x.Close() })
		w := newWorld(b, config{kv: x})
		if err := fill(b.Context(), w.lib, n); err != nil {
			b.Fatal(err)
		}
		return w
	}
	page := func(b *testing.B, w *world, name, path, row string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := processorTime() // says more than the clock where others work on the machine too
			for b.Loop() {
				if _, body := w.do("GET", path, ""); strings.Count(body, row) != 1000 {
					b.Fatalf("%d: %.1000s", strings.Count(body, row), body)
				}
			}
			b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
	last := fmt.Sprintf("d%05d/%08d.jpg", n/10_000-1, 8999)
	b.Run("keys", func(b *testing.B) {
		w := filled(b, fillKeys, n)
		page(b, w, "first", "/photos?list-type=2", "<Contents>")
		page(b, w, "last", "/photos?list-type=2&start-after="+last, "<Contents>")
		if err := w.lib.Delete(b.Context(), "photos/d00000", nil); err != nil {
			b.Fatal(err)
		}
		page(b, w, "versions-first", "/photos?versions", "<IsLatest>")
		page(b, w, "versions-last", "/photos?versions&key-marker="+last, "<IsLatest>")
	})
	b.Run("prefixes", func(b *testing.B) {
		w := filled(b, fillPrefixes, n/10)
		page(b, w, "first", "/photos?list-type=2&delimiter=/", "<CommonPrefixes>")
		page(b, w, "last", fmt.Sprintf("/photos?list-type=2&delimiter=/&start-after=p%06d/", n/10-1001), "<CommonPrefixes>")
	})
}
