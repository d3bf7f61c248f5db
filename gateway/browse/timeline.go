package browse

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// How many photographs a page has, and the most that the API gives at once.
const (
	pageItems = 60
	maxItems  = 500
)

// timeline is the first page, and, with ?after=cursor, every later one.
func (h *handler) timeline(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	after := r.URL.Query().Get("after")
	tl, err := lib.Timeline(r.Context(), after, pageItems)
	if err != nil {
		return err
	}
	var more string
	if tl.Next != "" {
		more = "/?after=" + url.QueryEscape(tl.Next)
	}
	list, err := items(r.Context(), lib, tl.Items...)
	if err != nil {
		return err
	}
	v := timelineView{Days: days(list), More: more, Empty: after == "" && len(tl.Items) == 0 && tl.Next == "", Top: after == ""}
	w.Header().Add("Vary", "Sec-Fetch-Dest")       // a browser that goes back must not show what a script got
	if r.Header.Get("Sec-Fetch-Dest") != "empty" { // a script that scrolls takes the tiles alone
		if v.Jumps, err = jumps(r, lib, v.Days); err != nil {
			return err
		}
		if !v.Top {
			newer, err := lib.Newer(r.Context(), after, pageItems)
			if err != nil {
				return err
			}
			v.Newer = "/"
			if newer != "" {
				v.Newer += "?after=" + url.QueryEscape(newer)
			}
		}
	}
	h.page(w, r, http.StatusOK, "timeline", "Timeline", v)
	return nil
}

// A jump leads to a year of the timeline or, within the year that is shown, to a month.
type jump struct {
	At, Title string // yyyy or yyyy-mm, and that in words
	Label     string // the same for who only hears it: a month with its year
	Href      string
	Month     bool
	Here      bool // the page begins in it
}

// jumps are what the row of years above list is made of: nothing if all is of one month.
func jumps(r *http.Request, lib *backend.Library, list []*day) ([]jump, error) {
	if len(list) == 0 {
		return nil, nil
	}
	first := list[0].Date
	years, err := lib.Years(r.Context())
	if err != nil {
		return nil, err
	}
	var row []jump
	add := func(s backend.Stretch, layout, title, label string, month bool) {
		at := s.Start.Format(layout)
		row = append(row, jump{at, s.Start.Format(title), s.Start.Format(label), "/?after=" + url.QueryEscape(s.Cursor), month, strings.HasPrefix(first, at)})
	}
	for _, y := range years {
		add(y, "2006", "2006", "2006", false)
		if !row[len(row)-1].Here {
			continue
		}
		months, err := lib.Months(r.Context(), y)
		if err != nil {
			return nil, err
		}
		for _, m := range months {
			add(m, "2006-01", "Jan", "January 2006", true)
		}
	}
	if len(row) <= 2 {
		return nil, nil
	}
	return row, nil
}

// A timelineView is what the page of the timeline shows, or that of a search.
type timelineView struct {
	Days       []*day
	More       string // address of the next page, "" at the end
	Newer      string // address of the page before, unless it is the first
	Empty, Top bool   // there is nothing at all; it is the first page
	Query      string // what was looked for; "" on the timeline itself
	Jumps      []jump // where in time to go; none for a search
}

// tiles answers GET /tiles?ino=a,b,… with the tiles of those files, and nothing
// else of a page. What is gone is left out.
func (h *handler) tiles(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	inos := strings.Split(r.URL.Query().Get("ino"), ",")
	if len(inos) > maxItems {
		return newProblem(http.StatusBadRequest, "At most 500 files can be asked for at once.")
	}
	var entries []*backend.Entry
	for _, ino := range inos {
		e, err := lib.StatIno(r.Context(), backend.Ino(ino))
		switch {
		case errors.Is(err, backend.ErrNotExist):
		case err != nil:
			return err
		case !e.Dir:
			entries = append(entries, e)
		}
	}
	list, err := items(r.Context(), lib, entries...)
	if err != nil {
		return err
	}
	var body strings.Builder
	if err := h.pages["timeline"].ExecuteTemplate(&body, "tiles", days(list)); err != nil {
		panic("browse: internal error: tiles: " + err.Error())
	}
	h.send(w, r, http.StatusOK, "text/html; charset=utf-8", []byte(body.String()))
	return nil
}

// apiTimeline answers GET /api/timeline?after=cursor&n=60.
func (h *handler) apiTimeline(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	q := r.URL.Query()
	n := pageItems
	if s := q.Get("n"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 || n > maxItems {
			return newProblem(http.StatusBadRequest, "n must be a number from 1 to 500.")
		}
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	tl, err := lib.Timeline(r.Context(), q.Get("after"), n)
	if err != nil {
		return err
	}
	list, err := items(r.Context(), lib, tl.Items...)
	if err != nil {
		return err
	}
	return h.json(w, r, http.StatusOK, struct {
		Items []*item `json:"items"`
		Next  string  `json:"next,omitempty"` // give it as after; absent at the end
	}{list, tl.Next})
}
