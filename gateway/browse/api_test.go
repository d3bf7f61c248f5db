package browse

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"html"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

type apiItems struct {
	Items []item `json:"items"`
	Next  string `json:"next"`
}

func TestTimelineJSON(t *testing.T) {
	s := newSite(t, nil)
	tokyo, newYork := time.FixedZone("", 9*3600), time.FixedZone("", -4*3600)
	// Newest first; the second was taken on the 13th where it was, though the 12th in UTC.
	late := s.photo("photos/2024/new-york.jpg", time.Date(2024, 10, 12, 23, 30, 0, 0, newYork))
	early := s.photo("photos/2024/tokyo.jpg", time.Date(2024, 10, 13, 1, 0, 0, 0, tokyo))
	clip := s.put("photos/clip.mp4", "a clip", "video/mp4", time.Date(2023, 5, 1, 10, 0, 0, 0, time.UTC))
	s.put("photos/._junk.jpg", "junk", "", time.Date(2025, 5, 1, 10, 0, 0, 0, time.UTC))

	all := decode[apiItems](s, s.do(s.ana, "GET", "/api/timeline", nil), 200)
	if len(all.Items) < 2 || all.Next != "" {
		t.Fatalf("got %d items, next %q", len(all.Items), all.Next)
	}
	for i, want := range []struct {
		e           *backend.Entry
		day, taken  string
		offset      int
		ready, view bool
	}{
		{late, "2024-10-12", "2024-10-12T23:30:00-04:00", -240, true, true},
		{early, "2024-10-13", "2024-10-13T01:00:00+09:00", 540, true, true},
		{clip, "2023-05-01", "2023-05-01T10:00:00Z", 0, false, false},
	} {
		if i >= len(all.Items) {
			break // a clip stands on the timeline only once it has been looked at, or at once: either is fine
		}
		got := all.Items[i]
		if got.Ino != want.e.Ino || got.Key != want.e.Key || got.Day != want.day || got.Offset != want.offset ||
			got.Taken.Format(time.RFC3339) != want.taken || got.Ready != want.ready || (got.View != "") != want.view {
			t.Errorf("item %d: got %+v, want %+v", i, got, want)
		}
	}
	if it := all.Items[0]; it.Width != 4000 || it.Height != 3000 || it.Camera != "Test Camera 1" || it.Placeholder == "" || it.Original != "/o/"+string(it.Ino) {
		t.Errorf("got %+v", it)
	}

	var walked []backend.Ino
	for next, more := "", true; more; more = next != "" {
		page := decode[apiItems](s, s.do(s.ana, "GET", "/api/timeline?n=1&after="+url.QueryEscape(next), nil), 200)
		if len(page.Items) > 1 {
			t.Fatalf("got %d items, want 1", len(page.Items))
		}
		for _, it := range page.Items {
			walked = append(walked, it.Ino)
		}
		next = page.Next
	}
	if len(walked) != len(all.Items) {
		t.Errorf("one at a time gives %d items, want %d", len(walked), len(all.Items))
	}
	for _, n := range []string{"0", "501", "x", "-1"} {
		s.get("/api/timeline?n="+n, 400)
	}
	if other := decode[apiItems](s, s.do(s.bo, "GET", "/api/timeline", nil), 200); len(other.Items) != 0 {
		t.Errorf("bo sees %d of ana's photos", len(other.Items))
	}
}

