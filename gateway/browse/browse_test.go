package browse

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// A site is a page over empty stores, with the users ana and bo.
type site struct {
	t        *testing.T
	b        *backend.Backend
	accounts *account.Accounts
	bucket   *brokenBucket
	handler  http.Handler
	ana, bo  *auth.Principal
}

func newSite(t *testing.T, opt *Options) *site {
	t.Helper()
	ctx := t.Context()
	s := &site{t: t, bucket: &brokenBucket{Bucket: membucket.New()}}
	x := memkv.New()
	s.b = backend.New(s.bucket, x, &backend.Options{Deleted: func(ctx context.Context, uid string, gone *backend.Trashed) {
		s.accounts.NoteDeleted(ctx, uid, gone.By, string(gone.Entry.Key))
	}})
	accounts, err := account.Open(ctx, s.bucket, x, account.GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.accounts = accounts
	s.ana, s.bo = s.user("ana"), s.user("bo")
	if opt == nil {
		opt = &Options{S3URL: "http://127.0.0.1:9000", Version: "test"}
	}
	s.handler = New(s.b, accounts, opt)
	return s
}

// in is s within a subtest.
func (s *site) in(t *testing.T) *site {
	sub := *s
	sub.t = t
	return &sub
}

func (s *site) user(login string) *auth.Principal {
	s.t.Helper()
	u, err := s.accounts.CreateUser(s.t.Context(), account.NewUser{Login: login, Name: strings.ToUpper(login[:1]) + login[1:]})
	if err != nil {
		s.t.Fatal(err)
	}
	p := &auth.Principal{UID: u.UID, Login: login, Name: u.Name, Session: "s", AuthTime: time.Now()}
	if _, err := s.lib(p).Mkdir(s.t.Context(), "photos", nil); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *site) lib(p *auth.Principal) *backend.Library {
	s.t.Helper()
	lib, err := s.b.Library(s.t.Context(), p.UID, p.Access)
	if err != nil {
		s.t.Fatal(err)
	}
	return lib
}

// put stores a file of ana's.
func (s *site) put(key, content, mediaType string, modified time.Time) *backend.Entry {
	s.t.Helper()
	e, _, err := s.lib(s.ana).Put(s.t.Context(), backend.Key(key), strings.NewReader(content), int64(len(content)),
		&backend.PutOptions{MakeParents: true, Modified: modified, Type: mediaType})
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// photo stores a photo of ana's that has been processed.
func (s *site) photo(key string, taken time.Time) *backend.Entry {
	s.t.Helper()
	ctx := s.t.Context()
	e := s.put(key, "\xff\xd8\xff\xe0 a photo called "+key, "image/jpeg", taken)
	for _, v := range []string{"thumb", "view"} {
		if err := s.b.PutVariant(ctx, s.ana.UID, e.Object, v, "t1", "webp", "image/webp", []byte("RIFF "+v+" of "+key)); err != nil {
			s.t.Fatal(err)
		}
	}
	_, offset := taken.Zone()
	err := s.b.Finish(ctx, s.ana.UID, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: backend.Media{
		Processed: true, Taken: taken, Offset: offset / 60, TakenFrom: "exif", Camera: "Test Camera 1", Width: 4000, Height: 3000,
		Placeholder: "LEHV6nWB2yk8pyo0adR*.7kCMdnj", Variants: []string{"thumb-t1.webp", "view-t1.webp"},
	}}})
	if err != nil {
		s.t.Fatal(err)
	}
	e, err = s.lib(s.ana).StatIno(ctx, e.Ino)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// do sends a request as p; mods change it first.
func (s *site) do(p *auth.Principal, method, target string, body io.Reader, mods ...func(*http.Request)) *http.Response {
	s.t.Helper()
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, mod := range mods {
		mod(r)
	}
	if p != nil {
		r = r.WithContext(auth.With(r.Context(), p))
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

var asPage = header("Accept", "text/html,*/*;q=0.8")
var asForm = header("Content-Type", "application/x-www-form-urlencoded")

// get is the body of a GET of ana's, which must be answered with code.
func (s *site) get(target string, code int, mods ...func(*http.Request)) string {
	s.t.Helper()
	return s.body(s.do(s.ana, "GET", target, nil, mods...), code)
}

func (s *site) body(res *http.Response, code int) string {
	s.t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if res.StatusCode != code {
		s.t.Fatalf("got %s, want %d: %s", res.Status, code, b)
	}
	return string(b)
}

// decode reads JSON of an answer with code.
func decode[T any](s *site, res *http.Response, code int) T {
	s.t.Helper()
	var v T
	body := s.body(res, code)
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		s.t.Fatalf("%v in %s", err, body)
	}
	return v
}

// A brokenBucket cannot be read while broken.
type brokenBucket struct {
	*membucket.Bucket
	broken bool
}

func (b *brokenBucket) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if b.broken {
		return nil, object.ErrUnavailable
	}
	return b.Bucket.Get(ctx, name, off, n)
}

func TestWhoMayCome(t *testing.T) {
	s := newSite(t, nil)
	for _, tc := range []struct {
		name, target string
		who          *auth.Principal
		page         bool
		code         int
		location     string
	}{
		{"a page, signed out", "/", nil, true, 303, "/login"},
		{"a deeper page, signed out", "/trash?after=x", nil, true, 303, "/login?return=%2Ftrash%3Fafter%3Dx"},
		{"the API, signed out", "/api/timeline", nil, true, 401, ""},
		{"an image, signed out", "/i/aaaaaaaaaaaaaaac/thumb", nil, false, 401, ""},
		{"an app password", "/api/devices", &auth.Principal{UID: s.ana.UID, Key: "ABCDEFGHIJKLMNOP"}, false, 403, ""},
		{"the login page, signed in", "/login?return=/devices", s.ana, true, 303, "/devices"},
		{"the login page, to be led away", "/login?return=//evil.example/", s.ana, true, 303, "/"},
		{"the login page, to be led away by backslash", `/login?return=/%5Cevil.example/`, s.ana, true, 303, "/"},
		{"nothing there", "/nothing", s.ana, true, 404, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			accept := "*/*"
			if tc.page {
				accept = "text/html"
			}
			res := s.do(tc.who, "GET", tc.target, nil, header("Accept", accept))
			if res.StatusCode != tc.code || res.Header.Get("Location") != tc.location {
				t.Errorf("got %s to %q, want %d to %q", res.Status, res.Header.Get("Location"), tc.code, tc.location)
			}
			if tc.code >= 400 && !tc.page && res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %q, want a problem", res.Header.Get("Content-Type"))
			}
		})
	}
}

