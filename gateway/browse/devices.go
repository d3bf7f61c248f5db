package browse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// Accounts is what the page needs of the register of users; *account.Accounts is
// one.
type Accounts interface {
	// AppPasswords are those of a user that were not revoked, newest first.
	AppPasswords(ctx context.Context, uid string) ([]*account.AppPassword, error)
	// Mint makes one; the secret can not be had again.
	Mint(ctx context.Context, uid string, o account.MintOptions) (*account.AppPassword, account.Secret, error)
	// Revoke ends one at once.
	Revoke(ctx context.Context, uid, id string) error

	// Sessions are the web sessions of a user, newest first.
	Sessions(ctx context.Context, uid string) ([]*account.Session, error)
	// EndSession ends one.
	EndSession(ctx context.Context, id string) error
	// ProofEnds is when the user's devices stop unless they sign in again; zero if never.
	ProofEnds(ctx context.Context, uid string) (time.Time, error)

	// Users are all people; for the owner, as what follows.
	Users(ctx context.Context) ([]*account.User, error)
	// SetState suspends somebody, or lets them in again.
	SetState(ctx context.Context, uid string, s account.State) error
	// SetQuota sets what somebody may keep; 0 means no limit.
	SetQuota(ctx context.Context, uid string, bytes, files int64) error
	// Invitations let people sign in at a provider, as the settings' rules do.
	Invitations(ctx context.Context) ([]account.Invitation, error)
	Invite(ctx context.Context, issuer, email, by string) error
	Withdraw(ctx context.Context, issuer, email string) error
	// Events are the newest of the audit log, newest first.
	Events(ctx context.Context, n int) ([]account.Event, error)
	// EventsOf are those about one user.
	EventsOf(ctx context.Context, uid string, n int) ([]account.Event, error)
	// Labels are what a user's app passwords are called, by id.
	Labels(ctx context.Context, uid string, ids []string) (map[string]string, error)
	// Note adds an event.
	Note(ctx context.Context, e account.Event)
}

// maxForm bounds the body of a form or of a JSON request, in bytes.
const maxForm = 16 << 10

// A device is an app password as the API tells of it.
type device struct {
	ID          string     `json:"id"`
	Label       string     `json:"label"`
	Protocols   []string   `json:"protocols"` // "webdav", "s3"
	Mode        string     `json:"mode"`      // "read-write", "read-only", "upload-only"
	Root        string     `json:"root,omitempty"`
	AccessKeyID string     `json:"accessKeyId,omitempty"` // what S3 clients call it; only with s3
	Created     time.Time  `json:"created"`
	Expires     *time.Time `json:"expires,omitempty"` // absent: never
	Expired     bool       `json:"expired,omitempty"`
	Last        *lastUse   `json:"last,omitempty"`   // absent: never used
	Unused      bool       `json:"unused,omitempty"` // for 180 days
}

// unusedAfter is when an app password is better revoked: its device seems to be gone.
const unusedAfter = 180 * 24 * time.Hour

// A lastUse tells when and by what an app password was last used.
type lastUse struct {
	At       time.Time `json:"at"`
	Protocol string    `json:"protocol"`
	Network  string    `json:"network,omitempty"`
	Client   string    `json:"client,omitempty"`
}

func (h *handler) device(p *account.AppPassword) device {
	d := device{ID: p.ID, Label: p.Label, Mode: p.Mode.String(), Root: string(p.Root), Created: p.Created}
	if p.DAV {
		d.Protocols = append(d.Protocols, "webdav")
	}
	if p.S3 {
		d.Protocols = append(d.Protocols, "s3")
		d.AccessKeyID = p.AccessKeyID()
	}
	if !p.Expires.IsZero() {
		d.Expires = &p.Expires
		d.Expired = !h.opt.Now().Before(p.Expires)
	}
	if !p.Last.At.IsZero() {
		proto := p.Last.Proto
		if proto == "dav" {
			proto = "webdav"
		}
		d.Last = &lastUse{p.Last.At, proto, p.Last.Net, p.Last.Agent}
	}
	used := p.Created
	if p.Last.At.After(used) {
		used = p.Last.At
	}
	d.Unused = h.opt.Now().Sub(used) > unusedAfter
	return d
}

