//go:build unix

package s3api_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// BenchmarkFront is the processor time of a whole PutObject of 6 MiB, from the handler to a
// bucket that throws content away, beside that of the hashes that nobody can leave out:
//
//   - MD5, which is the ETag, and SHA-256, which every original is kept with;
//   - the CRC that the client promises, in the modes that have one;
//   - in signed chunks, the SHA-256 of each chunk: it is another division of the content,
//     so the one of the whole does not follow from it.
//
// Reading is in both: each byte is copied once from where it comes from. The figure "%-more"
// is what the signature, the framing, the copies, the log and the index
// take besides, in percent of the hashes. No network is in it. Hashing goes on beside
// reading: with more than one processor some of the figure is bytes that wander from one to
// another, so that the upload is faster; "-cpu 1" shows the work alone.
func BenchmarkFront(b *testing.B) {
	data := random(6 << 20)
	crc := make([]byte, 0, 4)
	sum := crc32.NewIEEE()
	sum.Write(data)
	crc = sum.Sum(crc)
	promised := base64.StdEncoding.EncodeToString(crc)
	for _, m := range []struct {
		name   string
		make   func(w *world) *http.Request
		hashes func() []hash.Hash
		chunks bool // each of 64 KiB has a SHA-256 of its own
	}{
		{"hashed", func(w *world) *http.Request { return w.request("PUT", "/photos/a", string(data)) },
			func() []hash.Hash { return []hash.Hash{md5.New(), sha256.New()} }, false},
		{"unsigned with crc32", func(w *world) *http.Request {
			return w.request("PUT", "/photos/a", string(data), "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD", "X-Amz-Checksum-Crc32", promised)
		}, func() []hash.Hash { return []hash.Hash{md5.New(), sha256.New(), crc32.NewIEEE()} }, false},
		{"unsigned trailer", func(w *world) *http.Request {
			var body strings.Builder
			for rest := data; len(rest) > 0; rest = rest[min(1<<20, len(rest)):] {
				n := min(1<<20, len(rest))
				fmt.Fprintf(&body, "%x\r\n%s\r\n", n, rest[:n])
			}
			fmt.Fprintf(&body, "0\r\nx-amz-checksum-crc32:%s\r\n\r\n", promised)
			return w.request("PUT", "/photos/a", body.String(), "X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
				"X-Amz-Decoded-Content-Length", strconv.Itoa(len(data)), "X-Amz-Trailer", "x-amz-checksum-crc32")
		}, func() []hash.Hash { return []hash.Hash{md5.New(), sha256.New(), crc32.NewIEEE()} }, false},
		{"signed chunks", func(w *world) *http.Request {
			r, err := http.NewRequest("PUT", w.srv.URL+"/photos/a", io.NopCloser(bytes.NewReader(data)))
			if err != nil {
				b.Fatal(err)
			}
			return signer.StreamingSignV4(r, "SBOWNER", secretKey, "", "auto", int64(len(data)), time.Now(), plainSHA256{sha256.New()})
		}, func() []hash.Hash { return []hash.Hash{md5.New(), sha256.New()} }, true},
	} {
		b.Run(m.name, func(b *testing.B) {
			w := newWorld(b, config{bucket: void{membucket.New()}})
			r := m.make(w)
			r.RemoteAddr, r.RequestURI = "127.0.0.1:1", r.URL.RequestURI()
			wire, err := io.ReadAll(r.Body)
			if err != nil {
				b.Fatal(err)
			}
			if r.ContentLength < 0 {
				r.ContentLength = int64(len(wire))
			}
			buffer := make([]byte, 64<<10)
			hashing := func() {
				src, hashes := bytes.NewReader(data), m.hashes()
				for {
					n, err := io.ReadFull(src, buffer)
					for _, h := range hashes {
						h.Write(buffer[:n])
					}
					if m.chunks {
						sha256.Sum256(buffer[:n])
					}
					if err != nil {
						return
					}
				}
			}
			put := func() {
				r.Body = io.NopCloser(bytes.NewReader(wire))
				rec := httptest.NewRecorder()
				w.srv.Config.Handler.ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code, rec.Body)
				}
			}
			put()
			b.SetBytes(int64(len(data)))
			var both [2]time.Duration // one after the other, so that both meet the same weather
			n := 0
			for b.Loop() {
				for i, f := range []func(){hashing, put} {
					before := processorTime()
					f()
					both[i] += processorTime() - before
				}
				n++
			}
			b.ReportMetric(float64(both[0].Microseconds())/float64(n), "hashes-cpu-µs/op")
			b.ReportMetric(float64(both[1].Microseconds())/float64(n), "put-cpu-µs/op")
			b.ReportMetric(100*float64(both[1]-both[0])/float64(both[0]), "%-more")
		})
	}
}

// processorTime is what this program has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type plainSHA256 struct{ hash.Hash }

func (plainSHA256) Close() {}

// void is a bucket that reads originals and does not keep them.
type void struct{ object.Bucket }

func (v void) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	if !strings.HasPrefix(name, "v1/o/") {
		return v.Bucket.Put(ctx, name, body, size, opt)
	}
	b := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(b)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{body}, b[:])
	return object.Info{Name: name, Size: n}, err
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}
