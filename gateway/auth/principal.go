// Package auth says who asks. A request comes with an app password (HTTP Basic on
// WebDAV, Signature V4 on S3) or a web session (cookie, after a one-time link or an
// OIDC login); what comes out is a Principal in the request's context.
package auth

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// A Principal is whom a request acts for.
type Principal struct {
	UID     string
	Login   string // name used with HTTP Basic
	Name    string // shown on the page
	Owner   bool   // may manage people
	Key     string // id of the app password; "" for a web session
	Label   string // the app password's device name
	Session string // id (hash) of the web session; "" for an app password
	// AuthTime is when the person last proved who they are, and Issuer the OIDC provider
	// they did it at, "" for a login link. Both only for a web session.
	AuthTime time.Time
	Issuer   string
	// Access is what the Library enforces: mode, root collection, quota.
	Access backend.Access
}

// By names the credential, for locks and the audit log: the app password's id or "web".
func (p *Principal) By() string {
	if p.Key != "" {
		return p.Key
	}
	return "web"
}

// Fresh says whether the person proved who they are within the last ten minutes: it is
// asked before they make an app password or manage people, so that a session left open
// is not enough.
func (p *Principal) Fresh(now time.Time) bool { return now.Sub(p.AuthTime) <= stepUp }

type contextKey struct{}

// With returns a context that carries p.
func With(ctx context.Context, p *Principal) context.Context {
	if w, ok := ctx.Value(watchKey{}).(*watch); ok && w.p.Swap(p) == nil && w.found != nil {
		w.found(p)
	}
	return context.WithValue(ctx, contextKey{}, p)
}

type watchKey struct{}

type watch struct {
	p     atomic.Pointer[Principal]
	found func(*Principal)
}

// Watch returns a context for a request, and a function that tells which principal
// With has found for it, nil if none. found, if not nil, is called by With, once.
// The middleware, which stands before every face, needs it.
func Watch(ctx context.Context, found func(*Principal)) (context.Context, func() *Principal) {
	w := &watch{found: found}
	return context.WithValue(ctx, watchKey{}, w), w.p.Load
}

// From is the principal of a request that has been authenticated, else nil.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(contextKey{}).(*Principal)
	return p
}
