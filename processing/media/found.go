package media

import (
	"math"
	"strings"
	"time"
)

// What is taken for possible of the details, and how much of them is kept.
const (
	maxID          = 64 // bytes of an identifier
	maxKeywords    = 32 // of one file
	maxKeyword     = 64 // characters of one
	maxExposure    = 7 * 24 * 3600.0
	maxAperture    = 1000.0
	maxISO         = 100_000_000
	maxFocalLength = 100_000.0
	minAltitude    = -12_000.0
	maxAltitude    = 100_000.0
	maxDuration    = 1000 * time.Hour
	minRating      = -1 // rejected
	maxRating      = 5
)

// found collects what the parts of a file say, until it is weighed by meta. Of what is
// said twice by parts of equal rank, the first counts.
type found struct {
	now           time.Time
	make, model   string
	orientation   int
	width, height int
	turned        bool              // to be shown on its side, as the container says
	clip          [2]float64        // what is shown of a HEIF or a DNG; 0 is all
	dates         map[string]string // by EXIF's names, or with "XMP " or "IPTC " before XMP's or IPTC's
	movieCreated  time.Time         // UTC
	lat, lon      *float64
	altitude      *float64

	lens                                             string
	exposure, aperture, iso, longISO, focal, focal35 float64 // 0 is unknown
	duration                                         time.Duration
	contentID, burstID                               string
	motion, animated                                 bool
	rating                                           int
	keywords                                         []string

	packets  [][]byte // of XMP, read when all else has been
	blocks   int      // of IPTC, so far
	unpacked int      // parts of the file that had been packed, so far
}

// meta makes the result of what was found.
func (f *found) meta(mediaType string) Meta {
	m := Meta{
		Make:          f.make,
		Model:         f.model,
		Orientation:   f.orientation,
		Width:         f.width,
		Height:        f.height,
		Lens:          f.lens,
		Exposure:      f.exposure,
		Aperture:      f.aperture,
		ISO:           int(f.iso),
		FocalLength:   f.focal,
		FocalLength35: int(f.focal35),
		Duration:      f.duration,
		Animated:      f.animated || mediaType == HEICs,
		ContentID:     f.contentID,
		Motion:        f.motion,
		BurstID:       f.burstID,
		Rating:        f.rating,
		Keywords:      f.keywords,
	}
	if most := float64(math.MaxUint16); f.longISO > 0 && (f.iso == 0 || f.iso == most) {
		m.ISO = int(f.longISO) // the other has no room for it
	}
	if t, from, ok := f.taken(); ok {
		m.Taken, m.OffsetMinutes, m.HasOffset, m.TakenFrom = t.wall, t.offset, t.hasOffset, from
	}
	if f.lat != nil {
		m.Lat, m.Lon, m.HasPlace = *f.lat, *f.lon, true
	}
	if f.altitude != nil {
		m.Altitude, m.HasAltitude = *f.altitude, true
	}
	m.DisplayWidth, m.DisplayHeight = m.Width, m.Height
	if w, h := f.clip[0], f.clip[1]; w >= 1 && h >= 1 && w <= float64(m.Width) && h <= float64(m.Height) {
		m.DisplayWidth, m.DisplayHeight = int(w), int(h)
	}
	if f.turned || m.Orientation >= 5 && !turnsItself(mediaType) {
		m.DisplayWidth, m.DisplayHeight = m.DisplayHeight, m.DisplayWidth
	}
	return m
}

// turnsItself says whether files of a type tell by other means than EXIF which way up they
// are, so that decoders don't look at that.
func turnsItself(mediaType string) bool {
	switch mediaType {
	case HEIC, HEIF, AVIF, HEICs, JXL:
		return true
	}
	return false
}

// setSize takes a size if it can be one.
func (f *found) setSize(w, h int) {
	if w > 0 && h > 0 && w <= maxSide && h <= maxSide {
		f.width, f.height = w, h
	}
}

// setText sets a text that has not been set yet.
func setText(to *string, s string) {
	if *to == "" {
		*to = clean(s)
	}
}

// setNumber sets a number that has not been set, if it is above 0 and at most most.
func setNumber(to *float64, n, most float64) {
	if *to == 0 && n > 0 && n <= most { // not so NaN
		*to = n
	}
}

func (f *found) setOrientation(n float64) {
	if f.orientation == 0 && n >= 1 && n <= 8 {
		f.orientation = int(n)
	}
}

// setPlace takes a place in degrees, if it is one.
func (f *found) setPlace(lat, lon float64) {
	if f.lat == nil && isPlace(lat, lon) {
		f.lat, f.lon = &lat, &lon
	}
}

// isPlace says whether two numbers are a place on Earth. 0, 0 is what devices write that
// know none.
func isPlace(lat, lon float64) bool {
	return math.Abs(lat) <= 90 && math.Abs(lon) <= 180 && (lat != 0 || lon != 0) // not so NaN
}

// setAltitude takes the height above the sea in metres.
func (f *found) setAltitude(m float64) {
	if f.altitude == nil && m >= minAltitude && m <= maxAltitude { // not so NaN
		f.altitude = &m
	}
}

// setRating sets 1 to 5 stars, or -1 for what was rejected. (XMP Specification Part 1
// §8.4; EXIF's tag is Windows's.)
func (f *found) setRating(n float64) {
	if f.rating == 0 && n >= minRating && n <= maxRating {
		f.rating = int(n)
	}
}

// setID sets an identifier that has not been set, if it is of printable ASCII.
func setID(to *string, s string) {
	s, _, _ = strings.Cut(s, "\x00")
	if *to == "" && validID(s) {
		*to = s
	}
}

func validID(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxID
}

// addKeywords adds words that are not there yet, the first maxKeywords.
func (f *found) addKeywords(words ...string) {
	for _, word := range words {
		word = clean(word)
		if word == "" || len(f.keywords) >= maxKeywords {
			continue
		}
		dup := false
		for _, have := range f.keywords {
			dup = dup || strings.EqualFold(have, word)
		}
		if !dup {
			f.keywords = append(f.keywords, word)
		}
	}
}