// allPages are requests for every page there is.
func allPages(s *site) map[string]*http.Response {
	del := s.photo("photos/2024/deleted.jpg", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	s.body(s.do(s.ana, "DELETE", "/api/item/"+string(del.Ino), nil), 204)
	empty := s.do(s.bo, "GET", "/", nil, asPage)
	s.photo("photos/2024/<script>alert(1)</script>\".jpg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	s.put("photos/clip.mp4", "not looked at yet", "video/mp4", time.Date(2024, 10, 11, 12, 0, 0, 0, time.UTC))
	return map[string]*http.Response{
		"empty":    empty,
		"timeline": s.do(s.ana, "GET", "/", nil, asPage),
		"trash":    s.do(s.ana, "GET", "/trash", nil, asPage),
		"minted":   s.do(s.ana, "POST", "/devices", strings.NewReader(`label=<b>"phone"</b>&protocol=webdav&protocol=s3&mode=read-write&days=30`), asForm, asPage),
		"devices":  s.do(s.ana, "GET", "/devices", nil, asPage),
		"login":    s.do(nil, "GET", "/login", nil, asPage),
		"connect":  s.do(nil, "GET", "/connect", nil, asPage),
		"error":    s.do(s.ana, "GET", "/nothing", nil, asPage),
	}
}

// TestNothingInline holds the promise behind the Content-Security-Policy: no page has
// script or style of its own, and all it refers to is ours.
func TestNothingInline(t *testing.T) {
	s := newSite(t, nil)
	for name, res := range allPages(s) {
		t.Run(name, func(t *testing.T) {
			csp := res.Header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("Content-Security-Policy: %s", csp)
			}
			body, _ := io.ReadAll(res.Body)
			doc, err := html.Parse(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			ids := make(map[string]bool)
			for n := range doc.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				if n.Data == "style" || n.Data == "iframe" || n.Data == "object" || n.Data == "b" || n.Data == "script" && n.FirstChild != nil {
					t.Errorf("there is a <%s>", n.Data)
				}
				for _, a := range n.Attr {
					switch {
					case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
						t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
					case a.Key == "src" || a.Key == "href" || a.Key == "action":
						if !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") && !strings.HasPrefix(a.Val, "data:image/png;base64,") && a.Val != "" {
							t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
						}
					case a.Key == "id":
						if ids[a.Val] {
							t.Errorf("two elements have the id %q", a.Val)
						}
						ids[a.Val] = true
					}
				}
			}
			if !ids["main"] || !bytes.Contains(body, []byte("</html>")) {
				t.Errorf("the page is not whole: %s", body)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t, nil)
	res := s.do(s.ana, "GET", "/", nil, asPage)
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; " +
			"connect-src 'self'; media-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":     "nosniff",
		"Referrer-Policy":            "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin",
		"Cache-Control":              "private, no-cache",
		"Content-Type":               "text/html; charset=utf-8",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if again := s.do(s.ana, "GET", "/", nil, asPage, header("If-None-Match", res.Header.Get("ETag"))); again.StatusCode != 304 {
		t.Errorf("the same page again: got %s, want 304", again.Status)
	}
}

// TestCrossOrigin sends what another site could make a browser send.
func TestCrossOrigin(t *testing.T) {
	s := newSite(t, &Options{PublicURL: "https://photos.example.org"})
	e := s.photo("photos/a.jpg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	for _, req := range []string{
		"DELETE /api/item/" + string(e.Ino), "PUT /api/upload?name=a.jpg", "POST /api/devices", "POST /devices",
		"POST /devices/ABCDEFGHIJKLMNOP/revoke", "DELETE /api/devices/ABCDEFGHIJKLMNOP",
		"POST /trash/" + string(e.Ino) + "/restore", "POST /api/trash/" + string(e.Ino) + "/restore",
	} {
		method, target, _ := strings.Cut(req, " ")
		for name, mod := range map[string]func(*http.Request){
			"cross-site": header("Sec-Fetch-Site", "cross-site"),
			"same-site":  header("Sec-Fetch-Site", "same-site"),
			"Origin":     func(r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "https://evil.example") },
		} {
			if res := s.do(s.ana, method, target, strings.NewReader("x"), mod); res.StatusCode != 403 {
				t.Errorf("%s, %s: got %s, want 403", req, name, res.Status)
			}
		}
	}
	// Behind a proxy, the origin is the public address, whatever the Host header says.
	if res := s.do(s.ana, "DELETE", "/api/item/"+string(e.Ino), nil, func(r *http.Request) {
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Set("Origin", "https://photos.example.org")
		r.Host = "127.0.0.1:8080"
	}); res.StatusCode != 204 {
		t.Errorf("from the public address: got %s, want 204", res.Status)
	}
}

// TestFirstLoad adds up what a browser fetches for a full first page, photos aside.
func TestFirstLoad(t *testing.T) {
	s := newSite(t, nil)
	for i := range pageItems + 5 {
		s.photo("photos/2024/IMG_"+time.Duration(i).String()+".jpg", time.Date(2024, 10, 12, 12, 0, i*4000, 0, time.UTC))
	}
	gz := header("Accept-Encoding", "gzip, br")
	res := s.do(s.ana, "GET", "/", nil, asPage, gz)
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("the page is not compressed")
	}
	page := s.body(res, 200)
	total := len(page)
	zr, err := gzip.NewReader(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(zr)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if (a.Key != "src" && a.Key != "href") || !strings.HasPrefix(a.Val, "/static/") && a.Val != "/manifest.webmanifest" || seen[a.Val] {
				continue
			}
			seen[a.Val] = true
			res := s.do(nil, "GET", a.Val, nil, gz)
			if strings.HasPrefix(a.Val, "/static/") && !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s is not kept: %q", a.Val, res.Header.Get("Cache-Control"))
			}
			n := len(s.body(res, 200))
			t.Logf("%6d %s", n, a.Val)
			total += n
		}
	}
	t.Logf("%6d in all", total)
	if len(seen) < 6 {
		t.Errorf("only %d files are referred to", len(seen))
	}
	if total >= 100_000 {
		t.Errorf("the first load is %d bytes, want less than 100 kB", total)
	}
}

