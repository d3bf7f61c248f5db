package media

import (
	"bytes"
	"encoding/binary"
)

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
