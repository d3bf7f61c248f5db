package browse

import (
	"encoding/xml"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// What devices have begun and not finished: uploads in parts, and locks. The Devices page
// shows both while there are any.

// An upload under way as page and API tell of it.
type upload struct {
	ID      string      `json:"id"`
	Key     backend.Key `json:"key,omitempty"` // "" while the client has not said it
	Started time.Time   `json:"started"`
	Last    time.Time   `json:"last"` // when something of it arrived last
	Bytes   int64       `json:"bytes"`
	Parts   int         `json:"parts"`
	Device  string      `json:"device,omitempty"` // label of the app password
	Idle    bool        `json:"idle,omitempty"`   // nothing of it has come for an hour
}

// idleAfter is when an upload seems to be abandoned.
const idleAfter = time.Hour

// A lock as page and API tell of it.
type lock struct {
	Token   string      `json:"token"`
	Key     backend.Key `json:"key"`
	Below   bool        `json:"below,omitempty"` // all that lies below, too
	Shared  bool        `json:"shared,omitempty"`
	Owner   string      `json:"owner,omitempty"` // what the client says of who has it
	Device  string      `json:"device,omitempty"`
	Created time.Time   `json:"created"`
	Expires time.Time   `json:"expires"` // unless the client refreshes it
}

// onPage is what stands in place of a device's label for what was done on the page.
const onPage = "web"

// device names who did something for p: the label of an app password, onPage, or "" if
// that is not known any more.
func deviceName(labels map[string]string, by string) string {
	if by == onPage {
		return by
	}
	if labels[by] == onPage { // a device may be called that, too
		return "“" + onPage + "”"
	}
	return labels[by]
}

func (h *handler) uploads(r *http.Request, p *auth.Principal) ([]upload, error) {
	lib, err := h.library(r, p)
	if err != nil {
		return nil, err
	}
	rows, err := lib.UploadsUnderWay(r.Context())
	if err != nil {
		return nil, err
	}
	by := make([]string, len(rows))
	for i, u := range rows {
		by[i] = u.By
	}
	labels, err := h.accounts.Labels(r.Context(), p.UID, by)
	if err != nil {
		return nil, err
	}
	list := make([]upload, len(rows))
	for i, u := range rows {
		list[i] = upload{u.ID, u.Key, u.Created, u.Last, u.Bytes, u.Parts, deviceName(labels, u.By), h.opt.Now().Sub(u.Last) > idleAfter}
	}
	return list, nil
}

func (h *handler) locks(r *http.Request, p *auth.Principal) ([]lock, error) {
	lib, err := h.library(r, p)
	if err != nil {
		return nil, err
	}
	rows, err := lib.Locks(r.Context(), "", true)
	if err != nil {
		return nil, err
	}
	by := make([]string, len(rows))
	for i, k := range rows {
		by[i] = k.By
	}
	labels, err := h.accounts.Labels(r.Context(), p.UID, by)
	if err != nil {
		return nil, err
	}
	list := make([]lock, len(rows))
	for i, k := range rows {
		e, err := lib.StatIno(r.Context(), k.Ino)
		below := err == nil && e.Dir && k.Infinite // programs lock a file with all in it, too
		list[i] = lock{k.Token, k.Key, below, k.Shared, ownerText(k.Owner), deviceName(labels, k.By), k.Created, k.Expires}
	}
	return list, nil
}

// ownerText is the text in the XML that a client describes a lock's owner by, at most
// about 100 bytes of it.
func ownerText(owner string) string {
	const most = 100
	dec := xml.NewDecoder(strings.NewReader(owner))
	dec.Strict = false
	var b strings.Builder
	for b.Len() < most {
		t, err := dec.Token()
		if err != nil { // the end, or no XML
			break
		}
		if text, ok := t.(xml.CharData); ok {
			b.WriteString(strings.Map(func(r rune) rune {
				if !unicode.IsPrint(r) {
					return ' '
				}
				return r
			}, string(text)))
			b.WriteByte(' ')
		}
	}
	words := strings.Join(strings.Fields(b.String()), " ")
	if len(words) > most {
		words = strings.ToValidUTF8(words[:most], "") + "…"
	}
	return words
}

func (h *handler) abort(r *http.Request, p *auth.Principal) error {
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	u, err := lib.Upload(r.Context(), id)
	if err != nil {
		return err
	}
	if err := lib.Abort(r.Context(), id); err != nil {
		return err
	}
	h.accounts.Note(r.Context(), account.Event{What: account.UploadDropped, UID: p.UID, Target: string(u.Key)})
	return nil
}

var errNoLock = newProblem(http.StatusNotFound, "There is no such lock any more.")

func (h *handler) unlock(r *http.Request, p *auth.Principal) error {
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	all, err := lib.Locks(r.Context(), "", true)
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.Token != r.PathValue("token") {
			continue
		}
		if err := lib.Unlock(r.Context(), k.Key, k.Token); err != nil {
			return err
		}
		h.accounts.Note(r.Context(), account.Event{What: account.LockBroken, UID: p.UID, Target: string(k.Key)})
		return nil
	}
	return errNoLock
}

// abortForm answers POST /uploads/{id}/abort.
func (h *handler) abortForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if err := h.abort(r, p); err != nil {
		return err
	}
	http.Redirect(w, r, "/devices?dropped", http.StatusSeeOther)
	return nil
}

// unlockForm answers POST /locks/{token}/break.
func (h *handler) unlockForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if err := h.unlock(r, p); err != nil {
		return err
	}
	http.Redirect(w, r, "/devices?unlocked", http.StatusSeeOther)
	return nil
}

// apiUploads answers GET /api/uploads.
func (h *handler) apiUploads(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, err := h.uploads(r, p)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		Items []upload `json:"items"`
	}{list})
}

// apiAbort answers DELETE /api/uploads/{id}: what came of it is forgotten.
func (h *handler) apiAbort(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if err := h.abort(r, p); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// apiLocks answers GET /api/locks.
func (h *handler) apiLocks(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, err := h.locks(r, p)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		Items []lock `json:"items"`
	}{list})
}

// apiUnlock answers DELETE /api/locks/{token}: others may write there again.
func (h *handler) apiUnlock(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if err := h.unlock(r, p); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
