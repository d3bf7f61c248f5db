package browse

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

var (
	errNotOwner = newProblem(http.StatusForbidden, "Only the owner of this Shoebox can see and manage people.")
	errNobody   = newProblem(http.StatusNotFound, "There is nobody of that name any more.")
)

// activityItems is how many events the page shows.
const activityItems = 200

// asOwner lets through only owners.
func (h *handler) asOwner(f userFunc) userFunc {
	return func(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
		if !p.Owner {
			return errNotOwner
		}
		return f(w, r, p)
	}
}

// A person is a user as the owner sees one.
type person struct {
	*account.User
	Usage *backend.Usage // nil if it is not known
	You   bool
}

// Percent is how much of the quota is used, 0 to 100.
func (p person) Percent() int { return percent(p.Usage) }

// GB is the quota in billions of bytes, as the form has it.
func (p person) GB() string {
	if p.Quota == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(p.Quota)/1e9, 'f', -1, 64)
}

// An event is one of the audit log as page and API tell of it.
type event struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor,omitempty"`
	Net    string    `json:"network,omitempty"`
	What   string    `json:"what"`
	Who    string    `json:"user,omitempty"` // login name of whom it is about
	Target string    `json:"target,omitempty"`
	Device string    `json:"device,omitempty"`
	Count  int       `json:"count,omitempty"` // how often in about a minute, Target being the first; absent: once
}

// activity is the newest of the audit log, as the owner p sees it.
func (h *handler) activity(ctx context.Context, p *auth.Principal, users []*account.User, n int) ([]event, error) {
	list, err := h.accounts.Events(ctx, n)
	if err != nil {
		return nil, err
	}
	return events(p, users, list), nil
}

// events are what p may see of some.
func events(p *auth.Principal, users []*account.User, list []account.Event) []event {
	login := make(map[string]string, len(users))
	for _, u := range users {
		login[u.UID] = u.Login
	}
	out := make([]event, len(list))
	for i, e := range list {
		out[i] = event{At: e.At, Actor: e.Actor, Net: e.Net, What: e.What, Who: login[e.UID], Target: e.Target, Device: e.Device}
		if e.Count > 1 {
			out[i].Count = e.Count
		}
		if e.Private() && e.UID != p.UID {
			out[i].Target = "" // what people call their photographs is theirs
		}
	}
	return out
}

// people is the owner's page.
func (h *handler) people(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	users, err := h.accounts.Users(r.Context())
	if err != nil {
		return err
	}
	page := struct {
		People   []person
		Activity []event
		Confirm  *confirm
		SignIn   []auth.Provider
		Invited  []invited
		Here     string // the address that people open
	}{Confirm: h.confirm(p, "/people"), SignIn: h.opt.SignIn, Here: h.origin(r)}
	if page.Invited, err = h.invited(r.Context()); err != nil {
		return err
	}
	for _, u := range users {
		one := person{User: u, You: u.UID == p.UID}
		// One library that can not be read must not hide the other people.
		if lib, err := h.b.Library(r.Context(), u.UID, backend.Access{Quota: u.Quota, QuotaFiles: u.QuotaFiles}); err == nil {
			if usage, err := lib.Usage(r.Context()); err == nil {
				one.Usage = &usage
			}
		}
		page.People = append(page.People, one)
	}
	if page.Activity, err = h.activity(r.Context(), p, users, activityItems); err != nil {
		return err
	}
	h.page(w, r, http.StatusOK, "people", "People", page)
	return nil
}

// person is whom a form is about, if it may be sent now.
func (h *handler) person(w http.ResponseWriter, r *http.Request, p *auth.Principal) (*account.User, error) {
	if !p.Fresh(h.opt.Now()) {
		return nil, errNotFresh
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, newProblem(http.StatusBadRequest, "The form did not arrive whole. Go back and send it again.")
	}
	users, err := h.accounts.Users(r.Context())
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if u.UID == r.PathValue("uid") && u.State != account.Removed {
			return u, nil
		}
	}
	return nil, errNobody
}

