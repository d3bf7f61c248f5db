package dav_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// TestTrace sends secrets in every place a client may put them, and looks for them in
// what is written.
func TestTrace(t *testing.T) {
	s := newShare(t, nil)
	var out bytes.Buffer
	trace := dav.NewTrace(&out)
	next := s.Config.Handler
	traced := httptest.NewServer(trace.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "sb_s=CANARY1")
		next.ServeHTTP(w, r)
	})))
	defer traced.Close()
	s.Server = traced
	s.put("/dav/photos/a.jpg", "CANARY2 is what a picture holds")
	token := s.lock("/dav/photos/a.jpg")
	password := "sb_ABCDEFGHIJKLMNOP_CANARY3aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	secret := []string{
		"Authorization: Basic YW5hOkNBTkFSWTQ=", "Proxy-Authorization: Bearer CANARY5", "Cookie: __Host-sb_s=CANARY6",
		"X-Auth-Token: CANARY7", "X-Api-Key: CANARY8", "X-Odd: basic CANARY9", "X-Plain: " + password,
		"If: (<" + token + ">)", "X-Forwarded-For: 203.0.113.9",
	}
	body := `<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><note xmlns="urn:x">` + password + ` https://ana:CANARY10@host/ shown</note></D:prop></D:set></D:propertyupdate>`
	s.want(207, "PROPPATCH", "/dav/photos/a.jpg?access=CANARY11", body, append(secret, "Content-Type: text/xml")...)
	s.want(201, "COPY", "/dav/photos/a.jpg", "", append(secret, "Destination: http://ana:CANARY12@"+s.Listener.Addr().String()+"/dav/photos/b.jpg")...)
	s.want(207, "PROPFIND", "/dav/photos/", "", append(secret, "Depth: 1", "Accept-Encoding: identity")...)
	s.want(423, "PUT", "/dav/photos/a.jpg", "no token")
	got := out.String()
	for _, bad := range []string{"CANARY", "YW5hOkNBTkFSWTQ=", token, "ABCDEFGHIJKLMNOP"} {
		if i := strings.Index(got, bad); i >= 0 {
			t.Errorf("%q is written: %q", bad, got[max(0, i-60):min(len(got), i+60)])
		}
	}
	for _, good := range []string{
		"PROPPATCH /dav/photos/a.jpg?… HTTP/1.1\n", "--- 207\n", "X-Forwarded-For: 203.0.113.9\n", "shown</note>", "(31 bytes)\n",
		"<D:multistatus", "/dav/photos/b.jpg</D:href>", "Authorization: (left out)\n", token[:20] + "…", "lock-token-submitted",
		"Content-Type: text/xml\n",
	} {
		if !strings.Contains(got, good) {
			t.Errorf("%q is not written", good)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestTraceIsBounded: one that somebody left on ends by itself.
func TestTraceIsBounded(t *testing.T) {
	var n int64
	trace := dav.NewTrace(writerFunc(func(p []byte) (int, error) { n += int64(len(p)); return len(p), nil }))
	trace.Max = 100 << 10
	h := trace.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	r := httptest.NewRequest("PROPFIND", "/", nil)
	r.Header.Set("X-Long", strings.Repeat("x", 60<<10))
	for range 100 {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if n < 100<<10 || n > 110<<10 {
		t.Errorf("%d bytes were written", n)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
