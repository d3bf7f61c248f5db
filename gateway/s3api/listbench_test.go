package s3api_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
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

// BenchmarkListHTTP is ListObjectsV2 over HTTP, a page of 1,000 and its XML read: at the
// start and at the end of many keys, and of many common prefixes. They cost the same.
//
//	go test ./gateway/s3api -run xxx -bench ListHTTP -bench.keys 1000000 -timeout 30m
func BenchmarkListHTTP(b *testing.B) {
	for _, part := range []struct {
		name      string
		fill      func(context.Context, *backend.Library, int) error
		n         int
		delimiter string
		last      string // a page of 1,000 follows
	}{
		{"keys", fillKeys, *benchKeys, "", fmt.Sprintf("d%05d/%08d.jpg", *benchKeys/10_000-1, 8999)},
		{"prefixes", fillPrefixes, *benchKeys / 10, "/", fmt.Sprintf("p%06d/", *benchKeys/10-1001)},
	} {
		b.Run(part.name, func(b *testing.B) {
			x, err := badgerkv.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer x.Close()
			w := newWorld(b, config{kv: x})
			if err := part.fill(b.Context(), w.lib, part.n); err != nil {
				b.Fatal(err)
			}
			for _, at := range []struct{ name, after string }{{"first", ""}, {"last", part.last}} {
				b.Run(at.name, func(b *testing.B) {
					b.ReportAllocs()
					path := "/photos?list-type=2&delimiter=" + url.QueryEscape(part.delimiter) + "&start-after=" + url.QueryEscape(at.after)
					for b.Loop() {
						_, body := w.do("GET", path, "")
						if !strings.Contains(body, "<KeyCount>1000</KeyCount>") {
							b.Fatal(body)
						}
					}
				})
			}
		})
	}
}
