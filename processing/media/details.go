package media

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bep/imagemeta"
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

// wanted are the tags of EXIF that are read; others are passed over unread. (Of the
// names that imagemeta has for one number it uses the first.)
var wanted = map[string]bool{
	"Orientation": true, "Make": true, "Model": true,
	"DateTimeOriginal": true, "CreateDate": true, "ModifyDate": true,
	"OffsetTimeOriginal": true, "OffsetTimeDigitized": true, "OffsetTime": true,
	"SubSecTimeOriginal": true, "SubSecTimeDigitized": true, "SubSecTime": true,
	"GPSLatitudeRef": true, "GPSLatitude": true, "GPSLongitudeRef": true, "GPSLongitude": true,
	"GPSAltitudeRef": true, "GPSAltitude": true, "GPSDateStamp": true, "GPSTimeStamp": true,
	"LensModel": true, "ExposureTime": true, "FNumber": true, "ISO": true,
	"FocalLength": true, "FocalLengthIn35mmFormat": true, "Rating": true,
}

// wants says whether the value of a tag is worth reading.
func wants(t imagemeta.TagInfo) bool {
	if t.Source != imagemeta.EXIF {
		return true
	}
	return wanted[t.Tag] && strings.HasPrefix(t.Namespace, "IFD0") // others are the embedded preview's
}

// detailTag takes a tag of EXIF that says how the picture was taken.
func (f *found) detailTag(t imagemeta.TagInfo) {
	switch t.Tag {
	case "LensModel":
		f.setText(&f.lens, t.Value)
	case "ExposureTime":
		setNumber(&f.exposure, t.Value, maxExposure)
	case "FNumber":
		setNumber(&f.aperture, t.Value, maxAperture)
	case "ISO":
		setNumber(&f.iso, t.Value, maxISO)
	case "FocalLength":
		setNumber(&f.focal, t.Value, maxFocalLength)
	case "FocalLengthIn35mmFormat":
		setNumber(&f.focal35, t.Value, maxFocalLength)
	case "Rating":
		f.setRating(t.Value)
	}
}

// Namespaces of XMP beside EXIF's.
const (
	nsDublinCore = "http://purl.org/dc/elements/1.1/"
	nsAux        = "http://ns.adobe.com/exif/1.0/aux/"
	nsExifEX     = "http://cipa.jp/exif/1.0/"
	nsGCamera    = "http://ns.google.com/photos/1.0/camera/"
)

// detailXMP takes a property that says how the picture was taken, or what people
// say of it.
func (f *found) detailXMP(t imagemeta.TagInfo) {
	switch t.Namespace + t.Tag {
	case nsXMP + "Rating":
		f.setRating(t.Value)
	case nsDublinCore + "Subject":
		f.addKeywords(t.Value)
	case nsExifEX + "LensModel", nsAux + "Lens":
		f.setText(&f.xmpLens, t.Value)
	case nsGCamera + "MotionPhoto", nsGCamera + "MicroVideo":
		f.motion = f.motion || t.Value == "1"
	case nsGCamera + "BurstID":
		f.setID(&f.burstID, t.Value)
	}
}

// number is a value of EXIF or XMP as a number, NaN if it is none; of several, the
// first.
func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case float32:
		return float64(v)
	case imagemeta.Rat[uint32]:
		return float64(v.Num()) / float64(v.Den())
	case imagemeta.Rat[int32]:
		return float64(v.Num()) / float64(v.Den())
	case uint8:
		return float64(v)
	case uint16:
		return float64(v)
	case uint32:
		return float64(v)
	case int32:
		return float64(v)
	case int:
		return float64(v)
	case string:
		if n, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			return n
		}
	case []any:
		if len(v) > 0 {
			return number(v[0])
		}
	}
	return math.NaN()
}

// setNumber sets a number that has not been set, if it is above 0 and at most most.
func setNumber(to *float64, v any, most float64) {
	if n := number(v); *to == 0 && n > 0 && n <= most {
		*to = n
	}
}