func TestStatic(t *testing.T) {
	s := newSite(t, nil)
	a := newAssets()
	res := s.do(nil, "GET", a.url("style.css"), nil)
	if got := res.Header.Get("Content-Type"); got != "text/css; charset=utf-8" {
		t.Errorf("got %q", got)
	}
	if again := s.do(nil, "GET", a.url("style.css"), nil, header("If-None-Match", res.Header.Get("ETag"))); again.StatusCode != 304 {
		t.Errorf("again: got %s, want 304", again.Status)
	}
	old := s.do(nil, "GET", "/static/000000000000/style.css", nil)
	if old.StatusCode != 200 || strings.Contains(old.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("by an old address: got %s, %q", old.Status, old.Header.Get("Cache-Control"))
	}
	for _, target := range []string{"/static/x/none.css", "/static/x/..%2fstatic.go"} {
		if res := s.do(nil, "GET", target, nil); res.StatusCode != 404 {
			t.Errorf("%s: got %s, want 404", target, res.Status)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden holds whole pages: after -update, read the difference.
func TestGolden(t *testing.T) {
	s := newSite(t, nil)
	for name, res := range map[string]*http.Response{
		"timeline-empty": s.do(s.ana, "GET", "/", nil, asPage),
		"devices-empty":  s.do(s.ana, "GET", "/devices", nil, asPage),
		"trash-empty":    s.do(s.ana, "GET", "/trash", nil, asPage),
		"login":          s.do(nil, "GET", "/login", nil, asPage),
		"not-found":      s.do(s.ana, "GET", "/nothing", nil, asPage),
	} {
		t.Run(name, func(t *testing.T) {
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(string(body), newAssets().hash, "HASH")
			file := filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is another page now; run with -update and read the difference:\n%s", file, got)
			}
		})
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "gzip; q=0.000": false, "gzip;q=1.0": true, "identity": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", header)
		if got := acceptsGzip(r); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct{ got, want string }{
		{humanBytes(0), "0 B"}, {humanBytes(999), "999 B"}, {humanBytes(1234), "1.2 kB"}, {humanBytes(9_990_000), "10 MB"},
		{humanBytes(999_999), "1.0 MB"}, {humanBytes(82e9), "82 GB"},
		{humanCount(0), "0"}, {humanCount(999), "999"}, {humanCount(1234567), "1,234,567"},
		{humanAgo(now.Add(-time.Second), now), "just now"}, {humanAgo(now.Add(-90*time.Second), now), "1 minute ago"},
		{humanAgo(now.Add(-50*time.Hour), now), "2 days ago"}, {humanAgo(now.AddDate(-1, 0, 0), now), "1 March 2025"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}
