package media

import (
	"bytes"
	"encoding/binary"
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

// Tags of Apple's maker note.
const (
	appleBurst   = 0x000b // of all pictures of one burst
	appleContent = 0x0011 // of a Live Photo: its film has the same
)

// appleNote reads Apple's maker note: "Apple iOS", a zero, a version of 2 bytes, then "MM"
// and one directory as TIFF has it, whose offsets count from the note's first byte.
func (f *found) appleNote(b []byte) {
	const head = 14
	if !bytes.HasPrefix(b, []byte("Apple iOS\x00")) || len(b) < head+2 || string(b[12:head]) != "MM" {
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
			setID(&f.burstID, text)
		case appleContent:
			setID(&f.contentID, text)
		}
	}
}