// A mint is what an app password is to be, as form and JSON say it.
type mint struct {
	Label     string   `json:"label"`
	Protocols []string `json:"protocols"` // none means both
	Mode      string   `json:"mode"`      // "" means "read-write"
	Root      string   `json:"root"`      // ino of a collection; "" means everything
	Days      int      `json:"days"`      // until it expires; 0 means never
}

// maxDays bounds how long an app password that expires may live: ten years.
const maxDays = 3650

func (m mint) options(now time.Time) (account.MintOptions, error) {
	o := account.MintOptions{Label: m.Label, Root: backend.Ino(m.Root)}
	if m.Label == "" {
		return o, newProblem(http.StatusBadRequest, "Give the device a name, so that you know it again in the list.")
	}
	if len(m.Protocols) == 0 {
		o.DAV, o.S3 = true, true
	}
	for _, name := range m.Protocols {
		switch name {
		case "webdav":
			o.DAV = true
		case "s3":
			o.S3 = true
		default:
			return o, newProblem(http.StatusBadRequest, "A protocol is webdav or s3.")
		}
	}
	switch m.Mode {
	case "", "read-write":
	case "read-only":
		o.Mode = backend.ReadOnly
	case "upload-only":
		o.Mode = backend.UploadOnly
	default:
		return o, newProblem(http.StatusBadRequest, "The mode is read-write, read-only or upload-only.")
	}
	if m.Days < 0 || m.Days > maxDays {
		return o, newProblem(http.StatusBadRequest, "days must be a number from 0 (never) to 3650.")
	}
	if m.Days > 0 {
		o.Expires = now.AddDate(0, 0, m.Days)
	}
	return o, nil
}

// mint makes the app password that m asks for.
func (h *handler) mint(r *http.Request, p *auth.Principal, m mint) (*minted, error) {
	if !p.Fresh(h.opt.Now()) {
		return nil, errNotFresh
	}
	o, err := m.options(h.opt.Now())
	if err != nil {
		return nil, err
	}
	if o.Root != "" {
		lib, err := h.library(r, p)
		if err != nil {
			return nil, err
		}
		if e, err := lib.StatIno(r.Context(), o.Root); err != nil {
			return nil, err
		} else if !e.Dir {
			return nil, newProblem(http.StatusBadRequest, "root must be a collection.")
		}
	}
	row, secret, err := h.accounts.Mint(r.Context(), p.UID, o)
	if err != nil {
		return nil, accountProblem(err)
	}
	return h.minted(r, p, row, string(secret))
}

// accountProblem gives the errors of the register, which status does not know, their answer.
func accountProblem(err error) error {
	var refusal *account.Refusal
	switch {
	case errors.As(err, &refusal):
		return newProblem(http.StatusForbidden, refusal.Text)
	case errors.Is(err, account.ErrTooMany):
		return newProblem(http.StatusConflict, fmt.Sprintf("There are %d app passwords already. Revoke one that is no longer used first.", account.MaxPasswords))
	case errors.Is(err, account.ErrInvalid):
		return newProblem(http.StatusBadRequest, fmt.Sprintf("The device's name must be plain text of at most %d bytes.", account.MaxLabel))
	}
	return err
}

// A choice is a library that an app password can be confined to.
type choice struct {
	Ino  backend.Ino
	Name string
}

type devicesPage struct {
	Minted    *minted  // shown once, else nil
	Confirm   *confirm // what to do before one can be made; nil if nothing
	Said      string   // what was just done, for a person; "" if nothing
	Devices   []device
	Uploads   []upload
	Locks     []lock
	Libraries []choice
	S3        bool            // there is an S3 face to connect to
	SignIn    []auth.Provider // identities at these can be connected
	Now       time.Time
}

