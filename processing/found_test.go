package processing

import (
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// A picture without an offset has that of the place, on that day; the day it stands on is
// the local one.
func TestLocalise(t *testing.T) {
	at := func(month time.Month, day, hour int) time.Time {
		return time.Date(2024, month, day, hour, 30, 0, 0, time.UTC)
	}
	auckland := media.Meta{HasPlace: true, Lat: -36.85, Lon: 174.76}
	for _, test := range []struct {
		name   string
		from   string
		taken  time.Time
		wall   time.Time
		offset int
	}{
		{"summer, by the camera's clock", media.FromExif, at(1, 10, 23), at(1, 10, 23), 13 * 60},
		{"winter", media.FromExif, at(7, 10, 23), at(7, 10, 23), 12 * 60},
		{"a film's header is in UTC", media.FromMovieHeader, at(1, 10, 23), at(1, 11, 12), 13 * 60},
		{"so are the satellites", media.FromGPS, at(7, 10, 23), at(7, 11, 11), 12 * 60},
	} {
		m := auckland
		m.Taken, m.TakenFrom = test.taken, test.from
		localise(&m)
		if !m.Taken.Equal(test.wall) || m.OffsetMinutes != test.offset || !m.HasOffset {
			t.Errorf("%s: got %v, %d min, %v", test.name, m.Taken, m.OffsetMinutes, m.HasOffset)
		}
		if want := test.wall.Add(-time.Duration(test.offset) * time.Minute); !m.Instant().Equal(want) {
			t.Errorf("%s: got instant %v, want %v", test.name, m.Instant(), want)
		}
	}
	for name, m := range map[string]media.Meta{
		"its own offset counts": {Taken: at(1, 1, 1), TakenFrom: media.FromExif, HasOffset: true, OffsetMinutes: 60, HasPlace: true, Lat: -36.85, Lon: 174.76},
		"no place":              {Taken: at(1, 1, 1), TakenFrom: media.FromExif},
		"no date":               auckland,
	} {
		want := m
		if localise(&m); m.Taken != want.Taken || m.OffsetMinutes != want.OffsetMinutes || m.HasOffset != want.HasOffset {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}
