package backend

import (
	"context"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A Stretch is a year or a month of which something stands on the timeline.
type Stretch struct {
	Start  time.Time // its first day, in the local time of the shot
	Cursor string    // what Timeline takes to begin with the newest of it
}

// maxYears is how many years are told at most: dates in files can be anything.
const maxYears = 300

// Years is every year of which something stands on the timeline, newest first, by the local
// time of the shot. It reads a few rows a year, however many photographs there are: a year whose
// only photographs are hours away from New Year, and from ones taken in another zone, can
// be missed. It ends early where more than 50,000 photographs follow that are in the trash.
func (l *Library) Years(ctx context.Context) ([]Stretch, error) {
	return l.stretches(ctx, "", func(t time.Time) time.Time {
		return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, t.Location())
	}, func(time.Time) bool { return true })
}

// Months is Years for the months of one year.
func (l *Library) Months(ctx context.Context, year Stretch) ([]Stretch, error) {
	return l.stretches(ctx, year.Cursor, func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, t.Location())
	}, func(t time.Time) bool { return t.Year() >= year.Start.Year() })
}

// Newer is the cursor with which Timeline begins n places before where it begins with cursor,
// counting what is in the trash; "" if that is the newest.
func (l *Library) Newer(ctx context.Context, cursor string, n int) (string, error) {
	r := l.live(ctx)
	top, err := l.top(r)
	if err != nil {
		return "", err
	}
	if err := l.allow(r, mayList, top); err != nil {
		return "", err
	}
	n = min(max(n, 1), timelineMax)
	rows, _, err := r.Scan("t#"+l.t.uid, "", cursor+"\x00", true, n+1)
	if err != nil || len(rows) <= n {
		return "", err
	}
	return rows[n].S, nil
}

// stretches reads the newest entry of each stretch from cursor on, and leaps over the rest
// of it: start is the beginning of the stretch that a moment is in. It ends where within
// says no.
func (l *Library) stretches(ctx context.Context, cursor string, start func(time.Time) time.Time, within func(time.Time) bool) ([]Stretch, error) {
	r := l.live(ctx)
	top, err := l.top(r)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayList, top); err != nil {
		return nil, err
	}
	var list []Stretch
	memo := make(map[Ino]*Key)
	// Rows of what is in the trash are passed over, ever more at once.
	const few = 4
	passed := 0
	for from, n, more := cursor, few, true; more && len(list) < maxYears && passed < 10*timelineLooks; {
		rows, m, err := r.Scan("t#"+l.t.uid, from, "", false, n)
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		entries, err := l.timelineEntries(ctx, r, rows, memo)
		if err != nil {
			return nil, err
		}
		more, n = m, min(2*n, kv.MaxGet)
		passed += len(rows)
		from = rows[len(rows)-1].S + "\x00"
		for _, e := range entries {
			if !top.Contains(e.Key) {
				continue
			}
			t, offset := e.CaptureTime()
			begin := start(t.In(time.FixedZone("", offset*60)))
			if !within(begin) {
				return list, nil
			}
			// Where offsets differ, neighbours can alternate between two stretches; each is told once.
			if len(list) == 0 || begin.Format(time.DateOnly) < list[len(list)-1].Start.Format(time.DateOnly) {
				list = append(list, Stretch{Start: begin, Cursor: inv(t)})
			}
			from, n, more = inv(begin.Add(-time.Millisecond)), few, true
			passed = 0
			break
		}
	}
	return list, nil
}
