package media

import (
	"fmt"
	"math"
	"strings"
)

// Tags of EXIF (EXIF 2.32 §4.6). Some cameras have those of EXIF's directory in the first
// one, as TIFF/EP has it; they are believed in either.
const (
	tagModel          = 0x0110
	tagOrientation    = 0x0112
	tagModified       = 0x0132
	tagRating         = 0x4746 // Windows's
	tagExposure       = 0x829a
	tagAperture       = 0x829d
	tagISO            = 0x8827
	tagOutputSens     = 0x8831 // this and the two that follow are of 32 bits
	tagRecommended    = 0x8832
	tagISOSpeed       = 0x8833
	tagOriginal       = 0x9003
	tagDigitized      = 0x9004
	tagOffset         = 0x9010
	tagOffsetOriginal = 0x9011
	tagOffsetDigit    = 0x9012
	tagFocalLength    = 0x920a
	tagMakerNote      = 0x927c
	tagFraction       = 0x9290
	tagFractionOrig   = 0x9291
	tagFractionDigit  = 0x9292
	tagFocalLength35  = 0xa405
	tagLens           = 0xa434
)

// exifDates are the tags of dates and of their parts, and the names found keeps them by.
var exifDates = map[uint16]string{
	tagOriginal: "DateTimeOriginal", tagDigitized: "DateTimeDigitized", tagModified: "DateTime",
	tagOffset: "OffsetTime", tagOffsetOriginal: "OffsetTimeOriginal", tagOffsetDigit: "OffsetTimeDigitized",
	tagFraction: "SubSecTime", tagFractionOrig: "SubSecTimeOriginal", tagFractionDigit: "SubSecTimeDigitized",
}

// exifEntry takes an entry that says when, with what and how the picture was taken.
func (b *block) exifEntry(e entry) error {
	number := func(to *float64, most float64) error {
		n, err := e.numbers(1)
		setNumber(to, first(n), most)
		return err
	}
	text := func(to *string) error {
		s, err := e.text()
		setText(to, s)
		return err
	}
	switch e.tag {
	case tagMake:
		return text(&b.make)
	case tagModel:
		return text(&b.model)
	case tagLens:
		return text(&b.lens)
	case tagOrientation:
		n, err := e.numbers(1)
		b.setOrientation(first(n))
		return err
	case tagExposure:
		return number(&b.exposure, maxExposure)
	case tagAperture:
		return number(&b.aperture, maxAperture)
	case tagISO:
		return number(&b.iso, maxISO)
	case tagOutputSens, tagRecommended, tagISOSpeed:
		return number(&b.longISO, maxISO)
	case tagFocalLength:
		return number(&b.focal, maxFocalLength)
	case tagFocalLength35:
		return number(&b.focal35, maxFocalLength)
	case tagRating:
		n, err := e.numbers(1)
		b.setRating(first(n))
		return err
	case tagMakerNote:
		v, err := e.bytes(maxValue)
		b.appleNote(v)
		return err
	}
	if name := exifDates[e.tag]; name != "" {
		s, err := e.text()
		b.setDate(name, s)
		return err
	}
	return nil
}

// Tags of the GPS directory (EXIF 2.32 §4.6.7).
const (
	tagLatitudeRef = iota + 1
	tagLatitude
	tagLongitudeRef
	tagLongitude
	tagAltitudeRef
	tagAltitude
	tagGPSTime
	tagGPSDate = 0x1d
)

func (b *block) gpsEntry(e entry) error {
	switch e.tag {
	case tagLatitudeRef, tagLongitudeRef, tagGPSDate:
		s, err := e.text()
		switch e.tag {
		case tagLatitudeRef:
			b.latSign = signOf(s, "N", "S")
		case tagLongitudeRef:
			b.lonSign = signOf(s, "E", "W")
		default:
			b.gpsDate = s
		}
		return err
	case tagLatitude, tagLongitude, tagAltitudeRef, tagAltitude, tagGPSTime:
		n, err := e.numbers(3)
		switch e.tag {
		case tagLatitude:
			b.lat = degrees(n)
		case tagLongitude:
			b.lon = degrees(n)
		case tagAltitude:
			b.alt = first(n)
		case tagGPSTime:
			b.gpsTime = n
		default: // below: 1, or in EXIF 3.0 also 3
			if v := first(n); v == 1 || v == 3 {
				b.altSign = -1
			}
		}
		return err
	}
	return nil
}

// signOf is the sign that a reference stands for, by its first letter; 0 if it is neither.
func signOf(s, positive, negative string) float64 {
	s = strings.ToUpper(strings.TrimSpace(s))
	switch {
	case strings.HasPrefix(s, positive):
		return 1
	case strings.HasPrefix(s, negative):
		return -1
	}
	return 0
}

// degrees adds up degrees, minutes and seconds, of which the latter two may be missing. It
// is NaN if there are no degrees.
func degrees(n []float64) float64 {
	sum, part := math.Abs(first(n)), 1.0
	for _, v := range n[min(1, len(n)):] {
		if part *= 60; !math.IsNaN(v) { // some cameras write 0/0 for none
			sum += v / part
		}
	}
	return math.Copysign(sum, first(n))
}

// takePlace takes the place of a block when both numbers and their signs are known, which
// may come in any order, and the time of the satellites.
func (b *block) takePlace() {
	b.setAltitude(b.alt * b.altSign)
	if b.latSign != 0 && b.lonSign != 0 {
		b.setPlace(b.lat*b.latSign, b.lon*b.lonSign)
	}
	if t := b.gpsTime; len(t) == 3 && b.gpsDate != "" {
		b.setDate("GPS", fmt.Sprintf("%s %02.0f:%02.0f:%06.3f", b.gpsDate, math.Floor(t[0]), math.Floor(t[1]), t[2]))
	}
}
