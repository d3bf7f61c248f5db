package job

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
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
		j := l[0].Job
		j.Due = time.Time{}
		if err := s.Commit(b.Context(), q.Ops(j)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaimAmongIdle looks for jobs where 10,000 users have none.
func BenchmarkClaimAmongIdle(b *testing.B) {
	s, err := badgerkv.Open(b.TempDir(), &badgerkv.Options{MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	q := New(s, nil)
	var ops []kv.Op
	for i := range 10_000 {
		ops = append(ops, kv.Op{Key: userKey(fmt.Sprintf("user%08d", i)), D: []byte{formatVersion}})
		if len(ops) == kv.MaxOps {
			if err := s.Commit(b.Context(), ops); err != nil {
				b.Fatal(err)
			}
			ops = ops[:0]
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := q.Claim(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
		if _, _, err := q.next(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
