package auth

import (
	"context"
	"net/http"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// OIDCConfig says where people sign in and who may.
type OIDCConfig struct {
	Issuer       string // required, exactly as the provider's discovery document has it
	ClientID     string // required
	ClientSecret account.Secret
	Scopes       []string     // besides "openid"; nil means "profile" and "email"
	Name         string       // shown on the button; "" means the issuer's host
	Client       *http.Client // nil means one with time-outs

	// Who may sign in. Nobody, unless one of these says so. E-mail addresses count only
	// if the provider says they are verified.
	AllowEmails  []string
	AllowDomains []string // of e-mail addresses; at Google the account's own domain ("hd") must be it, too
	AllowGroups  []string // members of any of these
	GroupsClaim  string   // claim of the ID token or UserInfo; "" means "groups"
	AllowAll     bool     // everybody the provider signs in
}

type provider struct{ c OIDCConfig }

func newProvider(c OIDCConfig) (*provider, error) { return &provider{c: c}, nil }

func (p *provider) name() string { return p.c.Name }

func (p *provider) logoutURL(ctx context.Context, s *account.Session, base string) string { return "" }

func (a *Auth) startOIDC(w http.ResponseWriter, r *http.Request)   { http.NotFound(w, r) }
func (a *Auth) finishOIDC(w http.ResponseWriter, r *http.Request)  { http.NotFound(w, r) }
func (a *Auth) connectOIDC(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }
