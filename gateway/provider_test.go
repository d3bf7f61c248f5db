package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// The providers are those of npm, in the version that their test is written for.
const (
	oidcProvider = "oidc-provider@9.13.3"
	mockServer   = "oauth2-mock-server@8.2.3"
)

// realProvider starts a provider: testdata's script, with arguments, over a package that
// is installed for the test. SHOEBOX_TEST_OIDC_PROVIDER names a directory where both
// packages are already.
func realProvider(t *testing.T, pkg, name string, args ...string) {
	t.Helper()
	dir := os.Getenv("SHOEBOX_TEST_OIDC_PROVIDER")
	if dir == "" {
		if testing.Short() {
			t.Skip("an OIDC provider is installed only without -short")
		}
		for _, program := range []string{"node", "npm"} {
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("no OIDC provider: there is no %s here", program)
			}
		}
		dir = t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0", "--fetch-timeout=10000", "--silent", pkg)
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			t.Skipf("no OIDC provider: %s cannot be installed: %v %s", pkg, err, out)
		}
	}
	script, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, script, 0o600); err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", append([]string{path}, args...)...)
	node.Dir = dir
	stderr := new(syncBuffer)
	node.Stderr = stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Process.Kill(); node.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			go io.Copy(io.Discard, out)
			return
		}
	}
	t.Fatalf("the OIDC provider did not start: %s", stderr)
}

// A surfer is a browser with cookies.
type surfer struct {
	*http.Client
	t *testing.T
}

func newSurfer(t *testing.T) surfer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	// Browsers follow 20; a first sign-in takes two trips with a few at the provider each.
	limit := func(_ *http.Request, via []*http.Request) error {
		if len(via) > 20 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return surfer{&http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: limit}, t}
}

