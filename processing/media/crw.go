package media

import (
	"encoding/binary"
	"strings"
	"time"
)

// Tags of a CRW (Canon's CIFF 1.0).
const (
	crwCamera = 0x080a // maker and model, each ended by a zero
	crwTime   = 0x180e // seconds since 1970 by the camera's clock
	crwImage  = 0x1810 // width, height, the pixels' shape, rotation in degrees
)

// crw reads the RAW of Canon's first cameras: a heap of values, at whose end stands
// where its directory is. A directory is a count and, for each value, tag, size and
// offset in the heap, 10 bytes; it may have others below it.
func (f *found) crw(w *window) error {
	head, err := w.bytes(6)
	if err != nil || len(head) < 6 {
		return err
	}
	off := int64(binary.LittleEndian.Uint32(head[2:]))
	return f.heap(w.sub(off, w.size), 4)
}

func (f *found) heap(w *window, deep int) error {
	le := binary.LittleEndian
	end, err := w.sub(w.size-4, 4).bytes(4)
	if err != nil || len(end) < 4 || deep == 0 {
		return err
	}
	const entry = 10
	b, err := w.sub(int64(le.Uint32(end)), 2+entry*256).bytes(2 + entry*256)
	if err != nil || len(b) < 2 {
		return err
	}
	for i := range int(le.Uint16(b)) {
		p := 2 + entry*i
		if p+entry > len(b) {
			return nil
		}
		tag := le.Uint16(b[p:])
		if tag&0xc000 != 0 {
			continue // the value is in the entry; none of those matters
		}
		at := w.sub(int64(le.Uint32(b[p+6:])), int64(le.Uint32(b[p+2:])))
		if kind := tag & 0x3800; kind == 0x2800 || kind == 0x3000 {
			if err := f.heap(at, deep-1); err != nil {
				return err
			}
			continue
		}
		if tag != crwCamera && tag != crwTime && tag != crwImage {
			continue
		}
		v, err := at.bytes(256)
		if err != nil {
			return err
		}
		f.crwValue(tag, v)
	}
	return nil
}

func (f *found) crwValue(tag uint16, v []byte) {
	le := binary.LittleEndian
	switch {
	case tag == crwCamera:
		maker, model, _ := strings.Cut(string(v), "\x00")
		setText(&f.make, maker)
		setText(&f.model, model)
	case tag == crwTime && len(v) >= 4:
		if t := le.Uint32(v); t > 0 {
			f.setDate("DateTimeOriginal", time.Unix(int64(t), 0).UTC().Format("2006:01:02 15:04:05"))
		}
	case tag == crwImage && len(v) >= 16:
		f.setSize(int(le.Uint32(v)), int(le.Uint32(v[4:])))
		switch le.Uint32(v[12:]) {
		case 90:
			f.setOrientation(6)
		case 180:
			f.setOrientation(3)
		case 270:
			f.setOrientation(8)
		}
	}
}
