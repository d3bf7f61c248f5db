package dav_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// asked are PROPFIND bodies as clients send them.
var asked = map[string]string{
	"none":     "",
	"allprop":  `<?xml version="1.0" encoding="utf-8" ?><propfind xmlns="DAV:"><allprop/></propfind>`,
	"include":  `<D:propfind xmlns:D="DAV:"><D:allprop/><D:include><D:quota-used-bytes/></D:include></D:propfind>`,
	"propname": `<D:propfind xmlns:D="DAV:"><D:propname/></D:propfind>`,
	"rclone":   `<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"><d:prop><d:displayname/><d:getlastmodified/><d:getcontentlength/><d:resourcetype/><d:getcontenttype/><oc:checksums/><oc:permissions/></d:prop></d:propfind>`,
	"davfs2":   `<?xml version="1.0" encoding="utf-8" ?><D:propfind xmlns:D="DAV:" xmlns:A="http://apache.org/dav/props/"><D:prop><D:resourcetype/><D:getcontentlength/><D:getetag/><D:getlastmodified/><A:executable/></D:prop></D:propfind>`,
	"android":  `<d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"><d:prop><d:getetag/><oc:id/><oc:fileid/><oc:size/><oc:favorite/><oc:owner-id/><oc:owner-display-name/><nc:has-preview/><nc:is-encrypted/><nc:mount-type/><nc:creation_time/></d:prop></d:propfind>`,
	"gvfs":     `<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/><D:quota-used-bytes/></D:prop></D:propfind>`,
	"lock":     `<D:propfind xmlns:D="DAV:"><D:prop><D:lockdiscovery/><D:supportedlock/></D:prop></D:propfind>`,
}

var volatile = regexp.MustCompile(`[a-z2-7]{16}-[0-9a-f]+|(<oc:id>)[a-z2-7]{16}|(<oc:fileid>)[0-9]+|(opaquelocktoken:)[0-9a-f-]+`)

// TestGolden lists a small share as each client asks, against testdata.
func TestGolden(t *testing.T) {
	s := newShare(t, nil)
	s.mkcol("/dav/photos/2024 été & more")
	mtime := "X-OC-Mtime: 1563099630"
	ctime := "X-OC-CTime: 1563000000"
	s.want(201, "PUT", "/dav/photos/IMG%231%20%3Ca%3E.jpg", "hello", mtime, ctime)
	s.want(201, "PUT", "/dav/photos/empty.txt", "", mtime, ctime)
	s.want(207, "PROPPATCH", "/dav/photos/empty.txt", setProp(`<A:executable xmlns:A="http://apache.org/dav/props/">T</A:executable><note xml:lang="fr">&lt;été&gt; <b xmlns="urn:b">x</b></note>`))
	for _, e := range []string{"photos", "photos/2024 été & more"} {
		at := time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)
		if _, err := s.lib.SetProps(t.Context(), backend.Key(e), backend.PropPatch{Modified: &at, Created: &at}, backend.Conditions{}); err != nil {
			t.Fatal(err)
		}
	}
	s.lock("/dav/photos/empty.txt", "Timeout: Second-600", "Depth: 0")
	for name, body := range asked {
		for _, depth := range []string{"0", "1"} {
			got := s.want(207, "PROPFIND", "/dav/photos/", body, "Depth: "+depth)
			wellFormed(t, got.body)
			text := volatile.ReplaceAllString(got.body, "$1$2$3…")
			golden := filepath.Join("testdata", "propfind", name+depth+".xml")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("%s, Depth %s: got\n%s\nwant\n%s", name, depth, text, want)
			}
		}
	}
}

func wellFormed(t *testing.T, s string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(s))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in %.500s", err, s)
		}
	}
}

