package dav_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// failing is a bucket whose objects break off after n bytes.
type failing struct {
	object.Bucket
	n int64
}

func (f failing) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	rc, err := f.Bucket.Get(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(rc, f.n), iotest.ErrReader(errors.Join(object.ErrUnavailable, errCut))), rc}, nil
}

// TestGetCut: a download that breaks must not look whole.
func TestGetCut(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		s := startShare(t, nil, http2)
		s.put("/dav/photos/a.jpg", strings.Repeat("x", 1_000_000))
		s.down.Bucket = failing{s.down.Bucket, 400_000}
		resp, err := s.Client().Get(s.URL + "/dav/photos/a.jpg")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("http2=%v: got %d bytes and a good end, want an error", http2, n)
		}
	}
}

// TestListingCut: nor must a listing, or a client that syncs would delete the rest.
func TestListingCut(t *testing.T) {
	var x *kvtest.Faults
	mem := memkv.New()
	x = kvtest.NewFaults(mem, nil)
	b := backend.New(membucket.New(), x, nil)
	lib, err := b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	fill(t, lib, 3000)
	h := dav.New(b, nil)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(auth.With(r.Context(), &auth.Principal{UID: uid, Login: "ana"})))
	}))
	defer srv.Close()
	list := func(fault func(kvtest.Call) kvtest.Fault) (code int, body string, err error) {
		x.Script(fault)
		defer x.Script(nil)
		r, _ := http.NewRequest("PROPFIND", srv.URL+"/dav/photos/", strings.NewReader(asked["rclone"]))
		r.Header.Set("Depth", "1")
		r.Header.Set("Accept-Encoding", "identity")
		resp, err := srv.Client().Do(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		all, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(all), err
	}
	if code, body, err := list(nil); code != 207 || err != nil || len(hrefs(body)) != 3001 {
		t.Fatalf("got status %d, %d hrefs, %v", code, len(hrefs(body)), err)
	}
	var mu sync.Mutex
	scans := 0
	nth := func(n int) func(kvtest.Call) kvtest.Fault {
		scans = 0
		return func(c kvtest.Call) kvtest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if c.Method != "Scan" {
				return kvtest.Fault{}
			}
			scans++
			return kvtest.Fault{Fail: scans >= n}
		}
	}
	if code, body, err := list(nth(1)); code < 500 || err != nil {
		t.Errorf("failing at once: got status %d, %v, %.200s", code, err, body)
	}
	if code, body, err := list(nth(3)); err == nil || code != 207 || strings.Contains(body, "</D:multistatus>") {
		t.Errorf("failing midway: got status %d, %v, and %d hrefs", code, err, len(hrefs(body)))
	}
}

// deadlines is a ResponseWriter that records the deadlines it is given.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = append(d.write, t); return nil }

// TestDeadlines: they are set while a body is under way, and taken back at its end.
func TestDeadlines(t *testing.T) {
	s := newShare(t, nil)
	h := dav.New(s.b, &dav.Options{Idle: time.Hour})
	do := func(method, body string) *deadlines {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(method, "/dav/photos/a.jpg", strings.NewReader(body))
		h.ServeHTTP(w, r.WithContext(auth.With(t.Context(), &auth.Principal{UID: uid, Login: "ana"})))
		if w.Code/100 != 2 {
			t.Fatalf("%s: got status %d", method, w.Code)
		}
		return w
	}
	check := func(what string, set []time.Time) {
		t.Helper()
		if len(set) < 2 || time.Until(set[0]) < 50*time.Minute || !set[len(set)-1].IsZero() {
			t.Errorf("%s deadlines: got %v", what, set)
		}
	}
	check("read", do("PUT", "A").read)
	check("write", do("GET", "").write)
}

func TestAbove(t *testing.T) {
	h := dav.Above("/remote.php/dav", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"OPTIONS", "/", 200}, {"PROPFIND", "/", 207}, {"PROPFIND", "/remote.php/", 207}, {"PROPFIND", "/remote.php", 207},
		{"GET", "/", 418}, {"PROPFIND", "/remote.php/dav/", 418}, {"PROPFIND", "/remote", 418}, {"OPTIONS", "/other", 418},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.code {
			t.Errorf("%s %s: got status %d, want %d", c.method, c.path, w.Code, c.code)
		}
	}
}
