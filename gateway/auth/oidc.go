package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// OIDCConfig says where people sign in and who may.
type OIDCConfig struct {
	ID           string // in URLs; a-z, 0-9 and '-', "" for one provider only
	Issuer       string // required, exactly as the provider's discovery document has it
	ClientID     string // required
	ClientSecret account.Secret
	Scopes       []string     // besides "openid"; none means "profile" and "email"
	NoOffline    bool         // do not ask for a refresh token: then Grace decides how long app passwords live on
	Name         string       // shown on the button; "" means the issuer's host
	Client       *http.Client // nil means one with time-outs and limits

	// Who may sign in. Nobody, unless one of these says so, or a user who was signed
	// in connected the identity. E-mail addresses count only if the provider says
	// they are verified. Case does not matter from A to Z, but in groups it does.
	AllowEmails  []string
	AllowDomains []string // of e-mail addresses; at Google the account's own domain ("hd") must be it, too
	AllowGroups  []string // members of any of these
	GroupsClaim  string   // claim of the ID token or of UserInfo; "" means "groups"
	AllowAll     bool     // everybody the provider signs in
}

const googleIssuer = "https://accounts.google.com"

// provider is an OIDC provider, which may not have been reached yet.
type provider struct {
	c      OIDCConfig
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex
	found *discovered
	err   error     // of the last try
	retry time.Time // not tried again before
}

type discovered struct {
	*oidc.Provider
	verifier   *oidc.IDTokenVerifier
	endSession string
	style      oauth2.AuthStyle
	offline    bool // it gives refresh tokens for the scope offline_access
	issParam   bool // RFC 9207 §3
}

func newProvider(c OIDCConfig, plainHTTP bool, now func() time.Time) (*provider, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("OIDC issuer %q: it is an https:// URL", c.Issuer)
	}
	if u.Scheme == "http" && !plainHTTP && !loopbackHost(u.Hostname()) {
		return nil, fmt.Errorf("OIDC issuer %q: plain http:// is only for a provider on this machine", c.Issuer)
	}
	if strings.Trim(c.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || c.ID == "callback" || c.ID == "setup" || c.ID == "connect" || c.ID == "backchannel" {
		return nil, fmt.Errorf("OIDC provider %q: it is named with a-z, 0-9 and '-', and not as one of our paths", c.ID)
	}
	if c.ClientID == "" {
		return nil, errors.New("OIDC: the client id is missing")
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"profile", "email"}
	}
	if c.GroupsClaim == "" {
		c.GroupsClaim = "groups"
	}
	if c.Name == "" {
		c.Name = u.Host
	}
	p := &provider{c: c, client: c.Client, now: now}
	if p.client == nil {
		p.client = providerClient()
	}
	return p, nil
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// providerClient asks a provider: with time-outs, a limit on answers, and never at a
// link-local address, where clouds keep a machine's own credentials.
func providerClient() *http.Client {
	d := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		if addr, err := parseAddr(address); err != nil || addr.IsLinkLocalUnicast() {
			return fmt.Errorf("the provider is at %s, a link-local address", address)
		}
		return nil
	}}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = d.DialContext
	t.ResponseHeaderTimeout = 10 * time.Second
	t.MaxIdleConnsPerHost = 2
	return &http.Client{Transport: limitedTransport{t}, Timeout: 15 * time.Second}
}

// limitedTransport cuts answers off at 1 MiB.
type limitedTransport struct{ http.RoundTripper }

func (t limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, 1<<20), resp.Body}
	}
	return resp, err
}

func (p *provider) name() string { return p.c.Name }

// path is where what concerns the provider is: "/callback" and so on.
func (p *provider) path(rest string) string {
	if p.c.ID != "" {
		return "/login/oidc/" + p.c.ID + rest
	}
	return "/login/oidc" + rest
}

