package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// provided is a gate with a provider that lets in example.org.
func provided(t testing.TB, change ...func(*Options)) (gate, *testProvider, *httptest.Server) {
	t.Helper()
	p := newTestProvider(t)
	o := &Options{OIDC: []OIDCConfig{{Issuer: p.URL, ClientID: testClient, ClientSecret: testSecret, AllowDomains: []string{"example.org"}}}}
	for _, f := range change {
		f(o)
	}
	g := newGate(t, o)
	return g, p, g.site(t)
}

func (b browser) signIn(s *httptest.Server, sub string) visit {
	b.t.Helper()
	return b.get(s.URL + "/login/oidc?login_hint=" + sub + "&return=/albums%3Fx=1")
}

func TestOIDC(t *testing.T) {
	var welcomed []string
	g, p, s := provided(t, func(o *Options) {
		o.Welcome = func(_ context.Context, uid string) error { welcomed = append(welcomed, uid); return nil }
	})
	p.person("ana", "ana@example.org")
	b := newBrowser(t)
	v := b.signIn(s, "ana")
	if v.code != 200 || v.body != "ana" || v.url.Path != "/albums" || v.url.RawQuery != "x=1" {
		t.Fatalf("got %d at %s: %s\n%s", v.code, v.url, v.body, g.log)
	}
	u, err := g.accounts.UserByIdentity(t.Context(), p.URL, "ana")
	if err != nil || u.Login != "ana" || u.Email != "ana@example.org" || u.Name != "Person ana" || u.Owner {
		t.Errorf("user is %+v, %v", u, err)
	}
	if len(welcomed) != 1 || welcomed[0] != u.UID {
		t.Errorf("welcomed %v", welcomed)
	}
	list, err := g.accounts.Sessions(t.Context(), u.UID)
	if err != nil || len(list) != 1 || list[0].Issuer != p.URL || list[0].SID != "session-of-ana" || time.Since(list[0].AuthTime) > time.Minute {
		t.Errorf("sessions are %+v, %v", list, err)
	}
	host, _ := url.Parse(s.URL)
	for _, c := range b.Jar.Cookies(host) {
		if c.Name != sessionCookie {
			t.Errorf("cookie %s is left", c.Name)
		}
	}
	if v := b.get(s.URL + "/"); v.body != "ana" {
		t.Errorf("the next page: %s", v.body)
	}

	// Signing out goes on to the provider's own logout.
	v = b.post(s.URL+"/logout", nil)
	to := forwardOf(t, v)
	q := to.Query()
	if to.Path != "/end" || q.Get("client_id") != testClient || q.Get("post_logout_redirect_uri") != s.URL+"/" || strings.Count(q.Get("id_token_hint"), ".") != 2 {
		t.Errorf("logout goes to %s", to)
	}
	if v := b.get(s.URL + "/"); v.url.Path != "/login" {
		t.Errorf("after logout: at %s", v.url)
	}
	if o := g.Providers(); len(o) != 1 || !strings.HasPrefix(o[0].Name, "127.0.0.1:") || o[0].Start != "/login/oidc" {
		t.Errorf("Providers are %+v", o)
	}
	for _, secret := range []string{testSecret, q.Get("id_token_hint")} {
		if strings.Contains(g.log.String(), secret) {
			t.Error("the log tells a secret")
		}
	}
}

