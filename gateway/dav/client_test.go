package dav_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// Sequences of requests as clients send them (recorded, or told by others), with the
// statuses they live with. "TOKEN" stands for the token of the last LOCK.

type step struct {
	code         int
	method, path string
	body         string
	headers      []string
}

// play sends the requests, and holds what was said, by both sides, against the transcript
// in testdata/clients. Read that when it changes.
func (s *share) play(name string, steps []step) {
	s.t.Helper()
	var out bytes.Buffer
	trace := dav.NewTrace(&out)
	s.trace.Store(trace)
	defer s.trace.Store(nil)
	token, etag := "", ""
	for i, st := range steps {
		headers := make([]string, len(st.headers))
		for i, h := range st.headers {
			headers[i] = strings.NewReplacer("TOKEN", token, "ETAG", etag, "SERVER", s.URL).Replace(h)
		}
		got := s.do(st.method, st.path, st.body, headers...)
		if got.StatusCode != st.code {
			s.t.Fatalf("step %d, %s %s %q: got status %d, want %d: %.300s", i, st.method, st.path, headers, got.StatusCode, st.code, got.body)
		}
		if t := got.Header.Get("Lock-Token"); t != "" {
			token = strings.Trim(t, "<>")
		}
		if t := got.Header.Get("ETag"); t != "" {
			etag = t
		}
	}
	got := out.String()
	for _, r := range changing {
		got = r.find.ReplaceAllString(got, r.put)
	}
	got = strings.ReplaceAll(got, s.Listener.Addr().String(), "photos.example.org")
	file := filepath.Join("testdata", "clients", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if got != string(want) {
		a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				s.t.Fatalf("%s:%d: got\n%s\nwant\n%s", file, i+1, a[i], b[i])
			}
		}
		s.t.Fatalf("%s: got %d lines, want %d", file, len(a), len(b))
	}
}