// stateForm answers POST /people/{uid}/state.
func (h *handler) stateForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	u, err := h.person(w, r, p)
	if err != nil {
		return err
	}
	var state account.State
	switch r.PostForm.Get("state") {
	case "active":
	case "suspended":
		state = account.Suspended
		if u.UID == p.UID {
			return newProblem(http.StatusConflict, "You cannot suspend yourself.")
		}
	default:
		return newProblem(http.StatusBadRequest, "The state is active or suspended.")
	}
	if err := h.accounts.SetState(r.Context(), u.UID, state); err != nil {
		return err
	}
	http.Redirect(w, r, "/people", http.StatusSeeOther)
	return nil
}

// quotaForm answers POST /people/{uid}/quota.
func (h *handler) quotaForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	u, err := h.person(w, r, p)
	if err != nil {
		return err
	}
	var bytes, files int64
	if s := strings.TrimSpace(r.PostForm.Get("gb")); s != "" {
		gb, err := strconv.ParseFloat(s, 64)
		if err != nil || !(gb >= 0 && gb < 1e9) {
			return newProblem(http.StatusBadRequest, "The space is a number of gigabytes; empty means no limit.")
		}
		bytes = int64(gb * 1e9)
	}
	if s := strings.TrimSpace(r.PostForm.Get("files")); s != "" {
		if files, err = strconv.ParseInt(s, 10, 64); err != nil || files < 0 {
			return newProblem(http.StatusBadRequest, "The number of files is a whole number; empty means no limit.")
		}
	}
	if err := h.accounts.SetQuota(r.Context(), u.UID, bytes, files); err != nil {
		return err
	}
	http.Redirect(w, r, "/people", http.StatusSeeOther)
	return nil
}

// apiActivity answers GET /api/activity?n=200 with the audit log, newest first.
func (h *handler) apiActivity(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	n := activityItems
	if s := r.URL.Query().Get("n"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 || n > account.MaxEvents {
			return newProblem(http.StatusBadRequest, "n is a number from 1 to 10000.")
		}
	}
	users, err := h.accounts.Users(r.Context())
	if err != nil {
		return err
	}
	list, err := h.activity(r.Context(), p, users, n)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		Items []event `json:"items"`
	}{list})
}

// ownItems is how many events the account page shows.
const ownItems = 50

// account is the page of one's own sessions, space and activity.
func (h *handler) account(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, err := h.accounts.Sessions(r.Context(), p.UID)
	if err != nil {
		return err
	}
	own, err := h.accounts.EventsOf(r.Context(), p.UID, ownItems)
	if err != nil {
		return err
	}
	h.page(w, r, http.StatusOK, "account", "Account", struct {
		Sessions []*account.Session
		This     string
		Ended    bool
		Activity []event
	}{list, p.Session, r.URL.Query().Has("ended"), events(p, nil, own)})
	return nil
}

// endSessionForm answers POST /account/sessions/{id}/end.
func (h *handler) endSessionForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, err := h.accounts.Sessions(r.Context(), p.UID)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.ID == r.PathValue("id") {
			if err := h.accounts.EndSession(r.Context(), s.ID); err != nil {
				return err
			}
			h.accounts.Note(r.Context(), account.Event{What: "session ended", UID: p.UID})
		}
	}
	http.Redirect(w, r, "/account?ended", http.StatusSeeOther) // to /login, if it was this one
	return nil
}

// A renew tells that devices stop unless the person signs in again.
type renew struct {
	Provider string
	By       time.Time
	Start    string // "" if the provider is not known any more
}

// renewWithin is how long before the end people are told: from day 20 of 30.
const renewWithin = 10 * 24 * time.Hour

func (h *handler) renew(r *http.Request, p *auth.Principal) *renew {
	end, err := h.accounts.ProofEnds(r.Context(), p.UID)
	if err != nil || end.IsZero() || end.Sub(h.opt.Now()) > renewWithin {
		return nil // the page is shown all the same
	}
	n := &renew{Provider: "Your sign-in provider", By: end}
	for i, s := range h.opt.SignIn {
		if s.Issuer == p.Issuer || i == 0 {
			n.Provider, n.Start = s.Name, s.Start+"?return="+url.QueryEscape("/account")
		}
	}
	return n
}
