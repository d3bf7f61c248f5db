package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	thumbPhotos   = flag.Int("thumb.photos", 12, "photographs of BenchmarkPutToThumbnail, at most 500")
	thumbWidth    = flag.Int("thumb.width", 1200, "their width in pixels; they are 4:3")
	thumbParallel = flag.Int("thumb.parallel", 4, "uploads at once")
)

// BenchmarkPutToThumbnail uploads photographs by WebDAV to the built program and waits for
// their thumbnails: how long each takes from its PUT's answer until the page shows it, how
// many a second are put and made; and, one at a time, what a person waits who sends one.
//
//	go test ./cmd/shoebox -run '^$' -bench PutToThumbnail -benchtime 1x -thumb.photos 500 -thumb.width 4000 -timeout 60m
//
// The program is built as the tests build it: set GOFLAGS=-tags=turbo to measure the
// accelerated one.
func BenchmarkPutToThumbnail(b *testing.B) {
	data := filepath.Join(b.TempDir(), "data")
	srv := serveIn(b, data)
	page, err := signIn(srv.link)
	if err != nil {
		b.Fatal(err)
	}
	secret := appPassword(b, page)
	photos := noisy(b, *thumbWidth)
	serial := 0
	put := func(key string, n int) time.Time {
		body := photos[n%len(photos)]
		body = append(comment(n), body[2:]...)
		req, err := http.NewRequest("PUT", srv.web+"/dav/"+key, bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return time.Now()
		}
		req.SetBasicAuth("owner", secret)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Error(err)
			return time.Now()
		}
		res.Body.Close()
		if res.StatusCode != 201 {
			b.Errorf("PUT: %s", res.Status)
		}
		return time.Now()
	}
	var bulk, single []time.Duration
	var putRate, madeRate float64
	for b.Loop() {
		n := min(*thumbPhotos, 500)
		answered := make(map[string]time.Time)
		var mu sync.Mutex
		var uploads sync.WaitGroup
		work := make(chan int)
		start := time.Now()
		for range *thumbParallel {
			uploads.Go(func() {
				for i := range work {
					key := fmt.Sprintf("photos/%06d.jpg", i)
					at := put(key, i)
					mu.Lock()
					answered[key] = at
					mu.Unlock()
				}
			})
		}
		go func() {
			for range n {
				serial++
				work <- serial
			}
			close(work)
		}()
		var putIn time.Duration
		uploaded := make(chan struct{})
		go func() {
			uploads.Wait()
			putIn = time.Since(start)
			close(uploaded)
		}()
		shown := watchThumbs(b, page, n, 100*time.Millisecond)
		<-uploaded
		madeIn := time.Since(start)
		for key, at := range shown {
			bulk = append(bulk, max(at.Sub(answered[key]), 0))
		}
		putRate, madeRate = float64(n)/putIn.Seconds(), float64(n)/madeIn.Seconds()

		for range max(n/25, 3) {
			serial++
			at := put(fmt.Sprintf("photos/%06d.jpg", serial), serial)
			for _, seen := range watchThumbs(b, page, 1, 10*time.Millisecond) {
				single = append(single, max(seen.Sub(at), 0))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(quantile(bulk, .5), "bulk-p50-ms")
	b.ReportMetric(quantile(bulk, .95), "bulk-p95-ms")
	b.ReportMetric(quantile(single, .5), "single-p50-ms")
	b.ReportMetric(quantile(single, .95), "single-p95-ms")
	b.ReportMetric(putRate, "put/s")
	b.ReportMetric(madeRate, "shown/s")
	b.Logf("%d photographs of %d × %d, %.1f MB", len(bulk), *thumbWidth, *thumbWidth*3/4, float64(len(photos[0]))/1e6)
}

func quantile(d []time.Duration, q float64) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))].Seconds() * 1000
}

// watchThumbs looks at the newest n photographs every so often until all have thumbnails
// that were not there at first, and says when each was first seen.
func watchThumbs(b *testing.B, page *browser, n int, every time.Duration) map[string]time.Time {
	b.Helper()
	shown := make(map[string]time.Time)
	poll := time.NewTicker(every) // the program has a clock of its own
	defer poll.Stop()
	for {
		body, err := page.do("GET", fmt.Sprintf("/api/timeline?n=%d", n), nil)
		if err != nil {
			b.Fatal(err)
		}
		var got struct {
			Items []struct{ Key, Thumb, NoPreview string }
		}
		if err := json.Unmarshal(body, &got); err != nil {
			b.Fatal(err)
		}
		now, ready := time.Now(), 0
		for _, it := range got.Items {
			if it.NoPreview != "" {
				b.Fatalf("%s: %s", it.Key, it.NoPreview)
			}
			if it.Thumb == "" {
				continue
			}
			if ready++; shown[it.Key].IsZero() {
				shown[it.Key] = now
			}
		}
		if ready >= n && len(shown) >= n {
			return shown
		}
		select {
		case <-poll.C:
		case <-b.Context().Done():
			b.Fatal("waited in vain")
		}
	}
}

// noisy are a few photographs with the grain of a sensor.
func noisy(b *testing.B, width int) (all [][]byte) {
	b.Helper()
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		img := image.NewRGBA(image.Rect(0, 0, width, width*3/4))
		for y := range width * 3 / 4 {
			for x := range width {
				grain := uint8(r.IntN(16))
				img.SetRGBA(x, y, color.RGBA{uint8(200*x/width) + grain, uint8(200*y/width) + grain, uint8(seed*50) + grain, 255})
			}
		}
		var out bytes.Buffer
		if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
			b.Fatal(err)
		}
		all = append(all, out.Bytes())
	}
	return all
}

// comment begins a JPEG that no other equals (ITU T.81 §B.2.4.5).
func comment(n int) []byte {
	text := fmt.Sprintf("photograph %06d", n)
	return append([]byte{0xff, 0xd8, 0xff, 0xfe, 0, byte(len(text) + 2)}, text...)
}

// appPassword mints one on the page.
func appPassword(b *testing.B, page *browser) (secret string) {
	b.Helper()
	body, err := page.do("POST", "/api/devices", func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Body = io.NopCloser(strings.NewReader(`{"label": "benchmark"}`))
	})
	if err != nil {
		b.Fatal(err)
	}
	var made struct{ Password string }
	if err := json.Unmarshal(body, &made); err != nil || made.Password == "" {
		b.Fatal("no app password was made")
	}
	return made.Password
}
