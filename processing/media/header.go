package media

import (
	"encoding/binary"
	"io"
)

// What the headers of formats say that have no metadata for imagemeta: the size, and
// whether the picture moves.

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

// pngMoves looks for the chunk that makes a PNG an animation (APNG: acTL comes before IDAT).
func (f *found) pngMoves(w *window) error {
	var b [8]byte
	for off, n := int64(8), 0; n < 1000; n++ {
		if _, err := io.ReadFull(io.NewSectionReader(w, off, 8), b[:]); err != nil {
			return ended(err)
		}
		switch string(b[4:]) {
		case "acTL":
			f.animated = true
			return nil
		case "IDAT", "IEND":
			return nil
		}
		off += 12 + int64(binary.BigEndian.Uint32(b[:]))
	}
	return nil
}

// webpMoves reads the flag of animation (WebP Container Specification, "Extended File Format").
func (f *found) webpMoves(w *window) error {
	b, err := w.bytes(21)
	if err == nil && len(b) == 21 && string(b[12:16]) == "VP8X" {
		f.animated = b[20]&2 != 0
	}
	return err
}

// codestream reads the size at the beginning of a JPEG XL codestream (ISO/IEC 18181-1
// §D.2): little-endian bits.
func (f *found) codestream(w *window) error {
	b, err := w.bytes(2 + 10)
	if err != nil || len(b) < 2 || string(b[:2]) != "\xff\x0a" {
		return err
	}
	bits := bitReader{b: b[2:]}
	small := bits.read(1) == 1
	side := func() int {
		if small {
			return 8 * (bits.read(5) + 1)
		}
		return bits.read([]int{9, 13, 18, 30}[bits.read(2)]) + 1
	}
	height := side()
	var width int
	if ratio := bits.read(3); ratio == 0 {
		width = side()
	} else {
		r := [][2]int{{1, 1}, {12, 10}, {4, 3}, {3, 2}, {16, 9}, {5, 4}, {2, 1}}[ratio-1]
		width = height * r[0] / r[1]
	}
	if !bits.short {
		f.setSize(width, height)
	}
	return nil
}

// A bitReader reads numbers of some bits, the lowest first.
type bitReader struct {
	b     []byte
	at    int // bit
	short bool
}

func (r *bitReader) read(n int) (v int) {
	for i := range n {
		if r.at/8 >= len(r.b) {
			r.short = true
			return 0
		}
		v |= int(r.b[r.at/8]>>(r.at%8)&1) << i
		r.at++
	}
	return v
}