// changing is what differs from run to run.
var changing = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`(?m)^=== .*$`), "==="},
	{regexp.MustCompile(`(?m)^(Oc-Fileid|OC-FileId): .*$`), "$1: …"},
	{regexp.MustCompile(`opaquelocktoken:[0-9a-f]{4}`), "opaquelocktoken:…"},
	{regexp.MustCompile(`\b[a-z2-7]{16}-[0-9a-f]+\b`), "…"}, // the tag of a collection
	{regexp.MustCompile(`\w{3}, \d\d \w{3} 20(?:2[4-9]|[3-9]\d) \d\d:\d\d:\d\d GMT`), "(now)"},
	{regexp.MustCompile(`20(?:2[4-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "(now)"},
	{regexp.MustCompile(`(<oc:(?:id|fileid)>)[^<]*`), "$1…"},
	{regexp.MustCompile(`Second-\d+</D:timeout>`), "Second-…</D:timeout>"},
	{regexp.MustCompile(`(<nc:(?:creation|upload)_time>)\d+`), "$1…"},
	{regexp.MustCompile(`(?m)^User-Agent: Go-http-client.*\n`), ""},
	{regexp.MustCompile(`(?m)^(Accept-Encoding: gzip)\n`), ""},
}

const win32 = `<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32CreationTime>Tue, 02 Jan 2018 03:04:05 GMT</Z:Win32CreationTime><Z:Win32LastAccessTime>Tue, 02 Jan 2018 03:04:05 GMT</Z:Win32LastAccessTime><Z:Win32LastModifiedTime>Tue, 02 Jan 2018 03:04:05 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>`

func TestExplorer(t *testing.T) {
	s := newShare(t, nil)
	with := "If: (<TOKEN>)"
	s.play("explorer", []step{
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
	})
	s.play("office", []step{
		// A new document: the lock goes with what it is on.
		{201, "PUT", "/dav/photos/o.doc", "", nil},
		{200, "LOCK", "/dav/photos/o.doc", lockBody, []string{"Timeout: Second-3600"}},
		{204, "DELETE", "/dav/photos/o.doc", "", []string{with}},
		{201, "PUT", "/dav/photos/o.doc", "text", nil},
		{200, "LOCK", "/dav/photos/o.doc", lockBody, []string{"Timeout: Second-3600"}},
		{200, "LOCK", "/dav/photos/o.doc", "", []string{with, "Timeout: Second-3600"}},
		{423, "PUT", "/dav/photos/o.doc", "of somebody else", nil},
		{204, "PUT", "/dav/photos/o.doc", "more text", []string{with}},
		{204, "UNLOCK", "/dav/photos/o.doc", "", []string{"Lock-Token: <TOKEN>"}},
		// Saving: beside, then moved over the old one with the token of the new.
		{201, "LOCK", "/dav/photos/~o.tmp", lockBody, []string{"Timeout: Second-3600"}},
		{204, "PUT", "/dav/photos/~o.tmp", "saved text", []string{with}},
		{204, "MOVE", "/dav/photos/~o.tmp", "", []string{with, "Destination: SERVER/dav/photos/o.doc", "Overwrite: T"}},
		{404, "PROPFIND", "/dav/photos/~o.tmp", "", []string{"Depth: 0"}},
		{200, "GET", "/dav/photos/o.doc", "", []string{"translate: f"}},
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
	steps := []step{
		{200, "OPTIONS", "/dav/", "", nil},
		{207, "PROPFIND", "/dav/", asked["gvfs"], []string{"Depth: 0"}},
		{207, "PROPFIND", "/dav/photos/", asked["gvfs"], []string{"Depth: 1"}},
	}
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
	s.play("finder", steps)
}

func TestDavfs2(t *testing.T) {
	s := newShare(t, nil)
	path := "/dav/photos/d.jpg"
	s.play("davfs2", []step{
		{200, "OPTIONS", "/dav/photos/", "", nil},
		{207, "PROPFIND", "/dav/photos/", asked["davfs2"], []string{"Depth: 1"}},
		{201, "LOCK", path, lockBody, []string{"Depth: 0", "Timeout: Second-1800"}},
		{200, "HEAD", path, "", nil},
		{204, "PUT", path, "content", []string{"If: <SERVER" + path + "> (<TOKEN>)", "If-Match: ETAG"}},
		{204, "UNLOCK", path, "", []string{"Lock-Token: <TOKEN>"}},
		{201, "MOVE", path, "", []string{"Destination: SERVER/dav/photos/e.jpg", "Overwrite: T"}},
		{200, "HEAD", "/dav/photos/e.jpg", "", nil},
		{204, "DELETE", "/dav/photos/e.jpg", "", nil},
	})
}

func TestPhones(t *testing.T) {
	s := newShare(t, nil)
	s.play("photosync", []step{
		// It makes every level, and takes 405 for "it is there".
		{200, "OPTIONS", "/dav/photos/", "", nil},
		{405, "MKCOL", "/dav/photos/", "", nil},
		{201, "MKCOL", "/dav/photos/2024/", "", nil},
		{201, "MKCOL", "/dav/photos/2024/05/", "", nil},
		{405, "MKCOL", "/dav/photos/2024/05/", "", nil},
		{207, "PROPFIND", "/dav/photos/2024/05/", "", []string{"Depth: 1"}},
		{201, "PUT", "/dav/photos/2024/05/IMG_1.HEIC", "picture", nil},
	})
	s.play("foldersync", []step{
		// It compares, writes beside, and moves; and again, if the answer was lost.
		{207, "PROPFIND", "/dav/photos/2024/", "", []string{"Depth: 1"}},
		{201, "PUT", "/dav/photos/2024/x.tmp", "new", nil},
		{201, "MOVE", "/dav/photos/2024/x.tmp", "", []string{"Destination: /dav/photos/2024/x.jpg", "Overwrite: T"}},
		{404, "MOVE", "/dav/photos/2024/x.tmp", "", []string{"Destination: /dav/photos/2024/x.jpg", "Overwrite: T"}},
		{200, "GET", "/dav/photos/2024/x.jpg", "", nil},
	})
	s.play("joplin", []step{
		// It sends an If-None-Match that is none with everything.
		{201, "MKCOL", "/dav/photos/joplin", "", []string{"If-None-Match: JoplinIgnore-1"}},
		{207, "PROPFIND", "/dav/photos/joplin", "", []string{"Depth: 1", "If-None-Match: JoplinIgnore-2"}},
	})
	// Nextcloud's app for Android has more to ask: see TestAndroid of package nextcloud.
}

const nautilus = `<?xml version="1.0" encoding="utf-8" ?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/></D:prop></D:propfind>`

// TestDesktops: file managers of Linux, and programs for transferring files.
func TestDesktops(t *testing.T) {
	s := newShare(t, nil)
	s.play("gvfs", []step{
		{200, "OPTIONS", "/dav/photos/", "", nil},
		{207, "PROPFIND", "/dav/photos/", nautilus, []string{"Depth: 1"}},
		{201, "MKCOL", "/dav/photos/trip/", "", nil},
		{201, "PUT", "/dav/photos/trip/a.jpg", "a", []string{"Overwrite: T"}},
		{207, "PROPFIND", "/dav/photos/trip/a.jpg", nautilus, []string{"Depth: 1"}},
		{201, "COPY", "/dav/photos/trip/a.jpg", "", []string{"Destination: SERVER/dav/photos/trip/b.jpg", "Overwrite: F"}},
		{412, "MOVE", "/dav/photos/trip/a.jpg", "", []string{"Destination: SERVER/dav/photos/trip/b.jpg", "Overwrite: F"}},
		{204, "MOVE", "/dav/photos/trip/a.jpg", "", []string{"Destination: SERVER/dav/photos/trip/b.jpg", "Overwrite: T"}},
		{207, "PROPFIND", "/dav/photos/", asked["gvfs"], []string{"Depth: 0"}},
		{204, "DELETE", "/dav/photos/trip/", "", nil},
	})
	s.play("cyberduck", []step{
		{200, "HEAD", "/dav/", "", nil},
		{207, "PROPFIND", "/dav/", "", []string{"Depth: 1"}},
		{201, "PUT", "/dav/photos/c.jpg", "picture", []string{"Expect: 100-continue", "Content-Type: image/jpeg"}},
		{207, "PROPPATCH", "/dav/photos/c.jpg", `<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><D:lastmodified>1514862245</D:lastmodified><S:lastmodified xmlns:S="SAR:">Tue, 02 Jan 2018 03:04:05 GMT</S:lastmodified></D:prop></D:set></D:propertyupdate>`, nil},
		{207, "PROPFIND", "/dav/photos/c.jpg", "", []string{"Depth: 1"}},
		{200, "LOCK", "/dav/photos/c.jpg", lockBody, []string{"Timeout: Infinite"}},
		{207, "PROPFIND", "/dav/photos/c.jpg", asked["lock"], []string{"Depth: 0"}},
		{204, "UNLOCK", "/dav/photos/c.jpg", "", []string{"Lock-Token: <TOKEN>"}},
	})
}
