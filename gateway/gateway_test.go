package gateway_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/gateway"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// face answers with its name and the path it was given.
func face(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name, r.URL.Path)
	})
}

func faces() gateway.Faces {
	return gateway.Faces{DAV: face("dav"), Page: face("page"), S3: face("s3")}
}

func get(h http.Handler, url string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", url, nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	g := gateway.New(faces(), &gateway.Options{S3Host: "s3.example.org"})
	for _, test := range []struct{ url, want string }{
		{"http://example.org/", "page /"},
		{"http://example.org/davy", "page /davy"},
		{"http://example.org/api/timeline", "page /api/timeline"},
		{"http://example.org/dav", "dav /dav"},
		{"http://example.org/dav/photos/a.jpg", "dav /dav/photos/a.jpg"},
		{"http://example.org/dav//photos/../a", "dav /dav//photos/../a"}, // not cleaned, not redirected
		{"http://example.org/healthz", "ok\n"},
		{"http://s3.example.org/dav/a", "s3 /dav/a"},
		{"http://S3.example.org:8443/photos", "s3 /photos"},
		{"http://photos.S3.example.org:8443/dav/a.jpg", "s3 /dav/a.jpg"}, // by the bucket's own name
		{"http://my.photos.s3.example.org/", "s3 /"},
		{"http://nos3.example.org/", "page /"},
	} {
		if got := get(g.Web(), test.url, nil).Body.String(); got != test.want {
			t.Errorf("%s: got %q, want %q", test.url, got, test.want)
		}
	}
	if got := get(g.S3(), "http://localhost:9000/dav/a", nil).Body.String(); got != "s3 /dav/a" {
		t.Errorf("S3 listener: got %q", got)
	}
}

func TestHealth(t *testing.T) {
	f := faces()
	f.Health = func(context.Context) error { return errors.New("private details") }
	w := get(gateway.New(f, nil).Web(), "/healthz", nil)
	if w.Code != 503 || strings.Contains(w.Body.String(), "private") {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestHeaders(t *testing.T) {
	g := gateway.New(faces(), nil)
	h := get(g.Web(), "/", nil).Header()
	if len(h.Get("X-Request-Id")) != 16 || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("got %v", h)
	}
	if h.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS over plain HTTP")
	}
	g = gateway.New(faces(), &gateway.Options{IsSecure: func(*http.Request) bool { return true }})
	h = get(g.Web(), "/", nil).Header()
	if h.Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS behind a proxy that speaks HTTPS")
	}
}

// logBuffer is a log to look into.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *logBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }
func (l *logBuffer) logger() *slog.Logger {
	return slog.New(gateway.LogHandler(slog.NewTextHandler(l, nil)))
}