// hrefs are the resources of an answer.
func hrefs(body string) (all []string) {
	for _, m := range regexp.MustCompile(`<D:response><D:href>([^<]*)`).FindAllStringSubmatch(body, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestDepth(t *testing.T) {
	s := newShare(t, &dav.Options{DepthInfinityLimit: 4})
	s.mkcol("/dav/photos/a")
	s.mkcol("/dav/photos/a/b")
	s.put("/dav/photos/a/b/f", "F")
	s.put("/dav/photos/g", "G")
	for _, c := range []struct {
		path, depth string
		want        []string
	}{
		{"/dav/", "0", []string{"/dav/"}},
		{"/dav", "1", []string{"/dav/", "/dav/photos/"}},
		{"/dav/photos", "1", []string{"/dav/photos/", "/dav/photos/a/", "/dav/photos/g"}},
		{"/dav/photos/", "infinity", []string{"/dav/photos/", "/dav/photos/a/", "/dav/photos/a/b/", "/dav/photos/a/b/f", "/dav/photos/g"}},
		{"/dav/photos/g", "infinity", []string{"/dav/photos/g"}},
		{"/dav/photos/g", "1", []string{"/dav/photos/g"}},
	} {
		if got := hrefs(s.want(207, "PROPFIND", c.path, "", "Depth: "+c.depth).body); !slices.Equal(got, c.want) {
			t.Errorf("%s, Depth %s: got %q, want %q", c.path, c.depth, got, c.want)
		}
	}
	got := s.want(403, "PROPFIND", "/dav/", "", "Depth: infinity")
	if !strings.Contains(got.body, "<D:propfind-finite-depth/>") {
		t.Errorf("got %s", got.body)
	}
}

// TestNames: whatever a name is made of, its href leads back to it.
func TestNames(t *testing.T) {
	s := newShare(t, nil)
	for _, name := range []string{"a b", "#?%;&+'\"", "<x>", "é", "e\u0301x", "📷", "CON", "back\\slash", "new\nline", "\x01", "שלום", " lead", "trail ", "a=b,c@d$", "[1]", "%41", "~!*()"} {
		u := "/dav/photos/" + escape(name)
		s.put(u, name)
		got := s.want(207, "PROPFIND", "/dav/photos/", "", "Depth: 1")
		wellFormed(t, got.body)
		all := hrefs(got.body)
		if len(all) != 2 {
			t.Fatalf("%q: got %q", name, all)
		}
		s.content(all[1], name)
		s.want(204, "DELETE", all[1], "")
	}
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

func TestProppatch(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "A")
	modified := func(want string) {
		t.Helper()
		if got := s.do("HEAD", "/dav/photos/a.jpg", "").Header.Get("Last-Modified"); got != want {
			t.Errorf("Last-Modified: got %q, want %q", got, want)
		}
	}
	patch := func(inner, want string) {
		t.Helper()
		got := s.want(207, "PROPPATCH", "/dav/photos/a.jpg", setProp(inner))
		wellFormed(t, got.body)
		var codes []string
		for _, m := range regexp.MustCompile(`HTTP/1.1 (\d+)`).FindAllStringSubmatch(got.body, -1) {
			codes = append(codes, m[1])
		}
		if strings.Join(codes, " ") != want {
			t.Errorf("%s: got statuses %q, want %s", inner, codes, want)
		}
	}
	patch(`<D:lastmodified>1500000000</D:lastmodified>`, "200")
	modified("Fri, 14 Jul 2017 02:40:00 GMT")
	patch(`<D:getlastmodified>Tue, 02 Jan 2018 03:04:05 GMT</D:getlastmodified>`, "200")
	modified("Tue, 02 Jan 2018 03:04:05 GMT")
	patch(`<Z:Win32LastModifiedTime xmlns:Z="urn:schemas-microsoft-com:">Wed, 03 Jan 2018 03:04:05 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes xmlns:Z="urn:schemas-microsoft-com:">00000020</Z:Win32FileAttributes>`, "200")
	modified("Wed, 03 Jan 2018 03:04:05 GMT")
	// All or nothing.
	patch(`<D:lastmodified>1500000000</D:lastmodified><D:getetag>"x"</D:getetag><x xmlns="urn:x">y</x>`, "403 424")
	patch(`<D:lastmodified>soon</D:lastmodified>`, "409")
	patch(`<x xmlns="urn:x">`+strings.Repeat("y", 5000)+`</x>`, "507")
	modified("Wed, 03 Jan 2018 03:04:05 GMT")
	patch(`<O:checksums xmlns:O="http://owncloud.org/ns"><O:checksum>SHA1:00</O:checksum></O:checksums>`, "200")
	got := s.want(207, "PROPPATCH", "/dav/photos/a.jpg", `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x">1</x></D:prop></D:set><D:remove><D:prop><x xmlns="urn:x"/></D:prop></D:remove><D:set><D:prop><y xmlns="urn:x">2</y></D:prop></D:set></D:propertyupdate>`)
	if strings.Count(got.body, "HTTP/1.1 200") != 1 {
		t.Errorf("got %s", got.body)
	}
	got = s.want(207, "PROPFIND", "/dav/photos/a.jpg", `<propfind xmlns="DAV:"><prop><x xmlns="urn:x"/><y xmlns="urn:x"/></prop></propfind>`, "Depth: 0")
	if !strings.Contains(got.body, `<x:y xmlns:x="urn:x">2</x:y></D:prop><D:status>HTTP/1.1 200`) || !strings.Contains(got.body, `<x:x xmlns:x="urn:x"/></D:prop><D:status>HTTP/1.1 404`) {
		t.Errorf("got %s", got.body)
	}
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, `<p%d xmlns="urn:x">v</p%d>`, i, i)
	}
	patch(many.String(), "507")
	// Properties go with the entry.
	s.want(201, "MOVE", "/dav/photos/a.jpg", "", "Destination: /dav/photos/b.jpg")
	got = s.want(207, "PROPFIND", "/dav/photos/b.jpg", "", "Depth: 0")
	if !strings.Contains(got.body, `<x:y xmlns:x="urn:x">2</x:y>`) {
		t.Errorf("after MOVE: got %s", got.body)
	}
}

