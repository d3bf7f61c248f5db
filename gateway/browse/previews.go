package browse

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// Jobs tells of the work on previews. Its methods may be called at once from several
// goroutines.
type Jobs interface {
	// Waiting counts the jobs of a user that make a preview and wait or run, at most most. anew says in words
	// how far the one is that looks for previews to be made anew; "" if there is none.
	Waiting(ctx context.Context, uid string, most int) (n int, anew string, err error)
	// GivenUp are jobs of anybody that failed too often, at most n.
	GivenUp(ctx context.Context, n int) ([]GivenUpJob, error)
	// RetryAll queues all that were given up again, and says how many.
	RetryAll(ctx context.Context) (int, error)
}

// A GivenUpJob is one that failed too often.
type GivenUpJob struct {
	ID       string    `json:"id"`
	UID      string    `json:"-"`
	User     string    `json:"user,omitempty"` // login name
	Kind     string    `json:"kind"`           // "variants" or "sweep"
	Attempts int       `json:"attempts"`
	At       time.Time `json:"at"`    // when it was given up
	Error    string    `json:"error"` // names no file
}

const (
	maxWaiting   = 10_000 // jobs of one user that are counted
	givenUpItems = 100
	maxLooks     = 20 // at 5,000 files each, for a page that is not empty
)

// A progress is how far the previews of one user are.
type progress struct {
	User    string `json:"user,omitempty"` // login name, for the owner
	Name    string `json:"-"`
	Waiting int    `json:"waiting"`        // files that wait for a preview, or a better one
	More    bool   `json:"more,omitempty"` // there are more than Waiting, which were not counted
	Anew    string `json:"anew,omitempty"` // how far the look for previews to be made anew is, in words
}

// Count is Waiting, for people to read.
func (pr progress) Count() int64 { return int64(pr.Waiting) }

func (h *handler) progress(ctx context.Context, uid string) (pr progress, err error) {
	if h.opt.Jobs == nil {
		return pr, nil
	}
	pr.Waiting, pr.Anew, err = h.opt.Jobs.Waiting(ctx, uid, maxWaiting)
	pr.More = pr.Waiting == maxWaiting
	return pr, err
}

// withoutPreview is a page of p's files that have none, and the cursor after it.
func (h *handler) withoutPreview(r *http.Request, p *auth.Principal) (list []*item, found *backend.SearchPage, err error) {
	lib, err := h.library(r, p)
	if err != nil {
		return nil, nil, err
	}
	after, looked := r.URL.Query().Get("after"), 0
	for range maxLooks {
		if found, err = lib.WithoutPreview(r.Context(), after, pageItems); err != nil {
			return nil, nil, err
		}
		looked += found.Looked
		if after = found.Next; len(found.Items) > 0 || after == "" {
			break
		}
	}
	found.Looked = looked
	list, err = items(r.Context(), lib, found.Items...)
	return list, found, err
}

// Why is the reason that there is no preview, as a sentence begins.
func (i *item) Why() string { return capital(i.NoPreview) }

// previews is the page of how far previews are, and of what has none. Owners see
// everybody's progress, and nobody's files.
func (h *handler) previews(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, found, err := h.withoutPreview(r, p)
	if err != nil {
		return err
	}
	page := struct {
		progress
		List     []*item
		Older    string // where to go on
		First    bool
		Again    string    // name of the file that is tried again
		Everyone *everyone // for owners
	}{List: list, First: !r.URL.Query().Has("after")}
	if again := r.URL.Query().Get("again"); again != "" {
		if page.Again, err = h.nameOf(r, p, backend.Ino(again)); err != nil {
			return err
		}
	}
	if page.progress, err = h.progress(r.Context(), p.UID); err != nil {
		return err
	}
	if found.Next != "" {
		page.Older = "/previews?after=" + url.QueryEscape(found.Next)
	}
	if p.Owner && page.First {
		if page.Everyone, err = h.everyone(r.Context()); err != nil {
			return err
		}
	}
	h.page(w, r, http.StatusOK, "previews", "Previews", page)
	return nil
}

