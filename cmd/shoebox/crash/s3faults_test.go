package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// storeFaults are what can happen between Shoebox and its bucket.
var storeFaults = []string{
	"500", "503 SlowDown", "connection refused", "reset in the request", "reset in the answer",
	"no answer, done all the same", "slow", "body cut short", "200 with an error inside",
}

// A faultProxy stands before an S3 store and, by a seed, does some requests wrong.
type faultProxy struct {
	*httptest.Server
	to *httputil.ReverseProxy

	mu     sync.Mutex
	rng    *rand.Rand
	fault  string // "" for none, "any" for one by chance
	often  float64
	struck map[string]int

	nth      int    // the request, of those the fault can happen to, at which it strikes; 0 for by chance
	stuck    bool   // and again at the same request, until release
	stuckAt  string // which that is
	happened bool   // it has struck
}

func newFaultProxy(t *testing.T, to string) *faultProxy {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{struck: map[string]int{}}
	p.to = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u); r.Out.Host = r.In.Host }, // the host is signed
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// arm makes requests fail that often, from now on.
func (p *faultProxy) arm(fault string, often float64, rng *rand.Rand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.often, p.rng = fault, often, rng
	p.nth, p.stuck, p.stuckAt, p.happened = 0, false, "", false
}

// armNth makes the n-th request from now on fail, counted from 1: once, or as often as it
// is tried again until release is called.
func (p *faultProxy) armNth(fault string, n int, stuck bool) {
	p.arm(fault, 0, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nth, p.stuck = n, stuck
}

func (p *faultProxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stuckAt = ""
}

// nthStruck says whether there was an n-th request.
func (p *faultProxy) nthStruck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.happened
}

// strikes says whether something happens to r, to which the fault can happen.
func (p *faultProxy) strikes(r *http.Request) bool {
	request := r.Method + r.URL.Path
	switch {
	case p.rng != nil:
		return p.rng.Float64() < p.often
	case p.happened:
		return p.stuckAt == request
	}
	p.nth--
	p.happened = p.nth == 0
	if p.happened && p.stuck {
		p.stuckAt = request
	}
	return p.happened
}

func (p *faultProxy) heal() { p.arm("", 0, nil) }

// choose says what goes wrong with a request, "" for nothing.
func (p *faultProxy) choose(r *http.Request) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fault
	if f == "any" {
		f = storeFaults[p.rng.IntN(len(storeFaults))]
	}
	q := r.URL.Query()
	switch {
	case f == "":
		return ""
	case f == "200 with an error inside" && !(r.Method == http.MethodPost && q.Has("uploadId")) && r.Header.Get("X-Amz-Copy-Source") == "":
		return "" // S3 does so for these two only
	case !p.strikes(r):
		return ""
	}
	p.struck[f]++
	return f
}

func xmlError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>a fault for tests</Message></Error>`, code)
}

// reset ends the connection with RST.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.choose(r)
	if f == "" {
		p.to.ServeHTTP(w, r)
		return
	}
	done := func() *httptest.ResponseRecorder { // what the store says to it
		rec := httptest.NewRecorder()
		p.to.ServeHTTP(rec, r)
		return rec
	}
	// half sends half of the body under the length of all of it.
	half := func(rec *httptest.ResponseRecorder) {
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		body := rec.Body.Bytes()
		if r.Method != http.MethodHead {
			w.Header().Set("Content-Length", strconv.Itoa(max(len(body), 1)))
		}
		w.WriteHeader(rec.Code)
		w.Write(body[:len(body)/2])
		http.NewResponseController(w).Flush()
	}
	switch f {
	case "500":
		io.Copy(io.Discard, r.Body)
		xmlError(w, 500, "InternalError")
	case "503 SlowDown":
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", "1")
		xmlError(w, 503, "SlowDown")
	case "connection refused": // to a client, the same as a connection that is closed at once
		reset(w)
	case "reset in the request":
		io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		reset(w)
	case "reset in the answer":
		half(done())
		reset(w)
	case "no answer, done all the same":
		done()
		pause(r.Context(), 300*time.Millisecond)
		reset(w)
	case "slow":
		rec := done()
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		body := rec.Body.Bytes()
		for n := 0; n < 5 && len(body) > 0; n++ { // 1 KB/s for half a second
			k := min(100, len(body))
			w.Write(body[:k])
			http.NewResponseController(w).Flush()
			body = body[k:]
			pause(r.Context(), 100*time.Millisecond)
		}
		w.Write(body)
	case "body cut short":
		half(done())
		panic(http.ErrAbortHandler)
	case "200 with an error inside":
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
		xmlErrorBody(w)
	}
}

func xmlErrorBody(w io.Writer) {
	io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>a fault for tests</Message></Error>`)
}

const s3Key, s3Secret, s3Bucket = "crashtestkey", "crashtestsecret", "crash-test"

