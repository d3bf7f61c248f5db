package dav_test

import (
	"fmt"
	"strings"
	"testing"
)

// Sequences of requests as clients send them (recorded, or told by others), with the
// statuses they live with. "TOKEN" stands for the token of the last LOCK.

type step struct {
	code         int
	method, path string
	body         string
	headers      []string
}

func (s *share) play(steps []step) {
	s.t.Helper()
	token := ""
	for i, st := range steps {
		headers := make([]string, len(st.headers))
		for i, h := range st.headers {
			headers[i] = strings.ReplaceAll(h, "TOKEN", token)
		}
		got := s.do(st.method, st.path, st.body, headers...)
		if got.StatusCode != st.code {
			s.t.Fatalf("step %d, %s %s %q: got status %d, want %d: %.300s", i, st.method, st.path, headers, got.StatusCode, st.code, got.body)
		}
		if t := got.Header.Get("Lock-Token"); t != "" {
			token = strings.Trim(t, "<>")
		}
	}
}

const win32 = `<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32CreationTime>Tue, 02 Jan 2018 03:04:05 GMT</Z:Win32CreationTime><Z:Win32LastAccessTime>Tue, 02 Jan 2018 03:04:05 GMT</Z:Win32LastAccessTime><Z:Win32LastModifiedTime>Tue, 02 Jan 2018 03:04:05 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>`

func TestExplorer(t *testing.T) {
	s := newShare(t, nil)
	with := "If: (<TOKEN>)"
	s.play([]step{
		{200, "OPTIONS", "/dav", "", nil},
		{207, "PROPFIND", "/dav", "", []string{"Depth: 0"}},
		{207, "PROPFIND", "/dav/photos", "", []string{"Depth: 1"}},
		{404, "PROPFIND", "/dav/photos/desktop.ini", "", []string{"Depth: 0"}},
		{404, "PROPFIND", "/dav/photos/w.jpg", "", []string{"Depth: 0"}},
		{201, "PUT", "/dav/photos/w.jpg", "", []string{"translate: f"}},
		{200, "LOCK", "/dav/photos/w.jpg", lockBody, []string{"translate: f", "Timeout: Second-3600"}},
		{207, "PROPPATCH", "/dav/photos/w.jpg", win32, []string{with}},
		{200, "HEAD", "/dav/photos/w.jpg", "", []string{"translate: f"}},
		{204, "PUT", "/dav/photos/w.jpg", "a picture", []string{with}},
		{207, "PROPPATCH", "/dav/photos/w.jpg", win32, []string{with}},
		{204, "UNLOCK", "/dav/photos/w.jpg", "", []string{"Lock-Token: <TOKEN>"}},
		// Office: the lock goes with what it is on.
		{201, "PUT", "/dav/photos/o.doc", "", nil},
		{200, "LOCK", "/dav/photos/o.doc", lockBody, []string{"Timeout: Second-3600"}},
		{204, "DELETE", "/dav/photos/o.doc", "", []string{with}},
		{201, "PUT", "/dav/photos/o.doc", "text", nil},
		{200, "LOCK", "/dav/photos/o.doc", lockBody, []string{"Timeout: Second-3600"}},
	})
	if got := s.do("HEAD", "/dav/photos/w.jpg", "").Header.Get("Last-Modified"); got != "Tue, 02 Jan 2018 03:04:05 GMT" {
		t.Errorf("Last-Modified: got %q", got)
	}
	if got := s.do("PROPPATCH", "/dav/photos/w.jpg", win32).body; !strings.Contains(got, "HTTP/1.1 200") || strings.Contains(got, "HTTP/1.1 4") {
		t.Errorf("PROPPATCH: got %s", got)
	}
}

