package s3api_test

import (
	"bufio"
	"cmp"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
)

// BenchmarkPut and BenchmarkGet are objects by S3, with the index and the bucket on a disk,
// beside the same bytes straight into that bucket over HTTP, and beside "rclone serve s3"
// over a directory: in turn, so that all have the same machine. rclone is left out where it
// is not installed, or is too old to serve S3; SHOEBOX_TEST_RCLONE names another. (It answers
// before what it wrote is safe on the disk; we do not.)
//
//	go test ./gateway/s3api -run - -bench 'Put$|Get$' -benchtime 3s
//	go test ./gateway/s3api -run - -bench 'Put$|Get$' -benchtime 3x -bench.large
//
// "bucket-times" is how many times as long as we the bare bucket takes, "rclone-times" the
// same of rclone: 0.8 means that we have 0.8 of its speed.
func BenchmarkPut(b *testing.B) {
	eachSize(b, func(b *testing.B, all []*contender, size int64) {
		block := make([]byte, min(size, 1<<20))
		rand.Read(block)
		race(b, all, func(c *contender) {
			rand.Read(block[:16]) // or it is the same content again
			c.ask(b, "PUT", fmt.Sprintf("new-%d", time.Now().UnixNano()), &repeated{block: block, n: size}, size)
		})
	})
}

func BenchmarkGet(b *testing.B) {
	eachSize(b, func(b *testing.B, all []*contender, size int64) {
		block := make([]byte, min(size, 1<<20))
		rand.Read(block)
		for _, c := range all {
			c.ask(b, "PUT", "there", &repeated{block: block, n: size}, size)
		}
		race(b, all, func(c *contender) {
			if n := c.ask(b, "GET", "there", nil, 0); n != size {
				b.Fatalf("%s: %d bytes", c.name, n)
			}
		})
	})
}

// BenchmarkDeleteObjects deletes 1,000 objects in one request, on a disk.
func BenchmarkDeleteObjects(b *testing.B) {
	disk, err := diskbucket.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer disk.Close()
	index, err := badgerkv.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer index.Close()
	w := newWorld(b, config{bucket: disk, kv: index})
	var body strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&body, "<Object><Key>%04d</Key></Object>", i)
	}
	doc := "<Delete><Quiet>true</Quiet>" + body.String() + "</Delete>"
	sum := md5.Sum([]byte(doc))
	for b.Loop() {
		b.StopTimer()
		var puts errgroup.Group
		puts.SetLimit(100)
		for i := range 1000 {
			puts.Go(func() error {
				_, _, err := w.lib.Put(b.Context(), backend.Key(fmt.Sprintf("photos/%04d", i)), strings.NewReader("x"), 1, nil)
				return err
			})
		}
		if err := puts.Wait(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if resp, answer := w.do("POST", "/photos?delete", doc, "Content-Md5", base64.StdEncoding.EncodeToString(sum[:])); resp.StatusCode != http.StatusOK || strings.Contains(answer, "<Error>") {
			b.Fatal(resp.Status, answer)
		}
	}
}

var benchLarge = flag.Bool("bench.large", false, "benchmark objects of 1 GiB too; with -benchtime 3x")

func eachSize(b *testing.B, f func(b *testing.B, all []*contender, size int64)) {
	sizes := []struct {
		name  string
		bytes int64
	}{{"64KiB", 64 << 10}, {"6MiB", 6 << 20}}
	if *benchLarge {
		sizes = append(sizes, struct {
			name  string
			bytes int64
		}{"1GiB", 1 << 30})
	}
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			disk, err := diskbucket.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer disk.Close()
			index, err := badgerkv.Open(b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer index.Close()
			w := newWorld(b, config{bucket: disk, kv: index})
			all := []*contender{{w: w, name: "shoebox", url: w.srv.URL + "/photos/"}, bare(b, w, disk)}
			if url := rcloneServe(b); url != "" {
				all = append(all, &contender{w: w, name: "rclone", url: url + "photos/"})
			}
			f(b, all, size.bytes)
		})
	}
}

