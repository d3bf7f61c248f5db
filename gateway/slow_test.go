package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// pipes is a listener whose connections are in memory, so that their deadlines go by the
// clock of a test.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// TestSlowClients: 5,000 connections of clients that send nothing, a byte of their header
// every five seconds, or a byte of a body every five seconds. None of them keeps its
// connection, another client is served as if they were not there, and they take little
// memory. Deadlines are of the rolling kind: who sends a large file at an ordinary pace
// takes as long as it takes.
func TestSlowClients(t *testing.T) {
	const clients = 5000
	synctest.Test(t, func(t *testing.T) {
		l, lib, secret, stop := servePipes(t, nil)
		before := inUse()
		head := "Host: photos\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+secret)) + "\r\n"
		began := time.Now()
		var open, last atomic.Int64 // connections, and seconds after which the last was closed
		for i := range clients {
			c := l.dial()
			open.Add(1)
			go func() { // reads whatever comes, until the server hangs up
				defer open.Add(-1)
				defer c.Close()
				io.Copy(io.Discard, c)
				last.Store(int64(time.Since(began) / time.Second))
			}()
			go func() {
				fast, slow := "", ""
				switch i % 3 {
				case 1:
					slow = "PROPFIND /dav/photos/ HTTP/1.1\r\n" + head + strings.Repeat("X-Header: x\r\n", 100)
				case 2:
					fast = fmt.Sprintf("PUT /dav/photos/slow-%d.jpg HTTP/1.1\r\n%sContent-Length: 6000000\r\n\r\n", i, head)
					slow = strings.Repeat("x", 1000)
				}
				if _, err := io.WriteString(c, fast); err != nil {
					return
				}
				for j := range len(slow) {
					if _, err := io.WriteString(c, slow[j:j+1]); err != nil {
						return
					}
					time.Sleep(5 * time.Second) // of the test's clock
				}
			}()
		}
		synctest.Wait()
		if n := open.Load(); n != clients {
			t.Errorf("%d connections are open of %d", n, clients)
		}
		each := (inUse() - before) / clients
		t.Logf("%d bytes of memory a connection, ours and the client's", each)
		if each > 64<<10 {
			t.Errorf("a connection takes %d bytes", each)
		}

		// One that sends at an ordinary pace: 2 KiB a second, for ten minutes.
		good := l.dial()
		defer good.Close()
		answers := bufio.NewReader(good)
		ask := func(method, path, more string, body io.Reader) *http.Response {
			t.Helper()
			if _, err := io.WriteString(good, method+" "+path+" HTTP/1.1\r\n"+head+more+"\r\n"); err != nil {
				t.Fatal(err)
			}
			if body != nil {
				if _, err := io.Copy(good, body); err != nil {
					t.Fatal(err)
				}
			}
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				t.Fatal(err)
			}
			return res
		}
		asked := time.Now()
		if res := ask("PROPFIND", "/dav/photos/", "Depth: 1\r\n", nil); res.StatusCode != 207 || time.Since(asked) != 0 {
			t.Errorf("among slow clients: status %d after %v", res.StatusCode, time.Since(asked))
		}
		const steady = 600
		if res := ask("PUT", "/dav/photos/steady.mov", fmt.Sprintf("Content-Length: %d\r\n", steady<<11), &paced{left: steady}); res.StatusCode != 201 {
			t.Errorf("at an ordinary pace: status %d", res.StatusCode)
		}
		if took := time.Since(asked); took < steady*time.Second {
			t.Errorf("at an ordinary pace: it took %v", took)
		}
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d slow connections are still open", n)
		}
		t.Logf("the last slow connection was closed after %d s", last.Load())
		if n := last.Load(); n > 150 {
			t.Errorf("the last slow connection was closed after %d s", n)
		}
		only(t, lib, "steady.mov")
		good.Close()
		stop()
	})
}