// context is ctx with the client that go-oidc and oauth2 are to use.
func (p *provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// discover asks the provider where its endpoints are, once it can be reached.
func (p *provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.now().Before(p.retry) {
		return nil, p.err
	}
	// Not ended by a browser that goes away: others wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	found, err := p.ask(p.context(ctx))
	if err != nil {
		p.err, p.retry = fmt.Errorf("ask the OIDC provider for its configuration: %w", err), p.now().Add(2*time.Second)
		return nil, p.err
	}
	p.found = found
	return found, nil
}

func (p *provider) ask(ctx context.Context) (*discovered, error) {
	op, err := oidc.NewProvider(ctx, p.c.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		EndSession string   `json:"end_session_endpoint"`
		IssParam   bool     `json:"authorization_response_iss_parameter_supported"`
		Scopes     []string `json:"scopes_supported"`
		Methods    []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := op.Claims(&more); err != nil {
		return nil, err
	}
	// Package oauth2 finds out for itself by asking twice, and then tells of the second
	// refusal: a dead account's "invalid_grant" would be taken for a fault of ours, and a
	// refresh token that is good once be used up. OpenID Connect Discovery §3: without
	// the list it is client_secret_basic.
	style := oauth2.AuthStyleInHeader
	if p.c.ClientSecret == "" || len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		style = oauth2.AuthStyleInParams
	}
	return &discovered{
		Provider: op, style: style, endSession: more.EndSession, issParam: more.IssParam,
		offline:  slices.Contains(more.Scopes, oidc.ScopeOfflineAccess) && !p.c.NoOffline,
		verifier: op.Verifier(&oidc.Config{ClientID: p.c.ClientID, Now: p.now}),
	}, nil
}

func (p *provider) oauth(d *discovered, redirect string) *oauth2.Config {
	scopes := append([]string{oidc.ScopeOpenID}, p.c.Scopes...)
	if d.offline && !slices.Contains(scopes, oidc.ScopeOfflineAccess) {
		scopes = append(scopes, oidc.ScopeOfflineAccess)
	}
	endpoint := d.Endpoint()
	endpoint.AuthStyle = d.style
	return &oauth2.Config{
		ClientID: p.c.ClientID, ClientSecret: string(p.c.ClientSecret), Endpoint: endpoint,
		RedirectURL: redirect, Scopes: scopes,
	}
}

// claims are what we read of an ID token or of UserInfo.
type claims struct {
	Subject   string    `json:"sub"`
	Email     string    `json:"email"`
	Verified  looseBool `json:"email_verified"`
	Name      string    `json:"name"`
	Preferred string    `json:"preferred_username"`
	HD        string    `json:"hd"`
	SID       string    `json:"sid"`
	AuthTime  float64   `json:"auth_time"`
	Azp       string    `json:"azp"`

	groups    []string
	hasGroups bool
}

// looseBool is a boolean that some providers (Cognito) send as a string.
type looseBool bool

func (b *looseBool) UnmarshalJSON(d []byte) error {
	*b = string(d) == "true" || string(d) == `"true"`
	return nil
}

// read takes claims from source, which is an ID token or UserInfo.
func (c *claims) read(source interface{ Claims(any) error }, groupsClaim string) error {
	if err := source.Claims(c); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := source.Claims(&all); err != nil {
		return err
	}
	if raw, ok := all[groupsClaim]; ok {
		var one string
		switch {
		case json.Unmarshal(raw, &c.groups) == nil:
			c.hasGroups = true
		case json.Unmarshal(raw, &one) == nil:
			c.groups, c.hasGroups = []string{one}, true
		}
	}
	return nil
}

// login is what comes of a successful trip to the provider.
type login struct {
	claims
	issuer  string
	idToken string
	refresh account.Secret // "" if the provider gave none
}

// errProvider wraps what a provider, or whoever pretends to be one, got wrong.
var errProvider = errors.New("the provider's answer cannot be accepted")

// exchange trades a code for the person's claims. Errors that wrap errProvider say
// that something was not right; others that the provider could not be asked.
func (p *provider) exchange(ctx context.Context, d *discovered, s *loginState, code string) (*login, error) {
	ctx = p.context(ctx)
	token, err := p.oauth(d, s.Redirect).Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		if re := (*oauth2.RetrieveError)(nil); errors.As(err, &re) && re.Response != nil && re.Response.StatusCode < 500 {
			return nil, fmt.Errorf("%w: it refused the code (%s)", errProvider, word(re.ErrorCode))
		}
		return nil, fmt.Errorf("ask the OIDC provider for tokens: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, fmt.Errorf("%w: there is no ID token", errProvider)
	}
	id, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	if !same(id.Nonce, s.Nonce) {
		return nil, fmt.Errorf("%w: the nonce is another", errProvider)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, fmt.Errorf("%w: %w", errProvider, err)
		}
	}
	l := &login{issuer: id.Issuer, idToken: raw, refresh: account.Secret(token.RefreshToken)}
	if err := l.read(id, p.c.GroupsClaim); err != nil {
		return nil, fmt.Errorf("%w: %w", errProvider, err)
	}
	l.Subject = id.Subject
	if l.Subject == "" {
		return nil, fmt.Errorf("%w: the ID token names nobody", errProvider)
	}
	// OpenID Connect Core §3.1.3.7, 4 and 5.
	if len(id.Audience) > 1 && l.Azp == "" || l.Azp != "" && l.Azp != p.c.ClientID {
		return nil, fmt.Errorf("%w: the ID token is for another client", errProvider)
	}
	if d.UserInfoEndpoint() != "" && (l.Email == "" || len(p.c.AllowGroups) > 0 && !l.hasGroups) {
		if err := p.userInfo(ctx, d, token, l); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// userInfo adds what the ID token did not say. Its subject must be the same
// (OpenID Connect Core §5.3.2).
func (p *provider) userInfo(ctx context.Context, d *discovered, token *oauth2.Token, l *login) error {
	info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("ask the OIDC provider about the user: %w", err)
	}
	var more claims
	if err := more.read(info, p.c.GroupsClaim); err != nil {
		return fmt.Errorf("%w: %w", errProvider, err)
	}
	if more.Subject != l.Subject {
		return fmt.Errorf("%w: UserInfo is about another user", errProvider)
	}
	if l.Email == "" {
		l.Email, l.Verified = more.Email, more.Verified
	}
	if l.Name == "" {
		l.Name = more.Name
	}
	if l.Preferred == "" {
		l.Preferred = more.Preferred
	}
	if l.HD == "" {
		l.HD = more.HD
	}
	if !l.hasGroups {
		l.groups, l.hasGroups = more.groups, more.hasGroups
	}
	return nil
}

// allows says whether a rule lets the person in.
func (p *provider) allows(l *login) bool {
	if p.c.AllowAll {
		return true
	}
	if l.Verified && l.Email != "" {
		same := func(a, b string) bool { return account.FoldEmail(a) == account.FoldEmail(b) }
		for _, e := range p.c.AllowEmails {
			if same(e, l.Email) {
				return true
			}
		}
		domain := l.Email[strings.LastIndexByte(l.Email, '@')+1:]
		for _, d := range p.c.AllowDomains {
			d = strings.TrimPrefix(d, "@")
			if same(d, domain) && (l.issuer != googleIssuer || same(d, l.HD)) {
				return true
			}
		}
	}
	for _, g := range p.c.AllowGroups {
		for _, h := range l.groups {
			if g == h {
				return true
			}
		}
	}
	return false
}

// logoutURL is where the provider ends its own session of the browser, "" if it
// cannot or that session is another's.
func (p *provider) logoutURL(ctx context.Context, s *account.Session, base string) string {
	if s.Issuer != p.c.Issuer {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	d, err := p.discover(ctx)
	if err != nil || d.endSession == "" {
		return ""
	}
	u, err := url.Parse(d.endSession)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	q := u.Query()
	q.Set("client_id", p.c.ClientID)
	if cognito(p.c.Issuer) {
		// Amazon Cognito Developer Guide, "Logout endpoint": its own parameters, though
		// discovery tells of a standard end_session_endpoint.
		q.Set("logout_uri", base+"/")
	} else { // OpenID Connect RP-Initiated Logout 1.0 §2
		q.Set("post_logout_redirect_uri", base+"/")
		if s.IDToken != "" {
			q.Set("id_token_hint", string(s.IDToken))
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

func cognito(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && strings.HasPrefix(u.Hostname(), "cognito-idp.") && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}
