package media

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// heif reads a HEIF or AVIF file (ISO/IEC 23008-12): the size of the primary picture as
// stored, what is shown of it and whether it is to be turned, EXIF and XMP, and whether
// there is a film beside it.
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
	width, height int        // ispe
	turned        bool       // irot, by 90 or 270 degrees
	clip          [2]float64 // clap: what is to be shown of width and height, before it is turned
}

const maxProperties = 4096 // and boxes that say whose they are

// heifItems is what a meta box says of the items in the file.
type heifItems struct {
	primary    uint32
	exif, xmp  []uint32
	places     []place
	data       *window // idat
	properties []property
	used       [][]byte // ipma: which item has which properties
}

func (f *found) heifMeta(k *walk, file, w *window) error {
	var items heifItems
	err := k.boxes(w, func(kind string, b *window) error {
		switch kind {
		case "pitm": // §8.11.4 of ISO/IEC 14496-12
			v, err := b.bytes(8)
			switch {
			case err != nil || len(v) < 6:
				return err
			case v[0] == 0:
				items.primary = uint32(binary.BigEndian.Uint16(v[4:]))
			case len(v) == 8:
				items.primary = binary.BigEndian.Uint32(v[4:])
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
			return k.boxes(b.sub(skip, b.size), items.entry)
		case "iloc":
			v, err := b.bytes(maxValue)
			items.places = locations(v)
			return err
		case "idat":
			items.data = b
		case "iprp":
			return k.boxes(b, func(kind string, b *window) error {
				switch kind {
				case "ipco":
					return k.boxes(b, items.property)
				case "ipma":
					if len(items.used) >= maxProperties {
						return errWork
					}
					v, err := b.bytes(maxValue)
					items.used = append(items.used, v)
					return err
				}
				return nil
			})
		}
		return nil
	})
	f.heifSize(&items)
	if errors.Is(err, errWork) {
		return err
	}
	for _, p := range items.places {
		body := file
		if p.inData {
			if body = items.data; body == nil {
				continue
			}
		}
		body = body.sub(p.off, p.size)
		switch {
		case slices.Contains(items.exif, p.item):
			err = cmp.Or(err, f.exifItem(body))
		case slices.Contains(items.xmp, p.item):
			err = cmp.Or(err, f.addPacket(body))
		}
	}
	return err
}

// entry takes an entry of iinf: which item is EXIF, which XMP.
func (i *heifItems) entry(kind string, b *window) error {
	v, err := b.bytes(256)
	if kind != "infe" || len(v) < 12 {
		return err
	}
	r := beReader{b: v[4:]}
	wide := 2
	if v[0] == 3 {
		wide = 4
	}
	item := uint32(r.read(wide))
	r.read(2) // protection
	if v[0] < 2 || v[0] > 3 || len(r.b) < 4 || len(i.exif)+len(i.xmp) >= maxPackets {
		return err
	}
	switch string(r.b[:4]) {
	case "Exif":
		i.exif = append(i.exif, item)
	case "mime":
		_, content, _ := bytes.Cut(r.b[4:], []byte{0}) // behind its name
		if bytes.HasPrefix(content, []byte("application/rdf+xml")) {
			i.xmp = append(i.xmp, item)
		}
	}
	return err
}

func (i *heifItems) property(kind string, b *window) error {
	if len(i.properties) >= maxProperties {
		return errWork
	}
	v, err := b.bytes(16)
	var p property
	switch {
	case kind == "ispe" && len(v) >= 12:
		p.width, p.height = int(binary.BigEndian.Uint32(v[4:])), int(binary.BigEndian.Uint32(v[8:]))
	case kind == "irot" && len(v) > 0:
		p.turned = v[0]&1 == 1
	case kind == "clap" && len(v) == 16: // §12.1.4 of ISO/IEC 14496-12: two fractions
		for n := range p.clip {
			if d := binary.BigEndian.Uint32(v[8*n+4:]); d > 0 {
				p.clip[n] = float64(binary.BigEndian.Uint32(v[8*n:])) / float64(d)
			}
		}
	}
	i.properties = append(i.properties, p)
	return err
}

// heifSize takes the size of the primary picture; if it is not told which that is, of the
// largest.
func (f *found) heifSize(items *heifItems) {
	for _, ipma := range items.used {
		for _, n := range associations(ipma, items.primary) {
			if n < 1 || n > len(items.properties) {
				continue
			}
			p := items.properties[n-1]
			f.setSize(p.width, p.height)
			f.turned = f.turned || p.turned
			if p.clip[0] > 0 {
				f.clip = p.clip
			}
		}
	}
	if f.width > 0 {
		return
	}
	for _, p := range items.properties {
		if int64(p.width)*int64(p.height) > int64(f.width)*int64(f.height) {
			f.setSize(p.width, p.height)
		}
	}
}

// exifItem reads an item of EXIF: how many bytes come before the TIFF, and all that (ISO/IEC
// 23008-12 §A.2.1). Some writers count wrong; the TIFF is soon found all the same.
func (f *found) exifItem(w *window) error {
	head, err := w.bytes(64)
	if err != nil || len(head) < 8 {
		return err
	}
	off := 4 + int64(binary.BigEndian.Uint32(head))
	err = f.exif(w.sub(off, w.size))
	if errors.Is(err, errTIFF) {
		for _, mark := range []string{"II*\x00", "MM\x00*"} {
			if i := bytes.Index(head, []byte(mark)); i >= 0 {
				return f.exif(w.sub(int64(i), w.size))
			}
		}
	}
	return err
}

// A place is where the first part of an item is: in the file, or in idat.
type place struct {
	item      uint32
	off, size int64
	inData    bool
}

// locations reads iloc (ISO/IEC 14496-12 §8.11.3), as far as items lie in this file.
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
		if parts := int(r.read(2)); parts > 0 {
			r.read(sizes[3])
			off, size := r.read(sizes[0]), r.read(sizes[1])
			p.off, p.size = int64((base+off)&(1<<62-1)), int64(size&(1<<62-1))
			r.read((parts - 1) * (sizes[3] + sizes[0] + sizes[1])) // at once: they may be of no bytes
		}
		if p.inData = method == 1; method <= 1 && !r.short {
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

// associations reads from ipma (ISO/IEC 23008-12 §9.3.1) the properties of one item, as
// it counts them: from 1.
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