// forwardOf is where a page sends the browser on to.
func forwardOf(t testing.TB, v visit) *url.URL {
	t.Helper()
	m := regexp.MustCompile(`http-equiv="refresh" content="0; url=([^"]*)"`).FindStringSubmatch(v.body)
	if m == nil {
		t.Fatalf("%d %s sends nobody on", v.code, v.body)
	}
	u, err := url.Parse(html.UnescapeString(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOIDCRefuses(t *testing.T) {
	evil, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, value any) func(p *testProvider) {
		return func(p *testProvider) { p.idToken = func(c map[string]any) { c[name] = value } }
	}
	answer := func(name, value string) func(p *testProvider) {
		return func(p *testProvider) { p.authorize = func(a url.Values) { a.Set(name, value) } }
	}
	for _, tt := range []struct {
		name   string
		spoil  func(p *testProvider)
		reason string
	}{
		{"wrong nonce", set("nonce", "x"), "bad-token"},
		{"no nonce", func(p *testProvider) { p.idToken = func(c map[string]any) { delete(c, "nonce") } }, "bad-token"},
		{"wrong audience", set("aud", "other"), "bad-token"},
		{"two audiences and no azp", set("aud", []string{testClient, "other"}), "bad-token"},
		{"for another client", set("azp", "other"), "bad-token"},
		{"expired", set("exp", time.Now().Add(-time.Minute).Unix()), "bad-token"},
		{"wrong issuer", set("iss", "https://evil.example"), "bad-token"},
		{"no subject", set("sub", ""), "bad-token"},
		{"wrong hash of the access token", set("at_hash", "x"), "bad-token"},
		{"no signature", func(p *testProvider) {
			p.sign = func(_, claims []byte) string { return b64([]byte(`{"alg":"none"}`)) + "." + b64(claims) + "." }
		}, "bad-token"},
		{"signed with the client secret", func(p *testProvider) {
			p.sign = func(_, claims []byte) string {
				s := b64([]byte(`{"alg":"HS256"}`)) + "." + b64(claims)
				m := hmac.New(sha256.New, []byte(testSecret))
				m.Write([]byte(s))
				return s + "." + b64(m.Sum(nil))
			}
		}, "bad-token"},
		{"signed with the public key as a secret", func(p *testProvider) {
			p.sign = func(_, claims []byte) string {
				s := b64([]byte(`{"alg":"HS256","kid":"one"}`)) + "." + b64(claims)
				m := hmac.New(sha256.New, x509.MarshalPKCS1PublicKey(&p.key.PublicKey))
				m.Write([]byte(s))
				return s + "." + b64(m.Sum(nil))
			}
		}, "bad-token"},
		{"another key", func(p *testProvider) {
			p.sign = func(_, claims []byte) string {
				q := &testProvider{t: p.t, key: evil, kid: p.kid}
				var c map[string]any
				if err := json.Unmarshal(claims, &c); err != nil {
					p.t.Error(err)
				}
				return q.jwt(c)
			}
		}, "bad-token"},
		{"UserInfo about another", func(p *testProvider) {
			p.emailInID = false
			p.userInfo = func(c map[string]any) { c["sub"] = "owner" }
		}, "bad-token"},
		{"UserInfo about nobody", func(p *testProvider) {
			p.emailInID = false
			p.userInfo = func(c map[string]any) { delete(c, "sub") }
		}, "bad-token"},
		{"wrong state", answer("state", "x"), "bad-state"},
		{"no state", answer("state", ""), "bad-state"},
		{"wrong code", answer("code", "x"), "bad-token"},
		{"another issuer's answer", answer("iss", "https://evil.example"), "bad-issuer"},
		{"no issuer in the answer, though promised", answer("iss", ""), "bad-issuer"},
		{"cancelled", answer("error", "access_denied"), "provider-access_denied"},
		{"an error with markup", answer("error", "<b>\nreason=x"), "provider-breasonx"},
		{"e-mail not verified", set("email_verified", false), "not-allowed"},
		{"e-mail not said to be verified", func(p *testProvider) { p.idToken = func(c map[string]any) { delete(c, "email_verified") } }, "not-allowed"},
		{"e-mail elsewhere", set("email", "ana@example.com"), "not-allowed"},
		{"e-mail at a domain that only ends alike", set("email", "ana@notexample.org"), "not-allowed"},
		{"e-mail with two at signs", set("email", "ana@example.org@evil.example"), "not-allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, p, s := provided(t)
			p.person("ana", "ana@example.org")
			p.set(func() { tt.spoil(p) })
			b := newBrowser(t)
			v := b.signIn(s, "ana")
			if v.code != 403 || v.url.Path != "/login/oidc/callback" {
				t.Errorf("got %d at %s: %s", v.code, v.url, v.body)
			}
			if !strings.Contains(g.log.String(), "auth: failed ip=127.0.0.1 proto=oidc key=- reason="+tt.reason+`"`) {
				t.Errorf("want reason %s, logged %s", tt.reason, g.log)
			}
			if v := b.get(s.URL + "/"); v.url.Path != "/login" {
				t.Errorf("signed in: at %s", v.url)
			}
			if users, err := g.accounts.Users(t.Context()); err != nil || len(users) != 0 {
				t.Errorf("users are %v, %v", users, err)
			}
		})
	}
}

func TestOIDCDenialSaysWhatToAskFor(t *testing.T) {
	_, p, s := provided(t)
	p.person("eve", "eve@example.com")
	v := newBrowser(t).signIn(s, "eve")
	for _, want := range []string{"Ask the owner", "eve@example.com", p.URL, "<dd>eve</dd>"} {
		if v.code != 403 || !strings.Contains(v.body, want) {
			t.Errorf("%d: %q is not in %s", v.code, want, v.body)
		}
	}
	b := newBrowser(t)
	var to *url.URL
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		to = r.URL
		return http.ErrUseLastResponse
	}
	if b.get(s.URL + "/login/oidc?other"); to.Query().Get("prompt") != "login" {
		t.Errorf("to sign in as somebody else leads to %s", to)
	}
}

