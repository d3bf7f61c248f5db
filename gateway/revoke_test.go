package gateway_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// A stream is a body that is never whole: it gives some bytes and then no more.
type stream struct {
	began chan struct{} // closed once the first bytes are taken
	stop  chan struct{} // closed at the end
	some  bool
}

func newStream(t *testing.T) *stream {
	s := &stream{began: make(chan struct{}), stop: make(chan struct{})}
	t.Cleanup(func() { close(s.stop) })
	return s
}

func (s *stream) Read(p []byte) (int, error) {
	if !s.some {
		s.some = true
		return copy(p, strings.Repeat("x", 1<<16)), nil
	}
	select {
	case <-s.began:
	default:
		close(s.began)
	}
	<-s.stop
	return 0, io.ErrUnexpectedEOF
}

// endings are the ways in which a credential ends.
var endings = []struct {
	name string
	end  func(*tenant) error
}{
	{"revoked", func(t *tenant) error { return t.h.accounts.Revoke(t.h.t.Context(), t.UID, t.key.ID) }},
	{"suspended", func(t *tenant) error { return t.h.accounts.SetState(t.h.t.Context(), t.UID, account.Suspended) }},
	{"all revoked", func(t *tenant) error { return t.h.accounts.RevokeAll(t.h.t.Context(), t.UID) }},
	{"removed", func(t *tenant) error { _, err := t.h.accounts.RemoveUser(t.h.t.Context(), t.UID); return err }},
}

// TestRevokeRunningUpload: an upload of 1 GB that is under way ends within a second, and
// nothing of it is kept.
func TestRevokeRunningUpload(t *testing.T) {
	for _, ending := range endings {
		for _, face := range []string{"dav", "s3", "page"} {
			if face == "page" && ending.name == "revoked" {
				continue // the page has sessions
			}
			t.Run(ending.name+"/"+face, func(t *testing.T) {
				h := newHouse(t)
				ana := h.tenant("ana", account.MintOptions{})
				body := newStream(t)
				var r *http.Request
				switch face {
				case "dav":
					r = ana.davRequest("PUT", "/dav/photos/big.jpg", io.NopCloser(body))
				case "s3":
					r = ana.s3Request("PUT", "/photos/big.jpg", io.NopCloser(body), "Content-Length", "1073741824")
				case "page":
					r = h.request("PUT", h.web.URL+"/api/upload?name=big.jpg", io.NopCloser(body), nil)
					r.AddCookie(ana.cookie)
				}
				r.ContentLength = 1 << 30
				type outcome struct {
					code int
					err  error
				}
				done := make(chan outcome, 1)
				go func() {
					res, err := ana.client.Do(r)
					if err != nil {
						done <- outcome{0, err}
						return
					}
					res.Body.Close()
					done <- outcome{res.StatusCode, nil}
				}()
				select {
				case <-body.began:
				case o := <-done:
					t.Fatalf("the upload ended by itself: %+v\n%s", o, h.log)
				}
				start := time.Now()
				if err := ending.end(ana); err != nil {
					t.Fatal(err)
				}
				o := <-done
				if took := time.Since(start); took > time.Second {
					t.Errorf("it went on for %v", took)
				}
				want := 401
				if face == "s3" {
					want = 403
				}
				if o.err == nil && o.code != want {
					t.Errorf("answered %d, want %d", o.code, want)
				}
				l, err := h.backend.Library(t.Context(), ana.UID, backend.Access{})
				if err != nil {
					t.Fatal(err)
				}
				for e, err := range l.Members(t.Context(), "photos") {
					if err != nil || e != nil {
						t.Errorf("there is %v, %v", e, err)
					}
				}
			})
		}
	}
}

// TestRevokeRunningDownload: what is being sent stops.
func TestRevokeRunningDownload(t *testing.T) {
	h := newHouse(t)
	ana := h.tenant("ana", account.MintOptions{})
	ana.put("photos/big.jpg", strings.Repeat("x", 64<<20))
	for _, r := range []*http.Request{
		ana.davRequest("GET", "/dav/photos/big.jpg", nil),
		ana.s3Request("GET", "/photos/big.jpg", nil),
	} {
		t.Run(r.URL.Path, func(t *testing.T) {
			res, err := ana.client.Do(r)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			defer res.Body.Close()
			if _, err := io.ReadFull(res.Body, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if err := h.accounts.SetState(t.Context(), ana.UID, account.Suspended); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			n, err := io.Copy(io.Discard, res.Body)
			if err == nil || n > 60<<20 || time.Since(start) > time.Second {
				t.Errorf("%d bytes came in %v: %v", n, time.Since(start), err)
			}
			if err := h.accounts.SetState(t.Context(), ana.UID, account.Active); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRevokeEverywhere: a connection kept alive, a lock, a presigned URL, a session.
func TestRevokeEverywhere(t *testing.T) {
	for _, ending := range endings {
		t.Run(ending.name, func(t *testing.T) {
			h := newHouse(t)
			ana := h.tenant("ana", account.MintOptions{})
			other, secret, err := h.accounts.Mint(t.Context(), ana.UID, account.MintOptions{DAV: true})
			if err != nil {
				t.Fatal(err)
			}
			e := ana.put("photos/a.jpg", "a photo")
			const lock = `<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>`
			if a := ana.dav("LOCK", "/dav/photos/a.jpg", lock); a.code != 200 {
				t.Fatal(a)
			}
			url := ana.presign("GET", "/photos/a.jpg")
			if a := ana.do(h.request("GET", url, nil, nil)); a.code != 200 || a.body != "a photo" {
				t.Fatal(a)
			}
			if a := ana.s3("GET", "/photos/a.jpg", ""); a.code != 200 {
				t.Fatal(a)
			}
			if a := ana.page("GET", "/o/"+string(e.Ino), ""); a.code != 200 {
				t.Fatal(a)
			}
			if err := ending.end(ana); err != nil {
				t.Fatal(err)
			}
			if a := ana.dav("GET", "/dav/photos/a.jpg", ""); a.code != 401 {
				t.Errorf("WebDAV on the connection kept alive: %d", a.code)
			}
			if a := ana.s3("GET", "/photos/a.jpg", ""); a.code != 403 {
				t.Errorf("S3 on the connection kept alive: %d", a.code)
			}
			if a := ana.do(h.request("GET", url, nil, nil)); a.code != 403 {
				t.Errorf("presigned URL: %d", a.code)
			}
			want := 401
			if ending.name == "revoked" {
				want = 200
			}
			if a := ana.page("GET", "/o/"+string(e.Ino), ""); a.code != want {
				t.Errorf("session: %d, want %d", a.code, want)
			}
			l, err := h.backend.Library(t.Context(), ana.UID, backend.Access{})
			if err != nil {
				t.Fatal(err)
			}
			if locks, err := l.Locks(t.Context(), "photos/a.jpg", false); err != nil || len(locks) != 0 {
				t.Errorf("locks are %v, %v", locks, err)
			}
			if ending.name == "revoked" {
				_ = other
				ana.password = string(secret)
				if a := ana.dav("PUT", "/dav/photos/a.jpg", "another"); a.code != 204 {
					t.Errorf("another device: %d", a.code)
				}
			}
			if _, _, err := h.accounts.Check(t.Context(), string(secret)); ending.name != "revoked" && !errors.Is(err, account.ErrRefused) {
				t.Errorf("another app password: %v", err)
			}
		})
	}
}
