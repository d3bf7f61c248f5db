package auth

import (
	"context"
	"crypto/tls"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// noBody fails the test when it is read.
type noBody struct{ t testing.TB }

func (b noBody) Read([]byte) (int, error) {
	b.t.Error("the body was read")
	return 0, io.EOF
}

// ask sends a PUT with Basic credentials to Basic and says whom it let in.
func (g gate) ask(t testing.TB, name, password string, change ...func(*http.Request)) (*httptest.ResponseRecorder, *Principal) {
	t.Helper()
	var who *Principal
	h := g.Basic("Shoebox", "dav", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { who = From(r.Context()) }))
	r := httptest.NewRequest("PUT", "/dav/photos/a.jpg", noBody{t})
	r.RemoteAddr = "127.0.0.1:4000"
	if name != "" || password != "" {
		r.SetBasicAuth(name, password)
	}
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w, who
}

func TestBasic(t *testing.T) {
	g := newGate(t, nil)
	ana := g.user(t, account.NewUser{Login: "ana", Name: "Ana", Email: "Ana@Example.org", Quota: 5})
	p, secret := g.mint(t, ana, account.MintOptions{Label: "phone", DAV: true, Mode: backend.UploadOnly, Root: "aaaaaaaaaaaaaaaq"})
	for _, name := range []string{"ana", "ANA", "ana@example.org", ana.UID, strings.ToUpper(ana.UID), `HOME\ana`} {
		w, who := g.ask(t, name, secret)
		if w.Code != 200 || who == nil {
			t.Fatalf("%q: %d %s", name, w.Code, w.Body)
		}
		want := Principal{
			UID: ana.UID, Login: "ana", Name: "Ana", Key: p.ID, Label: "phone",
			Access: backend.Access{Mode: backend.UploadOnly, Root: "aaaaaaaaaaaaaaaq", Quota: 5, By: p.ID},
		}
		if *who != want {
			t.Errorf("%q: got %+v, want %+v", name, *who, want)
		}
	}
	list, err := g.accounts.AppPasswords(t.Context(), ana.UID)
	if err != nil || list[0].Last.Proto != "dav" || list[0].Last.Net != "127.0.0.1" {
		t.Errorf("last use is %+v, %v", list[0].Last, err)
	}
}

func TestBasicRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, nil)
		ana, ben := g.user(t, account.NewUser{Login: "ana"}), g.user(t, account.NewUser{Login: "ben"})
		_, good := g.mint(t, ana, account.MintOptions{DAV: true})
		_, bens := g.mint(t, ben, account.MintOptions{DAV: true})
		_, s3 := g.mint(t, ana, account.MintOptions{S3: true})
		old, revoked := g.mint(t, ana, account.MintOptions{DAV: true})
		_, expired := g.mint(t, ana, account.MintOptions{DAV: true, Expires: time.Now().Add(time.Minute)})
		if err := g.accounts.Revoke(t.Context(), ana.UID, old.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		general := "not accepted"
		for _, tt := range []struct {
			what, name, password string
			code                 int
			text, reason         string
		}{
			{"nothing", "", "", 401, "app password", ""},
			{"an ordinary password", "ana", "hunter2", 401, general, "malformed"},
			{"a typing error", "ana", good[:59] + string(good[59]^1), 401, general, "malformed"},
			{"another's login name", "ben", good, 401, "another login name", "wrong-account"},
			{"another's app password", "ana", bens, 401, "another login name", "wrong-account"},
			{"no login name", "", good, 401, "another login name", "wrong-account"},
			{"an S3 one", "ana", s3, 403, "not for this protocol", "scope"},
			{"a revoked one", "ana", revoked, 401, "revoked", "revoked"},
			{"an expired one", "ana", expired, 401, "expired", "expired"},
		} {
			time.Sleep(time.Hour) // none is limited
			before := g.log.String()
			w, who := g.ask(t, tt.name, tt.password)
			if who != nil || w.Code != tt.code || !strings.Contains(w.Body.String(), tt.text) {
				t.Errorf("%s: got %d %s, want %d …%s…", tt.what, w.Code, w.Body, tt.code, tt.text)
			}
			if got := w.Header().Get("WWW-Authenticate"); (tt.code == 401) != (got == `Basic realm="Shoebox", charset="UTF-8"`) {
				t.Errorf("%s: WWW-Authenticate is %q", tt.what, got)
			}
			line := strings.TrimPrefix(g.log.String(), before)
			if tt.reason == "" && line != "" || tt.reason != "" && !strings.Contains(line, "reason="+tt.reason) {
				t.Errorf("%s: logged %q", tt.what, line)
			}
		}
		if err := g.accounts.SetState(t.Context(), ana.UID, account.Suspended); err != nil {
			t.Fatal(err)
		}
		if w, _ := g.ask(t, "ana", good); w.Code != 401 || !strings.Contains(w.Body.String(), "suspended") {
			t.Errorf("suspended: got %d %s", w.Code, w.Body)
		}
		// Only the holder is told the state of an app password.
		if w, _ := g.ask(t, "ana", revoked[:20]+good[20:]); strings.Contains(w.Body.String(), "revoked") {
			t.Errorf("without the secret: %s", w.Body)
		}
		for _, secret := range []string{good, bens, s3, revoked, expired, "hunter2"} {
			if strings.Contains(g.log.String(), secret) {
				t.Errorf("the log tells %q", secret)
			}
		}
	})
}