func TestOIDCAllowRules(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config OIDCConfig
		claims map[string]any
		want   bool
	}{
		{"no rule", OIDCConfig{}, nil, false},
		{"everybody", OIDCConfig{AllowAll: true}, map[string]any{"email_verified": false}, true},
		{"e-mail", OIDCConfig{AllowEmails: []string{"ANA@example.org"}}, nil, true},
		{"another e-mail", OIDCConfig{AllowEmails: []string{"ben@example.org"}}, nil, false},
		{"verified as a string, as Cognito says it", OIDCConfig{AllowEmails: []string{"ana@example.org"}}, map[string]any{"email_verified": "true"}, true},
		{"not verified, as a string", OIDCConfig{AllowEmails: []string{"ana@example.org"}}, map[string]any{"email_verified": "false"}, false},
		{"domain with at sign", OIDCConfig{AllowDomains: []string{"@Example.org"}}, nil, true},
		{"empty domain", OIDCConfig{AllowDomains: []string{""}}, map[string]any{"email": "ana"}, false},
		{"group", OIDCConfig{AllowGroups: []string{"family"}}, map[string]any{"groups": []string{"x", "family"}}, true},
		{"one group as a string", OIDCConfig{AllowGroups: []string{"family"}}, map[string]any{"groups": "family"}, true},
		{"group of another name", OIDCConfig{AllowGroups: []string{"family"}}, map[string]any{"groups": []string{"Family", "familyx"}}, false},
		{"groups of another form", OIDCConfig{AllowGroups: []string{"family"}}, map[string]any{"groups": map[string]any{"family": true}}, false},
		{"groups elsewhere", OIDCConfig{AllowGroups: []string{"family"}, GroupsClaim: "cognito:groups"}, map[string]any{"cognito:groups": []string{"family"}}, true},
	} {
		for _, inID := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				_, p, s := provided(t, func(o *Options) {
					c := tt.config
					c.Issuer, c.ClientID, c.ClientSecret = o.OIDC[0].Issuer, o.OIDC[0].ClientID, o.OIDC[0].ClientSecret
					o.OIDC[0] = c
				})
				person := p.person("ana", "ana@example.org")
				p.set(func() {
					p.emailInID = inID // else all that is in UserInfo
					for k, v := range tt.claims {
						person[k] = v
					}
				})
				if v := newBrowser(t).signIn(s, "ana"); (v.body == "ana") != tt.want {
					t.Errorf("got %d %s", v.code, v.body)
				}
			})
		}
	}
}

// TestRulesFoldASCIIOnly: an address with a letter that Unicode folds to one of ours is that of
// somebody else.
func TestRulesFoldASCIIOnly(t *testing.T) {
	p := &provider{c: OIDCConfig{AllowEmails: []string{"mikes@example.org"}, AllowDomains: []string{"links.example"}}}
	for email, want := range map[string]bool{
		"Mikes@Example.ORG": true, "x@Links.Example": true,
		"mi\u212aes@example.org": false, "mike\u017f@example.org": false, "x@lin\u212as.example": false, "x@link\u017f.example": false,
	} {
		if got := p.allows(&login{claims: claims{Email: email, Verified: true}}); got != want {
			t.Errorf("%q: allowed %v", email, got)
		}
	}
}

func TestGoogleDomainNeedsHD(t *testing.T) {
	p := &provider{c: OIDCConfig{AllowDomains: []string{"example.org"}}}
	l := &login{issuer: googleIssuer, claims: claims{Email: "ana@example.org", Verified: true}}
	if p.allows(l) {
		t.Error("a private account with that address was allowed")
	}
	if l.HD = "example.org"; !p.allows(l) {
		t.Error("an account of the domain was refused")
	}
}

