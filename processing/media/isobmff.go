package media

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bep/imagemeta"
)

// quickTimeDate is the name under which found keeps Apple's date of a film.
const quickTimeDate = "com.apple.quicktime.creationdate"

// A walk goes through the boxes of an ISO base media file (ISO/IEC 14496-12 §4.2)
// or of a QuickTime film, which it grew out of.
type walk struct{ left int }

// boxes calls visit with the type and the content of each box in w, in order,
// until visit returns an error. A box that is longer than what it is in ends there.
func (k *walk) boxes(w *window, visit func(kind string, body *window) error) error {
	var head [16]byte
	for off := int64(0); off+8 <= w.size; {
		if k.left--; k.left < 0 {
			return errWork
		}
		if _, err := io.ReadFull(io.NewSectionReader(w, off, 8), head[:8]); err != nil {
			return err
		}
		size, header := int64(binary.BigEndian.Uint32(head[:])), int64(8)
		switch size {
		case 0: // to the end
			size = w.size - off
		case 1:
			if _, err := io.ReadFull(io.NewSectionReader(w, off+8, 8), head[8:]); err != nil {
				return err
			}
			header = 16
			size = int64(min(binary.BigEndian.Uint64(head[8:]), math.MaxInt64))
		}
		if size < header {
			return nil // udta may end in four zero bytes; anything else is damage
		}
		if err := visit(string(head[4:8]), w.sub(off+header, size-header)); err != nil {
			return err
		}
		if size > w.size-off {
			return nil
		}
		off += size
	}
	return nil
}

// bytes reads a box's content, the first most bytes of it.
func (w *window) bytes(most int64) ([]byte, error) {
	b := make([]byte, min(w.size, most))
	n, err := w.ReadAt(b, 0)
	if n == len(b) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// movie reads a film's headers: the time it was made, size and rotation of its
// picture, and the notes of phones.
func (f *found) movie(w *window) error {
	k := &walk{left: maxBoxes}
	return k.boxes(w, func(kind string, moov *window) error {
		if kind != "moov" {
			return nil
		}
		return k.boxes(moov, func(kind string, b *window) error {
			switch kind {
			case "mvhd":
				return f.movieHeader(b)
			case "trak":
				return k.boxes(b, func(kind string, b *window) error {
					if kind == "tkhd" {
						return f.trackHeader(b)
					}
					return nil
				})
			case "udta":
				return k.boxes(b, f.userData)
			case "meta":
				return f.quickTimeNotes(k, b)
			}
			return nil
		})
	})
}

// movieHeader reads mvhd (ISO/IEC 14496-12 §8.2.2): the creation time, in seconds
// since 1904 UTC, and the length. Cameras with no zone set write their local time all the same.
func (f *found) movieHeader(w *window) error {
	b, err := w.bytes(32)
	if err != nil || len(b) < 12 {
		return err
	}
	seconds := uint64(binary.BigEndian.Uint32(b[4:]))
	if b[0] == 1 {
		seconds = binary.BigEndian.Uint64(b[4:])
	}
	var scale, units uint64 // the film's length is so many units, of which a second has scale
	switch {
	case b[0] == 0 && len(b) >= 20:
		scale, units = uint64(binary.BigEndian.Uint32(b[12:])), uint64(binary.BigEndian.Uint32(b[16:]))
	case b[0] == 1 && len(b) >= 32:
		scale, units = uint64(binary.BigEndian.Uint32(b[20:])), binary.BigEndian.Uint64(b[24:])
	}
	if scale > 0 && units/scale < uint64(maxDuration/time.Second) {
		f.duration = time.Duration(units/scale)*time.Second + time.Duration(units%scale*1000/scale)*time.Millisecond
	}
	if seconds > 0 && seconds < 1<<40 {
		f.movieCreated = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(min(seconds, 1<<33)) * time.Second)
	}
	return nil
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
	width := int(binary.BigEndian.Uint32(b[off+36:]) >> 16)
	height := int(binary.BigEndian.Uint32(b[off+40:]) >> 16)
	if width*height <= f.width*f.height {
		return nil
	}
	f.setSize(width, height)
	a, c := binary.BigEndian.Uint32(b[off:]), binary.BigEndian.Uint32(b[off+4:])
	f.turned = a == 0 && c != 0 // by 90 or 270 degrees
	return nil
}