func TestBasicNeedsTLS(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.2/32")}
	from := func(addr string) func(*http.Request) {
		return func(r *http.Request) { r.RemoteAddr = addr + ":4000" }
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, tt := range []struct {
		name   string
		change []func(*http.Request)
		plain  bool
		code   int
	}{
		{"loopback", nil, false, 200},
		{"IPv6 loopback", []func(*http.Request){func(r *http.Request) { r.RemoteAddr = "[::1]:4000" }}, false, 200},
		{"another machine", []func(*http.Request){from("203.0.113.7")}, false, 403},
		{"another machine, allowed", []func(*http.Request){from("203.0.113.7")}, true, 200},
		{"TLS", []func(*http.Request){from("203.0.113.7"), func(r *http.Request) { r.TLS = new(tls.ConnectionState) }}, false, 200},
		{"says it is https", []func(*http.Request){from("203.0.113.7"), header("X-Forwarded-Proto", "https")}, false, 403},
		{"says it is loopback", []func(*http.Request){from("203.0.113.7"), header("X-Forwarded-For", "127.0.0.1")}, false, 403},
		{"trusted proxy, https", []func(*http.Request){from("10.1.2.3"), header("X-Forwarded-Proto", "https"), header("X-Forwarded-For", "203.0.113.7")}, false, 200},
		{"trusted proxy, RFC 7239", []func(*http.Request){from("10.1.2.3"), header("Forwarded", `for=203.0.113.7;proto=https`)}, false, 200},
		{"trusted proxy, http", []func(*http.Request){from("10.1.2.3"), header("X-Forwarded-Proto", "http"), header("X-Forwarded-For", "203.0.113.7")}, false, 403},
		{"trusted proxy, forged first", []func(*http.Request){from("10.1.2.3"), header("X-Forwarded-Proto", "https, http"), header("X-Forwarded-For", "203.0.113.7")}, false, 403},
		{"trusted proxy here, https", []func(*http.Request){from("127.0.0.2"), header("X-Forwarded-Proto", "https")}, false, 200},
		{"trusted proxy here, http", []func(*http.Request){from("127.0.0.2"), header("X-Forwarded-Proto", "http")}, false, 403},
		{"trusted proxy here, RFC 7239, http", []func(*http.Request){from("127.0.0.2"), header("Forwarded", "proto=http")}, false, 403},
		{"trusted proxy here, hidden client", []func(*http.Request){from("127.0.0.2"), header("Forwarded", "for=unknown;proto=http")}, false, 403},
		{"trusted proxy here, client here", []func(*http.Request){from("127.0.0.2"), header("X-Forwarded-Proto", "http"), header("X-Forwarded-For", "127.0.0.1")}, false, 200},
		{"trusted proxy here, client behind it", []func(*http.Request){from("127.0.0.2"), header("X-Forwarded-Proto", "http"), header("X-Forwarded-For", "203.0.113.7")}, false, 403},
		{"a proxy on this machine that nobody named", []func(*http.Request){header("X-Forwarded-For", "203.0.113.7")}, false, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(t, &Options{TrustedProxies: proxies, AllowPlainHTTP: tt.plain})
			_, secret := g.mint(t, g.user(t, account.NewUser{Login: "ana"}), account.MintOptions{DAV: true})
			w, who := g.ask(t, "ana", secret, tt.change...)
			if w.Code != tt.code || (who != nil) != (tt.code == 200) {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tt.code)
			}
			if w.Code == 403 && w.Header().Get("WWW-Authenticate") != "" {
				t.Error("it asks for the password in clear")
			}
		})
	}
}