// TestOwnCloud: the headers and properties that rclone and the sync apps live by.
func TestOwnCloud(t *testing.T) {
	s := newShare(t, nil)
	const sha1 = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
	got := s.want(201, "PUT", "/dav/photos/a.jpg", "hello", "X-OC-Mtime: 1563099630", "OC-Checksum: SHA1:"+sha1)
	for name, want := range map[string]string{"X-OC-Mtime": "accepted", "ETag": `"5d41402abc4b2a76b9719d911017c592"`, "OC-ETag": `"5d41402abc4b2a76b9719d911017c592"`} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if len(got.Header.Get("OC-FileId")) != 16 {
		t.Errorf("OC-FileId: got %q", got.Header.Get("OC-FileId"))
	}
	body := s.want(207, "PROPFIND", "/dav/photos/a.jpg", asked["rclone"], "Depth: 0").body
	if !strings.Contains(body, "<oc:checksums><oc:checksum>SHA1:"+sha1+" MD5:5d41402abc4b2a76b9719d911017c592</oc:checksum></oc:checksums>") {
		t.Errorf("checksums: got %s", body)
	}
	for i, method := range []string{"COPY", "MOVE"} {
		got := s.want(201, method, "/dav/photos/a.jpg", "", fmt.Sprintf("Destination: /dav/photos/%d.jpg", i), "X-OC-Mtime: 1500000000.25")
		if got.Header.Get("X-OC-Mtime") != "accepted" {
			t.Errorf("%s: X-OC-Mtime: got %q", method, got.Header.Get("X-OC-Mtime"))
		}
		if lm := s.do("HEAD", fmt.Sprintf("/dav/photos/%d.jpg", i), "").Header.Get("Last-Modified"); lm != "Fri, 14 Jul 2017 02:40:00 GMT" {
			t.Errorf("%s: Last-Modified: got %q", method, lm)
		}
	}
	if got := s.want(201, "MKCOL", "/dav/photos/d", "", "X-OC-Mtime: 1500000000"); got.Header.Get("X-OC-Mtime") != "accepted" || got.Header.Get("OC-FileId") == "" {
		t.Errorf("MKCOL: got %v", got.Header)
	}
	s.want(201, "PUT", "/dav/photos/odd.jpg", "x", "X-OC-Mtime: yesterday")
}

