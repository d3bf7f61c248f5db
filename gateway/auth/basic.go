package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// Basic lets through who sends an app password that opens proto ("dav"), with
// their Principal in the context. Others get 401 before the body is read.
// The account name may be the login name, the e-mail address or the uid, in any
// case, with or without a Windows domain before it.
func (a *Auth) Basic(realm, proto string, next http.Handler) http.Handler {
	challenge := fmt.Sprintf(`Basic realm=%q, charset="UTF-8"`, realm) // RFC 7617 §2.1
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(code int, text string) {
			if code == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", challenge)
			}
			http.Error(w, text, code)
		}
		if !a.mayCarrySecrets(r) {
			refuse(http.StatusForbidden, "An app password must not be sent in the clear: use https:// here.")
			return
		}
		name, password, ok := r.BasicAuth()
		if !ok {
			refuse(http.StatusUnauthorized, "Sign in with your login name and an app password from the Devices page.")
			return
		}
		p, u, err := a.accounts.Check(r.Context(), strings.TrimSpace(password))
		if err == nil && !accountName(name, u) {
			err = errAccount
		}
		if err == nil && !opens(p, proto) {
			err = account.ErrScope
		}
		if err != nil {
			a.refuseKey(w, r, proto, password, err, refuse)
			return
		}
		who := principal(p, u)
		a.Succeeded(r, who, proto)
		next.ServeHTTP(w, r.WithContext(With(r.Context(), who)))
	})
}

// errAccount is for a right secret under a wrong account name.
var errAccount = &account.Refusal{Reason: "wrong-account", Text: "This app password belongs to another login name.", Genuine: true}

func (a *Auth) refuseKey(w http.ResponseWriter, r *http.Request, proto, password string, err error, refuse func(int, string)) {
	var why *account.Refusal
	if !errors.As(err, &why) {
		a.unavailable(r.Context(), err)
		refuse(http.StatusServiceUnavailable, "App passwords cannot be checked at the moment. Try again shortly.")
		return
	}
	id, _, _ := account.Parse(strings.TrimSpace(password))
	if wait := a.Failed(r, proto, id, why.Reason); wait > 0 {
		TooMany(w, wait)
		return
	}
	switch {
	case errors.Is(err, account.ErrScope):
		refuse(http.StatusForbidden, why.Text)
	case why.Genuine:
		refuse(http.StatusUnauthorized, why.Text)
	default:
		refuse(http.StatusUnauthorized, "That login name and app password are not accepted.")
	}
}

func (a *Auth) unavailable(ctx context.Context, err error) {
	if ctx.Err() == nil {
		a.log.ErrorContext(ctx, "a credential could not be checked", "err", err)
	}
}

func opens(p *account.AppPassword, proto string) bool {
	switch proto {
	case "dav":
		return p.DAV
	case "s3":
		return p.S3
	}
	return false
}

// accountName says whether name is one of the user's.
func accountName(name string, u *account.User) bool {
	if i := strings.LastIndexByte(name, '\\'); i >= 0 {
		name = name[i+1:]
	}
	return strings.EqualFold(name, u.Login) || name != "" && strings.EqualFold(name, u.Email) || strings.EqualFold(name, u.UID)
}

// S3Secret is the secret access key of an access key id, and whom it acts for.
//
// An error of kind *account.Refusal (Refused finds it) comes with a secret if it
// should be told only to a client whose signature is right: verify first. After
// verifying call Succeeded or Failed.
func (a *Auth) S3Secret(ctx context.Context, accessKeyID string, _ *http.Request) (secret string, p *Principal, err error) {
	id, ok := account.KeyID(accessKeyID)
	if !ok {
		return "", nil, account.ErrUnknown
	}
	s, key, u, err := a.accounts.Secret(ctx, id)
	if s == "" {
		return "", nil, err
	}
	if err == nil && !opens(key, "s3") {
		err = account.ErrScope
	}
	return string(s), principal(key, u), err
}

// Follow calls end, once and with the reason, when the credential of p stops being good.
// It may call it before it returns. stop must be called.
func (a *Auth) Follow(ctx context.Context, p *Principal, end func(error)) (stop func()) {
	return a.accounts.Follow(ctx, p.UID, p.Key, p.Session, end)
}

// Refused is the reason in err, or nil if err says nothing about the credential.
func Refused(err error) *account.Refusal {
	var why *account.Refusal
	errors.As(err, &why)
	return why
}