// setRating sets 1 to 5 stars, or -1 for what was rejected. (XMP Specification Part 1
// §8.4; EXIF's tag is Windows's.)
func (f *found) setRating(v any) {
	if n := number(v); f.rating == 0 && n >= minRating && n <= maxRating {
		f.rating = int(n)
	}
}

// setID sets an identifier that has not been set, if it is of printable ASCII.
func (f *found) setID(to *string, v any) {
	s, _ := v.(string)
	s = strings.TrimRight(s, "\x00")
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
func (f *found) addKeywords(v any) {
	var words []string
	switch v := v.(type) {
	case string:
		words = []string{v}
	case []string:
		words = v
	}
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

// setAltitude takes the height above the sea in metres.
func (f *found) setAltitude(m float64) {
	if f.altitude == nil && m >= minAltitude && m <= maxAltitude {
		f.altitude = &m
	}
}

// Tags of Apple's maker note.
const (
	appleBurst   = 0x000b // of all pictures of one burst
	appleContent = 0x0011 // of a Live Photo: its film has the same
)

// appleNote reads Apple's maker note from the bytes of an EXIF block: "Apple iOS", a
// zero, a version of 2 bytes, then "MM" and one directory as TIFF has it, whose offsets
// count from the note's first byte. (imagemeta keeps only what is printable of it.)
func (f *found) appleNote(b []byte) {
	const head = 14
	start := bytes.Index(b, []byte("Apple iOS\x00"))
	if start < 0 {
		return
	}
	if b = b[start:]; len(b) < head+2 || string(b[12:head]) != "MM" {
		return
	}
	be := binary.BigEndian
	for i := range int(be.Uint16(b[head:])) {
		p := head + 2 + 12*i
		if p+12 > len(b) {
			return
		}
		id, kind, count, at := be.Uint16(b[p:]), be.Uint16(b[p+2:]), be.Uint32(b[p+4:]), be.Uint32(b[p+8:])
		if kind != 2 || count <= 4 || count > maxID+1 || uint64(at)+uint64(count) > uint64(len(b)) {
			continue // neither is a short text
		}
		switch text := string(b[at : at+count]); id {
		case appleBurst:
			f.setID(&f.burstID, text)
		case appleContent:
			f.setID(&f.contentID, text)
		}
	}
}

// jpegNote looks for Apple's note in the EXIF segments of a JPEG.
func (f *found) jpegNote(w *window) error {
	var b [4]byte
	off := int64(2)
	for range 64 {
		if _, err := io.ReadFull(io.NewSectionReader(w, off, 4), b[:]); err != nil {
			return ended(err)
		}
		if b[0] != 0xff || b[1] == 0xda { // damage, or the picture begins
			return nil
		}
		size := int64(binary.BigEndian.Uint16(b[2:]))
		if b[1] == 0xe1 {
			body, err := w.sub(off+4, size-2).bytes(maxValue)
			if err != nil {
				return err
			}
			if bytes.HasPrefix(body, []byte("Exif\x00")) {
				f.appleNote(body)
				return nil
			}
		}
		off += 2 + size
	}
	return nil
}

// samsungTrailer looks behind the picture for the film of a Samsung motion photo: a
// directory at the end of the file, "SEFH", version, count, 12 bytes for each block (two
// of nothing, two of kind, offset back from the directory, size), its length and "SEFT".
func (f *found) samsungTrailer(w *window) error {
	const film = 0x0a30 // the kind
	end, err := w.sub(w.size-8, 8).bytes(8)
	if err != nil || len(end) < 8 || string(end[4:]) != "SEFT" {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(end))
	if size < 12 || size > 12+64*12 || size > w.size-8 {
		return nil
	}
	b, err := w.sub(w.size-8-size, size).bytes(size)
	if err != nil || len(b) < 12 || string(b[:4]) != "SEFH" {
		return err
	}
	for b = b[12:]; len(b) >= 12; b = b[12:] {
		f.motion = f.motion || binary.LittleEndian.Uint16(b[2:]) == film
	}
	return nil
}
