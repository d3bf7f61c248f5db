package browse

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/shoebox-photos/shoebox/gateway/status"
)

// A problem is an error with its own answer (RFC 9457 §3).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

func newProblem(code int, detail string) *problem {
	title := http.StatusText(code)
	if title == "" {
		title = "Request Failed"
	}
	return &problem{Type: "about:blank", Title: title, Status: code, Detail: detail}
}

var (
	errSignedOut   = newProblem(http.StatusUnauthorized, "You are not signed in. Reload the page to sign in.")
	errAppPassword = newProblem(http.StatusForbidden, "App passwords open WebDAV and S3, not the page. Sign in to use it.")
	errNoPage      = newProblem(http.StatusNotFound, "There is nothing at this address. It may have been moved or deleted.")
	errCrossOrigin = newProblem(http.StatusForbidden, "This request came from another site, so it was refused. Nothing was changed.")
)

// problemOf is what to tell of err: its own answer, or the table's.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	a := status.Of(err)
	return newProblem(a.Code, a.Text)
}

// fail answers a request with err, for a person as a page, for a script as
// application/problem+json.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status >= 500 {
		h.opt.Logger.ErrorContext(r.Context(), "page request failed", slog.String("op", r.Pattern), slog.Int("status", p.Status), slog.Any("err", err))
	}
	hd := w.Header()
	for _, name := range []string{"Content-Length", "Content-Range", "Accept-Ranges", "Content-Disposition", "ETag", "Last-Modified"} {
		hd.Del(name)
	}
	hd.Set("Cache-Control", "no-store")
	if p.Status == http.StatusServiceUnavailable {
		hd.Set("Retry-After", "5")
	}
	if wantsPage(r) || isForm(r) {
		h.page(w, r, p.Status, "error", p.Title, p)
		return
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic("browse: internal error: " + err.Error())
	}
	hd.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n'))
}

// isForm says whether r was sent by a form of the page.
func isForm(r *http.Request) bool {
	return r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded"
}

func (h *handler) notFound(w http.ResponseWriter, r *http.Request) { h.fail(w, r, errNoPage) }

func (h *handler) crossOrigin(w http.ResponseWriter, r *http.Request) { h.fail(w, r, errCrossOrigin) }
