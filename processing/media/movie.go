package media

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// The names under which found keeps the dates of a film's notes.
const (
	quickTimeDate = "com.apple.quicktime.creationdate"
	userDataDate  = "\xa9day"
)

// movie reads a film's headers (ISO/IEC 14496-12 §8.2, QuickTime File Format): the time it
// was made, size and rotation of its picture, and the notes of phones.
func (f *found) movie(w *window) error {
	k := &walk{left: maxBoxes}
	return k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "uuid":
			return f.uuid(b, nil)
		case "moov":
			return f.moov(k, b)
		}
		return nil
	})
}

func (f *found) moov(k *walk, w *window) error {
	onSide := false
	var userData []*window // comes after Apple's keyed notes, wherever it stands
	err := k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "mvhd":
			var err error
			onSide, err = f.movieHeader(b)
			return err
		case "trak":
			return k.boxes(b, func(kind string, b *window) error {
				if kind == "tkhd" {
					return f.trackHeader(b)
				}
				return nil
			})
		case "udta":
			userData = append(userData, b)
		case "meta":
			return f.quickTimeNotes(k, b)
		}
		return nil
	})
	for _, b := range userData {
		if !errors.Is(err, errWork) {
			err = cmp.Or(err, k.boxes(b, func(kind string, b *window) error { return f.userData(k, kind, b) }))
		}
	}
	f.turned = f.turned != onSide
	return err
}

// from1904 is how many seconds lie between QuickTime's zero, 1904, and Unix's.
const from1904 = 2082844800

// movieHeader reads mvhd (ISO/IEC 14496-12 §8.2.2): the creation time, in seconds since
// 1904 UTC, the length, and whether the whole film lies on its side. Cameras with no zone
// set write their local time all the same; some programs count from 1970.
func (f *found) movieHeader(w *window) (onSide bool, err error) {
	b, err := w.bytes(96)
	if err != nil || len(b) < 12 {
		return false, err
	}
	r := beReader{b: b[4:]}
	wide := 4
	if b[0] == 1 {
		wide = 8
	}
	seconds := r.read(wide)
	r.read(wide) // of the last change
	// The film's length is so many units, of which a second has scale.
	scale, units := r.read(4), r.read(wide)
	isKnown := units != 1<<(8*wide)-1
	if isKnown && scale > 0 && units/scale < uint64(maxDuration/time.Second) {
		f.duration = time.Duration(units/scale)*time.Second + time.Duration(units%scale*1000/scale)*time.Millisecond
	}
	if seconds >= from1904 {
		seconds -= from1904
	}
	if seconds > 0 && seconds < 1<<33 {
		f.movieCreated = time.Unix(int64(seconds), 0).UTC()
	}
	r.read(8) // rate and volume
	r.read(8)
	return isOnSide(r.b), nil
}

// isOnSide says whether a matrix turns by 90 or 270 degrees (§8.2.2.3).
func isOnSide(matrix []byte) bool {
	return len(matrix) >= 8 && binary.BigEndian.Uint32(matrix) == 0 && binary.BigEndian.Uint32(matrix[4:]) != 0
}

// trackHeader reads tkhd (§8.3.2): the matrix and the size of a track with a
// picture; the largest counts.
func (f *found) trackHeader(w *window) error {
	b, err := w.bytes(96)
	if err != nil || len(b) < 4 {
		return err
	}
	off := 40 // of the matrix, in version 0
	if b[0] == 1 {
		off = 52
	}
	if len(b) < off+44 {
		return nil
	}
	width := int(binary.BigEndian.Uint16(b[off+36:])) // the half behind is a fraction
	height := int(binary.BigEndian.Uint16(b[off+40:]))
	if int64(width)*int64(height) > int64(f.width)*int64(f.height) {
		f.setSize(width, height)
		f.turned = isOnSide(b[off:])
	}
	return nil
}

// userData reads the notes in udta: QuickTime's texts, whose names begin with ©, place and
// date as phones with 3GPP's have them, and XMP.
func (f *found) userData(k *walk, kind string, w *window) error {
	switch kind {
	case "meta":
		return f.quickTimeNotes(k, w)
	case "XMP_":
		return f.addPacket(w)
	}
	b, err := w.bytes(maxValue)
	if err != nil || len(b) < 4 {
		return err
	}
	switch kind {
	case "loci":
		f.location3GPP(b)
		return nil
	case "date": // ISO 8601, as some Android phones write it
		f.setDate(quickTimeDate, decodeText(b))
		return nil
	}
	n := int(binary.BigEndian.Uint16(b)) // then two bytes of language
	text := decodeText(b[4:min(len(b), 4+n)])
	switch kind {
	case "\xa9xyz":
		f.setISO6709(text)
	case "\xa9mak":
		setText(&f.make, text)
	case "\xa9mod":
		setText(&f.model, text)
	case userDataDate:
		if len(text) > len("2006-01-02") { // the day alone may be that of a release
			f.setDate(userDataDate, text)
		}
	}
	return nil
}

