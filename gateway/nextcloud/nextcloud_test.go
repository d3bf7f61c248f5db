package nextcloud_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
	"github.com/shoebox-photos/shoebox/gateway/nextcloud"
)

// A server has a user "ana" with a library "photos" and an app password.
type server struct {
	*httptest.Server
	t        *testing.T
	accounts *account.Accounts
	lib      *backend.Library
	b        *backend.Backend
	user     *account.User
	password string
	cookie   string // of ana's browser
}

func newServer(t *testing.T) *server { return newTraced(t, nil) }

// newTraced is a server whose requests are written down.
func newTraced(t *testing.T, trace *dav.Trace) *server {
	t.Helper()
	bucket, index := membucket.New(), memkv.New()
	b := backend.New(bucket, index, nil)
	a, err := account.Open(t.Context(), bucket, index, account.GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, accounts: a, b: b}
	if s.user, err = a.CreateUser(t.Context(), account.NewUser{Login: "ana", Name: "Ana & Co"}); err != nil {
		t.Fatal(err)
	}
	if s.lib, err = b.Library(t.Context(), s.user.UID, backend.Access{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	_, secret, err := a.Mint(t.Context(), s.user.UID, account.MintOptions{Label: "phone", DAV: true})
	if err != nil {
		t.Fatal(err)
	}
	s.password = string(secret)
	session, err := a.NewSession(t.Context(), s.user.UID, account.SessionInfo{})
	if err != nil {
		t.Fatal(err)
	}
	s.cookie = "sb_s=" + string(session)
	au, err := auth.New(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(nextcloud.New(b, a, au, &nextcloud.Options{Trace: trace}))
	t.Cleanup(s.Close)
	return s
}

type reply struct {
	*http.Response
	body string
}

// do sends a request, with ana's app password unless a header "Cookie" or "Anonymous" is
// among headers ("Name: value").
func (s *server) do(method, path, body string, headers ...string) reply {
	s.t.Helper()
	if !strings.HasPrefix(path, "http://") {
		path = s.URL + path
	}
	r, err := http.NewRequest(method, path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetBasicAuth("ana", s.password)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Cookie" || name == "Anonymous" {
			r.Header.Del("Authorization")
		}
		r.Header.Set(name, value)
	}
	c := *s.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{resp, string(b)}
}

func (s *server) want(code int, method, path, body string, headers ...string) reply {
	s.t.Helper()
	got := s.do(method, path, body, headers...)
	if got.StatusCode != code {
		s.t.Fatalf("%s %s %q: got status %d, want %d: %.400s", method, path, headers, got.StatusCode, code, got.body)
	}
	return got
}

// member walks through decoded JSON.
func member(t *testing.T, body string, path ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no %q in %v", p, v)
		}
		v = m[p]
	}
	return v
}

func TestStatusAndOCS(t *testing.T) {
	s := newServer(t)
	got := s.want(200, "GET", "/status.php", "", "Anonymous: yes")
	if member(t, got.body, "installed") != true || member(t, got.body, "maintenance") != false {
		t.Errorf("status.php: %s", got.body)
	}
	for v, code := range map[string]float64{"v1": 100, "v2": 200} {
		got := s.want(200, "GET", "/ocs/"+v+".php/cloud/capabilities?format=json", "", "OCS-APIRequest: true")
		if c := member(t, got.body, "ocs", "meta", "statuscode"); c != code {
			t.Errorf("%s: statuscode %v, want %v", v, c, code)
		}
		if c := member(t, got.body, "ocs", "data", "capabilities", "dav", "chunking"); c != "1.0" {
			t.Errorf("%s: chunking %v", v, c)
		}
		got = s.want(200, "GET", "/ocs/"+v+".php/cloud/user?format=json", "", "OCS-APIRequest: true")
		if id := member(t, got.body, "ocs", "data", "id"); id != "ana" {
			t.Errorf("%s: id %v", v, id)
		}
	}
	got = s.want(200, "GET", "/ocs/v1.php/cloud/user", "")
	var user struct {
		Name string `xml:"data>display-name"`
		Code int    `xml:"meta>statuscode"`
	}
	if err := xml.Unmarshal([]byte(got.body), &user); err != nil || user.Name != "Ana & Co" || user.Code != 100 {
		t.Errorf("got %+v, %v from %s", user, err, got.body)
	}
	s.want(401, "GET", "/ocs/v2.php/cloud/user?format=json", "", "Anonymous: yes")
	s.want(404, "GET", "/ocs/v2.php/apps/notifications/api/v2/notifications?format=json", "")
	s.want(404, "GET", "/index.php/apps/files", "")
}

