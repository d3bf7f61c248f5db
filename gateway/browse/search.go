package browse

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// maxQuery is the longest query in bytes.
const maxQuery = 400

// query is what a request looks for.
func query(r *http.Request) (string, error) {
	q := strings.Join(strings.Fields(r.URL.Query().Get("q")), " ")
	if len(q) > maxQuery || !utf8.ValidString(q) {
		return "", newProblem(http.StatusBadRequest, "What is looked for must be at most 400 bytes of text.")
	}
	return q, nil
}

// search is the timeline of what has all words of ?q=. Like the timeline it comes in
// pages; one may be empty though more follow, because each looks at so many photographs.
func (h *handler) search(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	q, err := query(r)
	if err != nil {
		return err
	}
	if q == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	after := r.URL.Query().Get("after")
	found, err := lib.Search(r.Context(), q, after, pageItems)
	if err != nil {
		return err
	}
	list, err := items(r.Context(), lib, found.Items...)
	if err != nil {
		return err
	}
	v := timelineView{Days: days(list), Top: true, Query: q}
	if found.Next != "" {
		v.More = "/search?" + url.Values{"q": {q}, "after": {found.Next}}.Encode()
	}
	v.Empty = len(found.Items) == 0 && found.Next == "" && after == ""
	h.page(w, r, http.StatusOK, "timeline", "Search: "+q, v)
	return nil
}

// apiSearch answers GET /api/search?q=words&after=cursor.
func (h *handler) apiSearch(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	q, err := query(r)
	if err != nil {
		return err
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	found, err := lib.Search(r.Context(), q, r.URL.Query().Get("after"), pageItems)
	if err != nil {
		return err
	}
	list, err := items(r.Context(), lib, found.Items...)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		Items  []*item `json:"items"`
		Looked int     `json:"looked"`         // at so many photographs
		Next   string  `json:"next,omitempty"` // give it as after; absent at the end
	}{list, found.Looked, found.Next})
}
