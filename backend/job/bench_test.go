package job

import (
	"fmt"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
)

// BenchmarkClaimDone takes jobs one by one from a backlog of 2,000.
func BenchmarkClaimDone(b *testing.B) {
	s, err := badgerkv.Open(b.TempDir(), &badgerkv.Options{MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	q := New(s, nil)
	for i := range 2000 {
		if err := s.Commit(b.Context(), q.Ops(job(fmt.Sprint("u", i%10), fmt.Sprint(i)))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l, err := q.Claim(b.Context(), 1)
		if err != nil || len(l) != 1 {
			b.Fatal(len(l), err)
		}
		if err := q.Done(b.Context(), l[0]); err != nil {
			b.Fatal(err)
		}
		if err := s.Commit(b.Context(), q.Ops(l[0].Job)); err != nil {
			b.Fatal(err)
		}
	}
}