// A contender is a server that answers the same requests.
type contender struct {
	w     *world // who signs
	name  string
	url   string // of the bucket "photos"
	times []time.Duration
}

// ask sends a request and reads the answer to its end.
func (c *contender) ask(b *testing.B, method, key string, body io.Reader, size int64) (n int64) {
	r, err := http.NewRequest(method, c.url+key, body)
	if err != nil {
		b.Fatal(err)
	}
	r.ContentLength = size
	const unsigned = "UNSIGNED-PAYLOAD" // it saves the client's hashing, which is not the question
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	c.w.sign(r, secretKey, unsigned, time.Now())
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err = io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s: status %d, %v", c.name, method, resp.StatusCode, err)
	}
	return n
}

// race lets all do the same in turn, and reports the median of each, and how many times as
// long as the first the others took.
func race(b *testing.B, all []*contender, do func(*contender)) {
	for _, c := range all {
		do(c) // once, to warm up
		c.times = nil
	}
	for b.Loop() {
		for _, c := range all {
			began := time.Now()
			do(c)
			c.times = append(c.times, time.Since(began))
		}
	}
	median := func(c *contender) float64 {
		slices.Sort(c.times)
		return float64(c.times[len(c.times)/2].Microseconds())
	}
	b.ReportMetric(0, "ns/op") // of all of them together: means nothing
	for _, c := range all {
		b.ReportMetric(median(c)/1000, c.name+"-ms")
		if c != all[0] {
			b.ReportMetric(median(c)/median(all[0]), c.name+"-times")
		}
	}
}

// repeated is n bytes, of which block is repeated.
type repeated struct {
	block []byte
	off   int
	n     int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n <= 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.n)], r.block[r.off:])
	r.off, r.n = (r.off+n)%len(r.block), r.n-int64(n)
	return n, nil
}

// bare is the bucket over HTTP with nothing before it: no signature, no hashes, no log, no
// index.
func bare(b *testing.B, w *world, bucket object.Bucket) *contender {
	var n atomic.Int64
	var last atomic.Pointer[object.Info]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			name := object.OriginalName(uid, time.Now(), fmt.Sprintf("%026d", n.Add(1)), "x")
			info, err := bucket.Put(r.Context(), name, r.Body, r.ContentLength, &object.PutOptions{CreateOnly: true})
			if err != nil {
				b.Error(err)
			}
			last.Store(&object.Info{Name: name, Size: info.Size})
			return
		}
		body, err := bucket.Get(r.Context(), last.Load().Name, 0, -1)
		if err != nil {
			b.Error(err)
			return
		}
		defer body.Close()
		w.Header().Set("Content-Length", fmt.Sprint(last.Load().Size))
		io.Copy(w, body)
	}))
	b.Cleanup(srv.Close)
	return &contender{w: w, name: "bucket", url: srv.URL + "/"}
}

// rcloneServe serves an empty bucket "photos" and returns where; "" if there is no rclone
// that can.
func rcloneServe(b *testing.B) string {
	rclone, err := exec.LookPath(cmp.Or(os.Getenv("SHOEBOX_TEST_RCLONE"), "rclone"))
	if err != nil {
		b.Log("rclone is not installed: there is nothing to compare with")
		return ""
	}
	dir := b.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "photos"), 0o755); err != nil {
		b.Fatal(err)
	}
	c := exec.CommandContext(b.Context(), rclone, "serve", "s3", dir, "--addr", "127.0.0.1:0", "--auth-key", "SBOWNER,"+secretKey, "--config", filepath.Join(dir, "none.conf"))
	said, err := c.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Process.Kill(); c.Wait() })
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if url := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, said)
			return url
		}
	}
	b.Log("this rclone does not serve S3: there is nothing to compare with")
	return ""
}
