package dav_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// endless is a body that would go on for ever, and says how much of it was wanted.
type endless struct {
	head, rest string
	n          atomic.Int64
}

func (e *endless) Read(p []byte) (n int, err error) {
	if e.n.Load() == 0 {
		n = copy(p, e.head)
	}
	for n < len(p) {
		n += copy(p[n:], e.rest)
	}
	e.n.Add(int64(n))
	return n, nil
}

func (e *endless) Close() error { return nil }

// serve answers a request without a network, so that what is read of its body can be told.
func (s *share) serve(method, path string, body io.ReadCloser, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Body, r.ContentLength = body, -1
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.Config.Handler.ServeHTTP(w, r)
	return w
}

// TestHostileXML sends bodies that are made to cost more than they are worth.
func TestHostileXML(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a", "1")
	const propfind = `<propfind xmlns="DAV:"><prop>`
	for name, b := range map[string]*endless{
		"nested":     {head: propfind, rest: "<a>"},
		"attributes": {head: "<propfind ", rest: `a="b" `},
		"properties": {head: propfind, rest: `<a xmlns="urn:x"/>`},
		"text":       {head: propfind + "<a>", rest: "text "},
		"comment":    {head: "<!-- ", rest: "- "},
		"entities":   {head: "<!DOCTYPE a [", rest: `<!ENTITY e "&e;&e;">`},
		"blanks":     {rest: " "},
	} {
		for _, method := range []string{"PROPFIND", "PROPPATCH", "LOCK"} {
			b.n.Store(0)
			w := s.serve(method, "/dav/photos/a", b)
			if w.Code != http.StatusRequestEntityTooLarge && w.Code != http.StatusBadRequest {
				t.Errorf("%s of %s: got status %d", method, name, w.Code)
			}
			if n := b.n.Load(); n > 128<<10 {
				t.Errorf("%s of %s: %d bytes were read", method, name, n)
			}
		}
	}
	laughs := `<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><propfind xmlns="DAV:"><prop><displayname>&b;</displayname></prop></propfind>`
	s.want(400, "PROPFIND", "/dav/photos/a", laughs)
	s.want(400, "PROPFIND", "/dav/photos/a", `<!DOCTYPE a SYSTEM "file:///etc/passwd"><propfind xmlns="DAV:"><allprop/></propfind>`)
	many := func(n int, element string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, element, i)
		}
		return b.String()
	}
	s.want(207, "PROPFIND", "/dav/photos/a", propfind+many(256, "<p%d/>")+"</prop></propfind>", "Depth: 0")
	s.want(400, "PROPFIND", "/dav/photos/a", propfind+many(257, "<p%d/>")+"</prop></propfind>", "Depth: 0")
	s.want(413, "PROPFIND", "/dav/photos/a", propfind+many(10_000, "<p%d/>")+"</prop></propfind>", "Depth: 0")

	// Dead properties: 32, of 4 KiB each.
	set := func(inner string) string {
		return `<propertyupdate xmlns="DAV:"><set><prop>` + inner + `</prop></set></propertyupdate>`
	}
	s.want(413, "PROPPATCH", "/dav/photos/a", set(many(10_000, `<x:p%d xmlns:x="urn:x"/>`)))
	for _, tt := range []struct {
		inner, want string
	}{
		{many(32, `<x:p%d xmlns:x="urn:x">v</x:p%[1]d>`), "200 OK"},
		{many(33, `<x:p%d xmlns:x="urn:x">v</x:p%[1]d>`), "507 Insufficient Storage"},
		{`<x:long xmlns:x="urn:x">` + strings.Repeat("v", 4<<10+1) + `</x:long>`, "507 Insufficient Storage"},
	} {
		if got := s.do("PROPPATCH", "/dav/photos/a", set(tt.inner)).body; !strings.Contains(got, "HTTP/1.1 "+tt.want) {
			t.Errorf("%.60s: got %.300s, want %s", tt.inner, got, tt.want)
		}
	}
	// One more than there is room for, by itself.
	if got := s.do("PROPPATCH", "/dav/photos/a", set(`<x:more xmlns:x="urn:x">v</x:more>`)); got.StatusCode < 400 && !strings.Contains(got.body, "HTTP/1.1 4") && !strings.Contains(got.body, "HTTP/1.1 5") {
		t.Errorf("a 33rd property: got status %d, %.300s", got.StatusCode, got.body)
	}
	s.want(400, "PUT", "/dav/photos/a", "x", "If: "+strings.Repeat("(<urn:x>) ", 65))
	s.want(400, "PUT", "/dav/photos/a", "x", "If: ("+strings.Repeat("<urn:x> ", 65)+")")
}

// counting counts the rows that are read.
type counting struct {
	kv.Store
	rows atomic.Int64
}

func (c *counting) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	rows, more, err := c.Store.Scan(ctx, p, from, to, rev, n)
	c.rows.Add(int64(len(rows)))
	return rows, more, err
}

