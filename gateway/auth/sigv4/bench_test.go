//go:build unix

package sigv4_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// BenchmarkBody is what it costs to read a body of 6 MiB in each mode and to hash it as
// everything that is stored is: "plain" is the hashing alone. A mode with signed chunks
// hashes all a second time, for the client has signed another division of it: that hashing
// alone is "plain and chunks".
func BenchmarkBody(b *testing.B) {
	data := random(6 << 20)
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	sum := func(b *testing.B, r io.Reader) {
		if n, err := io.Copy(io.MultiWriter(md5.New(), sha256.New()), struct{ io.Reader }{r}); err != nil || n != int64(len(data)) {
			b.Fatal(n, err)
		}
	}
	b.Run("plain", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		defer perOp(b, used())
		for b.Loop() {
			sum(b, bytes.NewReader(data))
		}
	})
	b.Run("plain and chunks", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		defer perOp(b, used())
		for b.Loop() {
			for rest := data; len(rest) > 0; rest = rest[min(64<<10, len(rest)):] {
				sha256.Sum256(rest[:min(64<<10, len(rest))])
			}
			sum(b, bytes.NewReader(data))
		}
	})
	run := func(name string, r *http.Request) {
		b.Run(name, func(b *testing.B) {
			v, err := sigv4.Verify(r, lookup, at(now))
			if err != nil {
				b.Fatal(err)
			}
			wire, err := io.ReadAll(r.Body)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			defer perOp(b, used())
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(wire))
				body, err := sigv4.NewBody(v, r, &sigv4.BodyOptions{NoMD5: true, NoSHA256: true})
				if err != nil {
					b.Fatal(err)
				}
				sum(b, body)
			}
		})
	}
	mode := func(body, mode string, headers ...string) *http.Request {
		r, err := http.NewRequest("PUT", "http://s3.example/photos/a.jpg", bytes.NewReader([]byte(body)))
		if err != nil {
			b.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return received(b, signed(b, r, mode, now))
	}
	whole := sha256.Sum256(data)
	run("hashed", mode(string(data), hex.EncodeToString(whole[:])))
	run("crc32c", mode(string(data), "UNSIGNED-PAYLOAD", "X-Amz-Checksum-Crc32c", crc32c(data)))
	run("unsigned trailer", mode(chunked(data, 1<<20, "x-amz-checksum-crc32c:"+crc32c(data)+"\r\n"), "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
		"X-Amz-Decoded-Content-Length", "6291456", "X-Amz-Trailer", "x-amz-checksum-crc32c"))
	run("signed chunks", streamed(b, data, false, now))
}

// BenchmarkVerify is what each request costs before anything is done.
func BenchmarkVerify(b *testing.B) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	r, err := http.NewRequest("GET", "https://s3.example/photos/2026/a.jpg?x-id=GetObject", nil)
	if err != nil {
		b.Fatal(err)
	}
	r = signed(b, r, emptyHash, now)
	opt := at(now)
	b.ReportAllocs()
	defer perOp(b, used())
	for b.Loop() {
		if _, err := sigv4.Verify(r, lookup, opt); err != nil {
			b.Fatal(err)
		}
	}
}

// used is the processor time of this program, which says more than the clock where
// others work on the machine too.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func perOp(b *testing.B, before time.Duration) {
	b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}
