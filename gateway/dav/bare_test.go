package dav_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/webdav"
)

// TestBarePackage shows that golang.org/x/net/webdav by itself loses files, each in the way
// that a test in loss_test.go shows we do not. Where it fails after an update of that module,
// the package has been mended, and what stands before it here may be needed no more.
func TestBarePackage(t *testing.T) {
	for _, tt := range []struct {
		name string
		loss func(*share) // what to do to /dav/photos/old.jpg, which says "original"
		left int          // status of a GET of it afterwards
		text string       // what it then says
	}{
		{"a cut PUT", func(s *share) { s.cut("/dav/photos/old.jpg", false) }, 200, "torso"},
		{"a cut PUT in chunks", func(s *share) { s.cut("/dav/photos/old.jpg", true) }, 200, "torso"},
		{"a cut PUT by HTTP/2", func(s *share) { s.cut("/dav/photos/old.jpg", false) }, 200, "torso"},
		{"a cut PUT by HTTP/2, no length", func(s *share) { s.cut("/dav/photos/old.jpg", true) }, 200, "torso"},
		{"MOVE of nothing", func(s *share) {
			s.do("MOVE", "/dav/photos/gone.tmp", "", s.dest("/dav/photos/old.jpg"), "Overwrite: T")
		}, 404, ""},
		{"MOVE onto the parent", func(s *share) {
			s.do("MOVE", "/dav/photos/deep", "", s.dest("/dav/photos"), "Overwrite: T")
		}, 404, ""},
		{"COPY onto the parent", func(s *share) {
			s.do("COPY", "/dav/photos/deep", "", s.dest("/dav/photos"))
		}, 404, ""},
		{"COPY onto itself", func(s *share) {
			s.do("COPY", "/dav/photos", "", s.dest("/dav/photos/"))
		}, 404, ""},
		{"MOVE onto itself, locked", func(s *share) {
			token := strings.Trim(s.do("LOCK", "/dav/photos/old.jpg", lockBody).Header.Get("Lock-Token"), "<>")
			s.do("MOVE", "/dav/photos/old.jpg", "", s.dest("/dav/photos/old.jpg/"), "Overwrite: T", "If: (<"+token+">)")
		}, 404, ""},
		{"PUT of a part", func(s *share) {
			s.do("PUT", "/dav/photos/old.jpg", "OR", "Content-Range: bytes 0-1/8")
		}, 200, "OR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &share{t: t}
			s.Server = httptest.NewUnstartedServer(s.telling(&webdav.Handler{Prefix: "/dav", FileSystem: webdav.NewMemFS(), LockSystem: webdav.NewMemLS()}))
			if strings.Contains(tt.name, "HTTP/2") {
				s.EnableHTTP2 = true
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			s.mkcol("/dav/photos")
			s.mkcol("/dav/photos/deep")
			s.put("/dav/photos/old.jpg", "original")
			tt.loss(s)
			got := s.do("GET", "/dav/photos/old.jpg", "")
			if got.StatusCode != tt.left || got.StatusCode == 200 && !strings.HasPrefix(got.body, tt.text) {
				t.Errorf("got status %d, %.20q, want %d, %q: has the package been mended?", got.StatusCode, got.body, tt.left, tt.text)
			}
		})
	}
}

// TestBareRecursion: a COPY into itself ends only at the package's limit of depth.
func TestBareRecursion(t *testing.T) {
	dir := t.TempDir()
	s := &share{t: t, Server: httptest.NewServer(&webdav.Handler{Prefix: "/dav", FileSystem: webdav.Dir(dir), LockSystem: webdav.NewMemLS()})}
	defer s.Close()
	s.mkcol("/dav/rec")
	s.put("/dav/rec/f", "F")
	s.do("COPY", "/dav/rec", "", s.dest("/dav/rec/in"))
	if got := s.do("GET", "/dav/rec"+strings.Repeat("/in", 50)+"/f", ""); got.StatusCode != 200 {
		t.Errorf("50 levels down: got status %d: has the package been mended?", got.StatusCode)
	}
}

// telling tells s.done when a PUT has been dealt with.
func (s *share) telling(h http.Handler) http.Handler {
	s.done = make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			defer func() {
				select {
				case s.done <- struct{}{}:
				default:
				}
			}()
		}
		h.ServeHTTP(w, r)
	})
}

// cut sends "torso", breaks the connection, and waits until the server has made of it what
// it makes of it.
func (s *share) cut(path string, chunked bool) {
	s.t.Helper()
	select {
	case <-s.done: // of one before
	default:
	}
	pr, pw := io.Pipe()
	go func() {
		fmt.Fprint(pw, "torso"+strings.Repeat("x", 300_000))
		pw.CloseWithError(errors.New("cable pulled"))
	}()
	r, err := http.NewRequest("PUT", s.URL+path, pr)
	if err != nil {
		s.t.Fatal(err)
	}
	if r.ContentLength = 1_000_000; chunked {
		r.ContentLength = -1
	}
	if resp, err := s.Client().Do(r); err == nil {
		resp.Body.Close()
		s.t.Fatalf("PUT of a broken body: got status %d, want an error", resp.StatusCode)
	}
	<-s.done
}