// TestDepthInfinityIsBounded: what is refused is refused after a look at the limit's worth
// of entries, not all of them, and what is answered is never in memory whole.
func TestDepthInfinityIsBounded(t *testing.T) {
	x := &counting{Store: memkv.New()}
	b := backend.New(membucket.New(), x, nil)
	lib, err := b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		dir := backend.Key(fmt.Sprintf("photos/d%02d", i))
		if _, err := lib.Mkdir(t.Context(), dir, &backend.MkdirOptions{MakeParents: true}); err != nil {
			if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := lib.Mkdir(t.Context(), dir, nil); err != nil {
				t.Fatal(err)
			}
		}
		for j := range 200 {
			if _, _, err := lib.Put(t.Context(), dir.Join(fmt.Sprintf("IMG_%04d.jpg", j)), nil, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask := func(limit int) *widest {
		h := dav.New(b, &dav.Options{DepthInfinityLimit: limit})
		r := httptest.NewRequest("PROPFIND", "/dav/", nil)
		r = r.WithContext(auth.With(r.Context(), &auth.Principal{UID: uid, Login: "ana"}))
		w := &widest{ResponseRecorder: httptest.NewRecorder()}
		x.rows.Store(0)
		h.ServeHTTP(w, r)
		return w
	}
	w := ask(500)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "propfind-finite-depth") {
		t.Errorf("over the limit: got status %d, %.200s", w.Code, w.Body)
	}
	if n := x.rows.Load(); n > 900 {
		t.Errorf("%d rows were read to refuse what is over 500", n)
	}
	w = ask(5000)
	if n := strings.Count(w.Body.String(), "<D:response>"); w.Code != http.StatusMultiStatus || n != 2+12+12*200 {
		t.Errorf("below the limit: got status %d, %d entries", w.Code, n)
	}
	if w.most > 64<<10 {
		t.Errorf("%d bytes were written at once", w.most)
	}
}

// widest remembers the longest Write.
type widest struct {
	*httptest.ResponseRecorder
	most int
}

func (w *widest) Write(p []byte) (int, error) {
	w.most = max(w.most, len(p))
	return w.ResponseRecorder.Write(p)
}

// TestHardNames takes names through every method and back, byte for byte.
func TestHardNames(t *testing.T) {
	s := newShare(t, nil)
	names := []string{
		"plain.jpg", "PLAIN.JPG", "a b", " leading and trailing ", "a#b", "a?b", "100%", "%41", "a;b", "a&b", "a+b", "a'b", `a"b`, "a<b>c",
		"a:b", "a*b", "a|b", `a\b`, "a=b,c@d!e$f(g)h[i]j{k}l^m`n~o", "trailing.", "..hidden", ".x", "-", "…",
		"CON", "nul.txt", "COM1", "LPT9.jpg", "aux", "desktop.ini.jpg",
		"日本語.jpg", "👩‍👩‍👧.heic", "שלום.jpg", "\u202eevil.jpg", "e\u0301.jpg", "tab\there", "line\nbreak", "del\x7f", "\ufeffbom", "İi",
		strings.Repeat("x", 255), strings.Repeat("ü", 127),
	}
	for _, name := range names {
		path := "/dav/photos/" + url.PathEscape(name)
		content := "content of " + name
		s.want(201, "PUT", path, content)
		s.content(path, content)
		body := s.want(207, "PROPFIND", path, "", "Depth: 0").body
		if got := decodedHrefs(t, body); len(got) != 1 || got[0] != "/dav/photos/"+name {
			t.Errorf("%q: the href says %q", name, got)
		}
		s.want(201, "MOVE", path, "", s.dest("/dav/photos/moved.bin"))
		s.want(201, "COPY", "/dav/photos/moved.bin", "", s.dest(path))
		s.want(204, "DELETE", "/dav/photos/moved.bin", "")
	}
	listed := map[string]bool{}
	for _, h := range decodedHrefs(t, s.want(207, "PROPFIND", "/dav/photos/", "", "Depth: 1").body) {
		listed[strings.TrimPrefix(h, "/dav/photos/")] = true
	}
	for _, name := range names {
		if !listed[name] {
			t.Errorf("%q is not listed so", name)
		}
		s.want(204, "DELETE", "/dav/photos/"+url.PathEscape(name), "")
	}

	// The two spellings of é are one name; it stays as it was first spelled.
	s.want(201, "PUT", "/dav/photos/caf%C3%A9", "1")
	s.want(204, "PUT", "/dav/photos/cafe%CC%81", "2")
	s.content("/dav/photos/caf%C3%A9", "2")
	if got := decodedHrefs(t, s.want(207, "PROPFIND", "/dav/photos/", "", "Depth: 1").body); len(got) != 2 || got[1] != "/dav/photos/caf\u00e9" {
		t.Errorf("listed as %q", got)
	}
	for _, bad := range []string{strings.Repeat("x", 256), strings.Repeat("%C3%BC", 128), "a%00b", "%FF", "a%2F%2Fb", "..", "a/../b", "%2E%2E", "."} {
		if got := s.do("PUT", "/dav/photos/"+bad, "x"); got.StatusCode != 400 && got.StatusCode != 414 {
			t.Errorf("PUT %.20s: got status %d, want 400", bad, got.StatusCode)
		}
	}
}

// decodedHrefs are those of a multistatus, decoded as a client does.
func decodedHrefs(t *testing.T, body string) (all []string) {
	t.Helper()
	var m struct {
		Href []string `xml:"response>href"`
	}
	if err := xml.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%v in %.200s", err, body)
	}
	for _, h := range m.Href {
		p, err := url.PathUnescape(h)
		if err != nil {
			t.Errorf("href %q: %v", h, err)
		}
		all = append(all, p)
	}
	return all
}
