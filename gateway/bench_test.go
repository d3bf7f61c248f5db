package gateway_test

import (
	"bufio"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// Benchmarks of WebDAV through all that stands before a library, over HTTP, with the index
// and the bucket on a disk. "rclone serve webdav" answers the same requests over a
// directory with the same files, in turn with us, so that both have the same machine; it is
// left out where it is not installed. SHOEBOX_TEST_RCLONE names another rclone.
//
//	go test ./gateway -run - -bench 'Propfind|Stat|Put|Get' -benchtime 3s
//	go test ./gateway -run - -bench 'Put|Get' -benchtime 3x -bench.large
//
// "rclone-times" is how many times as long rclone takes, "bucket-times" the same of the bare
// bucket: 0.8 means that we have 0.8 of its speed.

// benchSite is a site on disks, with its bucket, which counts.
func benchSite(b *testing.B) (*site, *objecttest.Faults) {
	b.Helper()
	disk, err := diskbucket.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { disk.Close() })
	index, err := badgerkv.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { index.Close() })
	bucket := objecttest.NewFaults(disk)
	return openSite(b, bucket, index, slog.New(slog.NewTextHandler(io.Discard, nil))), bucket
}

// A peer is a server that answers the same requests.
type peer struct {
	name string
	url  string // of the folder "photos"
	user string
	pass string
}

// A runner is one of several that do the same.
type runner struct {
	name  string
	do    func()
	times []time.Duration
}

// runners are peers that do the same.
func runners(all []*peer, do func(*peer)) (rs []*runner) {
	for _, p := range all {
		rs = append(rs, &runner{name: p.name, do: func() { do(p) }})
	}
	return rs
}

// peers are Shoebox and, where it is installed, rclone serve webdav, both with n files.
func peers(b *testing.B, s *site, n int) []*peer {
	b.Helper()
	all := []*peer{{name: "shoebox", url: s.URL + "/dav/photos/", user: "ana", pass: s.password}}
	dir := b.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "photos"), 0o755); err != nil {
		b.Fatal(err)
	}
	names := make(chan string)
	var workers sync.WaitGroup
	for range 64 { // what comes together is committed together
		workers.Go(func() {
			for name := range names {
				e, _, err := s.lib.Put(b.Context(), backend.Key("photos").Join(name), strings.NewReader(name), int64(len(name)), nil)
				if err != nil {
					b.Error(err)
					continue
				}
				// As it is once it has been looked at: that makes a row half as long again.
				m := backend.Media{Processed: true, Taken: e.Modified, TakenFrom: "exif", Camera: "Maker Model 7", Width: 4000, Height: 3000,
					Placeholder: "LEHV6nWB2yk8pyo0adR*.7kCMdnj", Variants: []string{"thumb-fc5e3094.webp", "view-00a30fd4.webp"}}
				if err := s.b.Finish(b.Context(), s.uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m}}); err != nil {
					b.Error(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "photos", name), []byte(name), 0o644); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		names <- fmt.Sprintf("IMG_%05d (summer).jpg", i)
	}
	close(names)
	workers.Wait()
	if url := rcloneServe(b, dir, "--user", "ana", "--pass", "x"); url != "" {
		all = append(all, &peer{name: "rclone", url: url + "photos/", user: "ana", pass: "x"})
		// It hashes the password anew for each request; so once more without one.
		all = append(all, &peer{name: "open-rclone", url: rcloneServe(b, dir) + "photos/"})
	}
	return all
}

// rcloneServe serves dir by WebDAV and returns where; "" if rclone is not there.
func rcloneServe(b *testing.B, dir string, flags ...string) string {
	b.Helper()
	rclone, err := exec.LookPath(rcloneProgram())
	if err != nil {
		b.Log("rclone is not installed: there is nothing to compare with")
		return ""
	}
	c := exec.CommandContext(b.Context(), rclone, append(flags, "serve", "webdav", dir, "--addr", "127.0.0.1:0", "--config", filepath.Join(dir, "none.conf"))...)
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
	b.Fatal("rclone serve does not begin to serve")
	return ""
}

