package badgerkv

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

const benchData = 190 // bytes: a usual entry row

func fill(b *testing.B, s *Store, partitions, n int) {
	b.Helper()
	d := []byte(strings.Repeat("entry row ", benchData/10))
	err := s.Load(b.Context(), func(yield func(kv.Row) bool) {
		for p := range partitions {
			for i := range n {
				if !yield(kv.Row{Key: kv.Key{P: fmt.Sprint("d#user#", p), S: fmt.Sprintf("IMG_%06d.JPG", i)}, D: d}) {
					return
				}
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkScan10k(b *testing.B) {
	s := open(b, b.TempDir())
	fill(b, s, 10, 10_000)
	for _, rev := range []bool{false, true} {
		b.Run(fmt.Sprintf("rev=%v", rev), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(10_000 * benchData)
			for i := 0; b.Loop(); i++ {
				rows, _, err := s.Scan(b.Context(), fmt.Sprint("d#user#", i%10), "", "", rev, 0)
				if err != nil || len(rows) != 10_000 {
					b.Fatal(len(rows), err)
				}
			}
		})
	}
}

func BenchmarkScanPage50(b *testing.B) {
	s := open(b, b.TempDir())
	fill(b, s, 10, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		rows, _, err := s.Scan(b.Context(), "d#user#5", fmt.Sprintf("IMG_%06d.JPG", rand.IntN(9000)), "", false, 50)
		if err != nil || len(rows) != 50 {
			b.Fatal(len(rows), err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := open(b, b.TempDir())
	fill(b, s, 10, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		rows, err := s.Get(b.Context(), kv.Key{P: fmt.Sprint("d#user#", rand.IntN(10)), S: fmt.Sprintf("IMG_%06d.JPG", rand.IntN(10_000))})
		if err != nil || rows[0].V == 0 {
			b.Fatal(rows, err)
		}
	}
}

func BenchmarkCommit5(b *testing.B) {
	s := open(b, b.TempDir())
	d := strings.Repeat("d", benchData)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := fmt.Sprint(i)
		ops := []kv.Op{put("d#u", n, d), put("i#u", n, "d"), put("b#u", n, ""), put("t#u", n, d[:50]), put("h#u", "-", n)}
		ops[0].Cond = kv.Absent
		commit(b, s, ops...)
	}
}

func BenchmarkLoad100k(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(b.TempDir(), &Options{MinFree: -1})
		if err != nil {
			b.Fatal(err)
		}
		fill(b, s, 1, 100_000)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "rows/s")
}