// open is where a GET, or with a form a POST, leads to, and what is there.
func (b surfer) open(to string, form url.Values) (*http.Response, string) {
	b.t.Helper()
	method, body := "GET", io.Reader(nil)
	if form != nil {
		method, body = "POST", strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, to, body)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res, string(text)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// mocked is a house whose provider is the one that mock.mjs is.
func mocked(t *testing.T, issuer string) *house {
	return newHouse(t, func(o *auth.Options) {
		o.OIDC = []auth.OIDCConfig{{ID: "mock", Issuer: issuer, ClientID: "shoebox", ClientSecret: "canary-client-secret", AllowEmails: []string{"carol@example.org"}}}
		o.ProofEvery = time.Nanosecond
	})
}

// TestAnotherProvider: the way in, a proof, and the end, at an implementation that has
// nothing in common with the other.
func TestAnotherProvider(t *testing.T) {
	port := freePort(t)
	issuer := "http://127.0.0.1:" + port
	h := mocked(t, issuer)
	realProvider(t, mockServer, "mock.mjs", port)
	b := newSurfer(t)
	res, text := b.open(h.web.URL+"/login/oidc/mock?return=/account", nil)
	if res.StatusCode != 200 || res.Request.URL.Path != "/account" || !strings.Contains(text, "this one") {
		t.Fatalf("sign in: %s at %s\n%s\n%s", res.Status, res.Request.URL, text, h.log)
	}
	u, err := h.accounts.UserByIdentity(t.Context(), issuer, "carol")
	if err != nil || u.Login != "carol" {
		t.Fatalf("user is %+v, %v", u, err)
	}
	phone := h.tenant("carol", account.MintOptions{})
	if err := h.auth.ProveDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := phone.dav("PROPFIND", "/dav/", "", "Depth", "0"); a.code != 207 || strings.Contains(h.log.String(), "level=WARN") {
		t.Fatalf("after a proof: %d\n%s", a.code, h.log)
	}
	t.Run("answers that are not right", func(t *testing.T) { testSpoilt(t, issuer) })
	b.open(issuer+"/test/disable", nil)
	if err := h.auth.ProveDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dav, s3 := phone.dav("PROPFIND", "/dav/", "", "Depth", "0"), phone.s3("GET", "/", ""); dav.code != 401 || s3.code != 403 {
		t.Errorf("disabled: WebDAV %d, S3 %d\n%s", dav.code, s3.code, h.log)
	}
}

// testSpoilt: a provider whose answers are wrong in one way signs nobody in, and one whose
// keys are new does.
func testSpoilt(t *testing.T, issuer string) {
	order := func(what string) {
		t.Helper()
		if res, text := newSurfer(t).open(issuer+"/test/"+what, nil); res.StatusCode != 204 {
			t.Fatalf("%s: %s %s", what, res.Status, text)
		}
	}
	signIn := func() (bool, string) {
		h := mocked(t, issuer) // a house of its own each time, for it limits failures
		res, text := newSurfer(t).open(h.web.URL+"/login/oidc/mock?return=/account", nil)
		in := res.StatusCode == 200 && res.Request.URL.Path == "/account" && strings.Contains(h.log.String(), `what="signed in"`)
		return in, fmt.Sprint(res.Status, " ", text, h.log)
	}
	now := time.Now().Unix()
	for _, c := range []struct{ claim, value string }{
		{"state", `"of another"`}, {"nonce", `"of another"`}, {"nonce", `""`}, {"aud", `"another client"`}, {"aud", `[]`},
		{"iss", `"http://127.0.0.1:1"`}, {"iss", fmt.Sprintf("%q", issuer+"/")}, {"exp", fmt.Sprint(now - 600)}, {"nbf", fmt.Sprint(now + 3600)},
		{"sub", `""`}, {"email", `"mallory@elsewhere.example"`}, {"email_verified", `false`},
	} {
		order("spoil?" + url.Values{"claim": {c.claim}, "value": {c.value}}.Encode())
		if in, text := signIn(); in || !strings.HasPrefix(text, "403") {
			t.Errorf("%s %s: in: %v, %s", c.claim, c.value, in, text)
		}
	}
	order("spoil")
	order("forge")
	if in, text := signIn(); in || !strings.HasPrefix(text, "403") {
		t.Errorf("signed with a key that is not published: in: %v, %s", in, text)
	}
	order("rotate")
	if in, text := signIn(); !in {
		t.Errorf("signed with a new key: %s", text)
	}
}

// TestRealProvider: an account's life, at a provider that is not ours.
func TestRealProvider(t *testing.T) {
	port := freePort(t)
	issuer := "http://127.0.0.1:" + port
	h := newHouse(t, func(o *auth.Options) {
		o.OIDC = []auth.OIDCConfig{{Issuer: issuer, ClientID: "shoebox", ClientSecret: "canary-client-secret", AllowDomains: []string{"example.org"}}}
	})
	realProvider(t, oidcProvider, "provider.mjs", port, h.web.URL)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.auth.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	order := func(what string, q url.Values) {
		t.Helper()
		res, text := newSurfer(t).open(issuer+"/test/"+what+"?"+q.Encode(), nil)
		if res.StatusCode != 204 {
			t.Fatalf("%s: %s %s", what, res.Status, text)
		}
	}
	signedIn := func(b surfer) bool {
		t.Helper()
		res, _ := b.open(h.web.URL+"/account", nil)
		return res.Request.URL.Path == "/account"
	}
	signIn := func(b surfer, more string) {
		t.Helper()
		res, text := b.open(h.web.URL+"/login/oidc?login_hint=alice&return=/account"+more, nil)
		if res.StatusCode != 200 || res.Request.URL.Path != "/account" || !strings.Contains(text, "this one") {
			t.Fatalf("sign in: %s at %s\n%s\n%s", res.Status, res.Request.URL, text, h.log)
		}
	}
	eventually := func(what string, within time.Duration, f func() bool) {
		t.Helper()
		start := time.Now()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !f() {
			if time.Since(start) > within {
				t.Fatalf("%s: not within %v\n%s", what, within, h.log)
			}
			<-tick.C
		}
		t.Logf("%s: after %v", what, time.Since(start).Round(time.Millisecond))
	}

	b := newSurfer(t)
	signIn(b, "")
	u, err := h.accounts.UserByIdentity(t.Context(), issuer, "alice")
	if err != nil || u.Login != "alice" || u.Email != "alice@example.org" {
		t.Fatalf("user is %+v, %v", u, err)
	}
	proofs, err := h.accounts.Proofs(t.Context(), u.UID)
	if err != nil || len(proofs) != 1 || proofs[0].Token == "" {
		t.Fatalf("proofs are %+v, %v: there is no refresh token", proofs, err)
	}
	phone := h.tenant("alice", account.MintOptions{Label: "phone"}) // begins a session besides
	phone.put("photos/a.txt", "alice's")
	works := func() (dav, s3 int) {
		return phone.dav("GET", "/dav/photos/a.txt", "").code, phone.s3("GET", "/photos/a.txt", "").code
	}
	if dav, s3 := works(); dav != 200 || s3 != 200 {
		t.Fatalf("the phone: WebDAV %d, S3 %d", dav, s3)
	}

	t.Run("another e-mail address, the same library", func(t *testing.T) {
		order("email", url.Values{"sub": {"alice"}, "email": {"alice.b@example.org"}})
		signIn(newSurfer(t), "")
		again, err := h.accounts.UserByIdentity(t.Context(), issuer, "alice")
		if err != nil || again.UID != u.UID || again.Email != "alice.b@example.org" {
			t.Errorf("user is %+v, %v", again, err)
		}
	})
	t.Run("nobody allows them", func(t *testing.T) {
		order("email", url.Values{"sub": {"mallory"}, "email": {"mallory@elsewhere.example"}})
		res, text := newSurfer(t).open(h.web.URL+"/login/oidc?login_hint=mallory", nil)
		if res.StatusCode != 403 || !strings.Contains(text, "not on the list") {
			t.Errorf("%s %s", res.Status, text)
		}
	})
	t.Run("the state of another browser", func(t *testing.T) {
		one := newSurfer(t)
		one.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/login/oidc/callback" {
				return http.ErrUseLastResponse
			}
			return nil
		}
		res, _ := one.open(h.web.URL+"/login/oidc?login_hint=alice", nil)
		at := res.Header.Get("Location")
		if !strings.Contains(at, "/login/oidc/callback?") {
			t.Fatalf("at %s", at)
		}
		if res, _ := newSurfer(t).open(at, nil); res.StatusCode != 403 {
			t.Errorf("without the cookie: %s", res.Status)
		}
		two := newSurfer(t)
		two.CheckRedirect = one.CheckRedirect
		two.open(h.web.URL+"/login/oidc?login_hint=alice", nil)
		two.CheckRedirect = newSurfer(t).CheckRedirect
		if res, _ := two.open(at, nil); res.StatusCode != 403 {
			t.Errorf("with another's cookie: %s", res.Status)
		}
	})
	t.Run("proved anew", func(t *testing.T) {
		signIn(b, "&confirm")
		list, err := h.accounts.Sessions(t.Context(), u.UID)
		if err != nil || len(list) == 0 || time.Since(list[0].AuthTime) > time.Minute {
			t.Errorf("sessions are %+v, %v", list, err)
		}
	})
	t.Run("back-channel logout", func(t *testing.T) {
		if !signedIn(b) {
			t.Fatal("signed out before")
		}
		order("logout", url.Values{"sub": {"alice"}})
		eventually("the session has ended", 6*time.Second, func() bool { return !signedIn(b) })
		if dav, s3 := works(); dav != 200 || s3 != 200 {
			t.Errorf("the phone: WebDAV %d, S3 %d", dav, s3)
		}
	})
	t.Run("a disabled account", func(t *testing.T) {
		signIn(b, "")
		order("disable", url.Values{"sub": {"alice"}})
		if dav, s3 := works(); dav != 200 || s3 != 200 {
			t.Errorf("before the provider says so: WebDAV %d, S3 %d", dav, s3)
		}
		order("logout", url.Values{"sub": {"alice"}})
		eventually("WebDAV answers 401 and S3 403", 6*time.Second, func() bool { dav, s3 := works(); return dav == 401 && s3 == 403 })
		order("enable", url.Values{"sub": {"alice"}})
		signIn(newSurfer(t), "")
		if dav, s3 := works(); dav != 200 || s3 != 200 {
			t.Errorf("restored: WebDAV %d, S3 %d", dav, s3)
		}
	})
	t.Run("logout here is logout there", func(t *testing.T) {
		b := newSurfer(t)
		signIn(b, "")
		_, text := b.open(h.web.URL+"/logout", url.Values{})
		m := regexp.MustCompile(`content="0; url=([^"]*)"`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("nobody is sent on: %s", text)
		}
		_, text = b.open(strings.ReplaceAll(m[1], "&amp;", "&"), nil)
		action, xsrf := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(text), regexp.MustCompile(`name="xsrf" value="([^"]*)"`).FindStringSubmatch(text)
		if action == nil || xsrf == nil {
			t.Fatalf("the provider's logout: %s", text)
		}
		res, text := b.open(action[1], url.Values{"xsrf": {xsrf[1]}, "logout": {"yes"}})
		if res.Request.URL.Host != strings.TrimPrefix(h.web.URL, "http://") {
			t.Errorf("after it: %s at %s %s", res.Status, res.Request.URL, text)
		}
		if signedIn(b) {
			t.Error("still signed in")
		}
		if dav, s3 := works(); dav != 200 || s3 != 200 {
			t.Errorf("the phone: WebDAV %d, S3 %d", dav, s3)
		}
	})
	for _, secret := range []string{"canary-client-secret", phone.password, string(proofs[0].Token)} {
		if strings.Contains(h.log.String(), secret) {
			t.Error("the log tells a secret")
		}
	}
}
