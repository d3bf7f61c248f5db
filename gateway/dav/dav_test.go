package dav_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

var update = flag.Bool("update", false, "write the golden files anew")

const uid = "abcdefghijklm"

// A share is a WebDAV server with a library "photos", over a bucket in memory.
type share struct {
	*httptest.Server
	t      testing.TB
	b      *backend.Backend
	lib    *backend.Library
	down   *down
	trace  atomic.Pointer[dav.Trace] // while a transcript is taken
	access backend.Access
	done   chan struct{} // a PUT has been dealt with: see cut
}

// down is a bucket that can be cut off.
type down struct {
	object.Bucket
	cut bool
}

var errCut = errors.New("cable pulled")

func (d *down) err() error {
	if d.cut {
		return errors.Join(object.ErrUnavailable, errCut)
	}
	return nil
}

func (d *down) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	if err := d.err(); err != nil {
		return object.Info{}, err
	}
	return d.Bucket.Put(ctx, name, body, size, opt)
}

func (d *down) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	return d.Bucket.Get(ctx, name, off, n)
}

func newShare(t testing.TB, opt *dav.Options) *share { return startShare(t, opt, false) }

func startShare(t testing.TB, opt *dav.Options, http2 bool) *share {
	t.Helper()
	d := &down{Bucket: membucket.New()}
	s := &share{t: t, down: d, b: backend.New(d, memkv.New(), nil)}
	var err error
	if s.lib, err = s.b.Library(t.Context(), uid, backend.Access{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	h := dav.New(s.b, opt)
	s.Server = httptest.NewUnstartedServer(s.telling(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &auth.Principal{UID: uid, Login: "ana", Name: "Ana", Key: "k1", Access: s.access}
		s.trace.Load().Handler(h).ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
	})))
	s.Config.ErrorLog = nil
	if http2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// A reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

// do sends a request; headers are "Name: value". path is below the server's root.
func (s *share) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Transfer-Encoding" {
			r.ContentLength = -1
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(body)))
			continue
		}
		r.Header.Add(name, value)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		s.t.Fatalf("%s %s: body: %v", method, path, err)
	}
	return reply{resp, b.String()}
}

// want sends a request and checks its status.
func (s *share) want(code int, method, path, body string, headers ...string) reply {
	s.t.Helper()
	got := s.do(method, path, body, headers...)
	if got.StatusCode != code {
		s.t.Errorf("%s %s %q: got status %d, want %d; body %.300q", method, path, headers, got.StatusCode, code, got.body)
	}
	return got
}

// put stores a file.
func (s *share) put(path, body string) {
	s.t.Helper()
	if got := s.do("PUT", path, body); got.StatusCode != 201 && got.StatusCode != 204 {
		s.t.Fatalf("PUT %s: got status %d: %s", path, got.StatusCode, got.body)
	}
}

func (s *share) mkcol(path string) {
	s.t.Helper()
	if got := s.do("MKCOL", path, ""); got.StatusCode != 201 {
		s.t.Fatalf("MKCOL %s: got status %d: %s", path, got.StatusCode, got.body)
	}
}

// content checks what a file holds; "" with none true means that there is no file.
func (s *share) content(path, want string) {
	s.t.Helper()
	if got := s.do("GET", path, ""); got.StatusCode != 200 || got.body != want {
		s.t.Errorf("GET %s: got status %d, %.60q, want %q", path, got.StatusCode, got.body, want)
	}
}

func (s *share) gone(path string) {
	s.t.Helper()
	s.want(404, "PROPFIND", path, "", "Depth: 0")
}

const lockBody = `<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>ana's laptop</D:href></D:owner></D:lockinfo>`

// lock takes a lock and returns its token.
func (s *share) lock(path string, headers ...string) string {
	s.t.Helper()
	got := s.do("LOCK", path, lockBody, headers...)
	token := strings.Trim(got.Header.Get("Lock-Token"), "<>")
	if got.StatusCode/100 != 2 || !strings.HasPrefix(token, "opaquelocktoken:") {
		s.t.Fatalf("LOCK %s: got status %d, token %q: %s", path, got.StatusCode, token, got.body)
	}
	return token
}

func (s *share) dest(path string) string { return "Destination: " + s.URL + path }

// slow is a body in two parts, with something happening in between, when the server
// has read the first.
type slow struct {
	parts   []string
	between func()
	reads   int
}

func (b *slow) Read(p []byte) (int, error) {
	switch b.reads++; b.reads {
	case 1:
		return copy(p, b.parts[0]), nil
	case 2:
		b.between()
		return copy(p, b.parts[1]), nil
	}
	return 0, io.EOF
}

// stream sends a body of unknown length and returns the status.
func (s *share) stream(method, path string, body io.Reader, headers ...string) int {
	s.t.Helper()
	r, err := http.NewRequest(method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
