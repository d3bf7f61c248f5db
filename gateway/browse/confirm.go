package browse

import (
	"net/http"
	"net/url"

	"github.com/shoebox-photos/shoebox/gateway/auth"
)

var errNotFresh = newProblem(http.StatusForbidden, "You signed in a while ago. Sign in again, then do this within ten minutes.")

// A confirm says how somebody proves anew who they are.
type confirm struct {
	Name, Start string // of the provider; "" for a login link
	Login       string
}

// confirm is what p has to do before something weighty, to come back to the path next;
// nil if they have done it.
func (h *handler) confirm(p *auth.Principal, next string) *confirm {
	if p.Fresh(h.opt.Now()) {
		return nil
	}
	c := &confirm{Login: p.Login}
	for _, s := range h.opt.SignIn {
		if s.Issuer == p.Issuer && p.Issuer != "" {
			c.Name, c.Start = s.Name, s.Start+"?confirm&return="+url.QueryEscape(next)
		}
	}
	return c
}
