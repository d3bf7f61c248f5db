package backend_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

var arrivePhotos = flag.Int("arrive.photos", 20, "photographs that arrive in each round of BenchmarkArrive")

// here renders in this process, so that all of the work is in its CPU time.
type here struct{}

func (here) Render(_ context.Context, file *os.File, size int64) (*render.Result, error) {
	return render.Render(file, size, nil)
}

// until cancels when so many results have been recorded.
type until struct {
	*backend.Backend
	left   int
	cancel context.CancelFunc
}

func (u *until) Finish(ctx context.Context, uid string, results []backend.Processed) error {
	err := u.Backend.Finish(ctx, uid, results)
	if u.left -= len(results); u.left <= 0 {
		u.cancel()
	}
	return err
}

// snap is a JPEG that differs from every other, by a comment (ITU T.81 §B.2.4.5).
func snap(plain []byte, n int) []byte {
	text := fmt.Sprintf("photograph %d", n)
	out := append([]byte{0xff, 0xd8, 0xff, 0xfe}, binary.BigEndian.AppendUint16(nil, uint16(len(text)+2))...)
	return append(append(out, text...), plain[2:]...)
}

// BenchmarkArrive puts photographs into a library that has -bench.files already, and makes
// their variants: what that costs must not depend on how many there are.
//
//	go test ./backend -run '^$' -bench Arrive -benchtime 3x -arrive.photos 200 -bench.files 1000
//	go test ./backend -run '^$' -bench Arrive -benchtime 3x -arrive.photos 200 -bench.files 1000000
//
// TestArriveCost counts what is read and written.
func BenchmarkArrive(b *testing.B) {
	disk, err := diskbucket.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer disk.Close()
	x, err := badgerkv.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	queue := job.New(x, nil)
	be := backend.New(disk, x, &backend.Options{Sniff: media.Sniff, Queue: queue, Variants: render.Names()})
	l, err := be.Library(b.Context(), uid, backend.Access{})
	if err != nil {
		b.Fatal(err)
	}
	if err := backend.Fill(b.Context(), l, x, *benchFiles); err != nil {
		b.Fatal(err)
	}
	img := image.NewRGBA(image.Rect(0, 0, 1200, 800))
	r := rand.New(rand.NewPCG(1, 2))
	for y := range 800 {
		for x := range 1200 {
			noise := uint8(r.IntN(24))
			img.SetRGBA(x, y, color.RGBA{uint8(x/8) + noise, uint8(y/5) + noise, 90 + noise, 255})
		}
	}
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, img, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	n := 0
	var putCPU, putWall, makeCPU, makeWall time.Duration
	for b.Loop() {
		start, before := time.Now(), cpu()
		for range *arrivePhotos {
			n++
			body := snap(plain.Bytes(), n)
			key := backend.Key(fmt.Sprintf("photos/d00000/new-%06d.jpg", n))
			_, _, err := l.Put(b.Context(), key, bytes.NewReader(body), int64(len(body)), &backend.PutOptions{Modified: time.UnixMilli(1_700_000_000_000 + int64(n)*3_600_000)})
			if err != nil {
				b.Fatal(err)
			}
		}
		putCPU, putWall = putCPU+cpu()-before, putWall+time.Since(start)

		start, before = time.Now(), cpu()
		ctx, cancel := context.WithCancel(b.Context())
		lib := &until{be, *arrivePhotos, cancel}
		err := processing.New(lib, queue, here{}, &processing.Options{TempDir: b.TempDir(), Gather: 20 * time.Millisecond}).Run(ctx)
		if !errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
		makeCPU, makeWall = makeCPU+cpu()-before, makeWall+time.Since(start)
	}
	per := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(n) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(per(putCPU), "put-cpu-ms/photo")
	b.ReportMetric(per(putWall), "put-ms/photo")
	b.ReportMetric(per(makeCPU), "make-cpu-ms/photo")
	b.ReportMetric(float64(n)/makeWall.Seconds(), "made/s")
}

// BenchmarkSearch looks for a word that no photograph has: 5,000 are looked at in each call;
// and for one on a day, of which only those are.
func BenchmarkSearch(b *testing.B) {
	_, l, f := big(b)
	day := time.UnixMilli(1_700_000_000_000).UTC().AddDate(0, 0, 5).Format(time.DateOnly)
	for _, query := range []string{"nowhere", "nowhere " + day} {
		b.Run(query, func(b *testing.B) {
			b.ReportAllocs()
			asked, looked := f.Count(), 0
			for b.Loop() {
				page, err := l.Search(b.Context(), query, "", 60)
				if err != nil {
					b.Fatal(err)
				}
				looked = page.Looked
			}
			b.ReportMetric(float64(looked), "looked/op")
			if n := f.Count() - asked; n > 0 {
				b.Errorf("%d requests to the bucket", n)
			}
		})
	}
}
