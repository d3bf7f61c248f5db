package s3api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
)

// BenchmarkPut and BenchmarkGet are objects by S3, on a directory, beside the same bytes
// straight into that bucket: what the signature, the hashes, the log and the index cost.
func BenchmarkPut(b *testing.B) {
	each(b, func(b *testing.B, w *world, size int) {
		body := random(size)
		n := 0
		b.Run("s3", func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				n++
				copy(body, fmt.Sprint(n)) // or it is the same content again
				r := w.request("PUT", fmt.Sprintf("/photos/%d", n), "", "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(size)
				if resp, text := w.send(r); resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status, text)
				}
			}
		})
		b.Run("bucket", func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				n++
				if _, err := w.bucket.Put(b.Context(), object.OriginalName(uid, time.Now(), fmt.Sprintf("%026d", n), "x"), bytes.NewReader(body), int64(size), &object.PutOptions{CreateOnly: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkGet(b *testing.B) {
	each(b, func(b *testing.B, w *world, size int) {
		w.put("a", string(random(size)))
		e, err := w.lib.Stat(b.Context(), "photos/a")
		if err != nil {
			b.Fatal(err)
		}
		b.Run("s3", func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				resp, err := w.srv.Client().Do(w.request("GET", "/photos/a", ""))
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, resp.Body); n != int64(size) {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
		})
		b.Run("bucket", func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				r, err := w.bucket.Get(b.Context(), e.Object, 0, -1)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); n != int64(size) {
					b.Fatal(n, err)
				}
				r.Close()
			}
		})
	})
}

func each(b *testing.B, f func(b *testing.B, w *world, size int)) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"64KiB", 64 << 10}, {"6MiB", 6 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			disk, err := diskbucket.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer disk.Close()
			f(b, newWorld(b, config{bucket: disk}), size.bytes)
		})
	}
}