// One line a request: who, what, how much. No name, query, header or method of a
// stranger's making gets into it.
func TestAccessLog(t *testing.T) {
	var log logBuffer
	f := faces()
	f.DAV = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth.With(r.Context(), &auth.Principal{Login: "ana", Key: "ABCD"})
		n, _ := io.Copy(io.Discard, r.Body)
		w.WriteHeader(201)
		fmt.Fprintf(w, "%05d", n)
	})
	g := gateway.New(f, &gateway.Options{Logger: log.logger()})
	r := httptest.NewRequest("PUT", "/dav/canary-name?canary-query", strings.NewReader("0123456789"))
	r.Header.Set("Authorization", "canary-secret")
	w := httptest.NewRecorder()
	g.Web().ServeHTTP(w, r)
	get(g.Web(), "/dav/x", func(r *http.Request) { r.Method = "X\ncanary=1" })
	got := log.String()
	for _, want := range []string{`op="dav PUT" principal=ana/ABCD addr=192.0.2.1 status=201 bytes=5 in=10 dur=`, "id=" + w.Header().Get("X-Request-Id"), `op="dav ?"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %s:\n%s", want, got)
		}
	}
	if strings.Contains(got, "canary") {
		t.Errorf("the log tells what is private:\n%s", got)
	}
	if n := strings.Count(got, "\n"); n != 2 {
		t.Errorf("%d lines for two requests", n)
	}
}

func TestPanic(t *testing.T) {
	var log logBuffer
	f := faces()
	f.Page = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			w.Write([]byte("half an ans"))
			w.(http.Flusher).Flush()
		}
		panic("oops")
	})
	srv := httptest.NewServer(gateway.New(f, &gateway.Options{Logger: log.logger()}).Web())
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil || res.StatusCode != 500 {
		t.Fatalf("got %v, %v, want 500", res, err)
	}
	text, _ := io.ReadAll(res.Body)
	if !strings.Contains(string(text), res.Header.Get("X-Request-Id")) {
		t.Errorf("the answer %q does not tell the id", text)
	}
	// After half an answer the client must see that it is cut, not a short file.
	if res, err = http.Get(srv.URL + "/late"); err == nil {
		if _, err = io.ReadAll(res.Body); err == nil {
			t.Error("half an answer looked whole")
		}
	}
	if got := log.String(); strings.Count(got, "request panicked") != 2 || !strings.Contains(got, "gateway_test.go") {
		t.Errorf("log: %s", got)
	}
}

// What a client sends too slowly is cut off; the window is a minute, so the test
// only sees that the deadline is set and lifted again.
func TestBodyDeadline(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	f := faces()
	f.DAV = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	g := gateway.New(f, &gateway.Options{MinRate: 10})
	body := io.MultiReader(strings.NewReader(strings.Repeat("a", 700)), strings.NewReader("b"))
	g.Web().ServeHTTP(w, httptest.NewRequest("PUT", "/dav/a", body))
	for i, at := range w.read {
		if last := i == len(w.read)-1; last != at.IsZero() || last && i < 2 {
			t.Errorf("got read deadlines %v, want one for each read and then their end", w.read)
		}
	}
}

type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { return nil }

// serve runs a gateway on a free port; stop ends it and returns what Serve did.
func serve(t *testing.T, h http.Handler, opt *gateway.Options, cert *gateway.Certificate) (addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- gateway.New(faces(), opt).Serve(ctx, l, h, cert) }()
	return l.Addr().String(), func() error { cancel(); return <-done }
}

func TestServeDrains(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- true
		<-finish
		w.Write([]byte("whole"))
	})
	addr, stop := serve(t, h, nil, nil)
	answer := make(chan string)
	go func() {
		res, err := http.Get("http://" + addr)
		if err != nil {
			answer <- err.Error()
			return
		}
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-begun
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	close(finish)
	if got := <-answer; got != "whole" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("still listening")
	}
}

func TestServeCutsAfterDrain(t *testing.T) {
	begun := make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- true
		<-r.Context().Done()
	})
	addr, stop := serve(t, h, &gateway.Options{Drain: time.Millisecond}, nil)
	go http.Get("http://" + addr)
	<-begun
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestHeaderLimit(t *testing.T) {
	addr, stop := serve(t, face("x"), nil, nil)
	defer stop()
	r, _ := http.NewRequest("GET", "http://"+addr, nil)
	r.Header.Set("X-Long", strings.Repeat("a", 80<<10))
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %v, %v, want 431", res, err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCert(t, certFile, keyFile)
	cert, err := gateway.OpenCertificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr, stop := serve(t, face("x"), nil, cert)
	defer stop()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	res, err := c.Get("https://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	if res.ProtoMajor != 2 {
		t.Errorf("got %s, want HTTP/2", res.Proto)
	}
	if _, err := gateway.OpenCertificate(certFile, filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a missing key is no error")
	}
}

func writeCert(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	cert, _ := x509.ParseCertificate(der)
	pool.AddCert(cert)
	return pool
}

// TestSmallBodies: whatever a handler of the page reads has an end; photographs have none.
func TestSmallBodies(t *testing.T) {
	count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err != nil)
	})
	g := gateway.New(gateway.Faces{DAV: count, Page: count, S3: count, Nextcloud: count}, nil).Web()
	const size = 3 << 20
	for _, test := range []struct{ method, path, want string }{
		{"POST", "/login/oidc/connect", "1048576 true"},
		{"GET", "/login/oidc", "1048576 true"},
		{"POST", "/index.php/login/v2/poll", "1048576 true"},
		{"PUT", "/api/upload", "3145728 false"},
		{"PUT", "/dav/photos/a.jpg", "3145728 false"},
		{"PUT", "/remote.php/dav/files/ana/a.jpg", "3145728 false"},
	} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(test.method, "http://example.org"+test.path, bytes.NewReader(make([]byte, size))))
		if got := w.Body.String(); got != test.want {
			t.Errorf("%s %s: read %s, want %s", test.method, test.path, got, test.want)
		}
	}
}
