package browse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// An invited address as the owner sees it.
type invited struct {
	account.Invitation
	Provider string // name of the provider, or its issuer if the settings have it no more
}

// invited are all invitations, by address.
func (h *handler) invited(ctx context.Context) ([]invited, error) {
	rows, err := h.accounts.Invitations(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]invited, len(rows))
	for i, row := range rows {
		list[i] = invited{row, row.Issuer}
		for _, s := range h.opt.SignIn {
			if s.Issuer == row.Issuer {
				list[i].Provider = s.Name
			}
		}
	}
	slices.SortFunc(list, func(a, b invited) int { return strings.Compare(a.Email+" "+a.Issuer, b.Email+" "+b.Issuer) })
	return list, nil
}

// invitation is what a form says, if it may be sent now.
func (h *handler) invitation(w http.ResponseWriter, r *http.Request, p *auth.Principal) (issuer, email string, err error) {
	if !p.Fresh(h.opt.Now()) {
		return "", "", errNotFresh
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return "", "", newProblem(http.StatusBadRequest, "The form did not arrive whole. Go back and send it again.")
	}
	return r.PostForm.Get("issuer"), r.PostForm.Get("email"), nil
}

// inviteForm answers POST /people/invite.
func (h *handler) inviteForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	issuer, email, err := h.invitation(w, r, p)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(h.opt.SignIn, func(s auth.Provider) bool { return s.Issuer == issuer }) {
		return newProblem(http.StatusBadRequest, "There is no such sign-in provider. Reload the page and try again.")
	}
	switch err := h.accounts.Invite(r.Context(), issuer, email, p.Login); {
	case errors.Is(err, account.ErrTooManyInvitations):
		return newProblem(http.StatusConflict, fmt.Sprintf("There are %d invitations already. Withdraw one that is not needed any more first.", account.MaxInvitations))
	case errors.Is(err, account.ErrInvalid):
		return newProblem(http.StatusBadRequest, "An e-mail address is written as ana@example.org.")
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/people", http.StatusSeeOther)
	return nil
}

// withdrawForm answers POST /people/withdraw.
func (h *handler) withdrawForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	issuer, email, err := h.invitation(w, r, p)
	if err != nil {
		return err
	}
	if err := h.accounts.Withdraw(r.Context(), issuer, email); err != nil && !errors.Is(err, account.ErrNotExist) {
		return err
	}
	http.Redirect(w, r, "/people", http.StatusSeeOther)
	return nil
}
