package account

import "errors"

// ErrRefused is wrapped by every error that says a credential is not good.
// Errors that do not wrap it (the index cannot be read) say nothing about the
// credential.
var ErrRefused = errors.New("credential refused")

// A Refusal says why a credential is not good. It wraps [ErrRefused].
type Refusal struct {
	Reason string // fixed word for the log: "bad-secret", "expired", …
	Text   string // sentence for the person who holds the credential
	// Genuine says that the secret was right, so that whoever sent it may be told
	// the reason. Others are told only that it was not accepted.
	Genuine bool
}

func (r *Refusal) Error() string { return r.Text }

// Unwrap makes errors.Is(err, ErrRefused) true.
func (r *Refusal) Unwrap() error { return ErrRefused }

// Reasons to refuse a credential.
var (
	ErrMalformed = &Refusal{"malformed", "That is not an app password, or it has a typing error.", false}
	ErrUnknown   = &Refusal{"unknown", "That app password is not known here.", false}
	ErrWrong     = &Refusal{"bad-secret", "That app password is not right.", false}
	ErrRevoked   = &Refusal{"revoked", "This app password was revoked. Make a new one on the Devices page.", true}
	ErrExpired   = &Refusal{"expired", "This app password has expired. Make a new one on the Devices page.", true}
	ErrSuspended = &Refusal{"suspended", "This account is suspended. Ask the owner of this Shoebox.", true}
	ErrLapsed    = &Refusal{"lapsed", "The sign-in provider no longer vouches for this account. Sign in on the page, and this app password works again.", true}
	ErrOutdated  = &Refusal{"outdated", "All app passwords of this account were revoked. Make a new one on the Devices page.", true}
	ErrScope     = &Refusal{"scope", "This app password is not for this protocol. Make another on the Devices page.", true}
	ErrSession   = &Refusal{"no-session", "You are not signed in, or were signed out after a while. Sign in again.", false}
	ErrLink      = &Refusal{"bad-link", "This login link was used before, or is too old. Ask for a new one.", false}
)