// memoryStore is an S3 store in this process, until end is called.
func memoryStore(t *testing.T) (address string, end func()) {
	mem := s3mem.New()
	if err := mem.CreateBucket(s3Bucket); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(gofakes3.New(mem, gofakes3.WithTimeSkewLimit(0), gofakes3.WithMetadataSizeLimit(0), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	return srv.URL, srv.Close
}

// s3Store starts versitygw if there is one, else a store in this process.
func s3Store(t *testing.T) (address string) {
	t.Helper()
	bin, err := exec.LookPath("versitygw")
	if err != nil {
		if home, err := os.UserHomeDir(); err == nil {
			bin = filepath.Join(home, "go", "bin", "versitygw")
		}
		if _, err := os.Stat(bin); err != nil {
			t.Log("the store is gofakes3: there is no versitygw here")
			address, end := memoryStore(t)
			t.Cleanup(end)
			return address
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	var log bytes.Buffer
	cmd := exec.Command(bin, "--port", addr, "--quiet", "posix", t.TempDir())
	cmd.Env = append(environ(), "ROOT_ACCESS_KEY="+s3Key, "ROOT_SECRET_KEY="+s3Secret)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	client := access{id: s3Key, secret: s3Secret}.s3Client("http://"+addr, newHTTPClient())
	if !poll(20*time.Second, func() bool {
		_, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(s3Bucket)})
		return err == nil || strings.Contains(err.Error(), "BucketAlready")
	}) {
		t.Fatalf("versitygw does not start: %s", log.String())
	}
	return "http://" + addr
}

// TestStoreFaults runs the program over an S3 store through a proxy that does requests
// wrong: each of nine faults, and all of them mixed. Clients may see success or 5xx; never
// a 2xx of something that is not there, or a 404 of something that is.
func TestStoreFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the program many times")
	}
	t.Parallel()
	proxy := newFaultProxy(t, s3Store(t))
	total, kinds := &verdict{}, append([]string{"any"}, storeFaults...)
	n := 0
	for round := range *faults {
		for i, kind := range kinds {
			if *faults == 1 && i > 0 && (uint64(i)+seedOnce())%3 != 0 {
				continue // the short run: all mixed, and three of the nine alone
			}
			storeFault(t, proxy, kind, n, fmt.Sprintf("round %d, %s", round, kind), total)
			n++
		}
	}
	total.report(t, "faults of the store", fmt.Sprintf("; by kind %v", proxy.struck))
}

func storeFault(t *testing.T, proxy *faultProxy, kind string, n int, when string, total *verdict) {
	ctx := t.Context()
	tr := newTrial(t, total, when)
	defer tr.end()
	env, args := proxy.settings(fmt.Sprintf("trial-%d", n))
	proxy.heal()
	data := filepath.Join(tr.dir, "data")
	tp := newTemplateIn(t, data, environ(env...), args...)
	g, err := tr.start(ctx, data, environ(append(env, hurry)...), args...)
	if err == nil {
		err = mkShared(ctx, tp.access, g)
	}
	if err != nil {
		tr.failed("start: %v", err)
		return
	}
	rng := source(uint64(n) + 8000)
	w := newCrowd(tr.h, *nClients, uint64(n)+8000, tp.access, g)
	proxy.arm(kind, []float64{0.05, 0.25, 0.6}[rng.IntN(3)], rng)
	working, stop := context.WithTimeout(ctx, *workTime)
	defer stop()
	calmDown := time.AfterFunc(*workTime, proxy.heal) // for those who still wait for an answer
	defer calmDown.Stop()
	if err := w.run(working); err != nil {
		tr.failed("%v", err)
	}
	proxy.heal()
	if g.isDead() {
		tr.failed("the program died: %s", first(g.log.String(), 3000))
	}
	g.kill()
	if n%2 == 1 {
		if err := os.RemoveAll(filepath.Join(data, "index")); err != nil {
			t.Fatal(err)
		}
	}
	tr.done(true, nil)
	if g, err = tr.start(ctx, data, environ(env...), args...); err != nil {
		tr.failed("it does not start again: %v", err)
		return
	}
	tr.check(ctx, w, tp.access, g)
}

// settings are environment and arguments of a program whose bucket is the store behind the
// proxy, below a prefix.
func (p *faultProxy) settings(prefix string) (env, args []string) {
	env = []string{"AWS_ACCESS_KEY_ID=" + s3Key, "AWS_SECRET_ACCESS_KEY=" + s3Secret, "AWS_EC2_METADATA_DISABLED=true"}
	args = []string{"-bucket", "s3://" + s3Bucket + "/" + prefix, "-bucket-endpoint", p.URL, "-bucket-region", "us-east-1",
		"-bucket-path-style", "-bucket-sse", "none", "-allow-insecure-bucket"}
	return env, args
}