func TestOIDCIdentityIsNotTheEmail(t *testing.T) {
	g, p, s := provided(t)
	person := p.person("ana", "ana@example.org")
	if v := newBrowser(t).signIn(s, "ana"); v.body != "ana" {
		t.Fatalf("got %d %s", v.code, v.body)
	}
	first, err := g.accounts.UserByIdentity(t.Context(), p.URL, "ana")
	if err != nil {
		t.Fatal(err)
	}
	// The address, and all names, change: the same user.
	p.set(func() { person["email"], person["preferred_username"] = "maria@example.org", "maria" })
	if v := newBrowser(t).signIn(s, "ana"); v.body != "ana" {
		t.Errorf("got %d %s", v.code, v.body)
	}
	again, err := g.accounts.UserByIdentity(t.Context(), p.URL, "ana")
	if err != nil || again.UID != first.UID || again.Email != "maria@example.org" {
		t.Errorf("got %+v, %v", again, err)
	}
	// Another gets the old address, and name: another user.
	other := p.person("42", "ana@example.org")
	p.set(func() { other["preferred_username"] = "ana" })
	if v := newBrowser(t).signIn(s, "42"); v.body != "ana2" {
		t.Errorf("got %d %s", v.code, v.body)
	}
	// And a local user with that address and name is not joined either.
	local := g.user(t, account.NewUser{Login: "ben", Email: "ben@example.org", Owner: true})
	p.person("ben", "ben@example.org")
	if v := newBrowser(t).signIn(s, "ben"); v.body != "ben2" {
		t.Errorf("got %d %s", v.code, v.body)
	}
	u, err := g.accounts.UserByIdentity(t.Context(), p.URL, "ben")
	if err != nil || u.UID == local.UID || u.Owner {
		t.Errorf("got %+v, %v", u, err)
	}
}

func TestOIDCFirstLoginAtOnce(t *testing.T) {
	g, p, s := provided(t)
	for _, sub := range []string{"ana", "ben"} {
		person := p.person(sub, sub+"@example.org")
		p.set(func() { person["preferred_username"] = "same" })
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if v := newBrowser(t).signIn(s, []string{"ana", "ben"}[i%2]); v.body != "same" && v.body != "same2" {
				t.Errorf("got %d %s", v.code, v.body)
			}
		})
	}
	wg.Wait()
	if users, err := g.accounts.Users(t.Context()); err != nil || len(users) != 2 {
		t.Errorf("users are %v, %v", users, err)
	}
}

func TestOIDCRuleStillCounts(t *testing.T) {
	g, p, s := provided(t)
	person := p.person("ana", "ana@example.org")
	if v := newBrowser(t).signIn(s, "ana"); v.body != "ana" {
		t.Fatalf("got %d %s", v.code, v.body)
	}
	p.set(func() { person["email"] = "ana@example.com" })
	if v := newBrowser(t).signIn(s, "ana"); v.code != 403 {
		t.Errorf("no longer allowed: got %d %s", v.code, v.body)
	}
	p.set(func() { person["email"] = "ana@example.org" })
	u, err := g.accounts.UserByLogin(t.Context(), "ana")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.accounts.SetState(t.Context(), u.UID, account.Suspended); err != nil {
		t.Fatal(err)
	}
	if v := newBrowser(t).signIn(s, "ana"); v.code != 403 || !strings.Contains(v.body, "suspended") {
		t.Errorf("suspended: got %d %s", v.code, v.body)
	}
}

func TestOIDCCallbackOnce(t *testing.T) {
	g, p, s := provided(t)
	p.person("ana", "ana@example.org")
	b := newBrowser(t)
	var callback *http.Request
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			callback = r.Clone(context.Background())
		}
		return nil
	}
	if v := b.signIn(s, "ana"); v.body != "ana" || callback == nil {
		t.Fatalf("got %d %s", v.code, v.body)
	}
	if v := b.get(callback.URL.String()); v.code != 403 || !strings.Contains(g.log.String(), "reason=no-cookie") {
		t.Errorf("again without the cookie: got %d %s", v.code, v.body)
	}
}

type recordingJar struct {
	http.CookieJar
	set func([]*http.Cookie)
}

func (j recordingJar) SetCookies(u *url.URL, c []*http.Cookie) {
	j.set(c)
	j.CookieJar.SetCookies(u, c)
}