// TestGet looks at what browsers and caches are told.
func TestGet(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.html", "<script>alert(1)</script>")
	got := s.want(200, "GET", "/dav/photos/a.html", "")
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes", "Content-Length": "25"} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if !strings.Contains(got.Header.Get("Content-Security-Policy"), "sandbox") || !strings.HasPrefix(got.Header.Get("Cache-Control"), "private") {
		t.Errorf("got %v", got.Header)
	}
	etag := got.Header.Get("ETag")
	s.want(304, "GET", "/dav/photos/a.html", "", "If-None-Match: "+etag)
	s.want(412, "GET", "/dav/photos/a.html", "", `If-Match: "no"`)
	if got := s.want(206, "GET", "/dav/photos/a.html", "", "Range: bytes=-9"); got.body != "</script>" {
		t.Errorf("range: got %q", got.body)
	}
	// RFC 9110 §14.2: what is not understood, or is several, is passed over.
	for _, v := range []string{"bytes=0-0,2-3", "bytes=0-0,", "bits=0-1", "bytes=abc", "bytes=5-4", "bytes=-", "bytes=+1-2", "bytes", "bytes=1--2", "bytes=0x1-2"} {
		if got := s.want(200, "GET", "/dav/photos/a.html", "", "Range: "+v); len(got.body) != 25 {
			t.Errorf("Range: %s: got %q, want the whole", v, got.body)
		}
	}
	for v, want := range map[string]string{"BYTES=0-6": "<script", "bytes=22-99999999999999999999": "pt>", "bytes=-99999999999999999999": "<script>alert(1)</script>", "bytes= 24-": ">"} {
		if got := s.want(206, "GET", "/dav/photos/a.html", "", "Range: "+v); got.body != want {
			t.Errorf("Range: %s: got %q, want %q", v, got.body, want)
		}
	}
	for _, v := range []string{"bytes=-0", "bytes=25-", "bytes=99999999999999999999-"} {
		if got := s.want(416, "GET", "/dav/photos/a.html", "", "Range: "+v); got.Header.Get("Content-Range") != "bytes */25" {
			t.Errorf("Range: %s: got Content-Range %q", v, got.Header.Get("Content-Range"))
		}
	}
	if got := s.want(200, "HEAD", "/dav/photos/", ""); got.body != "" {
		t.Errorf("HEAD of a collection: got body %q", got.body)
	}
}

// TestCopyMovesNoBytes: both entries refer to one object.
func TestCopyMovesNoBytes(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "A")
	s.mkcol("/dav/photos/d")
	s.put("/dav/photos/d/b.jpg", "B")
	s.down.Bucket = noReads{s.down.Bucket}
	s.want(201, "COPY", "/dav/photos/a.jpg", "", "Destination: /dav/photos/c.jpg")
	s.want(201, "COPY", "/dav/photos/d", "", "Destination: /dav/photos/e")
	for _, pair := range [][2]backend.Key{{"photos/a.jpg", "photos/c.jpg"}, {"photos/d/b.jpg", "photos/e/b.jpg"}} {
		a, err := s.lib.Stat(t.Context(), pair[0])
		b, err2 := s.lib.Stat(t.Context(), pair[1])
		if err != nil || err2 != nil || a.Object != b.Object || a.Ino == b.Ino {
			t.Errorf("%q: got %v and %v, %v %v", pair, a, b, err, err2)
		}
	}
}

