package media

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
)

// What the headers of smaller formats say: the size, whether the picture moves, and where
// its metadata is.

// gif reads the logical screen, and whether there is a second picture (GIF89a §18, §20).
func (f *found) gif(w *window) error {
	head, err := w.bytes(13)
	if err != nil || len(head) < 13 {
		return err
	}
	f.setSize(int(binary.LittleEndian.Uint16(head[6:])), int(binary.LittleEndian.Uint16(head[8:])))
	table := func(flags byte) int64 { // bytes of a colour table
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	off, pictures := 13+table(head[10]), 0
	var b [10]byte
	byteAt := func(at int64) (byte, error) {
		_, err := io.ReadFull(io.NewSectionReader(w, at, 1), b[:1])
		return b[0], err
	}
	for range maxBoxes {
		kind, err := byteAt(off)
		if err != nil {
			return ended(err)
		}
		switch kind {
		case 0x21: // an extension: its label, then blocks
			off += 2
		case 0x2c: // a picture: its descriptor, its table, the code size, then blocks
			if pictures++; pictures == 2 {
				f.animated = true
				return nil
			}
			if _, err := io.ReadFull(io.NewSectionReader(w, off, 10), b[:10]); err != nil {
				return ended(err)
			}
			off += 10 + table(b[9]) + 1
		default: // the trailer, or damage
			return nil
		}
		for n := byte(1); n != 0; {
			if n, err = byteAt(off); err != nil {
				return ended(err)
			}
			off += 1 + int64(n)
		}
	}
	return errWork
}

// ended makes the end of the file, where more should come, no error: the file is short.
func ended(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}

// bmp reads the size from the header, old or new (BITMAPCOREHEADER, BITMAPINFOHEADER).
func (f *found) bmp(w *window) error {
	b, err := w.bytes(26)
	if err != nil || len(b) < 26 {
		return err
	}
	if binary.LittleEndian.Uint32(b[14:]) == 12 {
		f.setSize(int(binary.LittleEndian.Uint16(b[18:])), int(binary.LittleEndian.Uint16(b[20:])))
		return nil
	}
	height := int(int32(binary.LittleEndian.Uint32(b[22:])))
	f.setSize(int(int32(binary.LittleEndian.Uint32(b[18:]))), max(height, -height)) // below 0: from the top down
	return nil
}

// webp reads the chunks of a WebP file (WebP Container Specification): whether it moves,
// its size, EXIF and XMP, which may be there without being announced.
func (f *found) webp(w *window) error {
	const most = 4096 // an animation has one for each picture
	le := binary.LittleEndian
	var failed error // the first one
	for off, n := int64(12), 0; n < most && off+8 <= w.size; n++ {
		head, err := w.sub(off, 8).bytes(8)
		if err != nil || len(head) < 8 {
			return errors.Join(failed, err)
		}
		size := int64(le.Uint32(head[4:]))
		body := w.sub(off+8, size)
		off += 8 + size + size&1
		v, err := body.bytes(10)
		if err != nil {
			return errors.Join(failed, err)
		}
		switch kind := string(head[:4]); {
		case kind == "VP8X" && len(v) == 10:
			f.animated = v[0]&2 != 0
			f.setSize(1+int(le.Uint32(v[4:])&0xffffff), 1+int(le.Uint32(v[6:])>>8))
		case kind == "VP8 " && len(v) == 10 && string(v[3:6]) == "\x9d\x01\x2a" && f.width == 0: // RFC 6386 §9.1
			f.setSize(int(le.Uint16(v[6:])&0x3fff), int(le.Uint16(v[8:])&0x3fff))
		case kind == "VP8L" && len(v) >= 5 && v[0] == 0x2f && f.width == 0: // RFC 9649 §3.4
			bits := le.Uint32(v[1:])
			f.setSize(1+int(bits&0x3fff), 1+int(bits>>14&0x3fff))
		case kind == "EXIF":
			failed = cmp.Or(failed, f.exif(body))
		case kind == "XMP ":
			failed = cmp.Or(failed, f.addPacket(body))
		}
	}
	return failed
}

// codestream reads the beginning of a JPEG XL codestream (ISO/IEC 18181-1 §D.2, §D.3):
// little-endian bits, of the size as stored and of which way up it is.
func (f *found) codestream(w *window) error {
	b, err := w.bytes(2 + 12)
	if err != nil || len(b) < 2 || string(b[:2]) != "\xff\x0a" {
		return err
	}
	bits := bitReader{b: b[2:]}
	small := bits.read(1) == 1
	side := func() int64 {
		if small {
			return 8 * (bits.read(5) + 1)
		}
		return bits.read([]int{9, 13, 18, 30}[bits.read(2)]) + 1
	}
	height := side()
	var width int64
	if ratio := bits.read(3); ratio == 0 {
		width = side()
	} else {
		r := [][2]int64{{1, 1}, {12, 10}, {4, 3}, {3, 2}, {16, 9}, {5, 4}, {2, 1}}[ratio-1]
		width = height * r[0] / r[1]
	}
	if bits.short {
		return nil
	}
	f.setSize(int(min(width, maxSide+1)), int(min(height, maxSide+1)))
	allDefault := bits.read(1) == 1
	if !allDefault && bits.read(1) == 1 { // there are fields beyond the usual
		f.turned = bits.read(3) >= 4 && !bits.short // EXIF's orientation, less 1
	}
	return nil
}

// A bitReader reads numbers of some bits, the lowest first.
type bitReader struct {
	b     []byte
	at    int // bit
	short bool
}

func (r *bitReader) read(n int) (v int64) {
	for i := range n {
		if r.at/8 >= len(r.b) {
			r.short = true
			return 0
		}
		v |= int64(r.b[r.at/8]>>(r.at%8)&1) << i
		r.at++
	}
	return v
}
