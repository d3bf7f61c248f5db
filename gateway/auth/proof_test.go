package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// A vouched is somebody who signed in at a provider and has an app password.
type vouched struct {
	gate
	t    *testing.T
	p    *testProvider
	s    *httptest.Server
	b    browser
	u    *account.User
	pass string
	now  time.Time

	store *kvtest.Faults // of the accounts
}

func newVouched(t *testing.T, change func(*testProvider, *Options)) *vouched {
	t.Helper()
	v := &vouched{t: t, now: time.Now()}
	clock := func() time.Time { return v.now }
	v.p = newTestProvider(t)
	v.p.offline, v.p.clock = true, clock
	o := &Options{Now: clock, OIDC: []OIDCConfig{{Issuer: v.p.URL, ClientID: testClient, ClientSecret: testSecret, AllowDomains: []string{"example.org"}}}}
	if change != nil {
		change(v.p, o)
	}
	v.store = kvtest.NewFaults(memkv.New(), nil)
	accounts, err := account.Open(t.Context(), membucket.New(), v.store, account.GenerateKeys(), &account.Options{Now: clock, SessionLife: 365 * 24 * time.Hour, SessionIdle: 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, o)
	g.Auth.accounts, g.accounts = accounts, accounts
	v.gate = gate{g.Auth, accounts, g.log}
	v.s = v.site(t)
	v.p.person("ana", "ana@example.org")
	v.b = newBrowser(t)
	v.signIn()
	if v.u, err = accounts.UserByIdentity(t.Context(), v.p.URL, "ana"); err != nil {
		t.Fatal(err, g.log)
	}
	_, v.pass = v.mint(t, v.u, account.MintOptions{DAV: true, S3: true})
	return v
}

func (v *vouched) signIn() {
	v.t.Helper()
	if got := v.b.signIn(v.s, "ana"); got.code != 200 || got.body != "ana" {
		v.t.Fatalf("sign in: %d at %s: %s\n%s", got.code, got.url, got.body, v.log)
	}
}

// works says what becomes of the app password.
func (v *vouched) works() error {
	_, _, err := v.accounts.Check(v.t.Context(), v.pass)
	return err
}

func (v *vouched) prove() {
	v.t.Helper()
	if err := v.ProveDue(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vouched) want(err error) {
	v.t.Helper()
	if got := v.works(); !errors.Is(got, err) {
		v.t.Fatalf("app password: %v, want %v\n%s", got, err, v.log)
	}
}

const day = 24 * time.Hour

func TestProofDaily(t *testing.T) {
	v := newVouched(t, func(p *testProvider, _ *Options) { p.rotates = true })
	before := v.p.requests
	v.prove()
	if v.p.requests != before {
		t.Error("the provider was asked though it had just vouched")
	}
	for range 40 { // longer than the grace period
		v.now = v.now.Add(day + time.Minute)
		v.prove()
		v.want(nil)
	}
	if v.p.requests != before+40 {
		t.Errorf("the provider was asked %d times in 40 days", v.p.requests-before)
	}
	v.p.set(func() { v.p.disabled["ana"] = true })
	v.now = v.now.Add(day + time.Minute)
	v.prove()
	v.want(account.ErrLapsed)
	if got := v.b.get(v.s.URL + "/"); got.url.Path != "/login" {
		t.Errorf("the session goes on at %s", got.url)
	}
	u, err := v.accounts.User(t.Context(), v.u.UID)
	if err != nil || u.State != account.Lapsed {
		t.Errorf("user is %+v, %v", u, err)
	}

	// Signing in again restores, the very same app password.
	v.p.set(func() { v.p.disabled["ana"] = false })
	v.signIn()
	v.want(nil)
	events, err := v.accounts.Events(t.Context(), 100)
	if err != nil || !slices.ContainsFunc(events, func(e account.Event) bool { return e.What == "suspended by the provider" && e.UID == u.UID }) {
		t.Errorf("events are %+v, %v", events, err)
	}
	if strings.Contains(v.log.String(), "canary-") {
		t.Error("the log tells a secret")
	}
}

func TestProofOtherErrorsChangeNothing(t *testing.T) {
	for _, fail := range []string{"503 down", "500 server_error", "400 invalid_client", "401 invalid_client", "400 temporarily_unavailable", "429 slow_down", "400 invalid_request"} {
		t.Run(fail, func(t *testing.T) {
			v := newVouched(t, nil)
			v.p.set(func() { v.p.failWith = fail })
			for range 29 {
				v.now = v.now.Add(day)
				v.prove()
				v.want(nil)
			}
			v.p.set(func() { v.p.failWith = "" })
			v.now = v.now.Add(time.Hour)
			v.prove()
			v.now = v.now.Add(29 * day)
			v.want(nil)
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		v := newVouched(t, nil)
		v.p.Close()
		v.now = v.now.Add(29 * day)
		v.prove()
		v.want(nil)
		v.now = v.now.Add(2 * day)
		v.prove()
		v.want(account.ErrLapsed)
	})
}

func TestProofGrace(t *testing.T) {
	v := newVouched(t, func(p *testProvider, _ *Options) { p.offline = false }) // no refresh token
	end, err := v.accounts.ProofEnds(t.Context(), v.u.UID)
	if err != nil || end.Sub(v.now) < 30*day-time.Second || end.Sub(v.now) > 30*day {
		t.Errorf("it ends at %v, %v", end, err)
	}
	v.now = v.now.Add(29 * day)
	v.prove()
	v.want(nil)
	v.signIn() // begins anew
	v.now = v.now.Add(29 * day)
	v.prove()
	v.want(nil)
	v.now = v.now.Add(2 * day)
	v.prove()
	v.want(account.ErrLapsed)
	// The operator may vouch in the provider's place, for a period of grace.
	if err := v.accounts.SetState(t.Context(), v.u.UID, account.Active); err != nil {
		t.Fatal(err)
	}
	v.now = v.now.Add(29 * day)
	v.prove()
	v.want(nil)
}

// TestProofRuleStillCounts: who is not allowed any more is out, though the account stands.
func TestProofRuleStillCounts(t *testing.T) {
	v := newVouched(t, nil)
	v.p.person("ana", "ana@elsewhere.example")
	v.now = v.now.Add(day + time.Minute)
	v.prove()
	v.want(account.ErrLapsed)
}

// TestProofSuspendedStays: what the operator suspended, no provider restores.
func TestProofSuspendedStays(t *testing.T) {
	v := newVouched(t, nil)
	if err := v.accounts.SetState(t.Context(), v.u.UID, account.Suspended); err != nil {
		t.Fatal(err)
	}
	v.now = v.now.Add(day + time.Minute)
	v.prove()
	v.want(account.ErrSuspended)
	if got := v.b.signIn(v.s, "ana"); got.code != 403 || !strings.Contains(got.body, "suspended") {
		t.Errorf("sign in: %d %s", got.code, got.body)
	}
	v.want(account.ErrSuspended)
}

func TestProofAsksForConsentOnce(t *testing.T) {
	v := newVouched(t, func(p *testProvider, _ *Options) { p.asks = true })
	prompts := func() (list []string) {
		v.p.set(func() {
			for _, q := range v.p.asked {
				list = append(list, q.Get("prompt"))
			}
			v.p.asked = nil
		})
		return list
	}
	if got := prompts(); !slices.Equal(got, []string{"", "consent"}) {
		t.Errorf("the first sign-in asked with prompts %q", got)
	}
	v.signIn()
	if got := prompts(); !slices.Equal(got, []string{""}) {
		t.Errorf("the next sign-in asked with prompts %q", got)
	}
	v.p.set(func() { v.p.disabled["ana"] = true })
	v.now = v.now.Add(day + time.Minute)
	v.prove()
	v.want(account.ErrLapsed)
}

func TestBackchannelLogout(t *testing.T) {
	post := func(v *vouched, token string) int {
		r, err := http.NewRequestWithContext(t.Context(), "POST", v.s.URL+"/login/oidc/backchannel", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Header.Get("Cache-Control") != "no-store" {
			t.Error("the answer may be stored")
		}
		return res.StatusCode
	}
	t.Run("is refused", func(t *testing.T) {
		for name, change := range map[string]func(map[string]any){
			"another issuer":   func(c map[string]any) { c["iss"] = "https://evil.example" },
			"another audience": func(c map[string]any) { c["aud"] = "other" },
			"expired":          func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
			"a nonce":          func(c map[string]any) { c["nonce"] = "n" },
			"no event":         func(c map[string]any) { delete(c, "events") },
			"no jti":           func(c map[string]any) { delete(c, "jti") },
			"nobody":           func(c map[string]any) { delete(c, "sub"); delete(c, "sid") },
		} {
			t.Run(name, func(t *testing.T) {
				v := newVouched(t, nil)
				if code := post(v, v.p.logoutToken("ana", "", change)); code != 400 {
					t.Errorf("answered %d", code)
				}
				if got := v.b.get(v.s.URL + "/"); got.body != "ana" {
					t.Error("the session ended")
				}
			})
		}
		v := newVouched(t, nil)
		for _, token := range []string{"", "x", "a.b.c"} {
			if code := post(v, token); code != 400 {
				t.Errorf("%q: answered %d", token, code)
			}
		}
	})
	for _, by := range []struct{ name, sub, sid string }{{"subject", "ana", ""}, {"session", "", "session-of-ana"}, {"both", "ana", "session-of-ana"}} {
		t.Run("by "+by.name, func(t *testing.T) {
			v := newVouched(t, nil)
			v.p.person("bo", "bo@example.org")
			other := newBrowser(t)
			other.signIn(v.s, "bo")
			token := v.p.logoutToken(by.sub, by.sid, nil)
			if code := post(v, token); code != 200 {
				t.Fatalf("answered %d\n%s", code, v.log)
			}
			if got := v.b.get(v.s.URL + "/"); got.url.Path != "/login" {
				t.Error("the session goes on")
			}
			if got := other.get(v.s.URL + "/"); got.body != "bo" {
				t.Error("another's session ended")
			}
			v.prove()
			v.want(nil) // the phone goes on
			if code := post(v, token); code != 400 {
				t.Errorf("replay: answered %d", code)
			}
		})
	}
	// A disabled account: the provider says signed out, is asked, and that is the end, at once.
	t.Run("disabled", func(t *testing.T) {
		v := newVouched(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- v.Run(ctx) }()
		v.p.set(func() { v.p.disabled["ana"] = true })
		ended := make(chan error, 1)
		stop := v.accounts.Follow(ctx, v.u.UID, keyID(v.pass), "", func(why error) { ended <- why })
		defer stop()
		if code := post(v, v.p.logoutToken("ana", "", nil)); code != 200 {
			t.Fatalf("answered %d", code)
		}
		select {
		case why := <-ended:
			if !errors.Is(why, account.ErrLapsed) {
				t.Errorf("ended by %v", why)
			}
		case <-time.After(6 * time.Second):
			t.Error("what is under way goes on")
		}
		v.want(account.ErrLapsed)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestConfirm(t *testing.T) {
	v := newVouched(t, nil)
	session := func() *account.Session {
		t.Helper()
		list, err := v.accounts.Sessions(t.Context(), v.u.UID)
		if err != nil || len(list) != 1 {
			t.Fatalf("sessions are %v, %v", list, err)
		}
		return list[0]
	}
	v.p.set(func() { v.p.since = time.Hour })
	v.signIn()
	if ago := time.Since(session().AuthTime); ago < 50*time.Minute {
		t.Errorf("auth time is %v ago", ago)
	}
	v.p.set(func() { v.p.asked = nil })
	if got := v.b.get(v.s.URL + "/login/oidc?confirm&login_hint=ana&return=/devices"); got.code != 200 || got.url.Path != "/devices" {
		t.Fatalf("confirm: %d at %s", got.code, got.url)
	}
	if q := v.p.asked[0]; q.Get("prompt") != "login" || q.Get("max_age") != "600" {
		t.Errorf("asked with %v", q)
	}
	if ago := time.Since(session().AuthTime); ago > time.Minute {
		t.Errorf("auth time is %v ago", ago)
	}
	// A provider that does not ask although it was told to is not believed.
	v.p.set(func() { v.p.idToken = func(c map[string]any) { c["auth_time"] = time.Now().Add(-time.Hour).Unix() } })
	if got := v.b.get(v.s.URL + "/login/oidc?confirm&login_hint=ana"); got.code != 403 {
		t.Errorf("an old proof: %d", got.code)
	}
	// Without auth_time, only what was asked for anew is fresh.
	v.p.set(func() { v.p.idToken, v.p.noAuthTime = nil, true })
	v.signIn()
	if time.Since(session().AuthTime) < time.Hour {
		t.Error("a sign-in that may be old counts as fresh")
	}
	v.b.get(v.s.URL + "/login/oidc?confirm&login_hint=ana")
	if time.Since(session().AuthTime) > time.Minute {
		t.Error("a new sign-in does not count as fresh")
	}
}

func TestSeveralProviders(t *testing.T) {
	one, two := newTestProvider(t), newTestProvider(t)
	one.person("ana", "ana@example.org")
	two.person("ana", "ana@example.org")
	two.person("bo", "bo@two.example")
	g := newGate(t, &Options{OIDC: []OIDCConfig{
		{Issuer: one.URL, ClientID: testClient, ClientSecret: testSecret, AllowDomains: []string{"example.org"}},
		{ID: "two", Name: "Two", Issuer: two.URL, ClientID: testClient, ClientSecret: testSecret, AllowEmails: []string{"bo@two.example", "ana@example.org"}},
	}})
	s := g.site(t)
	if list := g.Providers(); len(list) != 2 || list[1] != (Provider{"Two", two.URL, "/login/oidc/two"}) {
		t.Errorf("providers are %+v", list)
	}
	if v := newBrowser(t).get(s.URL + "/login/oidc?login_hint=ana"); v.body != "ana" {
		t.Errorf("at one: %d %s", v.code, v.body)
	}
	// The same subject and address at another provider is somebody else.
	if v := newBrowser(t).get(s.URL + "/login/oidc/two?login_hint=ana"); v.body != "ana2" {
		t.Errorf("at two: %d %s", v.code, v.body)
	}
	if v := newBrowser(t).get(s.URL + "/login/oidc/two?login_hint=bo"); v.body != "bo" {
		t.Errorf("at two: %d %s", v.code, v.body)
	}
	// Each has rules of its own.
	one.person("bo", "bo@two.example")
	if v := newBrowser(t).get(s.URL + "/login/oidc?login_hint=bo"); v.code != 403 {
		t.Errorf("bo at one: %d", v.code)
	}
	if v := newBrowser(t).get(s.URL + "/login/oidc/three"); v.code != 404 {
		t.Errorf("no such provider: %d", v.code)
	}
	// Mix-up: an answer meant for one provider does nothing at another's address.
	b := newBrowser(t)
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasSuffix(r.URL.Path, "/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	v := b.get(s.URL + "/login/oidc/two?login_hint=bo")
	at, err := url.Parse(v.head.Get("Location"))
	if err != nil || !strings.HasPrefix(at.Path, "/login/oidc/two/") {
		t.Fatalf("the provider sends to %s, %v", at, err)
	}
	at.Path = "/login/oidc/callback"
	if v := b.get(at.String()); v.code != 403 || !strings.Contains(g.log.String(), "reason=bad-cookie") {
		t.Errorf("mix-up: %d", v.code)
	}
	for _, list := range [][]OIDCConfig{
		{{Issuer: "https://a.example", ClientID: "c"}, {Issuer: "https://b.example", ClientID: "c"}},
		{{Issuer: "https://a.example", ClientID: "c"}, {ID: "b", Issuer: "https://a.example", ClientID: "d"}},
		{{ID: "callback", Issuer: "https://a.example", ClientID: "c"}},
		{{ID: "A/b", Issuer: "https://a.example", ClientID: "c"}},
	} {
		if _, err := New(g.accounts, &Options{OIDC: list}); err == nil {
			t.Errorf("%+v was accepted", list)
		}
	}
}

// TestSetup: whoever has the setup link becomes the owner, at the first sign-in, with no
// rule that would allow it.
func TestSetup(t *testing.T) {
	g, p, s := provided(t)
	p.person("zoe", "zoe@elsewhere.example")
	p.person("eve", "eve@elsewhere.example")
	owner, _, err := g.accounts.EnsureOwner(t.Context(), "owner")
	if err != nil {
		t.Fatal(err)
	}
	token, err := g.accounts.NewLoginLink(t.Context(), owner.UID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	link := "/login/oidc?login_hint=zoe&setup=" + string(token)
	if v := newBrowser(t).get(s.URL + "/login/oidc?login_hint=zoe&setup=wrong"); v.code != 403 {
		t.Errorf("a wrong code: %d", v.code)
	}
	b := newBrowser(t)
	for range 2 { // a preview uses nothing up, and the link alone connects nobody
		v := b.get(s.URL + link)
		if v.code != 200 || v.url.Path != "/login/oidc" || !strings.Contains(v.body, "From now on you sign in here as owner") || !strings.Contains(v.body, `action="/login/oidc/setup?login_hint=zoe"`) {
			t.Fatalf("the page: %d at %s: %s", v.code, v.url, v.body)
		}
	}
	form := url.Values{"t": {string(token)}}
	if v := b.post(s.URL+"/login/oidc/setup?login_hint=zoe", form, "Sec-Fetch-Site", "cross-site"); v.code != 403 {
		t.Errorf("from another site: %d", v.code)
	}
	eve := newBrowser(t)
	late := forwardOf(t, eve.post(s.URL+"/login/oidc/setup?login_hint=eve", form))
	if v := b.get(forwardOf(t, b.post(s.URL+"/login/oidc/setup?login_hint=zoe", form)).String()); v.body != "owner" {
		t.Fatalf("setup: %d %s\n%s", v.code, v.body, g.log)
	}
	if v := newBrowser(t).get(s.URL + link); v.code != 403 {
		t.Errorf("the code again: %d", v.code)
	}
	if v := eve.get(late.String()); v.code != 403 {
		t.Errorf("two at once: %d", v.code)
	}
	if v := newBrowser(t).get(s.URL + "/login/oidc?login_hint=zoe"); v.body != "owner" {
		t.Errorf("the next sign-in: %d %s", v.code, v.body)
	}
	if strings.Contains(g.log.String(), string(token)) {
		t.Error("the log tells the code")
	}
}

func keyID(password string) string { id, _, _ := account.Parse(password); return id }

// TestProofBesideSignIn: the answer to an old token does not undo a sign-in that was
// quicker.
func TestProofBesideSignIn(t *testing.T) {
	v := newVouched(t, nil)
	old, err := v.accounts.Proofs(t.Context(), v.u.UID)
	if err != nil || len(old) != 1 {
		t.Fatal(old, err)
	}
	v.now = v.now.Add(time.Second)
	v.signIn()
	if lapsed, err := v.accounts.Disproved(t.Context(), old[0]); err != nil || lapsed {
		t.Errorf("lapsed: %v, %v", lapsed, err)
	}
	v.want(nil)
}

// TestProofSoonIsNotForgotten: what could not be asked at once is asked in the next round.
func TestProofSoonIsNotForgotten(t *testing.T) {
	v := newVouched(t, nil)
	v.p.set(func() { v.p.failWith, v.p.disabled["ana"] = "503 down", true })
	v.proveSoon(v.u.UID)
	v.prove()
	v.want(nil)
	v.p.set(func() { v.p.failWith = "" })
	v.prove()
	v.want(account.ErrLapsed)
}

// TestProofSurvivesTheIndex: whom the provider is to be asked about at once is not forgotten
// because the index could not be read, whichever read it was; nor who is not invited any more.
func TestProofSurvivesTheIndex(t *testing.T) {
	for _, offline := range []bool{true, false} {
		failed := 0
		for n := range 12 {
			v := newVouched(t, func(p *testProvider, o *Options) {
				p.offline = offline
				o.OIDC[0].AllowDomains, o.OIDC[0].AllowEmails = nil, []string{"ana@example.org"}
			})
			if err := v.accounts.Invite(t.Context(), v.p.URL, "ana@example.org", "ana"); err != nil {
				t.Fatal(err)
			}
			v.oidc[0].c.AllowEmails = nil // by the invitation alone
			if err := v.accounts.Withdraw(t.Context(), v.p.URL, "ana@example.org"); err != nil {
				t.Fatal(err)
			}
			reads := 0
			v.store.Script(func(c kvtest.Call) kvtest.Fault {
				if c.Method == "Commit" {
					return kvtest.Fault{}
				}
				reads++
				return kvtest.Fault{Fail: reads == n+1}
			})
			if err := v.ProveDue(t.Context()); err != nil {
				failed++
			}
			v.store.Script(nil)
			v.now = v.now.Add(time.Hour) // what failed at the provider's is tried again
			v.prove()
			v.want(account.ErrLapsed)
		}
		if failed < 3 {
			t.Errorf("only %d rounds failed", failed)
		}
	}
}

// TestInvitation: an address that was invited signs in, at that provider, while it is
// verified and the invitation stands.
func TestInvitation(t *testing.T) {
	v := newVouched(t, nil)
	v.p.person("cleo", "Cleo@elsewhere.example")
	enter := func(want int) {
		t.Helper()
		if got := newBrowser(t).signIn(v.s, "cleo"); got.code != want {
			t.Fatalf("%d, want %d: %s", got.code, want, got.body)
		}
	}
	enter(403)
	if err := v.accounts.Invite(t.Context(), "https://another.example", "cleo@elsewhere.example", "ana"); err != nil {
		t.Fatal(err)
	}
	enter(403)
	if err := v.accounts.Invite(t.Context(), v.p.URL, "cleo@elsewhere.example", "ana"); err != nil {
		t.Fatal(err)
	}
	v.p.set(func() { v.p.people["cleo"]["email_verified"] = false })
	enter(403)
	v.p.set(func() { v.p.people["cleo"]["email_verified"] = true })
	enter(200)
	cleo, err := v.accounts.UserByIdentity(t.Context(), v.p.URL, "cleo")
	if err != nil {
		t.Fatal(err)
	}
	_, secret := v.mint(t, cleo, account.MintOptions{DAV: true})
	later := func(want error) {
		t.Helper()
		v.now = v.now.Add(25 * time.Hour)
		if err := v.ProveDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.accounts.Check(t.Context(), secret); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	later(nil)
	if err := v.accounts.Withdraw(t.Context(), v.p.URL, "cleo@elsewhere.example"); err != nil {
		t.Fatal(err)
	}
	later(account.ErrLapsed)
	enter(403)
}

// TestWithdrawn: who came by an invitation is shut out in the round after it was withdrawn,
// also if the provider can not be asked, and nobody else is.
func TestWithdrawn(t *testing.T) {
	const address = "cleo@elsewhere.example"
	for _, tt := range []struct {
		name    string
		offline bool
		change  func(*OIDCConfig)
		pin     bool
		down    bool
		want    error
	}{
		{"asked at once", true, nil, false, false, account.ErrLapsed},
		{"cannot be reached", true, nil, false, true, nil},
		{"no token to ask with", false, nil, false, false, account.ErrLapsed},
		{"no token, another rule", false, func(c *OIDCConfig) { c.AllowEmails = []string{address} }, false, false, nil},
		{"no token, groups may let them in", false, func(c *OIDCConfig) { c.AllowGroups = []string{"family"} }, false, false, nil},
		{"no token, connected by themselves", false, nil, true, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVouched(t, func(p *testProvider, o *Options) {
				if p.offline = tt.offline; tt.change != nil {
					tt.change(&o.OIDC[0])
				}
			})
			if err := v.accounts.Invite(t.Context(), v.p.URL, address, "ana"); err != nil {
				t.Fatal(err)
			}
			v.p.person("cleo", address)
			if got := newBrowser(t).signIn(v.s, "cleo"); got.code != 200 {
				t.Fatalf("sign in: %d: %s", got.code, got.body)
			}
			cleo, err := v.accounts.UserByIdentity(t.Context(), v.p.URL, "cleo")
			if err != nil {
				t.Fatal(err)
			}
			if tt.pin {
				if err := v.accounts.LinkIdentity(t.Context(), cleo.UID, account.Identity{Issuer: v.p.URL, Subject: "cleo", Pinned: true}); err != nil {
					t.Fatal(err)
				}
			}
			_, secret := v.mint(t, cleo, account.MintOptions{DAV: true})
			check := func(want error) {
				t.Helper()
				v.prove()
				v.want(nil) // ana, who is let in by her domain
				if _, _, err := v.accounts.Check(t.Context(), secret); !errors.Is(err, want) {
					t.Errorf("got %v, want %v\n%s", err, want, v.log)
				}
			}
			check(nil)
			if tt.down {
				v.p.set(func() { v.p.failWith = "503 down" })
			}
			if err := v.accounts.Withdraw(t.Context(), v.p.URL, strings.ToUpper(address)); err != nil {
				t.Fatal(err)
			}
			check(tt.want)
			if tt.down { // it is not forgotten
				v.p.set(func() { v.p.failWith = "" })
				check(account.ErrLapsed)
			}
		})
	}
}