// ask sends a request and reads the answer to its end.
func (p *peer) ask(b *testing.B, method, name string, body io.Reader, size int64, headers ...string) (n int64) {
	r, err := http.NewRequest(method, p.url+name, body)
	if err != nil {
		b.Fatal(err)
	}
	if body != nil {
		r.ContentLength = size
	}
	if p.user != "" {
		r.SetBasicAuth(p.user, p.pass)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	n, err = io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.Fatalf("%s: %s of %s: status %d, %v", p.name, method, name, resp.StatusCode, err)
	}
	return n
}

// race lets all do the same in turn, and reports the median of each and how many times
// longer than the first the others took.
func race(b *testing.B, all []*runner) {
	for _, r := range all {
		r.do() // once, to warm up
	}
	for b.Loop() {
		for _, r := range all {
			began := time.Now()
			r.do()
			r.times = append(r.times, time.Since(began))
		}
	}
	median := func(r *runner) float64 {
		slices.Sort(r.times)
		return float64(r.times[len(r.times)/2].Microseconds())
	}
	b.ReportMetric(0, "ns/op") // of all of them together: means nothing
	first := median(all[0])
	b.ReportMetric(first/1000, all[0].name+"-ms")
	for _, r := range all[1:] {
		b.ReportMetric(median(r)/1000, r.name+"-ms")
		b.ReportMetric(median(r)/first, r.name+"-times")
	}
}

// propfinds are what clients ask of a listing.
var propfinds = map[string]string{
	"allprop": "",
	"rclone":  `<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"><d:prop><d:displayname/><d:getlastmodified/><d:getcontentlength/><d:resourcetype/><d:getcontenttype/><oc:checksums/></d:prop></d:propfind>`,
	"davfs2":  `<?xml version="1.0"?><D:propfind xmlns:D="DAV:" xmlns:A="http://apache.org/dav/props/"><D:prop><D:resourcetype/><D:getcontentlength/><D:getetag/><D:getlastmodified/><A:executable/></D:prop></D:propfind>`,
}

// BenchmarkPropfind10000 lists a folder of 10,000 files. Its budget is 40 ms, and a fifth of
// what rclone takes; the bucket is not asked.
func BenchmarkPropfind10000(b *testing.B) {
	s, bucket := benchSite(b)
	all := peers(b, s, 10_000)
	asked := bucket.Count()
	for _, name := range slices.Sorted(maps.Keys(propfinds)) {
		b.Run(name, func(b *testing.B) {
			body := propfinds[name]
			race(b, runners(all, func(p *peer) {
				if n := p.ask(b, "PROPFIND", "", strings.NewReader(body), int64(len(body)), "Depth: 1", "Accept-Encoding: identity"); n < 1e6 {
					b.Fatalf("%s: a listing of %d bytes", p.name, n)
				}
			}))
		})
	}
	if n := bucket.Count() - asked; n != 0 {
		b.Errorf("the bucket was asked %d times", n)
	}
}

// BenchmarkStat asks of one file, a hundred times in a row; and a server that does nothing,
// to tell how much of it is the network and the client.
func BenchmarkStat(b *testing.B) {
	s, bucket := benchSite(b)
	nothing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer nothing.Close()
	all := append(peers(b, s, 1000), &peer{name: "nothing", url: nothing.URL + "/"})
	asked := bucket.Count()
	const name = "IMG_00500%20(summer).jpg"
	for _, method := range []string{"HEAD", "PROPFIND"} {
		b.Run(method, func(b *testing.B) {
			race(b, runners(all, func(p *peer) {
				for range 100 {
					p.ask(b, method, name, nil, 0, "Depth: 0")
				}
			}))
		})
	}
	if n := bucket.Count() - asked; n != 0 {
		b.Errorf("the bucket was asked %d times", n)
	}
}

var benchLarge = flag.Bool("bench.large", false, "benchmark transfers of 1 GiB too; with -benchtime 3x")

