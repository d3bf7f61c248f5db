package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/account"
)

func (g gate) link(t testing.TB, u *account.User) string {
	t.Helper()
	token, err := g.accounts.NewLoginLink(t.Context(), u.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

func TestLoginLink(t *testing.T) {
	welcomed := 0
	g := newGate(t, &Options{Welcome: func(context.Context, string) error { welcomed++; return nil }})
	ana := g.user(t, account.NewUser{Login: "ana", Owner: true})
	s := g.site(t)
	token := g.link(t, ana)

	b := newBrowser(t)
	if v := b.get(s.URL + "/a?b=c"); v.url.Path != "/login" || v.url.Query().Get("return") != "/a?b=c" {
		t.Errorf("not signed in: at %s", v.url)
	}
	if v := b.get(s.URL + "/api/me"); v.code != 401 || !strings.HasPrefix(v.head.Get("Content-Type"), "application/problem+json") {
		t.Errorf("not signed in, API: %d %s", v.code, v.body)
	}
	for range 3 { // what previews a link does not use it up
		v := newBrowser(t).get(s.URL + "/login/link?t=" + token)
		if v.code != 200 || !strings.Contains(v.body, `value="`+token+`"`) || len(v.head["Set-Cookie"]) > 0 {
			t.Fatalf("the link's page: %d %s", v.code, v.body)
		}
		if csp := v.head.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || v.head.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("headers are %v", v.head)
		}
	}
	if v := b.post(s.URL+"/login/link", url.Values{"t": {token}}, "Sec-Fetch-Site", "cross-site"); v.code != 403 {
		t.Errorf("from another site: %d", v.code)
	}
	if v := b.post(s.URL+"/login/link", url.Values{"t": {token}}, "Sec-Fetch-Site", "same-origin"); v.code != 200 || v.url.Path != "/" || v.body != "ana" {
		t.Fatalf("used: %d at %s: %s", v.code, v.url, v.body)
	}
	if v := newBrowser(t).post(s.URL+"/login/link", url.Values{"t": {token}}); v.code != 403 || !strings.Contains(v.body, "used before") {
		t.Errorf("again: %d %s", v.code, v.body)
	}
	if v := b.get(s.URL + "/"); v.body != "ana" {
		t.Errorf("the next page: %d %s", v.code, v.body)
	}
	if welcomed != 1 {
		t.Errorf("Welcome was called %d times", welcomed)
	}

	// Another link replaces the session; it does not add one.
	if v := b.post(s.URL+"/login/link", url.Values{"t": {g.link(t, ana)}}); v.body != "ana" {
		t.Errorf("second link: %d %s", v.code, v.body)
	}
	if list, err := g.accounts.Sessions(t.Context(), ana.UID); err != nil || len(list) != 1 {
		t.Errorf("sessions are %v, %v", list, err)
	}
	if v := b.post(s.URL+"/api/x", nil, "Origin", "https://evil.example"); v.code != 403 {
		t.Errorf("POST from another site: %d", v.code)
	}
	if v := b.post(s.URL+"/logout", nil, "Sec-Fetch-Site", "cross-site"); v.code != 403 {
		t.Errorf("logout from another site: %d", v.code)
	}
	if v := b.post(s.URL+"/logout", nil); v.url.Path != "/login" {
		t.Errorf("logout: at %s", v.url)
	}
	if list, err := g.accounts.Events(t.Context(), 1); err != nil || len(list) != 1 || list[0].What != "signed out" || list[0].UID != ana.UID || list[0].Actor != ana.Login || list[0].Net == "" {
		t.Errorf("the audit log: %+v, %v", list, err)
	}
	if host, _ := url.Parse(s.URL); len(b.Jar.Cookies(host)) != 0 {
		t.Errorf("left behind: %v", b.Jar.Cookies(host))
	}
	if list, err := g.accounts.Sessions(t.Context(), ana.UID); err != nil || len(list) != 0 {
		t.Errorf("sessions are %v, %v", list, err)
	}
	if v := b.get(s.URL + "/"); v.url.Path != "/login" {
		t.Errorf("after logout: at %s", v.url)
	}
	if welcomed != 1 {
		t.Errorf("Welcome was called %d times", welcomed)
	}
	if strings.Contains(g.log.String(), token) {
		t.Error("the log tells the link")
	}
}

func TestWelcomeIsTriedAgain(t *testing.T) {
	calls := 0
	g := newGate(t, &Options{Welcome: func(context.Context, string) error {
		if calls++; calls == 1 {
			return errors.New("bucket away")
		}
		return nil
	}})
	ana := g.user(t, account.NewUser{Login: "ana"})
	s := g.site(t)
	if v := newBrowser(t).post(s.URL+"/login/link", url.Values{"t": {g.link(t, ana)}}); v.code != 503 {
		t.Errorf("got %d %s", v.code, v.body)
	}
	if v := newBrowser(t).post(s.URL+"/login/link", url.Values{"t": {g.link(t, ana)}}); v.body != "ana" || calls != 2 {
		t.Errorf("got %d %s after %d calls", v.code, v.body, calls)
	}
}

func TestLoginLinkNotInTheClear(t *testing.T) {
	g := newGate(t, nil)
	token := g.link(t, g.user(t, account.NewUser{Login: "ana"}))
	mux := http.NewServeMux()
	g.Routes(mux)
	for _, method := range []string{"GET", "POST"} {
		r := httptest.NewRequest(method, "/login/link?t="+token, nil)
		r.RemoteAddr = "203.0.113.7:1"
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != 403 || strings.Contains(w.Body.String(), token) {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if _, err := g.accounts.UseLoginLink(t.Context(), token); err != nil {
		t.Errorf("it was used up: %v", err)
	}
}

func TestCookies(t *testing.T) {
	g := newGate(t, nil)
	ana := g.user(t, account.NewUser{Login: "ana"})
	sign := func(secure bool) *http.Cookie {
		r := httptest.NewRequest("POST", "/login/link", strings.NewReader(url.Values{"t": {g.link(t, ana)}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = "127.0.0.1:1"
		if secure {
			r.TLS = new(tls.ConnectionState)
		}
		w := httptest.NewRecorder()
		g.useLink(w, r)
		c := w.Result().Cookies()
		if len(c) != 1 {
			t.Fatalf("%d %s: cookies are %v", w.Code, w.Body, c)
		}
		return c[0]
	}
	s := sign(true)
	if s.Name != "__Host-sb_s" || !s.Secure || !s.HttpOnly || s.SameSite != http.SameSiteLaxMode || s.Path != "/" || s.Domain != "" || s.MaxAge != 7*24*3600 {
		t.Errorf("over HTTPS: %+v", s)
	}
	p := sign(false)
	if p.Name != "sb_s" || p.Secure || !p.HttpOnly || p.SameSite != http.SameSiteLaxMode {
		t.Errorf("on loopback: %+v", p)
	}
	who := func(c *http.Cookie, secure bool, from string) int {
		r := httptest.NewRequest("GET", "/api/", nil)
		r.RemoteAddr = from
		if secure {
			r.TLS = new(tls.ConnectionState)
		}
		r.AddCookie(c)
		w := httptest.NewRecorder()
		g.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		return w.Code
	}
	for _, tt := range []struct {
		name   string
		c      *http.Cookie
		secure bool
		from   string
		code   int
	}{
		{"HTTPS", s, true, "203.0.113.7:1", 200},
		{"loopback", p, false, "127.0.0.1:1", 200},
		// A cookie that a network attacker, or a neighbour domain, can set does not count over HTTPS.
		{"plain name over HTTPS", &http.Cookie{Name: "sb_s", Value: s.Value}, true, "203.0.113.7:1", 401},
		{"plain HTTP from elsewhere", p, false, "203.0.113.7:1", 401},
	} {
		if got := who(tt.c, tt.secure, tt.from); got != tt.code {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.code)
		}
	}
}

// Session alone refuses what another site made the browser send.
func TestSessionProtects(t *testing.T) {
	g := newGate(t, nil)
	h := g.Session(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200, "": 200} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			r := httptest.NewRequest(method, "/api/upload", nil)
			r.Header.Set("Sec-Fetch-Site", site)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%s, %q: got %d, want %d", method, site, w.Code, want)
			}
		}
	}
}

func TestLocalPath(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/", "/"}, {"/devices?x=1#y", "/devices?x=1#y"}, {"/photos/2024%2F", "/photos/2024%2F"},
		{"", "/"}, {"//evil.example", "/"}, {"/\\evil.example", "/"}, {"\\\\evil.example", "/"}, {"https://evil.example", "/"},
		{"javascript:alert(1)", "/"}, {"/\t/evil.example", "/"}, {"/\n", "/"}, {"/a\\b", "/"}, {"evil", "/"}, {"///evil.example", "/"},
		{"/login", "/"}, {"/login/oidc", "/"}, {"/logout", "/"}, {"/" + strings.Repeat("x", 2000), "/"}, {"@evil.example", "/"}, {"/%zz", "/"},
	} {
		if got := localPath(tt.in); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	f.Add("/a")
	f.Add("//b")
	f.Fuzz(func(t *testing.T, p string) {
		got := localPath(p)
		base, _ := url.Parse("https://shoebox.example/login")
		u, err := base.Parse(got)
		if err != nil || u.Host != "shoebox.example" || u.Scheme != "https" || localPath(got) != got {
			t.Errorf("%q leads to %v, %v", p, u, err)
		}
	})
}

func TestNewRefusesPublicURL(t *testing.T) {
	for _, s := range []string{"ftp://x", "https://", "https://x/path", "shoebox"} {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(nil, &Options{PublicURL: u}); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}
