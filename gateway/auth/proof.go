package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// App passwords live as long as the account behind them. At sign-in the provider gives
// a refresh token that outlives the session there (offline_access); with it the provider
// is asked once a day, and whenever it says that somebody signed out, whether the account
// still stands. Only its own "invalid_grant" counts as no; that it can not be reached
// says nothing. Who can not be asked about, for there is no such token, has the grace
// period of account.Options.

// proving is what the loop in Run has to do.
type proving struct {
	wake chan struct{} // holds one

	mu      sync.Mutex
	soon    map[string]bool      // uids to be proved at once
	doubted map[string]bool      // uids whose invitation was withdrawn, until it was looked at
	retry   map[string]time.Time // uid and issuer: not tried again before
}

const (
	proofTick  = time.Minute
	proofRetry = 10 * time.Minute
)

// Run asks the providers whether they still vouch for people, until ctx ends.
func (a *Auth) Run(ctx context.Context) error {
	if len(a.oidc) == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(min(proofTick, a.opt.ProofEvery))
	defer tick.Stop()
	for {
		if err := a.ProveDue(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "it was not asked whether accounts still stand at their provider", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.proving.wake:
		case <-tick.C:
		}
	}
}

// later has the next round ask again about a user who was to be asked about at once.
func (a *Auth) later(uid string, now bool) {
	if !now {
		return
	}
	a.proving.mu.Lock()
	defer a.proving.mu.Unlock()
	if a.proving.soon == nil {
		a.proving.soon = make(map[string]bool)
	}
	a.proving.soon[uid] = true
}

// proveSoon has Run ask about a user at once.
func (a *Auth) proveSoon(uid string) {
	a.later(uid, true)
	select {
	case a.proving.wake <- struct{}{}:
	default:
	}
}

