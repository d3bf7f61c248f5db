package backend

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// searchLooks is how many entries one Search looks at.
const searchLooks = 5000

// A SearchPage is what one Search has found, newest first.
type SearchPage struct {
	Items  []*Entry
	Looked int    // at so many entries of the timeline
	Next   string // where to go on; "" at the end
}

// Search finds what stands on the timeline and has all words of the query, newest first:
// each in its key, the camera, the lens, a keyword or the kind of file, whatever the case; a
// word such as 2024, 2024-07 or 2024-07-14 is about the local day of the shot.
//
// There is no index of words: it reads the timeline, of which a date in the query leaves a
// stretch, and stops after n items or 5,000 entries. Whoever wants more asks again with
// Next.
func (l *Library) Search(ctx context.Context, query, cursor string, n int) (*SearchPage, error) {
	q := parseQuery(query)
	if q.empty() {
		return new(SearchPage), nil
	}
	from, to := q.span()
	return l.find(ctx, from, to, cursor, n, q.matches)
}

// find is Search for what matches, in a stretch of the timeline.
func (l *Library) find(ctx context.Context, from, to, cursor string, n int, matches func(*Entry) bool) (*SearchPage, error) {
	r := l.live(ctx)
	top, err := l.top(r)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayList, top); err != nil {
		return nil, err
	}
	page := new(SearchPage)
	n = min(max(n, 1), timelineMax)
	if cursor != "" {
		from = max(from, cursor+"\x00")
	}
	memo := make(map[Ino]*Key)
	for page.Looked < searchLooks {
		rows, more, err := r.Scan("t#"+l.t.uid, from, to, false, min(searchLooks-page.Looked, kv.MaxGet))
		if err != nil {
			return nil, err
		}
		entries, err := l.timelineEntries(ctx, r, rows, memo)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !top.Contains(e.Key) || !matches(e) {
				continue
			}
			page.Items = append(page.Items, e)
			if len(page.Items) == n {
				at, _ := e.CaptureTime()
				page.Next = timelineKey(l.t.uid, at, e.Ino).S
				return page, nil
			}
		}
		page.Looked += len(rows)
		if !more || len(rows) == 0 {
			page.Next = ""
			return page, nil
		}
		page.Next = rows[len(rows)-1].S
		from = page.Next + "\x00"
	}
	return page, nil
}

// A query is words in lower case, and beginnings of days.
type query struct{ words, days []string }

// maxWords is how many words of a query count.
const maxWords = 16

func parseQuery(s string) (q query) {
	for _, word := range strings.Fields(strings.ToLower(nfc(s))) {
		switch {
		case len(q.words)+len(q.days) >= maxWords:
			return q
		case isDay(word):
			q.days = append(q.days, word)
		default:
			q.words = append(q.words, word)
		}
	}
	return q
}

func (q *query) empty() bool { return len(q.words)+len(q.days) == 0 }

// isDay says whether s is a year of photographs, a month or a day.
func isDay(s string) bool {
	_, _, ok := stretch(s)
	return ok
}

// stretch is the time that a year, a month or a day takes, in UTC.
func stretch(s string) (from, to time.Time, ok bool) {
	for layout, next := range map[string][3]int{"2006": {1, 0, 0}, "2006-01": {0, 1, 0}, "2006-01-02": {0, 0, 1}} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1826 && t.Year() < 2200 {
			return t, t.AddDate(next[0], next[1], next[2]), true
		}
	}
	return from, to, false
}

// span is the part of the timeline that the query's days leave, "" to "" without any.
func (q *query) span() (from, to string) {
	for _, s := range q.days {
		first, last, _ := stretch(s)
		// The timeline is by instant, and days are local.
		lo, hi := inv(last.Add(14*time.Hour)), inv(first.Add(-14*time.Hour))
		from = max(from, lo)
		if to == "" || hi < to {
			to = hi
		}
	}
	if to != "" && to < from {
		to = from
	}
	return from, to
}

func (q *query) matches(e *Entry) bool {
	if len(q.days) > 0 {
		t, offset := e.CaptureTime()
		day := t.In(time.FixedZone("", offset*60)).Format(time.DateOnly)
		for _, s := range q.days {
			if !strings.HasPrefix(day, s) {
				return false
			}
		}
	}
	if len(q.words) == 0 {
		return true
	}
	near := strings.ToLower(nfc(string(e.Key)) + "\n" + e.Media.Camera + "\n" + e.Type)
	far := ""
	for _, word := range q.words {
		if strings.Contains(near, word) {
			continue
		}
		if far == "" {
			d := e.Media.Details()
			far = strings.ToLower(nfc(fmt.Sprintf("\n%s\n%s", d.Lens, strings.Join(d.Keywords, "\n"))))
		}
		if !strings.Contains(far, word) {
			return false
		}
	}
	return true
}