func TestGzip(t *testing.T) {
	s := newShare(t, nil)
	fill(t, s.lib, 200)
	get := func(accept string) (*http.Response, int) {
		r, _ := http.NewRequest("PROPFIND", s.URL+"/dav/photos/", nil)
		r.Header.Set("Depth", "1")
		r.Header.Set("Accept-Encoding", accept)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, len(b)
	}
	plain, long := get("identity")
	packed, short := get("br, gzip;q=0.5")
	if plain.Header.Get("Content-Encoding") != "" || packed.Header.Get("Content-Encoding") != "gzip" || short > long/5 {
		t.Errorf("got %q %d bytes, %q %d bytes", plain.Header.Get("Content-Encoding"), long, packed.Header.Get("Content-Encoding"), short)
	}
	if r, _ := get("gzip;q=0"); r.Header.Get("Content-Encoding") != "" {
		t.Error("gzip though the client refused it")
	}
	// And through a client that unpacks by itself.
	if got := hrefs(s.want(207, "PROPFIND", "/dav/photos/", "", "Depth: 1").body); len(got) != 201 {
		t.Errorf("got %d hrefs, want 201", len(got))
	}
}

// fill makes n files in photos.
func fill(t testing.TB, lib *backend.Library, n int) {
	t.Helper()
	for i := range n {
		key := backend.Key(fmt.Sprintf("photos/IMG_%05d (summer).jpg", i))
		if i == 0 {
			if _, _, err := lib.Put(t.Context(), key, strings.NewReader("x"), 1, nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, _, err := lib.Copy(t.Context(), "photos/IMG_00000 (summer).jpg", key, &backend.MoveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// noReads is a bucket whose objects are not to be read.
type noReads struct{ object.Bucket }

func (noReads) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, errors.New("an object was read")
}

// BenchmarkPropfind lists 10,000 files, without the network.
func BenchmarkPropfind(b *testing.B) {
	s := newShare(b, nil)
	fill(b, s.lib, 10_000)
	h := dav.New(s.b, nil)
	ctx := auth.With(context.Background(), &auth.Principal{UID: uid, Login: "ana"})
	for _, name := range []string{"rclone", "allprop", "davfs2"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("PROPFIND", "/dav/photos/", strings.NewReader(asked[name])).WithContext(ctx)
				r.Header.Set("Depth", "1")
				w := &discard{header: make(http.Header)}
				h.ServeHTTP(w, r)
				if w.code != 207 || w.n < 1_000_000 {
					b.Fatalf("status %d, %d bytes", w.code, w.n)
				}
				b.SetBytes(w.n)
			}
		})
	}
}

type discard struct {
	header http.Header
	code   int
	n      int64
}

func (d *discard) Header() http.Header  { return d.header }
func (d *discard) WriteHeader(code int) { d.code = code }
func (d *discard) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	return len(p), nil
}

// TestListingAllocates: a listing costs no memory an entry, but what the index itself takes.
func TestListingAllocates(t *testing.T) {
	s := newShare(t, nil)
	const files = 3000
	fill(t, s.lib, files)
	h := dav.New(s.b, nil)
	ctx := auth.With(t.Context(), &auth.Principal{UID: uid, Login: "ana"})
	for _, name := range []string{"rclone", "allprop", "davfs2", "android"} {
		n := testing.AllocsPerRun(5, func() {
			r := httptest.NewRequest("PROPFIND", "/dav/photos/", strings.NewReader(asked[name])).WithContext(ctx)
			r.Header.Set("Depth", "1")
			h.ServeHTTP(&discard{header: make(http.Header)}, r)
		})
		if each := n / files; each > 2 {
			t.Errorf("%s: %.1f allocations an entry, want at most 2", name, each)
		}
	}
}