// TestLogin is the way an app gets its app password.
func TestLogin(t *testing.T) {
	s := newServer(t)
	agent := "User-Agent: Mozilla/5.0 (Android) Nextcloud-android/3.30.0 <b>"
	got := s.want(200, "POST", "/index.php/login/v2", "", "Anonymous: yes", agent)
	login := member(t, got.body, "login").(string)
	endpoint := member(t, got.body, "poll", "endpoint").(string)
	form := "token=" + url.QueryEscape(member(t, got.body, "poll", "token").(string))
	poll := func(code int) reply {
		t.Helper()
		return s.want(code, "POST", endpoint, form, "Anonymous: yes", "Content-Type: application/x-www-form-urlencoded")
	}
	poll(404)
	// Who has not signed in is sent to do so, and comes back.
	away := s.want(302, "GET", login, "", "Anonymous: yes")
	if to, err := url.Parse(away.Header.Get("Location")); err != nil || to.Path != "/login" || !strings.HasSuffix(login, to.Query().Get("return")) {
		t.Errorf("sent to %q", away.Header.Get("Location"))
	}
	page := s.want(200, "GET", login, "", "Cookie: "+s.cookie)
	for _, want := range []string{"Ana &amp; Co", "Nextcloud-android/3.30.0 &lt;b&gt;", "127.0.0.1", "to see, change and delete"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page does not tell %q:\n%s", want, page.body)
		}
	}
	if strings.Contains(page.body, "<b>") || page.Header.Get("X-Frame-Options") != "DENY" {
		t.Error("the page can be tampered with")
	}
	agree := "answer=connect&label=Ana%27s+phone"
	typ := "Content-Type: application/x-www-form-urlencoded"
	s.want(403, "POST", login, agree, "Cookie: "+s.cookie, typ, "Sec-Fetch-Site: cross-site")
	s.want(401, "POST", login, agree, "Anonymous: yes", typ)
	poll(404)
	s.want(200, "POST", login, agree, "Cookie: "+s.cookie, typ)
	s.want(404, "POST", login, agree, "Cookie: "+s.cookie, typ)
	got = poll(200)
	if got.Header.Get("Cache-Control") != "no-store" {
		t.Error("an app password may be cached")
	}
	if member(t, got.body, "server") != s.URL || member(t, got.body, "loginName") != "ana" {
		t.Errorf("got %s", got.body)
	}
	s.password = member(t, got.body, "appPassword").(string)
	poll(404)
	s.want(200, "HEAD", "/remote.php/dav/files/ana/", "")
	list, err := s.accounts.AppPasswords(t.Context(), s.user.UID)
	if err != nil || len(list) != 2 {
		t.Fatalf("got %v, %v", list, err)
	}
	for _, p := range list {
		if p.Label != "Ana's phone" && p.Label != "phone" {
			t.Errorf("label %q", p.Label)
		}
	}
	// An old session must be proved anew.
	got = s.want(200, "POST", "/login/v2", "", "Anonymous: yes", agent)
	login = member(t, got.body, "login").(string)
	old, err := s.accounts.NewSession(t.Context(), s.user.UID, account.SessionInfo{AuthTime: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if page := s.want(403, "GET", login, "", "Cookie: sb_s="+string(old)); !strings.Contains(page.body, "sign in again") {
		t.Errorf("an old session sees %s", page.body)
	}
	s.want(403, "POST", login, agree, "Cookie: sb_s="+string(old), typ)
	s.want(200, "POST", login, agree, "Cookie: "+s.cookie, typ)
	// Refused, it gives nothing.
	got = s.want(200, "POST", "/login/v2", "", "Anonymous: yes", agent)
	form = "token=" + url.QueryEscape(member(t, got.body, "poll", "token").(string))
	s.want(200, "POST", member(t, got.body, "login").(string), "answer=refuse", "Cookie: "+s.cookie, typ)
	poll(404)
}

const androidProps = `<?xml version="1.0" encoding="UTF-8"?><d:propfind xmlns:d="DAV:" xmlns:nc="http://nextcloud.org/ns" xmlns:oc="http://owncloud.org/ns"><d:prop><d:displayname/><d:getcontenttype/><d:resourcetype/><d:getcontentlength/><d:getlastmodified/><d:creationdate/><d:getetag/><d:quota-used-bytes/><d:quota-available-bytes/><oc:permissions/><oc:id/><oc:fileid/><oc:size/><oc:favorite/><oc:owner-id/><oc:owner-display-name/><oc:comments-unread/><nc:has-preview/><nc:is-encrypted/><nc:mount-type/><nc:note/><nc:sharees/><nc:rich-workspace/><nc:creation_time/><nc:upload_time/><nc:lock/><nc:metadata-photos-size/></d:prop></d:propfind>`

// TestAndroid replays how Nextcloud's Android app uploads photographs by itself: small ones
// in one piece, a film in chunks, with a break in the middle. What was said, by both sides, is
// held against testdata/android.txt.
func TestAndroid(t *testing.T) {
	var said bytes.Buffer
	s := newTraced(t, dav.NewTrace(&said))
	files := "/remote.php/dav/files/ana"
	s.want(200, "GET", "/status.php", "")
	s.want(200, "GET", "/ocs/v2.php/cloud/user?format=json", "", "OCS-APIRequest: true")
	s.want(200, "GET", "/ocs/v1.php/cloud/capabilities?format=json", "", "OCS-APIRequest: true")
	s.want(200, "HEAD", files+"/", "")
	s.want(207, "PROPFIND", files+"/", androidProps, "Depth: 1")

	// Its folder is not there; it makes level after level.
	s.want(404, "HEAD", files+"/InstantUpload/Camera/2024", "")
	for _, dir := range []string{"/InstantUpload/", "/InstantUpload/Camera/", "/InstantUpload/Camera/2024/"} {
		got := s.want(201, "MKCOL", files+dir, "")
		if got.Header.Get("OC-FileId") == "" {
			t.Errorf("MKCOL %s: no OC-FileId", dir)
		}
		s.want(405, "MKCOL", files+dir, "")
	}
	got := s.want(207, "PROPFIND", files+"/InstantUpload/Camera/", androidProps, "Depth: 1")
	if !strings.Contains(got.body, "<D:href>"+files+"/InstantUpload/Camera/2024/</D:href>") {
		t.Errorf("hrefs are not below what was asked for: %s", got.body)
	}
	got = s.want(207, "PROPFIND", files+"/", androidProps, "Depth: 1")
	for _, name := range []string{"/photos/", "/InstantUpload/"} {
		if !strings.Contains(got.body, "<D:href>"+files+name+"</D:href>") {
			t.Errorf("%s is not listed: %s", name, got.body)
		}
	}

	// A photograph.
	photo := files + "/InstantUpload/Camera/2024/IMG_1.jpg"
	s.want(404, "PROPFIND", photo, androidProps, "Depth: 0")
	got = s.want(201, "PUT", photo, "a picture", "X-OC-Mtime: 1700000000", "X-OC-CTime: 1700000000", "OC-Total-Length: 9", "Content-Type: image/jpeg")
	for _, name := range []string{"OC-ETag", "ETag", "OC-FileId"} {
		if got.Header.Get(name) == "" {
			t.Errorf("PUT: no %s", name)
		}
	}
	etag := got.Header.Get("ETag")
	s.want(204, "PUT", photo, "a better picture", "X-OC-Mtime: 1700000001", "If-Match: "+etag)
	s.want(412, "PUT", photo, "a stale picture", "If-Match: "+etag)
	s.want(200, "HEAD", photo, "")

	// A film.
	film := files + "/InstantUpload/Camera/2024/VID_1.mp4"
	up := "/remote.php/dav/uploads/ana/0c9c2a2d-7a34"
	dest := "Destination: " + s.URL + film
	part := strings.Repeat("0123456789abcdef", 6<<16) // 6 MiB
	total := fmt.Sprintf("OC-Total-Length: %d", 2*len(part)+5)
	s.want(404, "PROPFIND", up, "", "Depth: 1")
	s.want(404, "PUT", up+"/000001", part)
	s.want(201, "MKCOL", up, "", dest)
	s.want(405, "MKCOL", up, "", dest)
	s.want(201, "PUT", up+"/000001", part, total, dest)
	// The phone lost its network, and looks how far it was.
	got = s.want(207, "PROPFIND", up, "", "Depth: 1")
	if !strings.Contains(got.body, up+"/000001</D:href>") || !strings.Contains(got.body, "<D:getcontentlength>6291456</D:getcontentlength>") {
		t.Errorf("what has arrived is not listed: %s", got.body)
	}
	s.want(201, "PUT", up+"/000003", "tail.", total, dest)
	s.want(400, "MOVE", up+"/.file", "", dest, total, "X-OC-Mtime: 1700000002")
	s.want(201, "PUT", up+"/000002", part, total, dest)
	got = s.want(201, "MOVE", up+"/.file", "", dest, total, "X-OC-Mtime: 1700000002", "X-OC-CTime: 1600000000")
	if got.Header.Get("X-OC-Mtime") != "accepted" || got.Header.Get("OC-FileId") == "" || got.Header.Get("OC-ETag") == "" {
		t.Errorf("MOVE: %v", got.Header)
	}
	s.want(204, "MOVE", up+"/.file", "", dest, total) // its answer was lost
	got = s.want(200, "GET", "/remote.php/webdav/photos/InstantUpload/Camera/2024/VID_1.mp4", "")
	if got.body != part+part+"tail." || got.Header.Get("Last-Modified") != "Tue, 14 Nov 2023 22:13:22 GMT" {
		t.Errorf("got %d bytes, %s", len(got.body), got.Header.Get("Last-Modified"))
	}
	s.transcript("android", said.String())
}

var update = flag.Bool("update", false, "write the golden files anew")

// changing is what differs from run to run.
var changing = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`(?m)^=== .*$`), "==="},
	{regexp.MustCompile(`(?m)^Oc-Fileid: .*$`), "Oc-Fileid: …"},
	{regexp.MustCompile(`\b[a-z2-7]{16}-[0-9a-f]+\b`), "…"}, // the tag of a collection
	{regexp.MustCompile(`\w{3}, \d\d \w{3} 20(?:2[4-9]|[3-9]\d) \d\d:\d\d:\d\d GMT`), "(now)"},
	{regexp.MustCompile(`20(?:2[4-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "(now)"},
	{regexp.MustCompile(`(<oc:(?:id|fileid)>)[^<]*`), "$1…"},
	{regexp.MustCompile(`(<nc:(?:creation|upload)_time>)\d+`), "$1…"},
	{regexp.MustCompile(`(?m)^User-Agent: Go-http-client.*\n`), ""},
	{regexp.MustCompile(`(?m)^(Accept-Encoding: gzip)\n`), ""},
}

// transcript holds what was said against a golden file. Read that when it changes.
func (s *server) transcript(name, got string) {
	s.t.Helper()
	for _, r := range changing {
		got = r.find.ReplaceAllString(got, r.put)
	}
	got = strings.ReplaceAll(got, s.Listener.Addr().String(), "photos.example.org")
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			s.t.Fatalf("%s:%d: got\n%s\nwant\n%s", file, i+1, strings.Join(a[min(i, len(a)):min(i+1, len(a))], ""), strings.Join(b[min(i, len(b)):min(i+1, len(b))], ""))
		}
	}
}

// TestOtherChunks: names and sizes of chunks that are not Nextcloud's.
func TestOtherChunks(t *testing.T) {
	file := "/remote.php/dav/files/ana/photos/f.bin"
	big := strings.Repeat("x", 5<<20)
	for _, tt := range []struct {
		name   string
		chunks [][2]string // name, content; in the order they come
		want   string
	}{
		{"numbers from 0", [][2]string{{"00000000", "a"}, {"00000001", "b"}, {"00000002", "c"}}, "abc"},
		{"rclone, small", [][2]string{{"000000000000000-000000000000001", "ab"}, {"000000000000002-000000000000003", "cd"}, {"000000000000004-000000000000004", "e"}}, "abcde"},
		{"rclone, large", [][2]string{{"000000000000000-000000005242879", big}, {"000000005242880-000000010485759", big}, {"000000010485760-000000010485760", "e"}}, big + big + "e"},
		{"offsets, out of order", [][2]string{{"0000000010485760", "e"}, {"0000000005242880", big}, {"0000000000000000", big}}, big + big + "e"},
		{"the last number", [][2]string{{"10000", "z"}, {"9999", "y"}, {"1", "a"}}, "ayz"},
		{"small ones before and after", [][2]string{{"1", big[:3<<20]}, {"2", big[:3<<20]}, {"3", big}, {"4", "e"}}, big[:3<<20] + big[:3<<20] + big + "e"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			up := "/remote.php/dav/uploads/ana/web-" + url.PathEscape("ünï code")
			s.want(201, "MKCOL", up+"/", "")
			for _, c := range tt.chunks {
				s.want(201, "PUT", up+"/"+c[0], c[1])
			}
			s.want(201, "MOVE", up+"/.file", "", "Destination: "+file)
			got := s.want(200, "GET", file, "")
			if got.body != tt.want {
				t.Errorf("got %d bytes, want %d", len(got.body), len(tt.want))
			}
		})
	}
}

func TestChunksAreRefused(t *testing.T) {
	s := newServer(t)
	up, file := "/remote.php/dav/uploads/ana/x", "/remote.php/dav/files/ana/photos/f.bin"
	s.want(401, "MKCOL", up, "", "Anonymous: yes")
	s.want(404, "MKCOL", "/remote.php/dav/uploads/bob/x", "")
	s.want(502, "MKCOL", up, "", "Destination: "+s.URL+"/remote.php/dav/files/bob/photos/a")
	s.want(201, "MKCOL", up, "")
	for _, name := range []string{"a", "-1", "+1", "1-", "5-4", "99999999999999999999", "1.0"} {
		s.want(400, "PUT", up+"/"+name, "x")
	}
	s.want(201, "PUT", up+"/1", "abc", "OC-Checksum: SHA1:a9993e364706816aba3e25717850c26c9cd0d89d")
	s.want(400, "PUT", up+"/2", "abd", "OC-Checksum: SHA1:a9993e364706816aba3e25717850c26c9cd0d89d")
	s.want(400, "MOVE", up+"/.file", "", "Destination: "+file, "OC-Total-Length: 4")
	s.want(409, "MOVE", up+"/.file", "", "Destination: "+s.URL+"/remote.php/dav/files/ana/photos/none/f.bin")
	s.want(201, "PUT", file, "was here")
	s.want(412, "MOVE", up+"/.file", "", "Destination: "+file, "Overwrite: F")
	s.want(412, "MOVE", up+"/.file", "", "Destination: "+file, `If-Match: "another"`)
	s.want(405, "GET", "/remote.php/dav/uploads/ana/", "")
	s.want(204, "DELETE", up, "")
	s.want(404, "DELETE", up, "")
	s.want(404, "MOVE", up+"/.file", "", "Destination: "+file)
	if got := s.want(200, "GET", file, ""); got.body != "was here" {
		t.Errorf("got %q", got.body)
	}
	// A lock on the destination holds for this way too.
	lock := `<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>`
	token := s.want(200, "LOCK", file, lock).Header.Get("Lock-Token")
	s.want(201, "MKCOL", up, "")
	s.want(201, "PUT", up+"/1", "abc")
	s.want(423, "MOVE", up+"/.file", "", "Destination: "+file)
	s.want(204, "MOVE", up+"/.file", "", "Destination: "+file, "If: <"+file+"> ("+token+")")
	if got := s.want(200, "GET", file, ""); got.body != "abc" {
		t.Errorf("got %q", got.body)
	}
}

// TestChecksums: rclone gives the checksum of a file in chunks at the end, or asks for it.
func TestChecksums(t *testing.T) {
	s := newServer(t)
	up, file := "/remote.php/dav/uploads/ana/x", "/remote.php/dav/files/ana/photos/f.bin"
	part := strings.Repeat("0123456789abcdef", 5<<16)
	content := part + "tail"
	right := fmt.Sprintf("SHA1:%x", sha1.Sum([]byte(content)))
	send := func(code int, headers ...string) reply {
		t.Helper()
		s.want(201, "MKCOL", up, "")
		s.want(201, "PUT", up+"/1", part)
		s.want(201, "PUT", up+"/2", "tail")
		return s.want(code, "MOVE", up+"/.file", "", append(headers, "Destination: "+file)...)
	}
	send(400, "OC-Checksum: SHA1:a9993e364706816aba3e25717850c26c9cd0d89d")
	s.want(404, "HEAD", file, "")
	s.want(404, "HEAD", up, "")
	send(201, "OC-Checksum: "+right)
	if got := s.want(200, "HEAD", file, "").Header.Get("OC-Checksum"); got != right {
		t.Errorf("got %q, want %q", got, right)
	}
	send(204)
	if got := s.want(200, "HEAD", file, "").Header.Get("OC-Checksum"); got != "" {
		t.Errorf("before anybody asked: %q", got)
	}
	s.want(405, "PATCH", file, "")
	s.want(400, "PATCH", file, "", "X-Recalculate-Hash: crc1")
	etag := s.want(200, "HEAD", file, "").Header.Get("ETag")
	if got := s.want(204, "PATCH", file, "", "X-Recalculate-Hash: sha1").Header.Get("OC-Checksum"); got != right {
		t.Errorf("PATCH: got %q, want %q", got, right)
	}
	got := s.want(200, "HEAD", file, "")
	if got.Header.Get("OC-Checksum") != right || got.Header.Get("ETag") != etag {
		t.Errorf("after PATCH: %v, want ETag %s", got.Header, etag)
	}
	if got := s.want(200, "GET", file, "").body; got != content {
		t.Errorf("got %d bytes", len(got))
	}
}