func TestFinder(t *testing.T) {
	s := newShare(t, nil)
	with := "If: (<TOKEN>)"
	var steps []step
	for _, name := range []string{"f.jpg", "._f.jpg", ".DS_Store"} {
		path := "/dav/photos/" + name
		steps = append(steps,
			step{404, "PROPFIND", path, "", []string{"Depth: 0"}},
			step{201, "PUT", path, "", nil},
			step{200, "LOCK", path, lockBody, []string{"Depth: 0", "Timeout: Second-600"}},
			step{204, "PUT", path, "seven b", []string{with, "Transfer-Encoding: chunked", "X-Expected-Entity-Length: 7"}},
			step{200, "LOCK", path, "", []string{with, "Timeout: Second-600"}},
			step{207, "PROPFIND", path, "", []string{"Depth: 0"}},
			step{204, "UNLOCK", path, "", []string{"Lock-Token: <TOKEN>"}},
			step{200, "GET", path, "", nil},
		)
	}
	s.play(steps)
}

func TestDavfs2(t *testing.T) {
	s := newShare(t, nil)
	path := "/dav/photos/d.jpg"
	s.play([]step{
		{200, "OPTIONS", "/dav/photos/", "", nil},
		{207, "PROPFIND", "/dav/photos/", asked["davfs2"], []string{"Depth: 1"}},
		{201, "LOCK", path, lockBody, []string{"Depth: 0", "Timeout: Second-1800"}},
		{200, "HEAD", path, "", nil},
	})
	token := s.do("PROPFIND", path, asked["lock"], "Depth: 0").body
	_, token, _ = strings.Cut(token, "opaquelocktoken:")
	token, _, _ = strings.Cut(token, "<")
	etag := s.do("HEAD", path, "").Header.Get("ETag")
	s.play([]step{
		{204, "PUT", path, "content", []string{fmt.Sprintf("If: <%s%s> (<opaquelocktoken:%s>)", s.URL, path, token), "If-Match: " + etag}},
		{204, "UNLOCK", path, "", []string{"Lock-Token: <opaquelocktoken:" + token + ">"}},
		{201, "MOVE", path, "", []string{s.dest("/dav/photos/e.jpg"), "Overwrite: T"}},
		{200, "HEAD", "/dav/photos/e.jpg", "", nil},
		{204, "DELETE", "/dav/photos/e.jpg", "", nil},
	})
}

func TestPhones(t *testing.T) {
	s := newShare(t, nil)
	s.play([]step{
		// PhotoSync makes every level, and takes 405 for "it is there".
		{200, "OPTIONS", "/dav/photos/", "", nil},
		{405, "MKCOL", "/dav/photos/", "", nil},
		{201, "MKCOL", "/dav/photos/2024/", "", nil},
		{201, "MKCOL", "/dav/photos/2024/05/", "", nil},
		{405, "MKCOL", "/dav/photos/2024/05/", "", nil},
		{207, "PROPFIND", "/dav/photos/2024/05/", "", []string{"Depth: 1"}},
		{201, "PUT", "/dav/photos/2024/05/IMG_1.HEIC", "picture", nil},
		// FolderSync writes beside, and moves; and again, if the answer was lost.
		{201, "PUT", "/dav/photos/2024/x.tmp", "new", nil},
		{201, "MOVE", "/dav/photos/2024/x.tmp", "", []string{"Destination: /dav/photos/2024/x.jpg", "Overwrite: T"}},
		{404, "MOVE", "/dav/photos/2024/x.tmp", "", []string{"Destination: /dav/photos/2024/x.jpg", "Overwrite: T"}},
		{200, "GET", "/dav/photos/2024/x.jpg", "", nil},
		// Joplin sends an If-None-Match that is none with everything.
		{201, "MKCOL", "/dav/photos/joplin", "", []string{"If-None-Match: JoplinIgnore-1"}},
		{207, "PROPFIND", "/dav/photos/joplin", "", []string{"Depth: 1", "If-None-Match: JoplinIgnore-2"}},
		// Nextcloud's app.
		{200, "HEAD", "/dav/", "", nil},
		{207, "PROPFIND", "/dav/photos/", asked["android"], []string{"Depth: 1"}},
		{201, "PUT", "/dav/photos/2024/y.jpg", "y", []string{"X-OC-Mtime: 1700000000", "X-OC-CTime: 1700000000", "OC-Total-Length: 1", "Content-Type: image/jpeg"}},
	})
}
