package backend_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

func TestYears(t *testing.T) {
	b := newBox(t)
	told := func(list []backend.Stretch, err error) (days []string) {
		t.Helper()
		b.ok(err)
		for _, s := range list {
			days = append(days, s.Start.Format(time.DateOnly))
		}
		return days
	}
	none, err := b.Years(t.Context())
	if got := told(none, err); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	for i, taken := range []string{
		"2024-07-14T10:00:00+02:00", "2024-07-01T00:30:00+02:00", "2024-01-05T10:00:00+01:00", "2024-01-01T00:10:00+01:00", // in 2023 by UTC
		"2023-12-31T23:50:00-05:00", // later than the one above
		"2023-12-30T12:00:00Z",
		"2021-03-03T12:00:00Z", "2020-02-02T12:00:00Z", "2019-01-31T12:00:00Z", "1998-05-05T12:00:00Z",
	} {
		b.shot(fmt.Sprintf("photos/%d.jpg", i), taken, "")
	}
	for i := range 20 {
		b.shot(fmt.Sprintf("photos/many-%02d.jpg", i), fmt.Sprintf("2021-05-%02dT12:00:00Z", i+1), "")
	}
	// A year of which all is in the trash is none.
	for i := range 30 {
		key := fmt.Sprintf("photos/gone-%02d.jpg", i)
		b.shot(key, fmt.Sprintf("2022-05-%02dT12:00:00Z", i+1), "")
		b.ok(b.Delete(t.Context(), backend.Key(key), nil))
	}
	years, err := b.Years(t.Context())
	if got, want := told(years, err), []string{"2024-01-01", "2023-01-01", "2021-01-01", "2020-01-01", "2019-01-01", "1998-01-01"}; !slices.Equal(got, want) {
		t.Fatalf("years are %v, want %v", got, want)
	}
	// Back from the oldest, page by page, everything is met again.
	met := map[backend.Ino]bool{}
	for cursor := years[len(years)-1].Cursor; ; {
		tl, err := b.Timeline(t.Context(), cursor, 10)
		b.ok(err)
		for _, e := range tl.Items {
			met[e.Ino] = true
		}
		if cursor == "" {
			break
		}
		newer, err := b.Newer(t.Context(), cursor, 7)
		b.ok(err)
		if newer >= cursor {
			t.Fatalf("before %s is %s", cursor, newer)
		}
		cursor = newer
	}
	if len(met) != 10+20 {
		t.Errorf("going back, %d photos were met, want %d", len(met), 10+20)
	}
	for i, want := range [][]string{{"2024-07-01", "2024-01-01"}, {"2023-12-01"}, {"2021-05-01", "2021-03-01"}, {"2020-02-01"}, {"2019-01-01"}, {"1998-05-01"}} {
		months, err := b.Months(t.Context(), years[i])
		if got := told(months, err); !slices.Equal(got, want) {
			t.Errorf("months of %s are %v, want %v", years[i].Start.Format("2006"), got, want)
		}
		for _, s := range append(months, years[i]) {
			tl, err := b.Timeline(t.Context(), s.Cursor, 1)
			b.ok(err)
			at, offset := tl.Items[0].CaptureTime()
			if day := at.In(time.FixedZone("", offset*60)).Format("2006-01"); day < s.Start.Format("2006-01") || day[:4] != s.Start.Format("2006") {
				t.Errorf("the timeline from %s begins with %s", s.Start.Format(time.DateOnly), day)
			}
		}
	}
}
