package media

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"io"
)

// Marks that JPEG segments of metadata begin with.
const (
	markEXIF      = "Exif\x00"
	markXMP       = "http://ns.adobe.com/xap/1.0/\x00"
	markPhotoshop = "Photoshop 3.0\x00"
)

// jpeg reads the segments up to the picture (ITU-T T.81 §B.1): its size, EXIF, XMP
// and IPTC. Any number of others may come before; of several EXIF, the first counts.
func (f *found) jpeg(w *window) error {
	const most = 1024
	var b [4]byte
	off := int64(2)
	var failed error // the first one, of a segment, which need not be that of the others
	for range most {
		if _, err := io.ReadFull(io.NewSectionReader(w, off, 4), b[:]); err != nil {
			return errors.Join(failed, ended(err))
		}
		marker := b[1]
		switch {
		case b[0] != 0xff: // damage
			v, err := w.sub(off, w.size).bytes(maxValue)
			if err != nil {
				return errors.Join(failed, err)
			}
			i := bytes.IndexByte(v, 0xff)
			if i < 0 {
				return failed
			}
			off += int64(i)
			continue
		case marker == 0xff: // a byte that fills up
			off++
			continue
		case marker == 0x01 || marker >= 0xd0 && marker <= 0xd8: // nothing follows
			off += 2
			continue
		case marker == 0xd9 || marker == 0xda: // the end, or the picture begins
			return failed
		}
		size := int64(binary.BigEndian.Uint16(b[2:]))
		body := w.sub(off+4, size-2)
		off += 2 + max(size, 2)
		var err error
		switch marker {
		case 0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf: // SOF
			var v []byte
			if v, err = body.bytes(5); len(v) == 5 && f.width == 0 {
				f.setSize(int(binary.BigEndian.Uint16(v[3:])), int(binary.BigEndian.Uint16(v[1:])))
			}
		case 0xe1:
			err = f.app1(body)
		case 0xed:
			var v []byte
			if v, err = body.bytes(maxValue); bytes.HasPrefix(v, []byte(markPhotoshop)) {
				f.photoshop(v[len(markPhotoshop):])
			}
		}
		if errors.Is(err, errWork) {
			return err
		}
		failed = cmp.Or(failed, err)
	}
	return failed
}

// app1 reads a segment that has EXIF or XMP.
func (f *found) app1(body *window) error {
	mark, err := body.bytes(int64(len(markXMP)))
	switch {
	case err != nil:
		return err
	case bytes.HasPrefix(mark, []byte(markEXIF)):
		return f.exif(body)
	case string(mark) == markXMP:
		return f.addPacket(body.sub(int64(len(mark)), body.size))
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
