package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// testProvider is an OIDC provider that signs in whoever login_hint names. It checks
// what a client must send; what it answers can be spoilt.
type testProvider struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	key      *rsa.PrivateKey
	kid      string
	people   map[string]map[string]any // by subject: claims
	grants   map[string]url.Values     // by code: the authorization request
	access   map[string]string         // access token: subject
	requests int                       // token requests

	// Spoilers and variants.
	authorize  func(answer url.Values)            // changes what goes back to the client
	idToken    func(claims map[string]any)        // changes the ID token's claims
	sign       func(header, claims []byte) string // instead of RS256
	userInfo   func(claims map[string]any)        // changes UserInfo
	emailInID  bool                               // claims of the person are in the ID token, too
	issParam   bool                               // sends iss (RFC 9207)
	endSession bool
	down       bool
	offline    bool // gives refresh tokens for offline_access
	asks       bool // … but only with prompt=consent
	clock      func() time.Time
	rotates    bool // a refresh token is good once
	noAuthTime bool

	refresh  map[string]string // refresh token: subject
	disabled map[string]bool   // by subject
	failWith string            // what the token endpoint answers instead, as "503 x"
	asked    []url.Values      // authorization requests
	last     string            // who signed in last
	holdBack func()            // called before a token request is answered
	since    time.Duration     // how long ago they did
}

const (
	testClient = "shoebox"
	testSecret = "canary-client-secret"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func newTestProvider(t testing.TB) *testProvider {
	p := &testProvider{
		t: t, key: testKey(), kid: "one", people: make(map[string]map[string]any), grants: make(map[string]url.Values),
		access: make(map[string]string), refresh: make(map[string]string), disabled: make(map[string]bool), clock: time.Now, emailInID: true, issParam: true, endSession: true,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", p.jwks)
	mux.HandleFunc("GET /authorize", p.serveAuthorize)
	mux.HandleFunc("POST /token", p.serveToken)
	mux.HandleFunc("GET /userinfo", p.serveUserInfo)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		hold := p.holdBack
		p.mu.Unlock()
		if hold != nil && r.URL.Path == "/token" {
			hold()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// person adds somebody with a verified e-mail address.
func (p *testProvider) person(sub, email string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := map[string]any{"sub": sub, "email": email, "email_verified": true, "name": "Person " + sub, "preferred_username": sub}
	p.people[sub] = c
	return c
}

func (p *testProvider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (p *testProvider) discovery(w http.ResponseWriter, r *http.Request) {
	d := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		"authorization_response_iss_parameter_supported": p.issParam, "response_types_supported": []string{"code"},
	}
	if p.offline {
		d["scopes_supported"] = []string{"openid", "offline_access"}
	}
	if p.endSession {
		d["end_session_endpoint"] = p.URL + "/end"
	}
	answerJSON(w, d)
}

func b64(d []byte) string { return base64.RawURLEncoding.EncodeToString(d) }

func (p *testProvider) jwks(w http.ResponseWriter, r *http.Request) {
	answerJSON(w, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": p.kid, "n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

func (p *testProvider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for name, want := range map[string]string{"client_id": testClient, "response_type": "code", "code_challenge_method": "S256"} {
		if q.Get(name) != want {
			p.t.Errorf("authorization request: %s is %q, want %q", name, q.Get(name), want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 43 {
			p.t.Errorf("authorization request: %s is %q", name, q.Get(name))
		}
	}
	p.asked = append(p.asked, q)
	code := rand.Text()
	p.grants[code] = q
	a := url.Values{"code": {code}, "state": {q.Get("state")}}
	if p.issParam {
		a.Set("iss", p.URL)
	}
	if p.authorize != nil {
		p.authorize(a)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+a.Encode(), http.StatusFound)
}

func (p *testProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	p.requests++
	refuse := func(e string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":%q}`, e)
	}
	id, secret, ok := r.BasicAuth()
	if !ok || id != testClient || secret != testSecret {
		refuse("invalid_client")
		return
	}
	if p.failWith != "" {
		code, text, _ := strings.Cut(p.failWith, " ")
		n, _ := strconv.Atoi(code)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(n)
		fmt.Fprintf(w, `{"error":%q}`, text)
		return
	}
	if r.FormValue("grant_type") == "refresh_token" {
		old := r.FormValue("refresh_token")
		sub, ok := p.refresh[old]
		if !ok && p.rotates { // RFC 9700 §4.14.2: it was stolen from one of two
			clear(p.refresh)
		}
		if !ok || p.disabled[sub] {
			refuse("invalid_grant")
			return
		}
		answer := p.tokens(sub, "", nil)
		if p.rotates {
			delete(p.refresh, old)
			answer["refresh_token"] = p.newRefresh(sub)
		}
		answerJSON(w, answer)
		return
	}
	req, ok := p.grants[r.FormValue("code")]
	delete(p.grants, r.FormValue("code"))
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || r.FormValue("redirect_uri") != req.Get("redirect_uri") || b64(challenge[:]) != req.Get("code_challenge") {
		refuse("invalid_grant")
		return
	}
	sub := req.Get("login_hint")
	if sub == "" {
		sub = p.last // signed in there already
	}
	p.last = sub
	answer := p.tokens(sub, req.Get("nonce"), req)
	if p.offline && strings.Contains(req.Get("scope"), "offline_access") && (!p.asks || req.Get("prompt") == "consent") {
		answer["refresh_token"] = p.newRefresh(sub)
	}
	answerJSON(w, answer)
}

func (p *testProvider) newRefresh(sub string) string {
	t := "canary-refresh-" + rand.Text()
	p.refresh[t] = sub
	return t
}

// tokens is the answer of the token endpoint.
func (p *testProvider) tokens(sub, nonce string, req url.Values) map[string]any {
	now := p.clock()
	claims := map[string]any{
		"iss": p.URL, "sub": sub, "aud": testClient, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "sid": "session-of-" + sub,
	}
	if !p.noAuthTime {
		claims["auth_time"] = now.Add(-p.since).Unix()
		if req.Get("prompt") == "login" {
			claims["auth_time"] = now.Unix()
		}
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if p.emailInID {
		maps.Copy(claims, p.people[sub])
	}
	if p.idToken != nil {
		p.idToken(claims)
	}
	access := rand.Text()
	p.access[access] = sub
	return map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 3600, "id_token": p.jwt(claims)}
}

// logoutToken is one of back-channel logout; change may spoil it.
func (p *testProvider) logoutToken(sub, sid string, change func(map[string]any)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := map[string]any{
		"iss": p.URL, "aud": testClient, "iat": time.Now().Unix(), "exp": time.Now().Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	if sub != "" {
		claims["sub"] = sub
	}
	if sid != "" {
		claims["sid"] = sid
	}
	if change != nil {
		change(claims)
	}
	return p.jwt(claims)
}

func (p *testProvider) jwt(claims map[string]any) string {
	body, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	header := []byte(`{"alg":"RS256","kid":"` + p.kid + `"}`)
	if p.sign != nil {
		return p.sign(header, body)
	}
	signed := b64(header) + "." + b64(body)
	h := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, h[:])
	if err != nil {
		p.t.Fatal(err)
	}
	return signed + "." + b64(sig)
}

func (p *testProvider) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	var access string
	fmt.Sscanf(r.Header.Get("Authorization"), "Bearer %s", &access)
	sub, ok := p.access[access]
	if !ok {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	claims := maps.Clone(p.people[sub])
	if p.userInfo != nil {
		p.userInfo(claims)
	}
	answerJSON(w, claims)
}
