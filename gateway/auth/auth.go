package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// Options adjusts an Auth. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger     // nil means slog.DiscardHandler
	Now    func() time.Time // nil means time.Now

	// TrustedProxies are the networks of proxies whose word about the client's
	// address and about HTTPS is taken.
	TrustedProxies []netip.Prefix
	// PublicURL is where browsers reach the page, without a path; nil means
	// wherever a request was sent to.
	PublicURL *url.URL
	// AllowPlainHTTP lets passwords and cookies pass without TLS from other
	// machines. Without it that is refused, except on loopback.
	AllowPlainHTTP bool

	// OIDC are the providers people sign in at; none means by login links only.
	OIDC []OIDCConfig
	// ProofEvery is how often a provider is asked whether it still vouches for somebody
	// whose app passwords are in use; 0 means 24 hours.
	ProofEvery time.Duration
	// Welcome is called when somebody signs in on the page and has not before, to
	// make their first library. It is called again should it fail.
	Welcome func(ctx context.Context, uid string) error
}

// Auth says who asks. It is safe for concurrent use.
type Auth struct {
	accounts *account.Accounts
	opt      Options
	log      *slog.Logger
	now      func() time.Time
	failures *limiter
	cross    *http.CrossOriginProtection
	oidc     []*provider
	proving  proving
}

// New makes an Auth over a register of accounts. It does no I/O: a provider
// that can not be reached is tried again at the next sign-in.
func New(a *account.Accounts, opt *Options) (*Auth, error) {
	au := &Auth{accounts: a, cross: http.NewCrossOriginProtection()}
	if opt != nil {
		au.opt = *opt
	}
	au.log, au.now = au.opt.Logger, au.opt.Now
	if au.log == nil {
		au.log = slog.New(slog.DiscardHandler)
	}
	if au.now == nil {
		au.now = time.Now
	}
	au.failures = newLimiter(au.now)
	if u := au.opt.PublicURL; u != nil {
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" {
			return nil, fmt.Errorf("public URL %q: it is http or https, a host, and no path", u)
		}
		if err := au.cross.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, fmt.Errorf("public URL: %w", err)
		}
	}
	au.cross.SetDenyHandler(http.HandlerFunc(au.denyCrossOrigin))
	for _, c := range au.opt.OIDC {
		p, err := newProvider(c, au.opt.AllowPlainHTTP, au.now)
		if err != nil {
			return nil, err
		}
		for _, other := range au.oidc {
			if other.c.ID == c.ID || other.c.Issuer == c.Issuer {
				return nil, fmt.Errorf("OIDC issuer %q: another provider has the same issuer or the same name", c.Issuer)
			}
		}
		if !c.AllowAll && len(c.AllowEmails)+len(c.AllowDomains)+len(c.AllowGroups) == 0 {
			au.log.Info("no rule allows anybody to sign in at the OIDC provider: only who is invited can", "provider", p.name())
		}
		au.oidc = append(au.oidc, p)
	}
	if au.opt.ProofEvery == 0 {
		au.opt.ProofEvery = 24 * time.Hour
	}
	au.proving.wake = make(chan struct{}, 1)
	return au, nil
}

// principal is whom an app password acts for.
func principal(p *account.AppPassword, u *account.User) *Principal {
	return &Principal{
		UID: u.UID, Login: u.Login, Name: u.DisplayName(), Owner: u.Owner, Key: p.ID, Label: p.Label,
		Access: backend.Access{Mode: p.Mode, Root: p.Root, Quota: u.Quota, QuotaFiles: u.QuotaFiles, By: p.ID},
	}
}

// Routes adds to mux what signing in and out needs:
//
//	GET  /login/link?t=…           a page with a button, so that a preview of the link does not use it up
//	POST /login/link               uses it, begins a session
//	GET  /login/oidc               to the provider; with ?setup=TOKEN a page with a button
//	POST /login/oidc/setup         its button: to the provider, to sign in from now on as whom a login link is for
//	GET  /login/oidc/callback      back from it
//	POST /login/oidc/connect       to the provider, to sign in as the same user from now on
//	POST /login/oidc/backchannel   the provider says that somebody signed out there
//	POST /logout                   ends the session, and the provider's if it can
//
// A provider that has an ID has these below /login/oidc/ID. The page /login, with links
// to these, is the browse package's.
func (a *Auth) Routes(mux *http.ServeMux) {
	mux.Handle("GET /login/link", http.HandlerFunc(a.showLink))
	mux.Handle("POST /login/link", a.Protect(http.HandlerFunc(a.useLink)))
	for _, at := range []string{"/login/oidc", "/login/oidc/{id}"} {
		mux.Handle("GET "+at, http.HandlerFunc(a.startOIDC))
		mux.Handle("POST "+at+"/setup", a.Protect(http.HandlerFunc(a.setupOIDC)))
		mux.Handle("GET "+at+"/callback", http.HandlerFunc(a.finishOIDC))
		mux.Handle("POST "+at+"/connect", a.RequireSession(http.HandlerFunc(a.connectOIDC)))
		mux.Handle("POST "+at+"/backchannel", http.HandlerFunc(a.backchannel))
	}
	mux.Handle("POST /logout", a.Protect(http.HandlerFunc(a.logout)))
}

// A Provider is a way to sign in, for the page.
type Provider struct {
	Name   string
	Issuer string
	Start  string // path that signs in: a GET with ?return=, and with ?confirm to prove it anew
}

// ConfirmPath is where p proves anew who they are, to come back to the path back; "" if
// they signed in by a link, and a fresh one is the way.
func (a *Auth) ConfirmPath(p *Principal, back string) string {
	if q := a.providerOf(p.Issuer); q != nil {
		return q.path("?confirm&return=" + url.QueryEscape(back))
	}
	return ""
}

// Providers are those people can sign in at; none means by login links only.
func (a *Auth) Providers() []Provider {
	var list []Provider
	for _, p := range a.oidc {
		list = append(list, Provider{p.name(), p.c.Issuer, p.path("")})
	}
	return list
}