// location3GPP reads loci (3GPP TS 26.244 §8.12): version, language, the place's name, its
// role, then longitude, latitude and altitude in parts of 65536.
func (f *found) location3GPP(b []byte) {
	const (
		shooting = 0
		earth    = "earth"
	)
	if len(b) < 6 {
		return
	}
	b, ok := afterText(b[6:])
	if !ok || len(b) < 13 || b[0] != shooting {
		return
	}
	fixed := func(off int) float64 { return float64(int32(binary.BigEndian.Uint32(b[off:]))) / 65536 }
	// An empty name of the heavenly body is the Earth.
	if body := decodeText(b[13:]); body != "" && !strings.EqualFold(body, earth) {
		return
	}
	if lat, lon := fixed(5), fixed(1); isPlace(lat, lon) {
		f.setPlace(lat, lon)
		if alt := fixed(9); alt != 0 { // the field is always there
			f.setAltitude(alt)
		}
	}
}

// afterText is what follows a text that a zero ends: of UTF-8, or with a mark of byte
// order of UTF-16.
func afterText(b []byte) (rest []byte, ok bool) {
	step := 1
	if len(b) >= 2 && b[0] == 0xfe && b[1] == 0xff {
		step = 2
	}
	for ; len(b) >= step; b = b[step:] {
		if b[0] == 0 && b[step-1] == 0 {
			return b[step:], true
		}
	}
	return nil, false
}

// quickTimeNotes reads Apple's keyed notes (QuickTime File Format, "Metadata
// Structure"): keys has the names, ilst the values by the names' numbers.
func (f *found) quickTimeNotes(k *walk, w *window) error {
	// In QuickTime meta is a plain box; in MP4 it begins with version and flags.
	if b, err := w.sub(4, 4).bytes(4); err == nil && string(b) != "hdlr" {
		w = w.sub(4, w.size)
	}
	var names []string
	return k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "keys":
			return k.boxes(b.sub(8, b.size), func(_ string, b *window) error {
				name, err := b.bytes(256)
				names = append(names, string(name))
				return err
			})
		case "ilst":
			return k.boxes(b, func(kind string, item *window) error {
				i := binary.BigEndian.Uint32([]byte(kind))
				if i < 1 || uint64(i) > uint64(len(names)) {
					return nil
				}
				return k.boxes(item, func(kind string, b *window) error {
					if kind != "data" {
						return nil
					}
					v, err := b.bytes(maxValue)
					if err != nil || len(v) < 8 {
						return err
					}
					f.note(names[i-1], decodeText(v[8:]))
					return nil
				})
			})
		}
		return nil
	})
}

func (f *found) note(name, value string) {
	switch name {
	case quickTimeDate:
		f.setDate(quickTimeDate, value)
	case "com.apple.quicktime.location.ISO6709":
		f.setISO6709(value)
	case "com.apple.quicktime.make", "com.android.manufacturer":
		setText(&f.make, value)
	case "com.apple.quicktime.model", "com.android.model":
		setText(&f.model, value)
	case "com.apple.quicktime.content.identifier":
		setID(&f.contentID, value)
	case "com.apple.quicktime.camera.lens_model":
		setText(&f.lens, value)
	}
}

// setISO6709 reads a position as ±DD.DDDD±DDD.DDDD[±height][CRS…]/ (ISO 6709, annex H), the
// form that phones write, or in degrees and minutes, or those and seconds.
func (f *found) setISO6709(s string) {
	s, _, _ = strings.Cut(s, "/")
	s, _, _ = strings.Cut(s, "CRS")
	var parts []string
	for s = strings.TrimSpace(s); s != ""; {
		end := strings.IndexAny(s[1:], "+-") + 1
		if end == 0 {
			end = len(s)
		}
		parts = append(parts, s[:end])
		s = s[end:]
	}
	if len(parts) < 2 || f.lat != nil {
		return
	}
	lat, lon := degreesISO6709(parts[0], 2), degreesISO6709(parts[1], 3)
	if isPlace(lat, lon) {
		f.setPlace(lat, lon)
		if len(parts) > 2 {
			f.setAltitude(ratio(parts[2]))
		}
	}
}

// degreesISO6709 reads one number, of which the degrees take so many digits; NaN if it is
// none.
func degreesISO6709(s string, digits int) float64 {
	if s[0] != '+' && s[0] != '-' || strings.Trim(s[1:], "0123456789.") != "" {
		return math.NaN()
	}
	whole, _, _ := strings.Cut(s[1:], ".")
	var n []float64
	for rest := s[1:]; ; {
		end := len(rest)
		if len(whole) > digits { // minutes follow, of two digits
			end = digits
		}
		v, err := strconv.ParseFloat(rest[:end], 64)
		if err != nil {
			return math.NaN()
		}
		n = append(n, v)
		if end == len(rest) {
			break
		}
		rest, whole, digits = rest[end:], whole[end:], 2
	}
	if len(n) > 3 {
		return math.NaN()
	}
	if s[0] == '-' {
		return -degrees(n)
	}
	return degrees(n)
}