func TestClientAddr(t *testing.T) {
	g := newGate(t, &Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for _, tt := range []struct{ peer, forwardedFor, forwarded, want string }{
		{"203.0.113.7:1", "", "", "203.0.113.7"},
		{"203.0.113.7:1", "198.51.100.1", "", "203.0.113.7"}, // not trusted
		{"10.0.0.1:1", "", "", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1", "", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1:5000", "", "198.51.100.1"},
		{"10.0.0.1:1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "", "198.51.100.1"}, // 1.2.3.4 is made up
		{"10.0.0.1:1", "10.0.0.3, 10.0.0.2", "", "10.0.0.3"},
		{"10.0.0.1:1", "198.51.100.1, nonsense", "", "10.0.0.1"},
		{"10.0.0.1:1", "", `for="[2001:db8::1]:4711";proto=https`, "2001:db8::1"},
		{"10.0.0.1:1", "", `for=1.2.3.4, For=198.51.100.1`, "198.51.100.1"},
		{"10.0.0.1:1", "", `for=unknown`, "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1", "198.51.100.1", "", "198.51.100.1"},
		{"[fd00::1]:1", "2001:db8::2", "", "2001:db8::2"},
		{"@", "198.51.100.1", "", "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		if tt.forwardedFor != "" {
			r.Header.Set("X-Forwarded-For", tt.forwardedFor)
		}
		if tt.forwarded != "" {
			r.Header.Set("Forwarded", tt.forwarded)
		}
		if got := g.ClientAddr(r).String(); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, &Options{AllowPlainHTTP: true})
		ana := g.user(t, account.NewUser{Login: "ana"})
		p, secret := g.mint(t, ana, account.MintOptions{DAV: true})
		at := func(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }
		fail := func(addr, password string) int {
			w, _ := g.ask(t, "ana", password, at(addr))
			if w.Code == 429 && w.Header().Get("Retry-After") != "6" {
				t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
			}
			return w.Code
		}
		for i := range 10 {
			if got := fail("203.0.113.7:1", "x"); got != 401 {
				t.Fatalf("failure %d: %d", i, got)
			}
		}
		for range 1000 { // many at once are counted, but not written
			if got := fail("203.0.113.7:1", "x"); got != 429 {
				t.Fatalf("one too many: %d", got)
			}
		}
		if got := strings.Count(g.log.String(), "auth: failed"); got != 10 {
			t.Errorf("%d lines were logged, want 10", got)
		}
		for range 500 { // a grid of thumbnails, say
			if w, _ := g.ask(t, "ana", secret, at("203.0.113.7:1")); w.Code != 200 {
				t.Fatalf("right credential: %d", w.Code)
			}
		}
		if got := fail("203.0.113.8:1", "x"); got != 401 {
			t.Errorf("another address: %d", got)
		}
		time.Sleep(6 * time.Second)
		if a, b := fail("203.0.113.7:1", "x"), fail("203.0.113.7:1", "x"); a != 401 || b != 429 {
			t.Errorf("after 6 s: %d, %d", a, b)
		}
		time.Sleep(time.Minute)
		// One network of IPv6 counts as one client, and so does one key id.
		for i := range 11 {
			if got, want := fail(fmt.Sprintf("[2001:db8::%d]:1", i+1), "x"), 401; (got == want) != (i < 10) {
				t.Errorf("IPv6, failure %d: %d", i, got)
			}
		}
		wrong := guess(p.ID)
		for i := range 11 {
			if got, want := fail(fmt.Sprintf("198.51.100.%d:1", i+1), wrong), 401; (got == want) != (i < 10) {
				t.Errorf("one key id, failure %d: %d", i, got)
			}
		}
		want := fmt.Sprintf("auth: failed ip=198.51.100.1 proto=dav key=%s reason=bad-secret", p.ID)
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("%q was not logged", want)
		}
		if strings.Contains(g.log.String(), wrong[20:]) {
			t.Error("the log tells a secret")
		}
	})
}