// Who stole both the cookie and the answer comes second.
func TestOIDCReplay(t *testing.T) {
	g, p, s := provided(t)
	p.person("ana", "ana@example.org")
	b := newBrowser(t)
	var stolen []*http.Cookie
	b.Jar = recordingJar{b.Jar, func(cookies []*http.Cookie) {
		for _, c := range cookies {
			if c.Name == loginCookie && c.MaxAge > 0 {
				stolen = append(stolen, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/"})
			}
		}
	}}
	var callback string
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			callback = r.URL.String()
		}
		return nil
	}
	if v := b.signIn(s, "ana"); v.body != "ana" || len(stolen) != 1 {
		t.Fatalf("got %d %s, and %v", v.code, v.body, stolen)
	}
	requests := p.requests
	thief := newBrowser(t)
	host, _ := url.Parse(s.URL)
	thief.Jar.SetCookies(host, stolen)
	if v := thief.get(callback); v.code != 403 || !strings.Contains(g.log.String(), "reason=replayed") || p.requests != requests {
		t.Errorf("got %d %s", v.code, v.body)
	}
	thief.Jar.SetCookies(host, []*http.Cookie{{Name: loginCookie, Value: stolen[0].Value[:60] + "AAAA" + stolen[0].Value[64:], Path: "/"}})
	if v := thief.get(callback); v.code != 403 || !strings.Contains(g.log.String(), "reason=bad-cookie") {
		t.Errorf("changed cookie: got %d %s", v.code, v.body)
	}
}

func TestOIDCStateExpires(t *testing.T) {
	now := time.Now()
	g, p, s := provided(t, func(o *Options) { o.Now = func() time.Time { return now } })
	p.person("ana", "ana@example.org")
	b := newBrowser(t)
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			now = now.Add(loginLife) // the person had lunch
		}
		return nil
	}
	if v := b.signIn(s, "ana"); v.code != 403 || !strings.Contains(g.log.String(), "reason=too-late") {
		t.Errorf("got %d %s", v.code, v.body)
	}
}

func TestOIDCReturnIsLocal(t *testing.T) {
	_, p, s := provided(t)
	p.person("ana", "ana@example.org")
	v := newBrowser(t).get(s.URL + "/login/oidc?login_hint=ana&return=" + url.QueryEscape("//evil.example/x"))
	if v.body != "ana" || v.url.String() != s.URL+"/" {
		t.Errorf("got %d at %s", v.code, v.url)
	}
}

func TestOIDCProviderDown(t *testing.T) {
	now := time.Now()
	g, p, s := provided(t, func(o *Options) { o.Now = func() time.Time { return now } })
	p.person("ana", "ana@example.org")
	p.set(func() { p.down = true })
	if v := newBrowser(t).signIn(s, "ana"); v.code != 502 || !strings.Contains(v.body, "does not answer") {
		t.Errorf("down: got %d %s", v.code, v.body)
	}
	p.set(func() { p.down = false })
	now = now.Add(3 * time.Second)
	if v := newBrowser(t).signIn(s, "ana"); v.body != "ana" {
		t.Errorf("up again: got %d %s", v.code, v.body)
	}
	if strings.Contains(g.log.String(), "auth: failed") {
		t.Error("it was counted as a failure")
	}
}

func TestOIDCKeyRotation(t *testing.T) {
	_, p, s := provided(t)
	p.person("ana", "ana@example.org")
	if v := newBrowser(t).signIn(s, "ana"); v.body != "ana" {
		t.Fatalf("got %d %s", v.code, v.body)
	}
	next, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.set(func() { p.key, p.kid = next, "two" })
	if v := newBrowser(t).signIn(s, "ana"); v.body != "ana" {
		t.Errorf("with a new key: got %d %s", v.code, v.body)
	}
}

