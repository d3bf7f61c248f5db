package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/andybalholm/brotli"
)

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

// xmpUUID marks the box that has XMP (XMP Specification Part 3 §1.2.7).
const xmpUUID = "\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac"

// uuid reads a box of a kind of its own: XMP, or what canon reads, if that is not nil.
func (f *found) uuid(b *window, canon func(*window) error) error {
	id, err := b.bytes(16)
	if err != nil {
		return err
	}
	b = b.sub(16, b.size)
	switch {
	case string(id) == xmpUUID:
		return f.addPacket(b)
	case string(id) == canonUUID && canon != nil:
		return canon(b)
	}
	return nil
}

// canonUUID marks the box in which a CR3 has its metadata: each of CMT1, CMT2 and
// CMT4 is a TIFF whose main directory is that of the image, of EXIF and of GPS.
const canonUUID = "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48"

func (f *found) cr3(w *window) error {
	k := &walk{left: maxBoxes}
	canon := func(b *window) error {
		return k.boxes(b, func(kind string, b *window) error {
			block := f.newBlock(b)
			switch kind {
			case "CMT1":
				err := block.decode(mainDirectory)
				f.setFloatSize(block.first)
				return err
			case "CMT2":
				return block.decode(mainDirectory)
			case "CMT4":
				return block.decode(gpsDirectory)
			}
			return nil
		})
	}
	return k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "uuid":
			return f.uuid(b, canon)
		case "moov":
			return k.boxes(b, func(kind string, b *window) error {
				if kind == "uuid" {
					return f.uuid(b, canon)
				}
				return nil
			})
		}
		return nil
	})
}

// jxl reads a JPEG XL: the codestream, or the boxes of a container (ISO/IEC 18181-2 §9), of
// which Exif is built like HEIF's item; either may be packed. A bare codestream has no
// metadata.
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
			if f.width == 0 {
				return f.codestream(b.sub(4, b.size))
			}
		case "brob": // the kind, then the content packed with Brotli
			if f.unpacked++; f.unpacked > maxPackets || b.size > maxPacket {
				return nil
			}
			v, err := b.bytes(maxPacket)
			if err != nil || len(v) < 4 {
				return err
			}
			kind = string(v[:4])
			if kind != "Exif" && kind != "xml " {
				return nil
			}
			v, err = io.ReadAll(io.LimitReader(brotli.NewReader(bytes.NewReader(v[4:])), maxPacket))
			if err != nil {
				return fmt.Errorf("unpack %s: %w", kind, err)
			}
			b = b.unpacked(v)
		}
		switch kind {
		case "Exif":
			return f.exifItem(b)
		case "xml ":
			return f.addPacket(b)
		}
		return nil
	})
}

// raf reads the JPEG that a Fuji RAW carries; its place is told in the header.
func (f *found) raf(w *window) error {
	var b [8]byte
	if _, err := io.ReadFull(io.NewSectionReader(w, 84, 8), b[:]); err != nil {
		return err
	}
	return f.jpeg(w.sub(int64(binary.BigEndian.Uint32(b[:])), int64(binary.BigEndian.Uint32(b[4:]))))
}