// guess is a wrong app password with the right check digits.
func guess(id string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	s := "sb_" + id + "_" + strings.Repeat("0", 34)
	n, sum := crc32.ChecksumIEEE([]byte(s)), [6]byte{}
	for i := 5; i >= 0; i-- {
		sum[i] = digits[n%62]
		n /= 62
	}
	return s + string(sum[:])
}

func TestLimiterIsBounded(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLimiter(func() time.Time { return now })
	for i := range 3 * maxBuckets {
		l.take(fmt.Sprint(i))
	}
	if len(l.m) > maxBuckets {
		t.Errorf("%d buckets", len(l.m))
	}
}

func TestUnreadableRegisterIsNotARefusal(t *testing.T) {
	g := newGate(t, nil)
	ana := g.user(t, account.NewUser{Login: "ana"})
	_, secret := g.mint(t, ana, account.MintOptions{DAV: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the store refuses to work for it
	w, who := g.ask(t, "ana", secret, func(r *http.Request) { *r = *r.WithContext(ctx) })
	if w.Code != 503 || who != nil {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if strings.Contains(g.log.String(), "auth: failed") {
		t.Error("it was counted as a failure")
	}
}

func TestS3Secret(t *testing.T) {
	g := newGate(t, nil)
	ana := g.user(t, account.NewUser{Login: "ana"})
	key, want := g.mint(t, ana, account.MintOptions{S3: true, Mode: backend.ReadOnly})
	dav, _ := g.mint(t, ana, account.MintOptions{DAV: true})
	r := httptest.NewRequest("GET", "/", nil)
	secret, p, err := g.S3Secret(t.Context(), key.AccessKeyID(), r)
	if err != nil || secret != want || p.UID != ana.UID || p.Key != key.ID || p.Access.Mode != backend.ReadOnly {
		t.Errorf("got %+v, %v", p, err)
	}
	for id, reason := range map[string]string{
		key.ID: "unknown", "": "unknown", "SBAAAAAAAAAAAAAAAA": "unknown", "AKIAIOSFODNN7EXAMPLE": "unknown", dav.AccessKeyID(): "scope",
	} {
		secret, _, err := g.S3Secret(t.Context(), id, r)
		if why := Refused(err); why == nil || why.Reason != reason || secret != "" {
			t.Errorf("%q: got %v, want %s", id, err, reason)
		}
	}
	if err := g.accounts.SetState(t.Context(), ana.UID, account.Suspended); err != nil {
		t.Fatal(err)
	}
	secret, p, err = g.S3Secret(t.Context(), key.AccessKeyID(), r)
	if why := Refused(err); why != account.ErrSuspended || secret != want || p == nil {
		t.Errorf("suspended: got %+v, %v", p, err)
	}
	if err := g.accounts.Revoke(t.Context(), ana.UID, key.ID); err != nil {
		t.Fatal(err)
	}
	if secret, _, err = g.S3Secret(t.Context(), key.AccessKeyID(), r); Refused(err) != account.ErrRevoked || secret != "" {
		t.Errorf("revoked: got %v", err)
	}
}

func BenchmarkBasic(b *testing.B) {
	g := newGate(b, nil)
	_, secret := g.mint(b, g.user(b, account.NewUser{Login: "ana"}), account.MintOptions{DAV: true})
	h := g.Basic("Shoebox", "dav", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest("GET", "/dav/photos/a.jpg", nil)
	r.RemoteAddr = "127.0.0.1:4000"
	r.SetBasicAuth("ana", secret)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
	if w.Code != 200 {
		b.Fatal(w.Code)
	}
}
