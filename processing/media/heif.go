package media

import (
	"encoding/binary"
	"slices"
)

// heif reads from a HEIF or AVIF file (ISO/IEC 23008-12) what imagemeta has no word
// for: the size of the primary picture as stored, whether it is to be turned, and
// whether there is a film beside it.
func (f *found) heif(w *window) error {
	k := &walk{left: maxBoxes}
	return k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "ftyp":
			head, err := b.bytes(4)
			f.animated = f.animated || string(head) == "avis" || string(head) == "msf1"
			return err
		case "mpvd": // Android's motion photo
			f.motion = true
		case "meta":
			return f.heifMeta(k, w, b.sub(4, b.size))
		}
		return nil
	})
}

// A property is one of ipco's that matter here.
type property struct {
	width, height int  // ispe
	turned        bool // irot, by 90 or 270 degrees
}

const maxProperties = 4096

func (f *found) heifMeta(k *walk, file, w *window) error {
	var primary, exif uint32
	var places []place
	var properties []property
	var used []int // by the primary picture, as ipma counts: from 1
	err := k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "pitm": // §8.11.4 of ISO/IEC 14496-12
			v, err := b.bytes(8)
			switch {
			case err != nil || len(v) < 6:
				return err
			case v[0] == 0:
				primary = uint32(binary.BigEndian.Uint16(v[4:]))
			case len(v) == 8:
				primary = binary.BigEndian.Uint32(v[4:])
			}
		case "iinf": // §8.11.6
			head, err := b.bytes(4)
			if err != nil || len(head) < 4 {
				return err
			}
			skip := int64(6)
			if head[0] > 0 {
				skip = 8
			}
			return k.boxes(b.sub(skip, b.size), func(kind string, b *window) error {
				v, err := b.bytes(14)
				switch {
				case kind != "infe" || len(v) < 12:
				case v[0] == 2 && string(v[8:12]) == "Exif":
					exif = uint32(binary.BigEndian.Uint16(v[4:]))
				case v[0] == 3 && len(v) == 14 && string(v[10:14]) == "Exif":
					exif = binary.BigEndian.Uint32(v[4:])
				}
				return err
			})
		case "iloc":
			v, err := b.bytes(maxValue)
			places = locations(v)
			return err
		case "iprp":
			return k.boxes(b, func(kind string, b *window) error {
				switch kind {
				case "ipco":
					return k.boxes(b, func(kind string, b *window) error {
						if len(properties) >= maxProperties {
							return errWork
						}
						v, err := b.bytes(12)
						var p property
						switch {
						case kind == "ispe" && len(v) == 12:
							p.width, p.height = int(binary.BigEndian.Uint32(v[4:])), int(binary.BigEndian.Uint32(v[8:]))
						case kind == "irot" && len(v) > 0:
							p.turned = v[0]&1 == 1
						}
						properties = append(properties, p)
						return err
					})
				case "ipma":
					v, err := b.bytes(maxValue)
					used = associations(v, primary)
					return err
				}
				return nil
			})
		}
		return nil
	})
	for _, n := range used {
		if n < 1 || n > len(properties) {
			continue
		}
		p := properties[n-1]
		if p.width > 0 {
			f.setSize(p.width, p.height)
			f.storedSize = true
		}
		f.turned = f.turned || p.turned
	}
	if i := slices.IndexFunc(places, func(p place) bool { return p.item == exif }); i >= 0 && exif > 0 {
		body, err := file.sub(places[i].off, places[i].size).bytes(maxValue)
		if err != nil {
			return err
		}
		f.appleNote(body)
	}
	return err
}

// A place is where the first part of an item is in the file.
type place struct {
	item      uint32
	off, size int64
}

// locations reads iloc (ISO/IEC 14496-12 §8.11.3), as far as items lie in the file itself.
func locations(b []byte) (places []place) {
	r := beReader{b: b}
	version := r.read(1)
	r.read(3)
	sizes := [4]int{}
	packed := r.read(2)
	for i := range sizes { // of an offset, a length, a base, an index
		sizes[i] = int(packed >> (12 - 4*i) & 15)
		if sizes[i] > 8 {
			return nil
		}
	}
	if version == 0 {
		sizes[3] = 0
	}
	wide := 2
	if version >= 2 {
		wide = 4
	}
	for n := r.read(wide); n > 0 && !r.short; n-- {
		p := place{item: uint32(r.read(wide))}
		method := uint64(0)
		if version > 0 {
			method = r.read(2) & 15
		}
		r.read(2)
		base := r.read(sizes[2])
		for i, parts := uint64(0), r.read(2); i < parts && !r.short; i++ {
			r.read(sizes[3])
			off, size := r.read(sizes[0]), r.read(sizes[1])
			if i == 0 {
				p.off, p.size = int64((base+off)&(1<<62-1)), int64(size&(1<<62-1))
			}
		}
		if method == 0 && !r.short {
			places = append(places, p)
		}
	}
	return places
}

// A beReader reads numbers of some bytes, big-endian.
type beReader struct {
	b     []byte
	short bool
}

func (r *beReader) read(n int) (v uint64) {
	if n > len(r.b) {
		r.short = true
		return 0
	}
	for _, c := range r.b[:n] {
		v = v<<8 | uint64(c)
	}
	r.b = r.b[n:]
	return v
}

// associations reads from ipma (ISO/IEC 23008-12 §9.3.1) the properties of one item.
func associations(b []byte, item uint32) (properties []int) {
	if len(b) < 8 {
		return nil
	}
	version, wide := b[0], b[3]&1 == 1
	left := binary.BigEndian.Uint32(b[4:])
	for b = b[8:]; left > 0; left-- {
		var id uint32
		switch {
		case version == 0 && len(b) > 2:
			id, b = uint32(binary.BigEndian.Uint16(b)), b[2:]
		case version > 0 && len(b) > 4:
			id, b = binary.BigEndian.Uint32(b), b[4:]
		default:
			return nil
		}
		n, size := int(b[0]), 1
		if wide {
			size = 2
		}
		if b = b[1:]; n*size > len(b) {
			return nil
		}
		for i := range n {
			p := int(b[i*size] & 0x7f) // the first bit says that it is essential
			if wide {
				p = p<<8 | int(b[i*size+1])
			}
			if id == item {
				properties = append(properties, p)
			}
		}
		b = b[n*size:]
	}
	return properties
}
