package browse

import (
	"net/http"
	"net/url"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

const trashItems = 100

// A trashed entry as the API tells of it.
type trashed struct {
	Ino        backend.Ino `json:"ino"`
	Key        backend.Key `json:"key"` // where it was
	Collection bool        `json:"collection,omitempty"`
	Size       int64       `json:"size"`
	Deleted    time.Time   `json:"deleted"`
	Thumb      string      `json:"thumb,omitempty"`  // address of the small variant
	Device     string      `json:"device,omitempty"` // label of the app password it was deleted with, "web" for the page
}

// Name is what it was called.
func (t trashed) Name() string {
	_, name := t.Key.Split()
	return name
}

// Where is the collection it was in.
func (t trashed) Where() string {
	dir, _ := t.Key.Split()
	return string(dir)
}

// trashPage is a stretch of the trash, newest first, and the cursor after it.
func (h *handler) trashPage(r *http.Request, p *auth.Principal) (list []trashed, next string, err error) {
	lib, err := h.library(r, p)
	if err != nil {
		return nil, "", err
	}
	rows, err := lib.Trash(r.Context(), r.URL.Query().Get("after"), trashItems)
	if err != nil {
		return nil, "", err
	}
	by := make([]string, len(rows))
	for i, t := range rows {
		by[i] = t.By
	}
	labels, err := h.accounts.Labels(r.Context(), p.UID, by)
	if err != nil {
		return nil, "", err
	}
	list = make([]trashed, len(rows))
	for i, t := range rows {
		list[i] = trashed{t.Entry.Ino, t.Entry.Key, t.Entry.Dir, t.Entry.Size, t.Deleted, "", deviceName(labels, t.By)}
		if file := variantFile(t.Entry, "thumb"); file != "" {
			list[i].Thumb = "/trash/" + string(t.Entry.Ino) + "/thumb?v=" + variantTag(t.Entry, file)
		}
	}
	if len(rows) == trashItems {
		next = rows[len(rows)-1].Cursor
	}
	return list, next, nil
}

// trash is the page of what was deleted.
func (h *handler) trash(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, next, err := h.trashPage(r, p)
	if err != nil {
		return err
	}
	var more string
	if next != "" {
		more = "/trash?after=" + url.QueryEscape(next)
	}
	q := r.URL.Query()
	h.page(w, r, http.StatusOK, "trash", "Trash", trashView{
		List: list, More: more, Restored: q.Get("restored"), Gone: q.Get("gone"),
		Confirm: h.confirm(p, "/trash"), Keep: h.opt.TrashKeep,
	})
	return nil
}

// A trashView is what the page of the trash shows.
type trashView struct {
	List     []trashed
	More     string
	Restored string   // key of what was just restored
	Gone     string   // what was just deleted for good
	Confirm  *confirm // what to do before anything can be deleted for good; nil if nothing
	Keep     time.Duration
}

// Until is when something goes for good by itself.
func (v trashView) Until(deleted time.Time) time.Time { return deleted.Add(v.Keep) }

// Days is how long things wait in the trash.
func (v trashView) Days() int { return int(v.Keep / (24 * time.Hour)) }

// trashedThumb answers GET /trash/{ino}/thumb?v=tag, as variant does for what is not deleted.
func (h *handler) trashedThumb(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	t, err := lib.Trashed(r.Context(), backend.Ino(r.PathValue("ino")))
	if err != nil {
		return err
	}
	return sendVariant(w, r, lib, t.Entry, "thumb")
}

// restoreForm answers POST /trash/{ino}/restore, the page's form.
func (h *handler) restoreForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	e, err := lib.Restore(r.Context(), backend.Ino(r.PathValue("ino")))
	if err != nil {
		return err
	}
	h.accounts.Note(r.Context(), account.Event{What: account.Restored, UID: p.UID, Target: string(e.Key)})
	http.Redirect(w, r, "/trash?restored="+url.QueryEscape(string(e.Key)), http.StatusSeeOther)
	return nil
}

// purgeForm answers POST /trash/{ino}/purge: that is gone for good. Whoever finds a browser
// left open can delete what can be restored, and no more: this needs a fresh proof.
func (h *handler) purgeForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if h.confirm(p, "/trash") != nil {
		return errNotFresh
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	if err := lib.Purge(r.Context(), backend.Ino(r.PathValue("ino"))); err != nil {
		return err
	}
	h.accounts.Note(r.Context(), account.Event{What: "deleted for good", UID: p.UID})
	http.Redirect(w, r, "/trash?gone=one", http.StatusSeeOther)
	return nil
}

// emptyForm answers POST /trash/empty: all of the trash is gone for good.
func (h *handler) emptyForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	if h.confirm(p, "/trash") != nil {
		return errNotFresh
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	if _, err := lib.EmptyTrash(r.Context()); err != nil {
		return err
	}
	h.accounts.Note(r.Context(), account.Event{What: "trash emptied", UID: p.UID})
	http.Redirect(w, r, "/trash?gone=all", http.StatusSeeOther)
	return nil
}

// apiTrash answers GET /api/trash?after=cursor.
func (h *handler) apiTrash(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, next, err := h.trashPage(r, p)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		Items []trashed `json:"items"`
		Next  string    `json:"next,omitempty"`
	}{list, next})
}

// apiRestore answers POST /api/trash/{ino}/restore with the item, where it is now.
func (h *handler) apiRestore(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	e, err := lib.Restore(r.Context(), backend.Ino(r.PathValue("ino")))
	if err != nil {
		return err
	}
	h.accounts.Note(r.Context(), account.Event{What: account.Restored, UID: p.UID, Target: string(e.Key)})
	return h.json(w, r, http.StatusOK, newItem(e))
}