func (h *handler) devicesPage(w http.ResponseWriter, r *http.Request, p *auth.Principal, made *minted) error {
	rows, err := h.accounts.AppPasswords(r.Context(), p.UID)
	if err != nil {
		return accountProblem(err)
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	page := devicesPage{Minted: made, Said: said(r), S3: h.opt.S3URL != "", SignIn: h.opt.SignIn, Now: h.opt.Now(), Confirm: h.confirm(p, "/devices")}
	if page.Uploads, err = h.uploads(r, p); err != nil {
		return err
	}
	if page.Locks, err = h.locks(r, p); err != nil {
		return err
	}
	names := make(map[string]string)
	for e, err := range lib.Members(r.Context(), "") {
		if err != nil {
			return err
		}
		if e.Dir {
			page.Libraries = append(page.Libraries, choice{e.Ino, e.Name})
			names[string(e.Ino)] = e.Name
		}
	}
	for _, row := range rows {
		d := h.device(row)
		if d.Root != "" {
			name, ok := names[d.Root]
			if !ok {
				name = "a folder that was deleted"
				if e, err := lib.StatIno(r.Context(), row.Root); err == nil {
					name = string(e.Key)
				}
			}
			d.Root = name
		}
		page.Devices = append(page.Devices, d)
	}
	h.page(w, r, http.StatusOK, "devices", "Devices", page)
	return nil
}

// said is what was just done by a form of the page.
func said(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("revoked"):
		return "Revoked. It opens nothing any more."
	case q.Has("dropped"):
		return "Dropped. What had come of it is gone."
	case q.Has("unlocked"):
		return "Unlocked. Others can change it again."
	}
	return ""
}

// devices is the page of app passwords.
func (h *handler) devices(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	return h.devicesPage(w, r, p, nil)
}

// mintForm answers POST /devices, the page's form, with the page and, this once,
// the password.
func (h *handler) mintForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return newProblem(http.StatusBadRequest, "The form did not arrive whole. Go back and send it again.")
	}
	m := mint{Label: r.PostForm.Get("label"), Protocols: r.PostForm["protocol"], Mode: r.PostForm.Get("mode"), Root: r.PostForm.Get("root")}
	if s := r.PostForm.Get("days"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			n = -1
		}
		m.Days = n
	}
	if len(m.Protocols) == 0 {
		return newProblem(http.StatusBadRequest, "Choose at least one protocol: WebDAV or S3.")
	}
	w.Header().Set("Cache-Control", "no-store")
	made, err := h.mint(r, p, m)
	if err != nil {
		return err
	}
	return h.devicesPage(w, r, p, made)
}

// revokeForm answers POST /devices/{id}/revoke, the page's form.
func (h *handler) revokeForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if err := h.accounts.Revoke(r.Context(), p.UID, r.PathValue("id")); err != nil {
		return accountProblem(err)
	}
	http.Redirect(w, r, "/devices?revoked", http.StatusSeeOther)
	return nil
}

// apiDevices answers GET /api/devices.
func (h *handler) apiDevices(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	rows, err := h.accounts.AppPasswords(r.Context(), p.UID)
	if err != nil {
		return accountProblem(err)
	}
	list := make([]device, len(rows))
	for i, row := range rows {
		list[i] = h.device(row)
	}
	return h.json(w, r, http.StatusOK, struct {
		Items []device `json:"items"`
	}{list})
}

// apiMint answers POST /api/devices with the app password, which is not shown again.
func (h *handler) apiMint(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/json" {
		return newProblem(http.StatusUnsupportedMediaType, "Send the request as application/json.")
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxForm))
	dec.DisallowUnknownFields()
	var m mint
	if err := dec.Decode(&m); err != nil {
		return newProblem(http.StatusBadRequest, "The body must be a JSON object with label, protocols, mode, root and days.")
	}
	if _, err := dec.Token(); err != io.EOF {
		return newProblem(http.StatusBadRequest, "The body must be one JSON object.")
	}
	w.Header().Set("Cache-Control", "no-store")
	made, err := h.mint(r, p, m)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusCreated, made)
}

// apiRevoke answers DELETE /api/devices/{id}.
func (h *handler) apiRevoke(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if err := h.accounts.Revoke(r.Context(), p.UID, r.PathValue("id")); err != nil {
		return accountProblem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
