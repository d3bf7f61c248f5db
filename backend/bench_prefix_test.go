package backend_test

import (
	"fmt"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// BenchmarkListPrefixes is a page of 1,000 common prefixes of 100,000, each with a file
// below it, at the start and at the end.
func BenchmarkListPrefixes(b *testing.B) {
	const n = 100_000
	x, err := badgerkv.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	l, err := backend.New(membucket.New(), x, nil).Library(b.Context(), uid, backend.Access{})
	if err != nil {
		b.Fatal(err)
	}
	if err := backend.FillPrefixes(b.Context(), l, x, n); err != nil {
		b.Fatal(err)
	}
	for _, at := range []struct{ name, after string }{{"first", ""}, {"last", fmt.Sprintf("p%06d/", n-1001)}} {
		b.Run(at.name, func(b *testing.B) {
			for b.Loop() {
				p, err := l.ListObjects(b.Context(), backend.ListOptions{Library: "photos", Delimiter: "/", After: at.after, Max: 1000})
				if err != nil || len(p.Prefixes) != 1000 {
					b.Fatal(len(p.Prefixes), err)
				}
			}
		})
	}
}