func TestOIDCConnect(t *testing.T) {
	g, p, s := provided(t)
	p.person("stranger", "x@elsewhere.example")
	owner := g.user(t, account.NewUser{Login: "owner", Owner: true})
	b := newBrowser(t)
	if v := b.post(s.URL+"/login/oidc/connect", nil); v.code != 401 {
		t.Errorf("not signed in: got %d", v.code)
	}
	b.post(s.URL+"/login/link", url.Values{"t": {g.link(t, owner)}})
	if v := b.post(s.URL+"/login/oidc/connect", nil, "Sec-Fetch-Site", "cross-site"); v.code != 403 {
		t.Errorf("from another site: got %d", v.code)
	}
	to := forwardOf(t, b.post(s.URL+"/login/oidc/connect", url.Values{"login_hint": {"stranger"}, "return": {"/me"}}))
	if to.Query().Get("prompt") != "login" {
		t.Errorf("the provider is not told to ask: %s", to)
	}
	if v := b.get(to.String()); v.url.Path != "/me" || v.body != "owner" {
		t.Fatalf("got %d at %s: %s", v.code, v.url, v.body)
	}
	// From then on the owner signs in there, whatever the rules.
	if v := newBrowser(t).signIn(s, "stranger"); v.body != "owner" {
		t.Errorf("got %d %s", v.code, v.body)
	}
	// It cannot be connected to a second user.
	ben := g.user(t, account.NewUser{Login: "ben"})
	c := newBrowser(t)
	c.post(s.URL+"/login/link", url.Values{"t": {g.link(t, ben)}})
	to = forwardOf(t, c.post(s.URL+"/login/oidc/connect", url.Values{"login_hint": {"stranger"}}))
	if v := c.get(to.String()); v.code != 409 {
		t.Errorf("second user: got %d %s", v.code, v.body)
	}
	// Nor by a browser that another user is signed in with by then.
	p.person("second", "y@elsewhere.example")
	to = forwardOf(t, c.post(s.URL+"/login/oidc/connect", url.Values{"login_hint": {"second"}}))
	c.post(s.URL+"/login/link", url.Values{"t": {g.link(t, owner)}})
	if v := c.get(to.String()); v.code != 403 {
		t.Errorf("signed in as another: got %d %s", v.code, v.body)
	}
	if v := newBrowser(t).signIn(s, "second"); v.code != 403 {
		t.Errorf("not connected, and got %d %s", v.code, v.body)
	}
}