// userData reads the notes in udta: QuickTime's texts, whose names begin with ©.
func (f *found) userData(kind string, w *window) error {
	if !strings.HasPrefix(kind, "\xa9") {
		return nil
	}
	b, err := w.bytes(maxValue)
	if err != nil || len(b) < 4 {
		return err
	}
	n := int(binary.BigEndian.Uint16(b)) // then two bytes of language
	text := string(b[4:min(len(b), 4+n)])
	switch kind[1:] {
	case "xyz":
		f.setISO6709(text)
	case "mak":
		f.setText(&f.make, text)
	case "mod":
		f.setText(&f.model, text)
	case "day":
		f.setDate(quickTimeDate, text)
	}
	return nil
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
					f.note(names[i-1], string(v[8:]))
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
		// Apple's own note wins over ©day, which may be of an edit.
		delete(f.dates, quickTimeDate)
		f.setDate(quickTimeDate, value)
	case "com.apple.quicktime.location.ISO6709":
		f.setISO6709(value)
	case "com.apple.quicktime.make", "com.android.manufacturer":
		f.setText(&f.make, value)
	case "com.apple.quicktime.model", "com.android.model":
		f.setText(&f.model, value)
	case "com.apple.quicktime.content.identifier":
		f.setID(&f.contentID, value)
	case "com.apple.quicktime.camera.lens_model":
		f.setText(&f.lens, value)
	}
}

// setISO6709 reads a position in degrees as ±DD.DDDD±DDD.DDDD[±height]/ (ISO 6709,
// annex H), the form that phones write.
func (f *found) setISO6709(s string) {
	s, _, _ = strings.Cut(s, "/")
	if f.lat != nil || len(s) < 4 {
		return
	}
	second := strings.IndexAny(s[1:], "+-") + 1
	if second < 1 {
		return
	}
	end := strings.IndexAny(s[second+1:], "+-")
	if end < 0 {
		end = len(s)
	} else {
		end += second + 1
	}
	lat, err1 := strconv.ParseFloat(s[:second], 64)
	lon, err2 := strconv.ParseFloat(s[second:end], 64)
	if err1 == nil && err2 == nil {
		f.lat, f.lon = &lat, &lon
		if alt, err := strconv.ParseFloat(s[end:], 64); err == nil {
			f.setAltitude(alt)
		}
	}
}

// canonUUID marks the box in which a CR3 has its metadata: each of CMT1, CMT2 and
// CMT4 is a TIFF whose main directory is that of the image, of EXIF and of GPS.
const canonUUID = "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48"

func (f *found) cr3(w *window) error {
	k := &walk{left: maxBoxes}
	return k.boxes(w, func(kind string, moov *window) error {
		if kind != "moov" {
			return nil
		}
		return k.boxes(moov, func(kind string, b *window) error {
			if kind != "uuid" {
				return nil
			}
			if id, err := b.bytes(16); err != nil || string(id) != canonUUID {
				return err
			}
			return k.boxes(b.sub(16, b.size), func(kind string, b *window) error {
				switch kind {
				case "CMT1", "CMT2":
					return f.decode(b, imagemeta.TIFF, f.mainTag)
				case "CMT4":
					return f.decode(b, imagemeta.TIFF, f.gpsTag)
				}
				return nil
			})
		})
	})
}

// jxl reads the Exif box of a JPEG XL container (ISO/IEC 18181-2 §9.3): the offset
// of the TIFF header after it, then the TIFF; and the size from the codestream. A bare
// codestream has no metadata; boxes packed with Brotli are not opened.
func (f *found) jxl(w *window) error {
	if head, err := w.bytes(2); err != nil || string(head) == "\xff\x0a" {
		return errors.Join(err, f.codestream(w))
	}
	k := &walk{left: maxBoxes}
	return k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "jxlc":
			return f.codestream(b)
		case "jxlp": // the part's number comes first; only the first has the header
			return f.codestream(b.sub(4, b.size))
		case "Exif":
		default:
			return nil
		}
		n, err := b.bytes(4)
		if err != nil || len(n) < 4 {
			return err
		}
		w, h := f.width, f.height // a TIFF that carries EXIF has no size of its own
		err = f.decode(b.sub(4+int64(binary.BigEndian.Uint32(n)), b.size), imagemeta.TIFF, f.exifTag)
		f.width, f.height = w, h
		return err
	})
}

// raf reads the JPEG that a Fuji RAW carries; its place is told in the header.
func (f *found) raf(w *window) error {
	var b [8]byte
	if _, err := io.ReadFull(io.NewSectionReader(w, 84, 8), b[:]); err != nil {
		return err
	}
	jpeg := w.sub(int64(binary.BigEndian.Uint32(b[:])), int64(binary.BigEndian.Uint32(b[4:])))
	return f.decode(jpeg, imagemeta.JPEG, f.exifTag)
}
