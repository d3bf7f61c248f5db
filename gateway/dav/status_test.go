package dav_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// TestStatus is one request a row, on a share with the file a.jpg and the
// collections d and d/e, in this order.
func TestStatus(t *testing.T) {
	sum := md5.Sum([]byte("new"))
	sumMD5 := "Content-MD5: " + base64.StdEncoding.EncodeToString(sum[:])
	zero := strings.Repeat("0", 40)
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "first")
	s.mkcol("/dav/photos/d")
	s.mkcol("/dav/photos/d/e")
	for _, c := range []struct {
		code         int
		method, path string
		body         string
		headers      []string
	}{
		{200, "OPTIONS", "/dav/", "", nil},
		{200, "OPTIONS", "/dav/photos/none", "", nil},
		{405, "PATCH", "/dav/photos/a.jpg", "x", nil},
		{405, "POST", "/dav/photos/a.jpg", "x", nil},
		{405, "REPORT", "/dav/photos/", "", nil},
		{404, "GET", "/davx/photos/a.jpg", "", nil},
		{200, "GET", "/dav/photos/a.jpg", "", nil},
		{200, "HEAD", "/dav/photos/a.jpg", "", nil},
		{206, "GET", "/dav/photos/a.jpg", "", []string{"Range: bytes=1-2"}},
		{416, "GET", "/dav/photos/a.jpg", "", []string{"Range: bytes=100-"}},
		{200, "GET", "/dav/", "", nil},
		{200, "HEAD", "/dav/photos/", "", nil},
		{200, "GET", "/dav", "", nil},
		{404, "GET", "/dav/photos/none", "", nil},
		{404, "GET", "/dav/photos/a.jpg/b", "", nil},

		// Names (issue 2, bad input).
		{400, "GET", "/dav/photos/../photos/a.jpg", "", nil},
		{400, "GET", "/dav/photos/%2e%2e/photos/a.jpg", "", nil},
		{400, "PUT", "/dav/photos/./a.jpg", "x", nil},
		{400, "PUT", "/dav/photos//a.jpg", "x", nil},
		{400, "PUT", "/dav//photos/a.jpg", "x", nil},
		{400, "PUT", "/dav/photos/a%00b", "x", nil},
		{400, "PUT", "/dav/photos/%ff.jpg", "x", nil},
		{400, "PUT", "/dav/photos/" + strings.Repeat("n", 256), "x", nil},
		{201, "PUT", "/dav/photos/" + strings.Repeat("n", 255), "x", nil},
		{400, "PUT", "/dav/photos/" + strings.Repeat("n/", 64) + "x", "x", nil},
		{400, "PUT", "/dav/photos/" + strings.Repeat(strings.Repeat("n", 200)+"/", 6) + "x", "x", nil},

		{403, "PUT", "/dav/a.jpg", "x", nil},
		{405, "PUT", "/dav/", "x", nil},
		{409, "PUT", "/dav/photos/none/a.jpg", "x", nil},
		{409, "PUT", "/dav/photos/a.jpg/b", "x", nil},
		{409, "PUT", "/dav/nosuchlibrary/a.jpg", "x", nil},
		{405, "PUT", "/dav/photos/d", "x", nil},
		{405, "PUT", "/dav/photos/d/", "x", nil},
		{400, "PUT", "/dav/photos/a.jpg", "x", []string{"Content-Range: bytes 0-0/5"}},
		{415, "PUT", "/dav/photos/a.jpg", "x", []string{"Content-Encoding: gzip"}},
		{400, "PUT", "/dav/photos/a.jpg", "new", []string{"OC-Checksum: SHA1:" + zero}},
		{400, "PUT", "/dav/photos/a.jpg", "new", []string{"OC-Checksum: SHA1:nonsense"}},
		{400, "PUT", "/dav/photos/a.jpg", "new", []string{"OC-Checksum: MD5:" + zero[:32]}},
		{400, "PUT", "/dav/photos/a.jpg", "new", []string{"OC-Checksum: SHA256:" + zero + zero[:24]}},
		{400, "PUT", "/dav/photos/a.jpg", "new", []string{"OC-Checksum: ADLER32:00000000"}},
		{400, "PUT", "/dav/photos/a.jpg", "old", []string{sumMD5}},
		{412, "PUT", "/dav/photos/a.jpg", "x", []string{"If-None-Match: *"}},
		{412, "PUT", "/dav/photos/a.jpg", "x", []string{`If-Match: "no"`}},
		{412, "PUT", "/dav/photos/a.jpg", "x", []string{`If-Match: no`}},
		{412, "PUT", "/dav/photos/none", "x", []string{"If-Match: *"}},
		{412, "PUT", "/dav/photos/a.jpg", "x", []string{"If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT"}},
		{412, "PUT", "/dav/photos/a.jpg", "x", []string{"If: (<opaquelocktoken:none>)"}},
		{412, "PUT", "/dav/photos/a.jpg", "x", []string{`If: (["no"])`}},
		{400, "PUT", "/dav/photos/a.jpg", "x", []string{"If: (<opaquelocktoken:none>"}},
		{204, "PUT", "/dav/photos/a.jpg", "new", []string{"If: (Not <DAV:no-lock>)"}},
		{204, "PUT", "/dav/photos/a.jpg", "new", []string{"If-None-Match: JoplinIgnore-1234"}},
		{204, "PUT", "/dav/photos/a.jpg", "new", []string{sumMD5, fmt.Sprintf("OC-Checksum: ADLER32:%08x", adler32.Checksum([]byte("new")))}},
		{204, "PUT", "/dav/photos/a.jpg", "new", []string{"OC-Checksum: MD5:" + hex.EncodeToString(sum[:]) + " SHA3-256:00"}},
		{204, "PUT", "/dav/photos/a.jpg", "", nil},
		{201, "PUT", "/dav/photos/empty.jpg", "", nil},
		{201, "PUT", "/dav/photos/chunked.jpg", "", []string{"Transfer-Encoding: chunked"}},

		{405, "MKCOL", "/dav/", "", nil},
		{405, "MKCOL", "/dav/photos", "", nil},
		{405, "MKCOL", "/dav/photos/d/", "", nil},
		{405, "MKCOL", "/dav/photos/a.jpg", "", nil},
		{409, "MKCOL", "/dav/photos/none/d", "", nil},
		{409, "MKCOL", "/dav/photos/a.jpg/d", "", nil},
		{415, "MKCOL", "/dav/photos/body", "junk", nil},
		{415, "MKCOL", "/dav/photos/body", "junk", []string{"Transfer-Encoding: chunked"}},
		{412, "MKCOL", "/dav/photos/new", "", []string{"If-Match: *"}},
		{403, "MKCOL", "/dav/No%20Library!", "", nil},
		{201, "MKCOL", "/dav/scans", "", nil},

		{400, "COPY", "/dav/photos/a.jpg", "", nil},
		{400, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: photos/b"}},
		{400, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/b?c"}},
		{400, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/%zz"}},
		{400, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/../b"}},
		{400, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/b", "Overwrite: perhaps"}},
		{502, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: http://192.0.2.1/x"}},
		{502, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /elsewhere"}},
		{409, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/none/b"}},
		{409, "MOVE", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/none/b"}},
		{403, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/b.jpg"}},
		{403, "MOVE", "/dav/photos/a.jpg", "", []string{"Destination: /dav/b.jpg"}},
		{403, "MOVE", "/dav/photos/a.jpg", "", []string{"Destination: /dav/"}},
		{403, "MOVE", "/dav/", "", []string{"Destination: /dav/photos/x"}},
		{412, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/empty.jpg", "Overwrite: F"}},
		{412, "MOVE", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/empty.jpg", "Overwrite: F"}},
		{412, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/b", `If-Match: "no"`}},
		{400, "COPY", "/dav/photos/d", "", []string{"Destination: /dav/photos/b", "Depth: 1"}},
		{400, "MOVE", "/dav/photos/d", "", []string{"Destination: /dav/photos/b", "Depth: 0"}},
		{201, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: /dav/photos/b.jpg"}},
		{204, "COPY", "/dav/photos/a.jpg", "", []string{"Destination: http://behind.a.proxy/dav/photos/b.jpg"}},
		{204, "MOVE", "/dav/photos/b.jpg", "", []string{"Destination: /dav/photos/empty.jpg"}},
		{201, "COPY", "/dav/photos/d", "", []string{"Destination: /dav/photos/shallow/", "Depth: 0"}},
		{404, "GET", "/dav/photos/shallow/e", "", nil},
		{201, "COPY", "/dav/photos/d/", "", []string{"Destination: /dav/photos/deep"}},
		{200, "GET", "/dav/photos/deep/e", "", nil},
		{204, "COPY", "/dav/photos/d/", "", []string{"Destination: /dav/photos/deep"}},

		{207, "PROPFIND", "/dav/photos/a.jpg", "", []string{"Depth: 0"}},
		{207, "PROPFIND", "/dav", "", []string{"Depth: 1"}},
		{207, "PROPFIND", "/dav/photos", "", nil},
		{207, "PROPFIND", "/dav/photos", "", []string{"Depth: Infinity"}},
		{207, "PROPFIND", "/dav/photos", "", []string{"Depth: 1,noroot"}},
		{400, "PROPFIND", "/dav/photos", "", []string{"Depth: 2"}},
		{404, "PROPFIND", "/dav/photos/none", "", []string{"Depth: 0"}},
		{400, "PROPFIND", "/dav/photos", "<nonsense", []string{"Depth: 0"}},
		{400, "PROPFIND", "/dav/photos", `<D:propfind xmlns:D="DAV:"><D:allprop>`, []string{"Depth: 0"}},
		{400, "PROPFIND", "/dav/photos", `<D:propfind xmlns:D="DAV:"><D:prop><b:c xmlns:b=""/></D:prop></D:propfind>`, []string{"Depth: 0"}},
		{400, "PROPFIND", "/dav/photos", `<propfind><prop/></propfind>`, []string{"Depth: 0"}},
		{413, "PROPFIND", "/dav/photos", strings.Repeat(" ", 70_000), []string{"Depth: 0"}},
		{207, "PROPFIND", "/dav/photos", `<D:propfind xmlns:D="DAV:"><D:prop></D:prop></D:propfind>`, []string{"Depth: 0"}},

		{404, "PROPPATCH", "/dav/photos/none", setProp(`<x xmlns="urn:x">y</x>`), nil},
		{400, "PROPPATCH", "/dav/photos/a.jpg", "", nil},
		{207, "PROPPATCH", "/dav/photos/a.jpg", setProp(`<x xmlns="urn:x">y</x>`), nil},
		{412, "PROPPATCH", "/dav/photos/a.jpg", setProp(`<x xmlns="urn:x">y</x>`), []string{`If-Match: "no"`}},

		{501, "LOCK", "/dav/photos/a.jpg", strings.ReplaceAll(lockBody, "exclusive", "private"), nil},
		{400, "LOCK", "/dav/photos/a.jpg", lockBody, []string{"Depth: 1"}},
		{400, "LOCK", "/dav/photos/a.jpg", "", nil},
		{412, "LOCK", "/dav/photos/a.jpg", "", []string{"If: (<opaquelocktoken:none>)"}},
		{409, "LOCK", "/dav/photos/none/b", lockBody, nil},
		{403, "LOCK", "/dav/b", lockBody, nil},
		{400, "UNLOCK", "/dav/photos/a.jpg", "", nil},
		{409, "UNLOCK", "/dav/photos/a.jpg", "", []string{"Lock-Token: <opaquelocktoken:none>"}},

		{404, "DELETE", "/dav/photos/none", "", nil},
		{403, "DELETE", "/dav/", "", nil},
		{412, "DELETE", "/dav/photos/a.jpg", "", []string{`If-Match: "no"`}},
		{400, "DELETE", "/dav/photos/d/", "", []string{"Depth: 1"}},
		{404, "DELETE", "/dav/photos/d/%23ment", "", nil},
		{204, "DELETE", "/dav/photos/d/", "", []string{"Depth: infinity"}},
		{404, "DELETE", "/dav/photos/d/", "", nil},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			s.t = t
			got := s.raw(c.method, c.path, c.body, c.headers...)
			if got.StatusCode != c.code {
				t.Errorf("%q: got status %d, want %d: %.300s", c.headers, got.StatusCode, c.code, got.body)
			}
			if c.code >= 400 && c.code != 416 && c.method != "HEAD" && (!strings.HasPrefix(got.Header.Get("Content-Type"), "application/xml") || !strings.Contains(got.body, "<s:message>")) {
				t.Errorf("refusal without a message: %q", got.body)
			}
		})
	}
}

// raw is do with the path just as it is.
func (s *share) raw(method, path, body string, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.URL, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL.Opaque = path
	r.ContentLength = int64(len(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Transfer-Encoding" {
			r.ContentLength = -1
		} else {
			r.Header.Set(name, value)
		}
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp, string(b)}
}

// TestBucketDown: a client that reads 404 may delete its own copy.
func TestBucketDown(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", strings.Repeat("x", 1000))
	s.down.cut = true
	s.want(503, "GET", "/dav/photos/a.jpg", "")
	s.want(503, "GET", "/dav/photos/a.jpg", "", "Range: bytes=1-2")
	s.want(503, "PUT", "/dav/photos/a.jpg", "new")
	s.want(503, "PUT", "/dav/photos/b.jpg", "new")
	s.want(200, "HEAD", "/dav/photos/a.jpg", "")
	s.want(207, "PROPFIND", "/dav/photos/", "", "Depth: 1")
	s.down.cut = false
	s.content("/dav/photos/a.jpg", strings.Repeat("x", 1000))
	s.gone("/dav/photos/b.jpg")
}

func TestQuota(t *testing.T) {
	s := newShare(t, nil)
	s.access = backend.Access{Quota: 10}
	s.put("/dav/photos/a.jpg", "12345678")
	got := s.want(507, "PUT", "/dav/photos/b.jpg", "12345678")
	if !strings.Contains(got.body, "quota-not-exceeded") {
		t.Errorf("got %s", got.body)
	}
	s.want(507, "PUT", "/dav/photos/b.jpg", "12345678", "Transfer-Encoding: chunked")
	s.gone("/dav/photos/b.jpg")
}

// TestAccess: modes are the Library's to enforce; the answers must be right.
func TestAccess(t *testing.T) {
	s := newShare(t, nil)
	s.put("/dav/photos/a.jpg", "A")
	s.access = backend.Access{Mode: backend.ReadOnly}
	s.content("/dav/photos/a.jpg", "A")
	s.want(403, "PUT", "/dav/photos/a.jpg", "B")
	s.want(403, "PUT", "/dav/photos/b.jpg", "B")
	s.want(403, "MKCOL", "/dav/photos/d", "")
	s.want(403, "DELETE", "/dav/photos/a.jpg", "")
	s.want(403, "MOVE", "/dav/photos/a.jpg", "", "Destination: /dav/photos/b.jpg")
	s.want(403, "PROPPATCH", "/dav/photos/a.jpg", setProp(`<x xmlns="urn:x">y</x>`))
	s.want(403, "LOCK", "/dav/photos/a.jpg", lockBody)
	s.access = backend.Access{Mode: backend.UploadOnly}
	s.want(201, "PUT", "/dav/photos/b.jpg", "B")
	s.want(403, "PUT", "/dav/photos/a.jpg", "B")
	s.want(403, "GET", "/dav/photos/a.jpg", "")
	s.want(403, "DELETE", "/dav/photos/a.jpg", "")
}

func TestUnauthenticated(t *testing.T) {
	w := httptest.NewRecorder()
	dav.New(nil, nil).ServeHTTP(w, httptest.NewRequest("GET", "/dav/", nil))
	if w.Code != 401 {
		t.Errorf("got status %d, want 401", w.Code)
	}
}

func setProp(inner string) string {
	return `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>` + inner + `</D:prop></D:set></D:propertyupdate>`
}