func TestLogoutURL(t *testing.T) {
	for _, tt := range []struct {
		name, issuer, session, end, want string
	}{
		{"standard", "https://id.example", "https://id.example", "https://id.example/end?x=1", "https://id.example/end?client_id=c&id_token_hint=t&post_logout_redirect_uri=https%3A%2F%2Fsb.example%2F&x=1"},
		{
			"Cognito", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x",
			"https://d.auth.eu-west-1.amazoncognito.com/logout", "https://d.auth.eu-west-1.amazoncognito.com/logout?client_id=c&logout_uri=https%3A%2F%2Fsb.example%2F",
		},
		{"Google has none", googleIssuer, googleIssuer, "", ""},
		{"signed in by a link", "https://id.example", "", "https://id.example/end", ""},
		{"not a web address", "https://id.example", "https://id.example", "javascript:alert(1)", ""},
	} {
		p := &provider{c: OIDCConfig{Issuer: tt.issuer, ClientID: "c"}, found: &discovered{endSession: tt.end}}
		if got := p.logoutURL(t.Context(), &account.Session{Issuer: tt.session, IDToken: "t"}, "https://sb.example"); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestNewRefusesOIDCConfig(t *testing.T) {
	for _, c := range []OIDCConfig{
		{}, {Issuer: "https://id.example"}, {Issuer: "http://id.example", ClientID: "c"}, {Issuer: "id.example", ClientID: "c"}, {Issuer: "https://id.example?x", ClientID: "c"},
	} {
		if _, err := New(nil, &Options{OIDC: []OIDCConfig{c}}); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	if _, err := New(nil, &Options{AllowPlainHTTP: true, OIDC: []OIDCConfig{{Issuer: "http://oidc:9998", ClientID: "c"}}}); err != nil {
		t.Error(err)
	}
}

func TestProviderClientRefusesLinkLocal(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://169.254.169.254/latest/meta-data/", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := providerClient()
	c.Transport.(limitedTransport).RoundTripper.(*http.Transport).Proxy = nil
	if _, err := c.Do(r); err == nil || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("got %v", err)
	}
}

// TestOIDCForeign signs in at a provider of another make, one that signs in login_hint
// without asking and knows emails at example.test, as the npm oidc-provider can be set up to.
// SHOEBOX_TEST_OIDC_REDIRECT is what it has registered; the test listens there.
func TestOIDCForeign(t *testing.T) {
	issuer := os.Getenv("SHOEBOX_TEST_OIDC_ISSUER")
	if issuer == "" {
		t.Skip("SHOEBOX_TEST_OIDC_ISSUER is not set")
	}
	redirect, err := url.Parse(cmp.Or(os.Getenv("SHOEBOX_TEST_OIDC_REDIRECT"), "http://127.0.0.1:9997/login/oidc/callback"))
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, &Options{
		PublicURL: &url.URL{Scheme: "http", Host: redirect.Host},
		OIDC: []OIDCConfig{{
			Issuer: issuer, ClientID: cmp.Or(os.Getenv("SHOEBOX_TEST_OIDC_CLIENT_ID"), "gateway"),
			ClientSecret: account.Secret(cmp.Or(os.Getenv("SHOEBOX_TEST_OIDC_CLIENT_SECRET"), "gateway-secret")), AllowDomains: []string{"example.test"},
		}},
	})
	l, err := net.Listen("tcp", redirect.Host)
	if err != nil {
		t.Fatal(err)
	}
	s := g.siteAt(t, l)
	for _, sub := range []string{"alice", "bob", "alice"} {
		b := newBrowser(t)
		if v := b.signIn(s, sub); v.code != 200 || v.body != sub || v.url.Path != "/albums" {
			t.Fatalf("got %d at %s: %s\n%s", v.code, v.url, v.body, g.log)
		}
		u, err := g.accounts.UserByIdentity(t.Context(), issuer, sub)
		if err != nil || u.Email != sub+"@example.test" {
			t.Errorf("user is %+v, %v", u, err)
		}
		v := b.post(s.URL+"/logout", nil, "Sec-Fetch-Site", "same-origin")
		to := forwardOf(t, v)
		if v := b.get(to.String()); v.code != 200 || !strings.Contains(v.body, "logout") {
			t.Errorf("the provider's logout: %d %s", v.code, v.body)
		}
	}
	if users, err := g.accounts.Users(t.Context()); err != nil || len(users) != 2 {
		t.Errorf("users are %v, %v", users, err)
	}
	if v := newBrowser(t).signIn(s, "unverified"); v.code != 403 || !strings.Contains(v.body, "not verified") {
		t.Errorf("e-mail not verified: got %d %s", v.code, v.body)
	}
}

// TestConnectNeedsAFreshProof: a browser left open does not let who finds it sign in as
// its user from then on.
func TestConnectNeedsAFreshProof(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	g, p, s := provided(t, func(o *Options) { o.Now = now })
	p.person("ana", "ana@example.org")
	p.person("eve", "eve@elsewhere.example")
	connect := url.Values{"login_hint": {"eve"}, "return": {"/devices"}}
	b := newBrowser(t)
	b.signIn(s, "ana")
	ahead.Store(int64(9*time.Minute + 30*time.Second))
	to := forwardOf(t, b.post(s.URL+"/login/oidc/connect", connect))
	ahead.Store(int64(11 * time.Minute))
	if v := b.get(to.String()); v.code != 403 || !strings.Contains(v.body, "Sign in again") {
		t.Errorf("back too late: got %d %s", v.code, v.body)
	}
	v := b.post(s.URL+"/login/oidc/connect", connect)
	if v.code != 403 || !strings.Contains(v.body, `href="/login/oidc?confirm&amp;return=%2Fdevices"`) {
		t.Errorf("signed in a while ago: got %d %s", v.code, v.body)
	}
	if _, err := g.accounts.UserByIdentity(t.Context(), p.URL, "eve"); !errors.Is(err, account.ErrNotExist) {
		t.Errorf("eve can sign in: %v", err)
	}
}

// TestSignInIsNotDelayed: who fails, behind the same address, delays nobody else's sign-in.
func TestSignInIsNotDelayed(t *testing.T) {
	_, p, s := provided(t)
	p.person("ana", "ana@example.org")
	code := 0
	for range failureBurst + 1 {
		code = newBrowser(t).get(s.URL + "/login/oidc/callback?state=x&code=y").code
	}
	if code != 429 {
		t.Errorf("after %d failures: got %d", failureBurst, code)
	}
	if v := newBrowser(t).signIn(s, "ana"); v.body != "ana" {
		t.Errorf("got %d %s", v.code, v.body)
	}
}

// TestFormsAreNotSpooled: nobody has to be signed in for these, so no body is kept.
func TestFormsAreNotSpooled(t *testing.T) {
	g, _, _ := provided(t)
	mux := http.NewServeMux()
	g.Routes(mux)
	r := httptest.NewRequest("GET", "https://sb.example/login/oidc?return=/x", noBody{t})
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if w.Code != 302 || r.MultipartForm != nil {
		t.Errorf("got %d, form %v", w.Code, r.MultipartForm)
	}
}