// nameOf is the name of p's file, "" if there is none: a link to the page must not put words
// into it.
func (h *handler) nameOf(r *http.Request, p *auth.Principal, ino backend.Ino) (string, error) {
	lib, err := h.library(r, p)
	if err != nil {
		return "", err
	}
	e, err := lib.StatIno(r.Context(), ino)
	switch {
	case errors.Is(err, backend.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	}
	return e.Name, nil
}

// everyone is what the owner sees of the queue.
type everyone struct {
	People  []progress   `json:"people"`
	GivenUp []GivenUpJob `json:"givenUp"` // at most 100
}

func (h *handler) everyone(ctx context.Context) (*everyone, error) {
	all := &everyone{People: []progress{}, GivenUp: []GivenUpJob{}}
	if h.opt.Jobs == nil {
		return all, nil
	}
	users, err := h.accounts.Users(ctx)
	if err != nil {
		return nil, err
	}
	login := make(map[string]string, len(users))
	for _, u := range users {
		pr, err := h.progress(ctx, u.UID)
		if err != nil {
			return nil, err
		}
		pr.User, pr.Name = u.Login, u.DisplayName()
		login[u.UID] = u.Login
		all.People = append(all.People, pr)
	}
	failed, err := h.opt.Jobs.GivenUp(ctx, givenUpItems)
	for _, j := range failed {
		j.User = login[j.UID]
		all.GivenUp = append(all.GivenUp, j)
	}
	return all, err
}

// remake has the preview of the request's {ino} made again.
func (h *handler) remake(r *http.Request, p *auth.Principal) (*item, error) {
	lib, err := h.library(r, p)
	if err != nil {
		return nil, err
	}
	e, err := lib.Remake(r.Context(), backend.Ino(r.PathValue("ino")))
	if err != nil {
		return nil, err
	}
	list, err := items(r.Context(), lib, e)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// remakeForm answers POST /previews/{ino}/retry, the page's form.
func (h *handler) remakeForm(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	it, err := h.remake(r, p)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/previews?again="+url.QueryEscape(string(it.Ino)), http.StatusSeeOther)
	return nil
}

// apiRemake answers POST /api/item/{ino}/preview with the item as it is then: not ready.
func (h *handler) apiRemake(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	it, err := h.remake(r, p)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusAccepted, it)
}

// apiPreviews answers GET /api/previews?after=cursor with the progress, and the files
// without a preview; a page may be empty though more follow.
func (h *handler) apiPreviews(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	list, found, err := h.withoutPreview(r, p)
	if err != nil {
		return err
	}
	pr, err := h.progress(r.Context(), p.UID)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		progress
		Items  []*item `json:"items"`
		Looked int     `json:"looked"`         // at so many files
		Next   string  `json:"next,omitempty"` // give it as after; absent at the end
	}{pr, list, found.Looked, found.Next})
}

// apiJobs answers GET /api/jobs, for owners.
func (h *handler) apiJobs(w http.ResponseWriter, r *http.Request, _ *auth.Principal) error {
	all, err := h.everyone(r.Context())
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, all)
}

func (h *handler) retryAll(ctx context.Context) (int, error) {
	if h.opt.Jobs == nil {
		return 0, nil
	}
	return h.opt.Jobs.RetryAll(ctx)
}

// apiRetryJobs answers POST /api/jobs/retry, for owners.
func (h *handler) apiRetryJobs(w http.ResponseWriter, r *http.Request, _ *auth.Principal) error {
	n, err := h.retryAll(r.Context())
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		Queued int `json:"queued"`
	}{n})
}

// retryJobsForm answers POST /previews/retry, the owner's form.
func (h *handler) retryJobsForm(w http.ResponseWriter, r *http.Request, _ *auth.Principal) error {
	if _, err := h.retryAll(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/previews", http.StatusSeeOther)
	return nil
}