// TestStalledShortBody: net/http reads what is left of a short body before it answers. That of
// a client that sends nothing more is not waited for either.
func TestStalledShortBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lib, secret, stop := servePipes(t, nil)
		head := "Host: photos\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+secret)) + "\r\n"
		for _, ask := range []string{
			"PUT /dav/photos/a.jpg HTTP/1.1\r\n" + head + "Content-Length: 1000\r\n\r\n" + strings.Repeat("x", 400),
			"PUT /dav/photos/a.jpg HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n",
			"PROPFIND /dav/photos/ HTTP/1.1\r\n" + head + "Content-Length: 1000\r\n\r\n<",
			// What is refused before it is read; nobody had to sign in for it.
			"PUT /dav/photos/a.jpg HTTP/1.1\r\nHost: photos\r\nContent-Length: 1000\r\n\r\nx",
		} {
			c := l.dial()
			c.SetReadDeadline(time.Now().Add(10 * time.Minute))
			go io.WriteString(c, ask)
			began := time.Now()
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("%.20s: %v after %v", ask, err, time.Since(began))
			}
			if strings.HasPrefix(ask, "PUT") && strings.Contains(ask, "Basic") && res.StatusCode != 408 {
				t.Errorf("%.20s: status %d", ask, res.StatusCode)
			}
			if _, err := io.Copy(io.Discard, c); err != nil { // until the server hangs up
				t.Errorf("%.20s: %v", ask, err)
			}
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("%.20s: after %v", ask, took)
			}
			c.Close()
		}
		for e, err := range lib.Members(t.Context(), "photos") {
			t.Errorf("there is %v, %v", e, err)
		}
		stop()
	})
}

// TestSlowSink: a face that passes a body on may have to wait in the middle of it, for a bucket
// behind a slow line. That is not the client's slowness.
func TestSlowSink(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCert(t, certFile, keyFile)
	cert, err := gateway.OpenCertificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	const size, wait = 3_000_000, 3 * time.Minute // more than HTTP/2 takes ahead
	f := faces()
	f.DAV = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.CopyN(io.Discard, r.Body, 30_000)
		for err == nil {
			time.Sleep(wait) // of the test's clock
			var more int64
			more, err = io.CopyN(io.Discard, r.Body, 800_000)
			n += more
		}
		if err != io.EOF || n != size {
			t.Errorf("%s: %d bytes came, %v", r.Proto, n, err)
		}
	})
	for scheme, cert := range map[string]*gateway.Certificate{"http": nil, "https": cert} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			l, served := newPipes(), make(chan error, 1)
			g := gateway.New(f, nil)
			go func() { served <- g.Serve(ctx, l, g.Web(), cert) }()
			dial := func(context.Context, string, string) (net.Conn, error) { return l.dial(), nil }
			transport := &http.Transport{
				DialContext: dial, ForceAttemptHTTP2: true,
				TLSClientConfig: &tls.Config{RootCAs: pool, Time: func() time.Time { return realNow }},
			}
			r, err := http.NewRequestWithContext(t.Context(), "PUT", scheme+"://127.0.0.1/dav/a", strings.NewReader(strings.Repeat("x", size)))
			if err != nil {
				t.Fatal(err)
			}
			if res, err := transport.RoundTrip(r); err != nil {
				t.Errorf("%s: %v", scheme, err)
			} else if res.Body.Close(); res.StatusCode != 200 || (res.ProtoMajor == 2) != (cert != nil) {
				t.Errorf("%s: got %s %s", scheme, res.Proto, res.Status)
			}
			transport.CloseIdleConnections()
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

