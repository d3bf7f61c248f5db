package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// Cookies. Browsers take a name with __Host- only over HTTPS, for the whole host
// and no other (RFC 6265bis §4.1.3.2); so over plain HTTP, which is for
// loopback, the names are others.
const (
	sessionCookie = "sb_s"
	loginCookie   = "sb_l"
)

func (a *Auth) cookieName(r *http.Request, name string) string {
	if a.IsSecure(r) {
		return "__Host-" + name
	}
	return name
}

func (a *Auth) setCookie(w http.ResponseWriter, r *http.Request, name, value string, maxAge time.Duration) {
	c := &http.Cookie{
		Name: a.cookieName(r, name), Value: value, Path: "/", Secure: a.IsSecure(r),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(maxAge.Seconds()),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (a *Auth) cookie(r *http.Request, name string) string {
	if !a.mayCarrySecrets(r) {
		return ""
	}
	c, err := r.Cookie(a.cookieName(r, name))
	if err != nil {
		return ""
	}
	return c.Value
}

// Session puts the Principal of the request's web session into its context, if
// there is one, and is a Protect, so that a page can not forget it.
func (a *Auth) Session(next http.Handler) http.Handler {
	return a.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _, err := a.webPrincipal(r)
		switch {
		case err == nil:
			ctx := account.WithActor(r.Context(), account.Actor{Login: who.Login, Addr: a.ClientAddr(r)})
			r = r.WithContext(With(ctx, who))
		case !errors.Is(err, account.ErrRefused):
			a.unavailable(r.Context(), err)
			a.answer(w, r, http.StatusServiceUnavailable, "It cannot be checked at the moment whether you are signed in. Try again shortly.")
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// RequireSession is a Session that lets through only who is signed in. Others
// are sent to /login (GET of a page) or get a 401 problem (anything below /api/,
// and what is not GET).
func (a *Auth) RequireSession(next http.Handler) http.Handler {
	return a.Session(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-store") // next may allow more
		if From(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		page := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !strings.HasPrefix(r.URL.Path, "/api/")
		if !page {
			a.answer(w, r, http.StatusUnauthorized, account.ErrSession.Text)
			return
		}
		http.Redirect(w, r, "/login?return="+url.QueryEscape(r.URL.RequestURI()), http.StatusFound)
	}))
}

// Protect refuses, with 403, requests that change something and that another
// site made the browser send.
func (a *Auth) Protect(next http.Handler) http.Handler { return a.cross.Handler(next) }

func (a *Auth) denyCrossOrigin(w http.ResponseWriter, r *http.Request) {
	a.answer(w, r, http.StatusForbidden, "This request came from another site. Open Shoebox's own page and try again.")
}

// webPrincipal is who is signed in. Its error is account.ErrSession if nobody is.
func (a *Auth) webPrincipal(r *http.Request) (*Principal, *account.Session, error) {
	s, u, err := a.accounts.Session(r.Context(), a.cookie(r, sessionCookie))
	if err != nil {
		return nil, nil, err
	}
	return &Principal{
		UID: u.UID, Login: u.Login, Name: u.DisplayName(), Owner: u.Owner, Session: s.ID, AuthTime: s.AuthTime, Issuer: s.Issuer,
		Access: backend.Access{Quota: u.Quota, QuotaFiles: u.QuotaFiles, By: "web"},
	}, s, nil
}

// begin signs a user in: a new session, whatever there was before.
func (a *Auth) begin(w http.ResponseWriter, r *http.Request, u *account.User, info account.SessionInfo) error {
	ctx := r.Context()
	if u.FirstLogin.IsZero() {
		if a.opt.Welcome != nil {
			if err := a.opt.Welcome(ctx, u.UID); err != nil {
				return err
			}
		}
		if err := a.accounts.MarkLogin(ctx, u.UID); err != nil {
			return err
		}
	}
	info.Addr, info.UserAgent = a.ClientAddr(r), r.UserAgent()
	token, err := a.accounts.NewSession(ctx, u.UID, info)
	if err != nil {
		return err
	}
	if _, old, err := a.webPrincipal(r); err == nil {
		if err := a.accounts.EndSession(ctx, old.ID); err != nil {
			a.log.WarnContext(ctx, "the browser's earlier session was not ended", "err", err)
		}
	}
	a.setCookie(w, r, sessionCookie, string(token), 7*24*time.Hour)
	how := "by a login link"
	if info.Issuer != "" {
		how = "at " + info.Issuer
	}
	a.accounts.Note(ctx, account.Event{Actor: u.Login, Net: account.Network(info.Addr), What: "signed in", UID: u.UID, Target: how})
	return nil
}

// logout ends the session and goes on to the provider's logout, if it has one.
func (a *Auth) logout(w http.ResponseWriter, r *http.Request) {
	who, s, err := a.webPrincipal(r)
	if err == nil {
		err = a.accounts.EndSession(r.Context(), s.ID)
	}
	if err == nil {
		a.accounts.Note(r.Context(), account.Event{Actor: who.Login, Net: account.Network(a.ClientAddr(r)), What: "signed out", UID: who.UID})
	}
	if err != nil && !errors.Is(err, account.ErrRefused) {
		a.unavailable(r.Context(), err)
		a.answer(w, r, http.StatusServiceUnavailable, "You could not be signed out at the moment. Try again shortly.")
		return
	}
	a.setCookie(w, r, sessionCookie, "", 0)
	if s != nil {
		for _, p := range a.oidc {
			if to := p.logoutURL(r.Context(), s, a.base(r)); to != "" {
				a.forward(w, to)
				return
			}
		}
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// base is where browsers reach the page.
func (a *Auth) base(r *http.Request) string {
	if u := a.opt.PublicURL; u != nil {
		return u.Scheme + "://" + u.Host
	}
	if a.IsSecure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// localPath is a path on this page to return to after signing in: p if it is one, else
// "/". A browser reads "//host" and "/\host" as another site.
func localPath(p string) string {
	u, err := url.Parse(p)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(p, "/") ||
		strings.HasPrefix(p, "//") || strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f }) ||
		strings.HasPrefix(p, "/login") || strings.HasPrefix(p, "/logout") || len(p) > 1024 {
		return "/"
	}
	return p
}

// detached frees what must be finished from a client that goes away.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

// problem is RFC 9457's.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// answer tells a person, or a script, what is wrong.
func (a *Auth) answer(w http.ResponseWriter, r *http.Request, code int, text string) {
	if strings.HasPrefix(r.URL.Path, "/api/") || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(code), code, text})
		return
	}
	a.page(w, code, page{Title: http.StatusText(code), Text: []string{text}, Link: "/login", LinkText: "Sign in"})
}
