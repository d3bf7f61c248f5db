package browse

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// with is ana's library as a device of hers has it.
func (s *site) with(label string) (*account.AppPassword, *backend.Library) {
	s.t.Helper()
	p, _, err := s.accounts.Mint(s.t.Context(), s.ana.UID, account.MintOptions{Label: label, DAV: true, S3: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return p, s.lib(&auth.Principal{UID: s.ana.UID, Access: backend.Access{By: p.ID}})
}

func TestUploadsUnderWay(t *testing.T) {
	now := time.Now()
	s := newSite(t, &Options{Now: func() time.Time { return now }})
	if page := s.get("/devices", 200, asPage); strings.Contains(page, "under way") {
		t.Errorf("nothing is under way: %s", page)
	}
	_, lib := s.with("Ana’s <laptop>")
	u, err := lib.CreateUpload(t.Context(), "photos/film <1>.mp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.PutPart(t.Context(), u.ID, 1, strings.NewReader("12345"), 5, nil, nil); err != nil {
		t.Fatal(err)
	}
	type list struct{ Items []upload }
	got := decode[list](s, s.do(s.ana, "GET", "/api/uploads", nil), 200).Items
	if len(got) != 1 || got[0].Key != "photos/film <1>.mp4" || got[0].Device != "Ana’s <laptop>" || got[0].Bytes != 5 || got[0].Parts != 1 || got[0].Idle {
		t.Errorf("got %+v", got)
	}
	now = now.Add(2 * time.Hour)
	page := s.get("/devices", 200, asPage)
	for _, want := range []string{"photos/film &lt;1&gt;.mp4", "by Ana’s &lt;laptop&gt;", "5 B in 1 part", "abandoned?", "/uploads/" + u.ID + "/abort"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	if got := decode[list](s, s.do(s.bo, "GET", "/api/uploads", nil), 200).Items; len(got) != 0 {
		t.Errorf("bo sees %+v", got)
	}
	s.body(s.do(s.bo, "DELETE", "/api/uploads/"+u.ID, nil), 404)
	s.body(s.do(s.bo, "POST", "/uploads/"+u.ID+"/abort", nil, asForm, asPage), 404)
	if res := s.do(s.ana, "POST", "/uploads/"+u.ID+"/abort", nil, asForm, asPage); res.StatusCode != 303 || res.Header.Get("Location") != "/devices?dropped" {
		t.Errorf("got %s to %s", res.Status, res.Header.Get("Location"))
	}
	if page := s.get("/devices?dropped", 200, asPage); strings.Contains(page, "under way") || !strings.Contains(page, "Dropped.") {
		t.Errorf("after it: %s", page)
	}
	s.body(s.do(s.ana, "DELETE", "/api/uploads/"+u.ID, nil), 404)
}

func TestLocks(t *testing.T) {
	s := newSite(t, nil)
	s.put("photos/text.odt", "x", "", time.Time{})
	p, lib := s.with("Writer")
	const owner = `<D:owner xmlns:D="DAV:"><D:href>mailto:ana@example.org</D:href></D:owner>`
	k, err := lib.Lock(t.Context(), "photos/text.odt", true, owner, p.ID, 20*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	type list struct{ Items []lock }
	got := decode[list](s, s.do(s.ana, "GET", "/api/locks", nil), 200).Items
	if len(got) != 1 || got[0].Key != "photos/text.odt" || got[0].Device != "Writer" || got[0].Owner != "mailto:ana@example.org" || got[0].Below || got[0].Expires.IsZero() {
		t.Errorf("got %+v", got)
	}
	page := s.get("/devices", 200, asPage)
	for _, want := range []string{"photos/text.odt", "by Writer", "mailto:ana@example.org", "ends <time", "in 20 minutes", "/break"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	if got := decode[list](s, s.do(s.bo, "GET", "/api/locks", nil), 200).Items; len(got) != 0 {
		t.Errorf("bo sees %+v", got)
	}
	at := url.PathEscape(k.Token)
	s.body(s.do(s.bo, "DELETE", "/api/locks/"+at, nil), 404)
	if _, err := lib.Lock(t.Context(), "photos/text.odt", false, "", "", time.Minute); err == nil {
		t.Fatal("it is not locked")
	}
	if res := s.do(s.ana, "POST", "/locks/"+at+"/break", nil, asForm, asPage); res.StatusCode != 303 || res.Header.Get("Location") != "/devices?unlocked" {
		t.Errorf("got %s to %s", res.Status, res.Header.Get("Location"))
	}
	if k, err = lib.Lock(t.Context(), "photos/text.odt", false, "", p.ID, time.Minute); err != nil {
		t.Errorf("it is still locked: %v", err)
	}
	s.body(s.do(s.ana, "DELETE", "/api/locks/"+url.PathEscape(k.Token), nil), 204)
	s.body(s.do(s.ana, "DELETE", "/api/locks/"+at, nil), 404)
	if page := s.get("/account", 200, asPage); !strings.Contains(page, "lock broken") {
		t.Errorf("the activity lacks it: %s", page)
	}
}

// TestTrashTellsWho: what was deleted is told with the device that did it.
func TestTrashTellsWho(t *testing.T) {
	s := newSite(t, nil)
	p, lib := s.with("Old phone")
	for _, name := range []backend.Key{"photos/a.txt", "photos/b.txt", "photos/c.txt"} {
		s.put(string(name), "x", "", time.Time{})
	}
	for name, l := range map[backend.Key]*backend.Library{
		"photos/a.txt": lib, "photos/b.txt": s.lib(&auth.Principal{UID: s.ana.UID, Access: backend.Access{By: "web"}}), "photos/c.txt": s.lib(s.ana),
	} {
		if err := l.Delete(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.accounts.Revoke(t.Context(), s.ana.UID, p.ID); err != nil {
		t.Fatal(err)
	}
	got := make(map[backend.Key]string)
	for _, e := range decode[struct{ Items []trashed }](s, s.do(s.ana, "GET", "/api/trash", nil), 200).Items {
		got[e.Key] = e.Device
	}
	if got["photos/a.txt"] != "Old phone" || got["photos/b.txt"] != "web" || got["photos/c.txt"] != "" || len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if page := s.get("/trash", 200, asPage); !strings.Contains(page, "</time> by Old phone") || !strings.Contains(page, "</time> on the page") {
		t.Errorf("the page does not say who: %s", page)
	}
}

// What a device called "web" did is not taken for what was done on the page.
func TestDeviceCalledWeb(t *testing.T) {
	labels := map[string]string{"A": "web", "B": "Web"}
	for by, want := range map[string]string{"A": "“web”", "B": "Web", "web": "web", "C": ""} {
		if got := deviceName(labels, by); got != want {
			t.Errorf("%s: got %q, want %q", by, got, want)
		}
	}
}

func TestQuotaOnThePage(t *testing.T) {
	s := newSite(t, nil)
	s.put("photos/a.txt", strings.Repeat("x", 250), "", time.Time{})
	s.ana.Access.Quota, s.ana.Access.QuotaFiles = 1000, 10
	page := s.get("/account", 200, asPage)
	for _, want := range []string{"1 of 10 files", "250 B of 1.0 kB", `value="25"`} {
		if !strings.Contains(page, want) && !strings.Contains(page, strings.Replace(want, "files", "file", 1)) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
}

func TestAgents(t *testing.T) {
	for in, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":                                   "Chrome on Linux",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                   "Chrome on Android",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 14.7; rv:142.0) Gecko/20100101 Firefox/142.0":                                                     "Firefox on macOS",
		"Mozilla/5.0 something":                      "A browser",
		"rclone/v1.76.0":                             "rclone/v1.76.0",
		"Boto3/1.43.11 md/Botocore#1.43.11 os/linux": "Boto3/1.43.11",
		"": "",
	} {
		if got := humanAgent(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestOwnerText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"Ana":                                 "Ana",
		`<href xmlns="DAV:">http://a/</href>`: "http://a/",
		"<a>x</a><b> y\n z</b>":               "x y z",
		"<a>\u202eevil</a>":                   "evil",
		"<a>" + strings.Repeat("é", 80) + "</a>": strings.Repeat("é", 50) + "…",
		"<broken": "",
	} {
		if got := ownerText(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
