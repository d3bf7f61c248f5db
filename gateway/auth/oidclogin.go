package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// loginLife is how long a sign-in at the provider may take.
const loginLife = 10 * time.Minute

// loginState travels, sealed, in a cookie while the browser is at the provider; so
// any node can go on. It is good for one callback.
type loginState struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`           // PKCE (RFC 7636)
	Return   string `json:"r"`           // local path
	Redirect string `json:"u"`           // redirect_uri, which must be the same in both requests
	Expires  int64  `json:"e"`           // seconds since 1970
	Connect  string `json:"c,omitempty"` // uid that connects the identity; "" for a sign-in
	Setup    string `json:"k,omitempty"` // token of a login link: the identity is connected to its user
	Confirm  bool   `json:"f,omitempty"` // the provider was told to ask anew who it is
	Consent  bool   `json:"o,omitempty"` // … and whether we may know later if the account lives
}

func random() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func stateAAD(p *provider) []byte {
	return []byte("oidc login\x00" + p.c.Issuer + "\x00" + p.c.ClientID)
}

// provider is the one whose path was asked for; nil if there is none.
func (a *Auth) provider(r *http.Request) *provider {
	for _, p := range a.oidc {
		if p.c.ID == r.PathValue("id") {
			return p
		}
	}
	return nil
}

// stepUp is how long ago the person may have proved who they are when something
// weighty is done, such as making an app password.
const stepUp = 10 * time.Minute

// startOIDC sends the browser to the provider: with ?other to sign in as somebody else
// than it remembers, with ?confirm to prove anew who it is. With ?setup=TOKEN it is
// showSetup.
func (a *Auth) startOIDC(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("setup") != "" {
		a.showSetup(w, r, q)
		return
	}
	s := &loginState{Confirm: q.Has("confirm")}
	var opts []oauth2.AuthCodeOption
	if q.Has("other") || s.Confirm {
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"))
	}
	to, ok := a.leave(w, r, a.provider(r), s, q, opts...)
	if ok {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, to, http.StatusFound)
	}
}

// showSetup shows a page with a button that connects an identity to the user whom a login
// link is for. It says who that is: a link that somebody else sent must not, without a
// word, make a person sign in as another from then on.
func (a *Auth) showSetup(w http.ResponseWriter, r *http.Request, q url.Values) {
	p := a.provider(r)
	if p == nil {
		a.noProvider(w)
		return
	}
	if !a.linkAllowed(w, r) {
		return
	}
	token := q.Get("setup")
	u, err := a.accounts.LoginLink(r.Context(), token)
	var why *account.Refusal
	switch {
	case errors.As(err, &why):
		a.loginFailed(w, r, why.Reason, why.Text)
		return
	case err != nil:
		a.unavailable(r.Context(), err)
		a.page(w, http.StatusServiceUnavailable, page{Title: "Not now", Text: []string{"The link cannot be used at the moment. Try again shortly."}})
		return
	}
	q.Del("setup")
	who := u.Login
	if name := u.DisplayName(); name != who {
		who = name + " (" + u.Login + ")"
	}
	a.page(w, http.StatusOK, page{
		Title: "Connect your account at " + p.name() + "?",
		Text: []string{
			"From now on you sign in here as " + who + " with that account, and what you store belongs to that user.",
			"Go on only if you made this link, or had it from the owner of this Shoebox. It works once.",
		},
		Action: p.path("/setup?" + q.Encode()), Token: token, Button: "Sign in as " + who,
	})
}

// setupOIDC is what the button of showSetup does: it sends the browser to the provider.
func (a *Auth) setupOIDC(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	token := r.PostFormValue("t")
	if token == "" {
		a.loginFailed(w, r, account.ErrLink.Reason, account.ErrLink.Text)
		return
	}
	if to, ok := a.leave(w, r, a.provider(r), &loginState{Setup: token}, r.URL.Query()); ok {
		a.forward(w, to)
	}
}

// connectOIDC sends a signed-in user to the provider; who comes back can sign in as
// this user from then on. The provider is told to ask for the password, so that
// nobody connects an account that another person left signed in; and the user must
// have proved who they are just now, as for an app password.
func (a *Auth) connectOIDC(w http.ResponseWriter, r *http.Request) {
	// Not r.FormValue: it keeps on disk what a multipart form brings.
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		a.page(w, http.StatusBadRequest, page{Title: "Not understood", Text: []string{"The form did not arrive whole. Go back and send it again."}, Link: "/", LinkText: "Back to your photos"})
		return
	}
	who := From(r.Context())
	if !who.Fresh(a.now()) {
		a.stale(w, who, localPath(r.PostForm.Get("return")))
		return
	}
	s := &loginState{Connect: who.UID}
	to, ok := a.leave(w, r, a.provider(r), s, r.PostForm, oauth2.SetAuthURLParam("prompt", "login"))
	if ok {
		a.forward(w, to)
	}
}

// leave completes s, sets the cookie and is the provider's URL to go to. in is what the
// query or form says: where to return to, and whom to expect. If not ok it has answered.
func (a *Auth) leave(w http.ResponseWriter, r *http.Request, p *provider, s *loginState, in url.Values, opts ...oauth2.AuthCodeOption) (to string, ok bool) {
	if p == nil {
		a.noProvider(w)
		return "", false
	}
	if !a.mayCarrySecrets(r) {
		a.page(w, http.StatusForbidden, page{Title: "Not over plain HTTP", Text: []string{"Signing in works over HTTPS, or on the machine where Shoebox runs."}})
		return "", false
	}
	d, err := p.discover(r.Context())
	if err != nil {
		a.providerDown(w, r, p, err)
		return "", false
	}
	s.State, s.Nonce, s.Verifier = random(), random(), oauth2.GenerateVerifier()
	s.Redirect, s.Expires = a.base(r)+p.path("/callback"), a.now().Add(loginLife).Unix()
	if s.Return == "" {
		s.Return = localPath(in.Get("return"))
	}
	plain, err := json.Marshal(s)
	if err != nil {
		panic("auth: internal error: " + err.Error()) // it is a plain struct
	}
	sealed := a.accounts.Keys().Seal(stateAAD(p), plain)
	a.setCookie(w, r, loginCookie, base64.RawURLEncoding.EncodeToString(sealed), loginLife)
	// Who is asked for max_age tells auth_time (OpenID Connect Core §3.1.2.1), without which
	// a sign-in of this minute would have to be confirmed, too.
	age := 7 * 24 * time.Hour
	if s.Confirm && !s.Consent {
		age = stepUp
	}
	opts = append(opts, oauth2.SetAuthURLParam("max_age", strconv.Itoa(int(age.Seconds()))))
	opts = append(opts, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier))
	if p.c.Issuer == googleIssuer && !p.c.NoOffline {
		opts = append(opts, oauth2.AccessTypeOffline) // in place of the scope offline_access
	}
	if hint := in.Get("login_hint"); hint != "" && len(hint) <= 200 {
		opts = append(opts, oauth2.SetAuthURLParam("login_hint", hint))
	}
	return p.oauth(d, s.Redirect).AuthCodeURL(s.State, opts...), true
}

func (a *Auth) noProvider(w http.ResponseWriter) {
	a.page(w, http.StatusNotFound, page{
		Title: "No such provider", Text: []string{"This Shoebox has no such sign-in provider."}, Link: "/login", LinkText: "Ways to sign in",
	})
}

// openState is the state the browser left with.
func (a *Auth) openState(r *http.Request, p *provider) (*loginState, error) {
	value := a.cookie(r, loginCookie)
	if value == "" {
		return nil, errors.New("no-cookie")
	}
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("bad-cookie")
	}
	plain, err := a.accounts.Keys().Open(stateAAD(p), sealed)
	if err != nil {
		return nil, errors.New("bad-cookie")
	}
	s := new(loginState)
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, errors.New("bad-cookie")
	}
	if a.now().Unix() >= s.Expires {
		return nil, errors.New("too-late")
	}
	if !same(r.URL.Query().Get("state"), s.State) {
		return nil, errors.New("bad-state")
	}
	return s, nil
}

// finishOIDC is where the provider sends the browser back to.
func (a *Auth) finishOIDC(w http.ResponseWriter, r *http.Request) {
	p := a.provider(r)
	if p == nil {
		http.NotFound(w, r)
		return
	}
	s, err := a.openState(r, p)
	a.setCookie(w, r, loginCookie, "", 0)
	if err != nil {
		a.loginFailed(w, r, err.Error(), "It took too long, or was begun in another browser or window.")
		return
	}
	first, err := a.accounts.Once(r.Context(), "oidc", s.State, time.Unix(s.Expires, 0))
	if err != nil {
		a.unavailable(r.Context(), err)
		a.page(w, http.StatusServiceUnavailable, page{Title: "Not now", Text: []string{"You could not be signed in at the moment."}, Link: "/login", LinkText: "Try again"})
		return
	}
	if !first {
		a.loginFailed(w, r, "replayed", "This answer of the provider was used before.")
		return
	}
	d, err := p.discover(r.Context())
	if err != nil {
		a.providerDown(w, r, p, err)
		return
	}
	q := r.URL.Query()
	// RFC 9207 §2.4: who answers must be who was asked.
	if iss := q.Get("iss"); iss != p.c.Issuer && (iss != "" || d.issParam) {
		a.loginFailed(w, r, "bad-issuer", "The answer came from another provider.")
		return
	}
	if e := q.Get("error"); e != "" {
		a.loginFailed(w, r, "provider-"+word(e), "The provider did not sign you in ("+word(e)+").")
		return
	}
	l, err := p.exchange(r.Context(), d, s, q.Get("code"))
	switch {
	case errors.Is(err, errProvider):
		a.log.WarnContext(r.Context(), "an OIDC provider's answer was refused", "err", err)
		a.loginFailed(w, r, "bad-token", "The provider's answer could not be accepted. The log says why.")
		return
	case err != nil:
		a.providerDown(w, r, p, err)
		return
	}
	a.admit(w, r, p, s, l)
}

// admit signs in the person the provider vouches for, if a rule lets them in.
func (a *Auth) admit(w http.ResponseWriter, r *http.Request, p *provider, s *loginState, l *login) {
	// The code is used up: go on even if the browser goes away now.
	ctx, cancel := detached(r.Context())
	defer cancel()
	id := account.Identity{Issuer: l.issuer, Subject: l.Subject}
	if l.Verified {
		id.Email = l.Email
	}
	if s.Connect != "" {
		a.connect(ctx, w, r, p, s, id)
		return
	}
	if s.Confirm && l.AuthTime > 0 && a.now().Sub(time.Unix(int64(l.AuthTime), 0)) > stepUp+time.Minute {
		a.loginFailed(w, r, "not-fresh", p.name()+" did not ask again who you are.")
		return
	}
	u, err := a.whoIs(ctx, p, s, l, id)
	if errors.Is(err, errNotAllowed) {
		a.denied(w, r, p, l)
		return
	}
	if err == nil {
		err = a.accounts.Proved(ctx, u.UID, id.Issuer, id.Subject, l.refresh)
	}
	if err == nil {
		info := account.SessionInfo{Issuer: l.issuer, SID: l.SID, IDToken: account.Secret(l.idToken)}
		switch {
		case l.AuthTime > 0:
			info.AuthTime = time.Unix(int64(l.AuthTime), 0)
		case !s.Confirm:
			// The provider may have known them for long: what asks for a fresh proof
			// asks the provider for one.
			info.AuthTime = time.UnixMilli(1)
		}
		err = a.begin(w, r.WithContext(ctx), u, info)
	}
	var why *account.Refusal
	switch {
	case errors.As(err, &why):
		a.loginFailed(w, r, why.Reason, why.Text)
	case errors.Is(err, account.ErrLinked):
		a.page(w, http.StatusConflict, page{
			Title: "Not connected", Text: []string{"That account at " + p.name() + " already belongs to another user here."}, Link: p.path("?other"), LinkText: "Sign in as somebody else",
		})
	case err != nil:
		a.unavailable(ctx, err)
		a.page(w, http.StatusServiceUnavailable, page{Title: "Not now", Text: []string{"You could not be signed in at the moment."}, Link: "/login", LinkText: "Try again"})
	case a.wantsConsent(ctx, p, s, l, u):
		// Some providers give a refresh token only when they have asked, so ask once.
		again := &loginState{Return: s.Return, Confirm: s.Confirm, Consent: true}
		if to, ok := a.leave(w, r, p, again, nil, oauth2.SetAuthURLParam("prompt", "consent")); ok {
			http.Redirect(w, r, to, http.StatusFound)
		}
	default:
		http.Redirect(w, r, s.Return, http.StatusFound)
	}
}

var errNotAllowed = errors.New("no rule allows it")

// whoIs is the user of an identity: whom it belongs to, whom a login link says, or a new
// one.
func (a *Auth) whoIs(ctx context.Context, p *provider, s *loginState, l *login, id account.Identity) (*account.User, error) {
	if s.Setup != "" {
		u, err := a.accounts.UseLoginLink(ctx, s.Setup)
		if err != nil {
			return nil, err
		}
		id.Pinned = true
		return u, a.accounts.LinkIdentity(ctx, u.UID, id)
	}
	allowed, err := a.allows(ctx, p, l)
	if err != nil {
		return nil, err
	}
	u, err := a.accounts.UserByIdentity(ctx, id.Issuer, id.Subject)
	switch known := err == nil; {
	case err != nil && !errors.Is(err, account.ErrNotExist):
		return nil, err
	case !allowed && !(known && pinned(u, id)):
		return nil, errNotAllowed
	case !known:
		return a.newUser(ctx, id, l)
	}
	return u, a.refresh(ctx, u, l)
}

// allows says whether a rule of the settings, or an invitation, lets somebody in.
func (a *Auth) allows(ctx context.Context, p *provider, l *login) (bool, error) {
	if p.allows(l) {
		return true, nil
	}
	if !l.Verified {
		return false, nil
	}
	return a.accounts.Invited(ctx, p.c.Issuer, l.Email)
}

// wantsConsent says whether it takes another trip to the provider to get a refresh token.
func (a *Auth) wantsConsent(ctx context.Context, p *provider, s *loginState, l *login, u *account.User) bool {
	if s.Consent || l.refresh != "" || p.c.NoOffline {
		return false
	}
	if d, err := p.discover(ctx); err != nil || !d.offline && p.c.Issuer != googleIssuer {
		return false
	}
	list, err := a.accounts.Proofs(ctx, u.UID)
	if err != nil {
		return false
	}
	for _, have := range list {
		if have.Issuer == l.issuer && have.Subject == l.Subject && have.Token != "" {
			return false
		}
	}
	return true
}

// pinned says whether the user connected the identity while signed in: that allows it.
func pinned(u *account.User, id account.Identity) bool {
	for _, have := range u.Identities {
		if have.Issuer == id.Issuer && have.Subject == id.Subject {
			return have.Pinned
		}
	}
	return false
}

// newUser makes a user of an identity nobody has. It is never joined to a user who has
// the same e-mail address: addresses are handed on, at some providers just claimed.
func (a *Auth) newUser(ctx context.Context, id account.Identity, l *login) (*account.User, error) {
	want := account.SuggestLogin(l.Preferred)
	if want == "" {
		want = account.SuggestLogin(l.Email)
	}
	if want == "" {
		want = account.SuggestLogin(l.Name)
	}
	n := account.NewUser{Name: clip(l.Name), Email: clip(id.Email), Identity: &id}
	for range 5 {
		login, err := a.accounts.FreeLogin(ctx, want)
		if err != nil {
			return nil, err
		}
		n.Login = login
		u, err := a.accounts.CreateUser(ctx, n)
		switch {
		case err == nil:
			a.log.InfoContext(ctx, "a new user signed in", "principal", u.Login)
			return u, nil
		case errors.Is(err, account.ErrLinked): // signed in twice at once
			return a.accounts.UserByIdentity(ctx, id.Issuer, id.Subject)
		case !errors.Is(err, account.ErrLoginTaken):
			return nil, err
		}
	}
	return nil, fmt.Errorf("find a login name: %w", account.ErrLoginTaken)
}

// refresh takes over what the provider calls the user by now.
func (a *Auth) refresh(ctx context.Context, u *account.User, l *login) error {
	name, email := "", ""
	if u.Name == "" {
		name = clip(l.Name)
	}
	if l.Verified && l.Email != u.Email {
		email = clip(l.Email)
	}
	if name == "" && email == "" {
		return nil
	}
	return a.accounts.SetProfile(ctx, u.UID, name, email)
}

// clip makes what a provider sent fit to be kept: "" if it is not.
func clip(s string) string {
	if !account.ValidText(s, account.MaxName) {
		return ""
	}
	return s
}

// connect lets the signed-in user sign in as the identity from now on.
func (a *Auth) connect(ctx context.Context, w http.ResponseWriter, r *http.Request, p *provider, s *loginState, id account.Identity) {
	who, _, err := a.webPrincipal(r)
	if err != nil || who.UID != s.Connect {
		a.loginFailed(w, r, "no-session", "You were signed out meanwhile. Sign in, then connect again.")
		return
	}
	if !who.Fresh(a.now()) { // it took them long at the provider
		a.stale(w, who, s.Return)
		return
	}
	id.Pinned = true
	ctx = account.WithActor(ctx, account.Actor{Login: who.Login, Addr: a.ClientAddr(r)})
	switch err := a.accounts.LinkIdentity(ctx, who.UID, id); {
	case errors.Is(err, account.ErrLinked):
		a.page(w, http.StatusConflict, page{
			Title: "Not connected", Text: []string{"That account at " + p.name() + " already belongs to another user here."}, Link: "/", LinkText: "Back to your photos",
		})
	case err != nil:
		a.unavailable(ctx, err)
		a.page(w, http.StatusServiceUnavailable, page{Title: "Not now", Text: []string{"It could not be connected at the moment."}, Link: "/", LinkText: "Back to your photos"})
	default:
		a.log.InfoContext(ctx, "an identity was connected", "principal", who.Login)
		http.Redirect(w, r, s.Return, http.StatusFound)
	}
}

// stale asks who to prove anew who they are, to come back to the path back.
func (a *Auth) stale(w http.ResponseWriter, who *Principal, back string) {
	p := page{Title: "Is it still you?", Text: []string{"You signed in a while ago. Sign in again, then connect the account within ten minutes."}, Link: back, LinkText: "Go back"}
	if to := a.ConfirmPath(who, back); to != "" {
		p.Link, p.LinkText = to, "Sign in again"
	} else {
		p.Text = append(p.Text, "On the machine where Shoebox runs, the command “shoebox login-link "+who.Login+"” makes a fresh login link.")
	}
	a.page(w, http.StatusForbidden, p)
}

// denied says what to ask the owner for.
func (a *Auth) denied(w http.ResponseWriter, r *http.Request, p *provider, l *login) {
	wait := a.Failed(r, "oidc", "", "not-allowed")
	if wait > 0 {
		w.Header().Set("Retry-After", RetryAfter(wait))
	}
	email := "none told"
	if l.Email != "" {
		email = l.Email + " (not verified by the provider, so it does not count)"
		if l.Verified {
			email = l.Email
		}
	}
	a.page(w, http.StatusForbidden, page{
		Title: "You are not on the list yet",
		Text: []string{
			"You are signed in at " + p.name() + ", but this Shoebox lets in only people its owner allows.",
			"Ask the owner to invite your e-mail address, on their page People, and send them this:",
		},
		Facts: []fact{{"E-mail", email}, {"Issuer", l.issuer}, {"Subject", l.Subject}},
		Link:  p.path("?other"), LinkText: "Sign in as somebody else",
	})
}

func (a *Auth) loginFailed(w http.ResponseWriter, r *http.Request, reason, text string) {
	code := http.StatusForbidden
	if wait := a.Failed(r, "oidc", "", reason); wait > 0 {
		code = http.StatusTooManyRequests
		w.Header().Set("Retry-After", RetryAfter(wait))
	}
	a.page(w, code, page{Title: "You were not signed in", Text: []string{text}, Link: "/login", LinkText: "Sign in"})
}

func (a *Auth) providerDown(w http.ResponseWriter, r *http.Request, p *provider, err error) {
	if r.Context().Err() == nil {
		a.log.ErrorContext(r.Context(), "the OIDC provider does not answer", "err", err)
	}
	a.page(w, http.StatusBadGateway, page{
		Title: "The sign-in provider does not answer", Text: []string{p.name() + " cannot be reached from here at the moment. Network drives and phones go on working."},
		Link: "/login", LinkText: "Try again",
	})
}
