package media

import "encoding/binary"

// photoshop reads the blocks of Photoshop's segment, of which one has IPTC: "8BIM", a
// number, a name of even length, size, content of even length.
func (f *found) photoshop(b []byte) {
	const idIPTC = 0x0404
	for len(b) >= 12 && string(b[:4]) == "8BIM" {
		id, name := binary.BigEndian.Uint16(b[4:]), (int(b[6])+2)&^1 // with its length before it
		if b = b[6:]; len(b) < name+4 {
			return
		}
		size := binary.BigEndian.Uint32(b[name:])
		if b = b[name+4:]; int64(size) > int64(len(b)) {
			return
		}
		if id == idIPTC {
			f.iptc(b[:size])
		}
		b = b[min(len(b), int(size+size&1)):]
	}
}

// iptc reads the records of IPTC (IIM 4.2 §1.6): a mark, the numbers of record and data
// set, a length, the value. It reads no more than the first blocks of them in a file.
func (f *found) iptc(b []byte) {
	if f.blocks++; f.blocks > maxPackets {
		return
	}
	for len(b) >= 5 && b[0] == 0x1c {
		record, set, size := b[1], b[2], int(binary.BigEndian.Uint16(b[3:]))
		if b = b[5:]; size > len(b) { // or it is longer than 32 KiB, and nothing that matters
			return
		}
		if v := decodeText(b[:size]); record == 2 {
			switch set {
			case 25:
				f.addKeywords(v)
			case 55:
				f.setDate("IPTC DateCreated", spaced(v, 4, ":"))
			case 60:
				f.setDate("IPTC TimeCreated", spaced(v, 2, ":"))
			}
		}
		b = b[size:]
	}
}

// spaced puts sep into a date or a time of IPTC, CCYYMMDD or HHMMSS±HHMM, behind the first
// n digits and the two that follow. Some programs write it so themselves.
func spaced(s string, n int, sep string) string {
	if p := (parser{s: s}); len(s) < n+4 || p.digits(n+4) == 0 && p.failed {
		return s
	}
	return s[:n] + sep + s[n:n+2] + sep + s[n+2:]
}