// transfers runs do for bodies of 6 MiB, and of 1 GiB if that is asked for.
func transfers(b *testing.B, do func(b *testing.B, size int64)) {
	b.Run("6MiB", func(b *testing.B) { do(b, 6<<20) })
	if *benchLarge {
		b.Run("1GiB", func(b *testing.B) { do(b, 1<<30) })
	}
}

// content is a body of size bytes that is not like any before it.
type content struct{ buf []byte }

func newContent() *content {
	c := &content{make([]byte, 1<<20)}
	rand.Read(c.buf)
	return c
}

func (c *content) next(size int64) io.Reader {
	rand.Read(c.buf[:16])
	return &repeated{c.buf, 0, size}
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

// bare is the bucket over HTTP, with nothing before it: no user, no index, no log, no hashes.
func bare(b *testing.B, bucket object.Bucket) *peer {
	var n atomic.Int64
	var last atomic.Pointer[string]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			name := object.OriginalName("abcdefghijklm", time.Now(), fmt.Sprintf("%026d", n.Add(1)), "put.mov")
			if _, err := bucket.Put(r.Context(), name, r.Body, r.ContentLength, &object.PutOptions{CreateOnly: true}); err != nil {
				b.Error(err)
			}
			last.Store(&name)
			return
		}
		off, size := int64(0), int64(-1)
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &off, &size); err == nil {
			size -= off - 1
		}
		body, err := bucket.Get(r.Context(), *last.Load(), off, size)
		if err != nil {
			b.Error(err)
			return
		}
		defer body.Close()
		w.Header().Set("Content-Length", fmt.Sprint(size))
		io.Copy(w, body)
	}))
	b.Cleanup(srv.Close)
	return &peer{name: "bucket", url: srv.URL + "/"}
}

// BenchmarkPut stores a file by WebDAV; by rclone; and straight into the bucket, which is a
// directory.
func BenchmarkPut(b *testing.B) {
	s, bucket := benchSite(b)
	all := append(peers(b, s, 0), bare(b, bucket))
	c := newContent()
	transfers(b, func(b *testing.B, size int64) {
		race(b, runners(all, func(p *peer) { p.ask(b, "PUT", "put.mov", c.next(size), size) }))
	})
}

// BenchmarkGet is the way back, and reads of 64 KiB from the middle.
func BenchmarkGet(b *testing.B) {
	s, bucket := benchSite(b)
	all := append(peers(b, s, 0), bare(b, bucket))
	c := newContent()
	transfers(b, func(b *testing.B, size int64) {
		for _, p := range all {
			p.ask(b, "PUT", "get.mov", c.next(size), size)
		}
		for _, part := range []struct {
			name   string
			off, n int64
		}{{"whole", 0, size}, {"64KiB", size/2 + 1, 64 << 10}} {
			b.Run(part.name, func(b *testing.B) {
				header := fmt.Sprintf("Range: bytes=%d-%d", part.off, part.off+part.n-1)
				race(b, runners(all, func(p *peer) {
					if n := p.ask(b, "GET", "get.mov", nil, 0, header); n != part.n {
						b.Fatalf("%s: got %d bytes, want %d", p.name, n, part.n)
					}
				}))
			})
		}
	})
}

// BenchmarkRequest is what a request for one file costs by itself, without the network.
func BenchmarkRequest(b *testing.B) {
	s, _ := benchSite(b)
	if _, _, err := s.lib.Put(b.Context(), "photos/2024/a.jpg", strings.NewReader("a"), 1, &backend.PutOptions{MakeParents: true}); err != nil {
		b.Fatal(err)
	}
	for _, method := range []string{"OPTIONS", "HEAD", "PROPFIND"} {
		b.Run(method, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest(method, "/dav/photos/2024/a.jpg", nil)
			r.Header.Set("Depth", "0")
			r.RemoteAddr = "127.0.0.1:1234"
			r.SetBasicAuth("ana", s.password)
			for b.Loop() {
				w := httptest.NewRecorder()
				s.Config.Handler.ServeHTTP(w, r)
				if w.Code >= 300 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