// only checks that there is one file.
func only(t *testing.T, lib *backend.Library, name string) {
	t.Helper()
	n := 0
	for e, err := range lib.Members(t.Context(), "photos") {
		if err != nil || e.Name != name {
			t.Errorf("there is %v, %v", e, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("there are %d files, want %s", n, name)
	}
}

// servePipes serves the share of a user "ana" on connections in memory. stop ends that.
func servePipes(t *testing.T, cert *gateway.Certificate) (l *pipes, lib *backend.Library, password string, stop func()) {
	t.Helper()
	bucket, index := membucket.New(), memkv.New()
	b := backend.New(bucket, index, nil)
	a, err := account.Open(t.Context(), bucket, index, account.GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.CreateUser(t.Context(), account.NewUser{Login: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	if lib, err = b.Library(t.Context(), u.UID, backend.Access{}); err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	_, secret, err := a.Mint(t.Context(), u.UID, account.MintOptions{Label: "client", DAV: true})
	if err != nil {
		t.Fatal(err)
	}
	au, err := auth.New(a, &auth.Options{AllowPlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Faces{DAV: au.Basic("Shoebox", "dav", dav.New(b, nil)), Page: face("page"), S3: face("s3")}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	l = newPipes()
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx, l, g.Web(), cert) }()
	return l, lib, string(secret), func() {
		t.Helper()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// TestSlowStreams is the same by HTTP/2, where slow uploads and others share a connection,
// which must not end with the slow ones.
func TestSlowStreams(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := writeCert(t, certFile, keyFile)
	cert, err := gateway.OpenCertificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l, lib, secret, stop := servePipes(t, cert)
		var dialed atomic.Int64
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, Time: func() time.Time { return realNow }}, ForceAttemptHTTP2: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) { dialed.Add(1); return l.dial(), nil },
		}
		ask := func(method, path string, body io.Reader, size int64) (int, error) {
			r, err := http.NewRequestWithContext(t.Context(), method, "https://127.0.0.1"+path, body)
			if err != nil {
				return 0, err
			}
			r.ContentLength = size
			r.SetBasicAuth("ana", secret)
			res, err := transport.RoundTrip(r)
			if err != nil {
				return 0, err
			}
			defer res.Body.Close()
			_, err = io.Copy(io.Discard, res.Body)
			if res.ProtoMajor != 2 {
				t.Errorf("got %s, want HTTP/2", res.Proto)
			}
			return res.StatusCode, err
		}
		if code, err := ask("PROPFIND", "/dav/photos/", nil, 0); code != 207 || err != nil {
			t.Fatalf("PROPFIND: got status %d, %v", code, err)
		}
		began := time.Now()
		var slow sync.WaitGroup
		for i := range 50 {
			slow.Go(func() {
				code, err := ask("PUT", fmt.Sprintf("/dav/photos/slow-%d.jpg", i), &trickle{}, 6_000_000)
				if err == nil && code < 400 {
					t.Errorf("a slow PUT: got status %d", code)
				}
				if took := time.Since(began); took > 150*time.Second {
					t.Errorf("a slow PUT went on for %v", took)
				}
			})
		}
		const steady = 300
		if code, err := ask("PUT", "/dav/photos/steady.mov", &paced{left: steady}, steady<<11); code != 201 || err != nil {
			t.Errorf("at an ordinary pace: got status %d, %v", code, err)
		}
		slow.Wait()
		if n := dialed.Load(); n != 1 {
			t.Errorf("%d connections were made, want one for all", n)
		}
		only(t, lib, "steady.mov")
		transport.CloseIdleConnections()
		stop()
	})
}

// realNow is now, for certificates: the clock of a bubble begins in the year 2000.
var realNow = time.Now()

// trickle gives a byte every five seconds.
type trickle struct{}

func (trickle) Read(b []byte) (int, error) {
	time.Sleep(5 * time.Second) // of the test's clock
	b[0] = 'x'
	return 1, nil
}

// inUse is what this process has of memory that is in use, in bytes.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// paced gives 2 KiB a second.
type paced struct{ left int }

func (p *paced) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	p.left--
	time.Sleep(time.Second) // of the test's clock
	return copy(b, make([]byte, 2<<10)), nil
}