func TestTimelinePage(t *testing.T) {
	s := newSite(t, nil)
	if page := s.get("/", 200, asPage); !strings.Contains(page, "Nothing in the box yet") || strings.Contains(page, `<section id="empty" class="empty" hidden>`) {
		t.Errorf("the empty page does not say what to do: %s", page)
	}
	a := s.photo("photos/2024/a.jpg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	for i := range pageItems + 2 {
		s.photo("photos/2023/b"+time.Duration(i).String()+".jpg", time.Date(2023, 10, 12, 12, 0, i, 0, time.UTC))
	}
	page := s.get("/", 200, asPage)
	for _, want := range []string{
		`<section class="day" data-day="2024-10-12"><h2><time datetime="2024-10-12">Saturday, 12 October 2024</time></h2>`,
		`data-ino="` + string(a.Ino) + `"`, `data-when="Saturday, 12 October 2024, 12:00"`, `data-camera="Test Camera 1"`,
		`<img src="/i/` + string(a.Ino) + `/thumb?v=`, `width="4000" height="3000"`, `<section id="empty" class="empty" hidden>`, `rel="next"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := strings.Count(page, `<li class="tile"`); n != pageItems {
		t.Errorf("the first page has %d tiles, want %d", n, pageItems)
	}
	_, rest, _ := strings.Cut(page, `<p id="more" class="more"><a href="/?after=`)
	cursor, _, _ := strings.Cut(rest, `"`)
	older := s.get("/?after="+cursor, 200, asPage)
	if n := strings.Count(older, `<li class="tile"`); n != 3 {
		t.Errorf("the second page has %d tiles, want 3", n)
	}
	tiles := s.get("/tiles?ino="+string(a.Ino)+",aaaaaaaaaaaaaaaz,", 200)
	if n := strings.Count(tiles, `<li class="tile"`); n != 1 || strings.Contains(tiles, "<html") {
		t.Errorf("got %s, want one tile", tiles)
	}
}

// TestJumps follows every link of the row of years.
func TestJumps(t *testing.T) {
	s := newSite(t, nil)
	row := func(page string) (links []string) {
		_, nav, _ := strings.Cut(page, `<nav class="jumps"`)
		nav, _, _ = strings.Cut(nav, "</nav>")
		for _, link := range strings.Split(nav, "<a ")[1:] {
			links = append(links, html.UnescapeString(link))
		}
		return links
	}
	s.photo("photos/a.jpg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	s.photo("photos/b.jpg", time.Date(2024, 10, 1, 12, 0, 0, 0, time.UTC))
	if got := row(s.get("/", 200, asPage)); got != nil {
		t.Errorf("with a month of photos there is nowhere to go but %q", got)
	}
	s.photo("photos/c.jpg", time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC))
	s.photo("photos/d.jpg", time.Date(2019, 5, 1, 12, 0, 0, 0, time.UTC))
	s.photo("photos/e.jpg", time.Date(2019, 2, 1, 12, 0, 0, 0, time.UTC))
	for _, link := range row(s.get("/", 200, asPage)) {
		_, at, _ := strings.Cut(link, `data-at="`)
		at, _, _ = strings.Cut(at, `"`)
		_, href, _ := strings.Cut(link, `href="`)
		href, _, _ = strings.Cut(href, `"`)
		page := s.get(href, 200, asPage)
		_, first, _ := strings.Cut(page, `data-day="`)
		if !strings.HasPrefix(first, at) {
			t.Errorf("%s leads to %.10s", at, first)
		}
		var names []string
		for _, l := range row(page) {
			name := l[strings.Index(l, ">")+1 : strings.Index(l, "</a>")]
			if strings.Contains(l, "aria-current") {
				name = "*" + name
			}
			names = append(names, name)
		}
		want := map[string]string{"2024": "*2024 *Oct Mar 2019", "2024-10": "*2024 *Oct Mar 2019", "2024-03": "*2024 Oct *Mar 2019", "2019": "2024 *2019 *May Feb"}[at]
		if got := strings.Join(names, " "); got != want {
			t.Errorf("from %s the row is %q, want %q", at, got, want)
		}
	}
	if row(s.get("/search?q=jpg", 200, asPage)) != nil {
		t.Error("a search has the row, too")
	}
	if row(s.get("/", 200, asPage, header("Sec-Fetch-Dest", "empty"))) != nil {
		t.Error("a script that scrolls has the row, too")
	}
	res := s.do(s.ana, "GET", "/", nil, asPage)
	s.body(res, 200)
	if vary := res.Header.Values("Vary"); !slices.Contains(vary, "Sec-Fetch-Dest") {
		t.Errorf("Vary is %q: a browser that goes back may show the script's page", vary)
	}
}

func TestOthersPhotos(t *testing.T) {
	s := newSite(t, nil)
	e := s.photo("photos/a.jpg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	ino := string(e.Ino)
	for _, req := range []string{
		"GET /api/item/" + ino, "GET /i/" + ino + "/thumb", "GET /o/" + ino, "DELETE /api/item/" + ino,
		"POST /api/trash/" + ino + "/restore", "GET /api/item/" + string(backend.RootIno), "GET /o/nonsense", "GET /i/" + ino + "/huge",
	} {
		method, target, _ := strings.Cut(req, " ")
		res := s.do(s.bo, method, target, nil)
		if res.StatusCode != 404 || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %s, %s; want a problem with 404", req, res.Status, res.Header.Get("Content-Type"))
		}
	}
	if got := s.get("/tiles?ino="+ino, 200); !strings.Contains(got, ino) {
		t.Error("ana's photo is gone")
	}
	if got := s.body(s.do(s.bo, "GET", "/tiles?ino="+ino, nil), 200); strings.Contains(got, ino) {
		t.Error("bo gets a tile of ana's")
	}
}

func TestOriginal(t *testing.T) {
	s := newSite(t, nil)
	const content = "<script>alert(document.domain)</script> and some more"
	for _, name := range []string{"a.jpg", `quo"te.html`, "new\nline.svg", "drei Bäume 木.jpg", "semi;colon=x.jpg", "\u202egpj.exe", "100%.jpg", `back\slash.jpg`} {
		e := s.put("photos/"+name, content, "text/html", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
		res := s.do(s.ana, "GET", "/o/"+string(e.Ino), nil)
		if got := s.body(res, 200); got != content {
			t.Errorf("%q: got %q", name, got)
		}
		line := res.Header.Get("Content-Disposition")
		kind, params, err := mime.ParseMediaType(line)
		if err != nil || kind != "attachment" || strings.ContainsAny(line, "\r\n\u202e") || name != params["filename"] {
			t.Errorf("%q: Content-Disposition: %s (%v)", name, line, err)
		}
		if got := res.Header.Get("Content-Security-Policy"); got != "sandbox; default-src 'none'" {
			t.Errorf("%q: Content-Security-Policy: %s", name, got)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q can be sniffed", name)
		}
	}
	e := s.put("photos/b.jpg", content, "image/jpeg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	target := "/o/" + string(e.Ino)
	for _, tc := range []struct {
		name  string
		mod   func(*http.Request)
		code  int
		bytes string
	}{
		{"a range", header("Range", "bytes=8-12"), 206, content[8:13]},
		{"its end", header("Range", "bytes=-4"), 206, "more"},
		{"beyond", header("Range", "bytes=4000-"), 416, ""},
		{"several ranges", header("Range", "bytes=0-1,8-12"), 200, content},
		{"not changed", header("If-None-Match", `"`+e.ETag+`"`), 304, ""},
		{"a range of another", func(r *http.Request) { r.Header.Set("Range", "bytes=8-12"); r.Header.Set("If-Range", `"other"`) }, 200, content},
	} {
		res := s.do(s.ana, "GET", target, nil, tc.mod)
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != tc.code || tc.bytes != "" && string(body) != tc.bytes {
			t.Errorf("%s: got %s %q, want %d %q", tc.name, res.Status, body, tc.code, tc.bytes)
		}
	}
	if res := s.do(s.ana, "HEAD", target, nil); res.StatusCode != 200 || res.Header.Get("Content-Length") != "53" {
		t.Errorf("HEAD: got %s, Content-Length %q", res.Status, res.Header.Get("Content-Length"))
	}

	// A bucket that cannot be read is never an empty file, nor one that is not there.
	s.bucket.broken = true
	res := s.do(s.ana, "GET", target, nil)
	if res.StatusCode != 503 || res.Header.Get("Content-Type") != "application/problem+json" || res.Header.Get("Content-Disposition") != "" || res.Header.Get("Retry-After") == "" {
		t.Errorf("bucket broken: got %s %v", res.Status, res.Header)
	}
}

func TestVariant(t *testing.T) {
	s := newSite(t, nil)
	e := s.photo("photos/a.jpg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	it := newItem(e)
	res := s.do(s.ana, "GET", it.Thumb, nil)
	if got := s.body(res, 200); got != "RIFF thumb of photos/a.jpg" {
		t.Errorf("got %q", got)
	}
	if got := res.Header.Get("Cache-Control"); got != "private, max-age=31536000, immutable" {
		t.Errorf("Cache-Control: %s", got)
	}
	if got := res.Header.Get("Content-Type"); got != "image/webp" {
		t.Errorf("Content-Type: %s", got)
	}
	bare, _, _ := strings.Cut(it.Thumb, "?")
	if got := s.do(s.ana, "GET", bare, nil).Header.Get("Cache-Control"); got != "private, no-cache" {
		t.Errorf("without its tag: Cache-Control: %s", got)
	}
	s.bucket.broken = true
	if again := s.do(s.ana, "GET", it.Thumb, nil, header("If-None-Match", res.Header.Get("ETag"))); again.StatusCode != 304 {
		t.Errorf("again: got %s, want 304 without asking the bucket", again.Status)
	}
	if res := s.do(s.ana, "GET", it.View, nil); res.StatusCode != 503 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("bucket broken: got %s, %s", res.Status, res.Header.Get("Cache-Control"))
	}
}

func TestUpload(t *testing.T) {
	s := newSite(t, nil)
	sum := func(content string) string { h := sha256.Sum256([]byte(content)); return hex.EncodeToString(h[:]) }
	for _, tc := range []struct {
		name, query, content string
		code                 int
		key                  string
	}{
		{"the first", "name=a.jpg&modified=2024-10-31T23:30:00-04:00", "one", 201, "photos/2024/2024-10/a.jpg"},
		{"a taken name", "name=a.jpg&modified=2024-10-01T12:00:00%2B02:00", "two", 201, "photos/2024/2024-10/a (2).jpg"},
		{"taken twice", "name=a.jpg&modified=2024-10-01T12:00:00Z", "three", 201, "photos/2024/2024-10/a (3).jpg"},
		{"the same again", "name=a.jpg&modified=2024-10-01T12:00:00Z&sha256=" + sum("two"), "two", 200, "photos/2024/2024-10/a (2).jpg"},
		{"no suffix", "name=noext&modified=2024-10-01T12:00:00Z", "x", 201, "photos/2024/2024-10/noext"},
		{"a path", "name=../../etc/passwd.jpg&modified=2024-10-01T12:00:00Z", "x", 201, "photos/2024/2024-10/passwd.jpg"},
		{"a path of Windows", `name=C:\Users\ana\b.jpg&modified=2024-10-01T12:00:00Z`, "x", 201, "photos/2024/2024-10/b.jpg"},
		{"another script", "name=%E6%9C%A8.jpg&modified=2024-10-01T12:00:00Z", "x", 201, "photos/2024/2024-10/木.jpg"},
		{"no name", "modified=2024-10-01T12:00:00Z", "x", 400, ""},
		{"dots", "name=..", "x", 400, ""},
		{"not UTF-8", "name=%ff.jpg", "x", 400, ""},
		{"too long", "name=" + strings.Repeat("n", 300), "x", 400, ""},
		{"junk", "name=.DS_Store", "x", 400, ""},
		{"no time", "name=c.jpg&modified=yesterday", "x", 400, ""},
		{"no checksum", "name=c.jpg&sha256=12", "x", 400, ""},
		{"another checksum", "name=c.jpg&sha256=" + sum("y"), "x", 400, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := s.in(t)
			res := s.do(s.ana, "PUT", "/api/upload?"+tc.query, strings.NewReader(tc.content), header("Content-Type", "image/jpeg"))
			if tc.code >= 400 {
				p := decode[problem](s, res, tc.code)
				if p.Status != tc.code || p.Detail == "" || res.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("got %+v", p)
				}
				return
			}
			it := decode[item](s, res, tc.code)
			if string(it.Key) != tc.key {
				t.Errorf("got %s, want %s", it.Key, tc.key)
			}
			if got := s.get(it.Original, 200); got != tc.content {
				t.Errorf("stored %q, want %q", got, tc.content)
			}
		})
	}

	it := decode[item](s, s.do(s.ana, "GET", "/api/item/"+string(must(s.lib(s.ana).Stat(t.Context(), "photos/2024/2024-10/a.jpg")).Ino), nil), 200)
	if want := time.Date(2024, 10, 31, 23, 30, 0, 0, time.FixedZone("", -4*3600)); !it.Modified.Equal(want) {
		t.Errorf("modified: got %v, want %v", it.Modified, want)
	}

	t.Run("a cut body", func(t *testing.T) {
		body := io.MultiReader(strings.NewReader("half of"), iotest.ErrReader(io.ErrUnexpectedEOF))
		res := s.do(s.ana, "PUT", "/api/upload?name=cut.jpg&modified=2024-10-01T12:00:00Z", body, func(r *http.Request) { r.ContentLength = 100 })
		if res.StatusCode < 400 {
			t.Errorf("got %s", res.Status)
		}
		if _, err := s.lib(s.ana).Stat(t.Context(), "photos/2024/2024-10/cut.jpg"); !errors.Is(err, backend.ErrNotExist) {
			t.Errorf("it is there: %v", err)
		}
	})
	t.Run("after the library was removed", func(t *testing.T) {
		if err := s.lib(s.bo).Delete(t.Context(), "photos", nil); err != nil {
			t.Fatal(err)
		}
		it := decode[item](s, s.do(s.bo, "PUT", "/api/upload?name=a.jpg&modified=2024-10-01T12:00:00Z", strings.NewReader("x")), 201)
		if it.Key != "photos/2024/2024-10/a.jpg" {
			t.Errorf("got %s", it.Key)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestNumberedName(t *testing.T) {
	long := strings.Repeat("ä", 125) + ".jpeg" // 255 bytes
	for _, tc := range []struct {
		name string
		try  int
		want string
	}{
		{"a.jpg", 1, "a.jpg"}, {"a.jpg", 2, "a (2).jpg"}, {"a.tar.gz", 3, "a.tar (3).gz"}, {"noext", 2, "noext (2)"},
		{long, 1, long}, {long, 2, strings.Repeat("ä", 123) + " (2).jpeg"},
	} {
		got := numberedName(tc.name, tc.try)
		if got != tc.want || len(got) > backend.MaxName {
			t.Errorf("%q, %d: got %q, want %q", tc.name, tc.try, got, tc.want)
		}
	}
}

func TestTrash(t *testing.T) {
	s := newSite(t, nil)
	e := s.photo("photos/2024/a.jpg", time.Date(2024, 10, 12, 12, 0, 0, 0, time.UTC))
	ino := string(e.Ino)
	s.body(s.do(s.ana, "DELETE", "/api/item/"+ino, nil), 204)
	s.get("/api/item/"+ino, 404)
	s.get("/o/"+ino, 404)
	type list struct{ Items []trashed }
	got := decode[list](s, s.do(s.ana, "GET", "/api/trash", nil), 200).Items
	if len(got) != 1 || got[0].Ino != e.Ino || got[0].Key != e.Key || got[0].Deleted.IsZero() {
		t.Errorf("got %+v", got)
	}
	if page := s.get("/trash", 200, asPage); !strings.Contains(page, `action="/trash/`+ino+`/restore"`) || !strings.Contains(page, "photos/2024 ·") {
		t.Errorf("the trash does not show it: %s", page)
	}
	if got[0].Thumb == "" || s.get(got[0].Thumb, 200) != "RIFF thumb of photos/2024/a.jpg" {
		t.Errorf("its thumbnail is not at %q", got[0].Thumb)
	}
	s.body(s.do(s.bo, "GET", got[0].Thumb, nil), 404)
	if back := decode[item](s, s.do(s.ana, "POST", "/api/trash/"+ino+"/restore", nil), 200); back.Key != e.Key || !back.Ready {
		t.Errorf("got %+v", back)
	}
	s.get("/api/item/"+ino, 200)
	s.get("/trash/"+ino+"/thumb", 404)

	s.body(s.do(s.ana, "DELETE", "/api/item/"+ino, nil), 204)
	res := s.do(s.ana, "POST", "/trash/"+ino+"/restore", nil, asForm, asPage)
	if res.StatusCode != 303 || res.Header.Get("Location") != "/trash?restored="+url.QueryEscape(string(e.Key)) {
		t.Errorf("got %s to %s", res.Status, res.Header.Get("Location"))
	}
	if res := s.do(s.ana, "POST", "/trash/"+ino+"/restore", nil, asForm, asPage); res.StatusCode != 404 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Errorf("again: got %s, %s", res.Status, res.Header.Get("Content-Type"))
	}
}

func TestPurge(t *testing.T) {
	s := newSite(t, &Options{TrashKeep: 7 * 24 * time.Hour})
	var inos []string
	for _, key := range []string{"photos/a.jpg", "photos/b.jpg", "photos/c.jpg"} {
		e := s.put(key, key, "image/jpeg", time.Time{})
		s.body(s.do(s.ana, "DELETE", "/api/item/"+string(e.Ino), nil), 204)
		inos = append(inos, string(e.Ino))
	}
	left := func() int {
		t.Helper()
		return len(must(s.lib(s.ana).Trash(t.Context(), "", 10)))
	}
	page := s.get("/trash", 200, asPage)
	for _, want := range []string{"for 7 days", "goes for good", `action="/trash/empty"`, `action="/trash/` + inos[0] + `/purge"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the trash lacks %s", want)
		}
	}
	stale := *s.ana
	stale.AuthTime = time.Now().Add(-time.Hour)
	if page := s.body(s.do(&stale, "GET", "/trash", nil, asPage), 200); strings.Contains(page, "/purge") || strings.Contains(page, "/empty") || !strings.Contains(page, "shoebox login-link ana") {
		t.Errorf("who has signed in long ago is offered %s", page)
	}
	s.body(s.do(&stale, "POST", "/trash/empty", nil, asForm), 403)
	s.body(s.do(&stale, "POST", "/trash/"+inos[0]+"/purge", nil, asForm), 403)
	s.body(s.do(s.bo, "POST", "/trash/"+inos[0]+"/purge", nil, asForm), 404)
	if n := left(); n != 3 {
		t.Errorf("%d left, want 3", n)
	}
	s.body(s.do(s.ana, "POST", "/trash/"+inos[0]+"/purge", nil, asForm), 303)
	s.body(s.do(s.ana, "POST", "/trash/"+inos[0]+"/purge", nil, asForm), 404)
	if n := left(); n != 2 {
		t.Errorf("%d left, want 2", n)
	}
	s.body(s.do(s.ana, "POST", "/trash/empty", nil, asForm), 303)
	if n := left(); n != 0 {
		t.Errorf("%d left, want none", n)
	}
}

func TestDevices(t *testing.T) {
	s := newSite(t, &Options{PublicURL: "https://photos.example.org", S3URL: "https://s3.example.org"})
	form := url.Values{"label": {"Ana's phone"}, "protocol": {"webdav", "s3"}, "mode": {"upload-only"}, "days": {"30"}}
	res := s.do(s.ana, "POST", "/devices", strings.NewReader(form.Encode()), asForm, asPage, header("Accept-Encoding", "gzip"))
	if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Encoding") != "" || res.Header.Get("ETag") != "" {
		t.Errorf("a page with a secret: %v", res.Header)
	}
	page := s.body(res, 200)
	at := strings.Index(page, "sb_")
	if at < 0 {
		t.Fatalf("the password is not shown: %s", page)
	}
	password := page[at : at+60]
	if _, _, ok := account.Parse(password); !ok {
		t.Fatalf("%q is not an app password", password)
	}
	p, _, err := s.accounts.Check(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	if p.Label != "Ana's phone" || p.Mode != backend.UploadOnly || !p.DAV || !p.S3 || p.Expires.IsZero() {
		t.Errorf("got %+v", p)
	}
	for _, want := range []string{
		"https://photos.example.org/dav/", p.AccessKeyID(), "data:image/png;base64,", "davs://ana@photos.example.org/dav/",
		"endpoint=https://s3.example.org", "vendor=owncloud", "provider=Other", "set region auto --profile shoebox",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the settings lack %s", want)
		}
	}
	again := s.get("/devices", 200, asPage)
	if strings.Contains(again, password) || strings.Contains(again, "sb_") {
		t.Error("the password is shown twice")
	}
	if !strings.Contains(again, "Ana&#39;s phone") || !strings.Contains(again, "upload-only") || !strings.Contains(again, "Not used yet") {
		t.Errorf("the device is not listed: %s", again)
	}
	if other := s.body(s.do(s.bo, "GET", "/devices", nil, asPage), 200); strings.Contains(other, p.ID) {
		t.Error("bo sees ana's device")
	}
	s.body(s.do(s.bo, "DELETE", "/api/devices/"+p.ID, nil), 404)
	res = s.do(s.ana, "POST", "/devices/"+p.ID+"/revoke", nil, asForm, asPage)
	if res.StatusCode != 303 || res.Header.Get("Location") != "/devices?revoked" {
		t.Errorf("revoke: got %s to %s", res.Status, res.Header.Get("Location"))
	}
	if _, _, err := s.accounts.Check(t.Context(), password); !errors.Is(err, account.ErrRevoked) {
		t.Errorf("it still opens something: %v", err)
	}
}

func TestDevicesJSON(t *testing.T) {
	s := newSite(t, &Options{PublicURL: "https://photos.example.org/", S3URL: "https://s3.example.org"})
	asJSON := header("Content-Type", "application/json")
	made := decode[minted](s, s.do(s.ana, "POST", "/api/devices", strings.NewReader(`{"label":"nas","protocols":["s3"],"mode":"read-only"}`), asJSON), 201)
	if made.S3URL != "https://s3.example.org" || made.DAVURL != "" || made.Connect != "" || made.Region != "auto" || !strings.HasPrefix(made.Password, "sb_") || made.AccessKeyID != "SB"+made.ID {
		t.Errorf("got %+v", made)
	}
	made = decode[minted](s, s.do(s.ana, "POST", "/api/devices", strings.NewReader(`{"label":"phone","protocols":["webdav"]}`), asJSON), 201)
	if made.DAVURL != "https://photos.example.org/dav/" || made.Connect != "https://photos.example.org/connect#login=ana&password="+made.Password || made.S3URL != "" {
		t.Errorf("got %+v", made)
	}
	type list struct{ Items []device }
	if got := decode[list](s, s.do(s.ana, "GET", "/api/devices", nil), 200).Items; len(got) != 2 {
		t.Errorf("got %+v", got)
	}
	for _, body := range []string{
		``, `[]`, `{"label":"x"} {}`, `{"label":""}`, `{"label":"x","protocols":["ftp"]}`, `{"label":"x","mode":"all"}`,
		`{"label":"x","days":-1}`, `{"label":"x","admin":true}`, `{"label":"` + strings.Repeat("x", 200) + `"}`, strings.Repeat(" ", maxForm+1),
	} {
		s.body(s.do(s.ana, "POST", "/api/devices", strings.NewReader(body), asJSON), 400)
	}
	s.body(s.do(s.ana, "POST", "/api/devices", strings.NewReader(`{"label":"x"}`), header("Content-Type", "text/plain")), 415)
	s.body(s.do(s.ana, "POST", "/api/devices", strings.NewReader(`{"label":"x","root":"nonsense"}`), asJSON), 404)
	s.body(s.do(s.ana, "DELETE", "/api/devices/"+made.ID, nil), 204)
	s.body(s.do(s.ana, "DELETE", "/api/devices/nonsense", nil), 404)
}

func TestLogin(t *testing.T) {
	s := newSite(t, nil)
	if page := s.body(s.do(nil, "GET", "/login", nil, asPage), 200); !strings.Contains(page, "shoebox login-link") {
		t.Errorf("the page does not say how to sign in: %s", page)
	}
	s = newSite(t, &Options{SignIn: []auth.Provider{{Name: "Example ID", Start: "/login/oidc"}}})
	if page := s.body(s.do(nil, "GET", "/login?return=/trash", nil, asPage), 200); !strings.Contains(page, "Sign in with Example ID") || !strings.Contains(page, `href="/login/oidc?return=%2Ftrash"`) {
		t.Errorf("there is no way to the provider: %s", page)
	}
}

func TestSettingsWords(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{shell("plain-1.jpg"), "plain-1.jpg"}, {shell("it's $HOME"), `'it'\''s $HOME'`}, {shell(""), "''"},
		{(&minted{Login: "ana", DAVURL: "http://127.0.0.1:8080/dav/"}).GVFS(), "dav://ana@127.0.0.1:8080/dav/"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
	for addr, want := range map[string]bool{
		"http://127.0.0.1:8080/dav/": true, "http://localhost/dav/": true, "http://[::1]:80/dav/": true, "https://photos.example.org/dav/": false, "http://192.168.1.2/dav/": false,
	} {
		if got := (&minted{DAVURL: addr}).Loopback(); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
}
