package backend_test

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

var benchFiles = flag.Int("bench.files", 20_000, "files in the library that the listing benchmarks use")

// big is a library of -bench.files files on Badger and a directory, 10,000 in a
// collection, put there by way of a log that is replayed.
func big(b *testing.B) (*backend.Backend, *backend.Library, *objecttest.Faults) {
	disk, err := diskbucket.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { disk.Close() })
	x, err := badgerkv.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { x.Close() })
	f := objecttest.NewFaults(disk)
	be := backend.New(f, x, nil)
	l, err := be.Library(b.Context(), uid, backend.Access{})
	if err != nil {
		b.Fatal(err)
	}
	if *benchFiles > 0 {
		if err := backend.Fill(b.Context(), l, x, *benchFiles); err != nil {
			b.Fatal(err)
		}
	}
	return be, l, f
}

var _ kv.Loader = (*badgerkv.Store)(nil)

func BenchmarkListObjects(b *testing.B) {
	_, l, f := big(b)
	for _, at := range []struct{ name, after string }{
		{"first", ""},
		{"last", fmt.Sprintf("d%05d/%08d.jpg", (*benchFiles-1)/10_000, *benchFiles-1001)},
	} {
		b.Run(at.name, func(b *testing.B) {
			b.ReportAllocs()
			asked := f.Count()
			for b.Loop() {
				p, err := l.ListObjects(b.Context(), backend.ListOptions{Library: "photos", After: at.after, Max: 1000})
				if err != nil || len(p.Objects) != 1000 {
					b.Fatal(len(p.Objects), err)
				}
			}
			if n := f.Count() - asked; n != 0 {
				b.Errorf("the bucket was asked %d times", n)
			}
		})
	}
}

func BenchmarkMembers10000(b *testing.B) {
	_, l, _ := big(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range l.Members(b.Context(), "photos/d00000") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 10_000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkTimeline50(b *testing.B) {
	_, l, _ := big(b)
	b.ReportAllocs()
	for b.Loop() {
		p, err := l.Timeline(b.Context(), "", 50)
		if err != nil || len(p.Items) != 50 {
			b.Fatal(len(p.Items), err)
		}
	}
}

func BenchmarkStat(b *testing.B) {
	_, l, _ := big(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Stat(b.Context(), "photos/d00000/00000500.jpg"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRename10000(b *testing.B) {
	_, l, f := big(b)
	from, to := backend.Key("photos/d00000"), backend.Key("photos/renamed")
	puts := f.Count(objecttest.Put)
	n := 0
	for b.Loop() {
		if _, _, err := l.Move(b.Context(), from, to, nil); err != nil {
			b.Fatal(err)
		}
		from, to = to, from
		n++
	}
	if got := f.Count(objecttest.Put) - puts; got != n {
		b.Errorf("%d objects written for %d renames", got, n)
	}
}

// BenchmarkPut is a PUT of 6 MB beside the same bytes straight into the bucket.
func BenchmarkPut(b *testing.B) {
	body := make([]byte, 6<<20)
	rand.Read(body)
	*benchFiles = 0
	_, l, f := big(b)
	if _, err := l.Mkdir(b.Context(), "photos", nil); err != nil {
		b.Fatal(err)
	}
	i := 0
	b.Run("library", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			body[0], body[1], body[2] = byte(i), byte(i>>8), byte(i>>16)
			i++
			if _, _, err := l.Put(b.Context(), backend.Key(fmt.Sprintf("photos/%d", i)), bytes.NewReader(body), int64(len(body)), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bucket", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			i++
			if _, err := f.Put(b.Context(), object.OriginalName(uid, time.Now(), fmt.Sprint(i), "x.jpg"), bytes.NewReader(body), int64(len(body)), &object.PutOptions{CreateOnly: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