// ProveDue asks about everybody who is due: Run does so every minute. Several goroutines,
// or nodes, may call it at once: only one uses a refresh token at a time.
func (a *Auth) ProveDue(ctx context.Context) error {
	a.proving.mu.Lock()
	soon := a.proving.soon
	a.proving.soon = nil
	for uid := range a.accounts.Doubted() {
		if a.proving.doubted == nil {
			a.proving.doubted = make(map[string]bool)
		}
		a.proving.doubted[uid] = true
	}
	a.proving.mu.Unlock()
	users, err := a.accounts.Users(ctx)
	if err != nil {
		for uid := range soon {
			a.later(uid, true)
		}
		return err
	}
	var faults []error
	down := make(map[*provider]bool) // not asked about others until the next round
	for _, u := range users {
		if u.State != account.Active {
			continue
		}
		now := soon[u.UID]
		if a.isDoubted(u.UID) {
			if err := a.disinvite(ctx, u); err != nil {
				faults = append(faults, err)
				continue // the next round goes on
			}
			now = true
		}
		if err := a.proveUser(ctx, u, now, down); err != nil {
			faults = append(faults, err)
			a.later(u.UID, now)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(faults...)
}

func (a *Auth) proveUser(ctx context.Context, u *account.User, now bool, down map[*provider]bool) error {
	proofs, err := a.accounts.Proofs(ctx, u.UID)
	if err != nil {
		return err
	}
	for _, proof := range proofs {
		p := a.providerOf(proof.Issuer)
		key := u.UID + " " + proof.Issuer + " " + proof.Subject
		if p == nil || proof.Dead || proof.Token == "" || !now && a.now().Sub(proof.Proved) < a.opt.ProofEvery {
			continue
		}
		a.proving.mu.Lock()
		wait := a.now().Before(a.proving.retry[key])
		a.proving.mu.Unlock()
		if wait && !now {
			continue
		}
		if down[p] {
			a.later(u.UID, now)
			continue
		}
		err := a.prove(ctx, p, u, proof, now)
		if errors.Is(err, errLeased) {
			a.later(u.UID, now) // what was to be known may have happened since they asked
			continue
		}
		if err != nil {
			down[p] = !errors.Is(err, errProvider)
			a.later(u.UID, now)
			a.proving.mu.Lock()
			if a.proving.retry == nil {
				a.proving.retry = make(map[string]time.Time)
			}
			a.proving.retry[key] = a.now().Add(min(proofRetry, a.opt.ProofEvery))
			a.proving.mu.Unlock()
			a.log.WarnContext(ctx, "an OIDC provider could not be asked whether an account stands; nothing is changed", "principal", u.Login, "err", err)
		}
	}
	_, err = a.accounts.LapseIfUnproved(ctx, u.UID)
	return err
}

// disinvite is for somebody whose invitation was withdrawn and about whom the provider can not
// be asked, for it gave no token: what is known of them decides. Where groups may let them
// in it does not, and they have the grace period.
func (a *Auth) disinvite(ctx context.Context, u *account.User) error {
	proofs, err := a.accounts.Proofs(ctx, u.UID)
	if err != nil {
		return err
	}
	for _, proof := range proofs {
		p := a.providerOf(proof.Issuer)
		id := account.Identity{Issuer: proof.Issuer, Subject: proof.Subject}
		if p == nil || proof.Dead || proof.Token != "" || pinned(u, id) || len(p.c.AllowGroups) > 0 {
			continue
		}
		l := &login{issuer: proof.Issuer}
		l.Verified = true // only such an address is kept
		for _, have := range u.Identities {
			if have.Issuer == proof.Issuer && have.Subject == proof.Subject {
				l.Email = have.Email
			}
		}
		l.HD = l.Email[strings.LastIndexByte(l.Email, '@')+1:] // it was, if it counted
		allowed, err := a.allows(ctx, p, l)
		if err != nil {
			return err
		}
		if !allowed {
			if err := a.disprove(ctx, u, proof, "not-invited"); err != nil {
				return err
			}
		}
	}
	a.proving.mu.Lock()
	defer a.proving.mu.Unlock()
	delete(a.proving.doubted, u.UID)
	return nil
}

// isDoubted says whether an invitation of somebody was withdrawn, and that not looked at yet.
func (a *Auth) isDoubted(uid string) bool {
	a.proving.mu.Lock()
	defer a.proving.mu.Unlock()
	return a.proving.doubted[uid]
}

func (a *Auth) providerOf(issuer string) *provider {
	for _, p := range a.oidc {
		if p.c.Issuer == issuer {
			return p
		}
	}
	return nil
}

// proveTime bounds one proof; the lease on it outlives that.
const proveTime = 30 * time.Second

var errLeased = errors.New("another node asks just now")

// prove asks the provider with the refresh token, and again which rule lets the person in.
// If another node has asked since was was read that is enough, unless it is to be now: that
// node may not have known the news. An error says nothing about the account.
func (a *Auth) prove(ctx context.Context, p *provider, u *account.User, was *account.Proof, now bool) error {
	// What the provider answers may be a token that replaces the old one: it must be kept.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), proveTime)
	defer cancel()
	d, err := p.discover(ctx)
	if err != nil {
		return err
	}
	proof, end, err := a.accounts.LeaseProof(ctx, was, 2*proveTime)
	if err != nil {
		return err
	}
	if proof == nil {
		return errLeased
	}
	defer end()
	if proof.Dead || proof.Token == "" || !now && proof.Proved.After(was.Proved) {
		return nil
	}
	token, err := p.oauth(d, "").TokenSource(p.context(ctx), &oauth2.Token{RefreshToken: string(proof.Token)}).Token()
	if re := (*oauth2.RetrieveError)(nil); errors.As(err, &re) {
		if re.ErrorCode == "invalid_grant" { // RFC 6749 §5.2
			return a.disprove(ctx, u, proof, "invalid_grant")
		}
		// Its text has the answer's body in it, which is not for the log.
		return fmt.Errorf("the OIDC provider answered %d (%s) to a refresh token", re.Response.StatusCode, word(re.ErrorCode))
	}
	if err != nil {
		return fmt.Errorf("ask the OIDC provider with a refresh token: %w", err)
	}
	fresh := account.Secret("")
	if token.RefreshToken != string(proof.Token) {
		fresh = account.Secret(token.RefreshToken)
	}
	if err := a.accounts.Proved(ctx, u.UID, proof.Issuer, proof.Subject, fresh); err != nil {
		return err
	}
	if proof, err = a.proofOf(ctx, proof); err != nil {
		return err
	}
	l := &login{issuer: proof.Issuer}
	l.Subject = proof.Subject
	known := false
	if raw, _ := token.Extra("id_token").(string); raw != "" {
		id, err := d.verifier.Verify(p.context(ctx), raw)
		if err != nil {
			return fmt.Errorf("%w: %w", errProvider, err)
		}
		if id.Subject != proof.Subject { // OpenID Connect Core §12.2
			return fmt.Errorf("%w: the new ID token is about another user", errProvider)
		}
		if err := l.read(id, p.c.GroupsClaim); err != nil {
			return fmt.Errorf("%w: %w", errProvider, err)
		}
		known = true
	}
	if d.UserInfoEndpoint() != "" && (l.Email == "" || len(p.c.AllowGroups) > 0 && !l.hasGroups) {
		if err := p.userInfo(p.context(ctx), d, token, l); err != nil {
			return err
		}
		known = true
	}
	id := account.Identity{Issuer: proof.Issuer, Subject: proof.Subject}
	if !known || pinned(u, id) {
		return nil
	}
	if allowed, err := a.allows(ctx, p, l); err != nil || allowed {
		return err
	}
	return a.disprove(ctx, u, proof, "not-allowed")
}

// proofOf is a proof as it is now.
func (a *Auth) proofOf(ctx context.Context, was *account.Proof) (*account.Proof, error) {
	list, err := a.accounts.Proofs(ctx, was.UID)
	for _, p := range list {
		if p.Issuer == was.Issuer && p.Subject == was.Subject {
			return p, nil
		}
	}
	return was, err
}

func (a *Auth) disprove(ctx context.Context, u *account.User, proof *account.Proof, reason string) error {
	lapsed, err := a.accounts.Disproved(ctx, proof)
	if err == nil {
		a.log.WarnContext(ctx, "an OIDC provider no longer vouches for an account", "principal", u.Login, "reason", reason, "suspended", lapsed)
	}
	return err
}

// backchannel is where a provider says that somebody signed out there (OpenID Connect
// Back-Channel Logout 1.0 §2.5). It ends web sessions, and has the provider asked about
// the account; app passwords it leaves alone: who signs out of the browser wants the
// phone to go on.
func (a *Auth) backchannel(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	refuse := func(code int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": text})
	}
	p := a.provider(r)
	if p == nil {
		refuse(http.StatusNotFound, "no such provider")
		return
	}
	ctx, cancel := detached(r.Context())
	defer cancel()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	raw := strings.TrimSpace(r.PostFormValue("logout_token"))
	d, err := p.discover(ctx)
	if err != nil {
		refuse(http.StatusServiceUnavailable, "the provider's keys are not known at the moment")
		return
	}
	token, err := d.verifier.VerifyLogout(p.context(ctx), raw)
	if err != nil {
		if wait := a.Failed(r, "oidc", "", "bad-logout-token"); wait > 0 {
			TooMany(w, wait)
			return
		}
		refuse(http.StatusBadRequest, "the logout token is not accepted")
		return
	}
	first, err := a.accounts.Once(ctx, "logout", token.Issuer+"\x00"+token.TokenID, token.Expiry.Add(time.Hour))
	if err == nil && !first {
		refuse(http.StatusBadRequest, "the logout token was used before")
		return
	}
	var uids []string
	if err == nil {
		uids, err = a.accounts.EndSessionsOf(ctx, token.Issuer, token.Subject, token.SessionID)
	}
	if err != nil {
		a.unavailable(ctx, err)
		refuse(http.StatusServiceUnavailable, "sessions could not be ended at the moment")
		return
	}
	for _, uid := range uids {
		a.accounts.Note(ctx, account.Event{Actor: "provider", What: "signed out at the provider", UID: uid})
		a.proveSoon(uid)
	}
}
