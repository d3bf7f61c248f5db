package processing

import (
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/processing/internal/zone"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// mediaOf is what a result says of the original, without the variants.
func mediaOf(res *render.Result) backend.Media {
	m := res.Meta
	localise(&m)
	found := backend.Media{
		Taken:       m.Instant(),
		TakenFrom:   m.TakenFrom,
		Camera:      m.Camera(),
		HasPlace:    m.HasPlace,
		Lat:         m.Lat,
		Lon:         m.Lon,
		Width:       res.Width,
		Height:      res.Height,
		Placeholder: res.Placeholder,
	}
	if m.HasOffset {
		found.Offset = m.OffsetMinutes
	}
	found.SetDetails(backend.Details{
		Lens:          m.Lens,
		Exposure:      time.Duration(m.Exposure * float64(time.Second)),
		Aperture:      m.Aperture,
		ISO:           m.ISO,
		FocalLength:   m.FocalLength,
		FocalLength35: m.FocalLength35,
		HasAltitude:   m.HasAltitude,
		Altitude:      m.Altitude,
		StoredWidth:   m.Width,
		StoredHeight:  m.Height,
		Duration:      m.Duration,
		Animated:      m.Animated,
		Motion:        m.Motion,
		ContentID:     m.ContentID,
		BurstID:       m.BurstID,
		Partial:       res.Partial,
		Rating:        m.Rating,
		Keywords:      m.Keywords,
	})
	return found
}

// localise gives a picture that says where it was taken, but not by which clock, the
// offset that clocks there had on that day. The dates of a film's header and of the
// satellites are in UTC, and become those of the place; any other is the local time already.
func localise(m *media.Meta) {
	if m.Taken.IsZero() || m.HasOffset || !m.HasPlace {
		return
	}
	loc, ok := zone.Find(m.Lat, m.Lon)
	if !ok {
		return
	}
	at := m.Taken
	if !m.TakenInUTC() {
		at = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), loc)
	}
	_, seconds := at.In(loc).Zone()
	m.OffsetMinutes, m.HasOffset = seconds/60, true // before 1900 some had odd seconds
	if m.TakenInUTC() {
		m.Taken = m.Taken.Add(time.Duration(m.OffsetMinutes) * time.Minute)
	}
}
