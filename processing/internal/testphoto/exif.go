// Package testphoto makes the pictures of the tests: with EXIF, with colour
// profiles, damaged and hostile ones.
package testphoto

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// A Tag is one entry of a TIFF directory. Value is a string (ASCII), uint16
// (SHORT), uint32 (LONG), [][2]uint32 (RATIONAL), []byte (UNDEFINED), or a Directory that
// the entry points to.
type Tag struct {
	ID    uint16
	Value any
}

// A Directory is the entries of a TIFF directory (TIFF 6.0 §2).
type Directory []Tag

// The tags most used.
const (
	TagMake             = 0x010f
	TagModel            = 0x0110
	TagOrientation      = 0x0112
	TagModified         = 0x0132
	TagExif             = 0x8769
	TagGPS              = 0x8825
	TagRating           = 0x4746
	TagExposure         = 0x829a
	TagAperture         = 0x829d
	TagISO              = 0x8827
	TagFocalLength      = 0x920a
	TagMakerNote        = 0x927c
	TagFocalLength35    = 0xa405
	TagLens             = 0xa434
	TagOriginal         = 0x9003
	TagDigitized        = 0x9004
	TagOffset           = 0x9010
	TagOffsetOriginal   = 0x9011
	TagOffsetDigitized  = 0x9012
	TagSubSecOriginal   = 0x9291
	TagGPSLatitudeRef   = 1
	TagGPSLatitude      = 2
	TagGPSLongitudeRef  = 3
	TagGPSLongitude     = 4
	TagGPSAltitudeRef   = 5
	TagGPSAltitude      = 6
	TagGPSTime          = 7
	TagGPSDate          = 0x1d
	TagXMP              = 0x02bc
	tagTypeASCII        = 2
	tagTypeShort        = 3
	tagTypeLong         = 4
	tagTypeRational     = 5
	tagTypeUndefined    = 7
	directoryEntryBytes = 12
)

// TIFF is the directory as a TIFF file without a picture, as EXIF has it.
func TIFF(d Directory) []byte {
	b := binary.BigEndian.AppendUint32([]byte("MM\x00*"), 8)
	return appendDirectory(b, d)
}

// appendDirectory appends d and all it points to, at offset len(b).
func appendDirectory(b []byte, d Directory) []byte {
	d = slices.SortedFunc(slices.Values(d), func(a, b Tag) int { return cmp.Compare(a.ID, b.ID) })
	be := binary.BigEndian
	at := len(b)
	b = be.AppendUint16(b, uint16(len(d)))
	b = append(b, make([]byte, len(d)*directoryEntryBytes+4)...)
	for i, tag := range d {
		var kind uint16
		var count int
		var data []byte
		switch v := tag.Value.(type) {
		case string:
			data = append([]byte(v), 0)
			kind, count = tagTypeASCII, len(data)
		case uint16:
			data = be.AppendUint16(nil, v)
			kind, count = tagTypeShort, 1
		case uint32:
			data = be.AppendUint32(nil, v)
			kind, count = tagTypeLong, 1
		case [][2]uint32:
			for _, r := range v {
				data = be.AppendUint32(be.AppendUint32(data, r[0]), r[1])
			}
			kind, count = tagTypeRational, len(v)
		case []byte:
			data = v
			kind, count = tagTypeUndefined, len(data)
		case Directory:
			data = be.AppendUint32(nil, uint32(len(b)))
			b = appendDirectory(b, v)
			kind, count = tagTypeLong, 1
		default:
			panic("testphoto: no TIFF type for the value")
		}
		entry := b[at+2+i*directoryEntryBytes:]
		be.PutUint16(entry, tag.ID)
		be.PutUint16(entry[2:], kind)
		be.PutUint32(entry[4:], uint32(count))
		if len(data) <= 4 {
			copy(entry[8:], data)
			continue
		}
		be.PutUint32(entry[8:], uint32(len(b)))
		b = append(b, data...)
	}
	return b
}

// Degrees is a coordinate as EXIF has it: degrees, minutes and seconds.
func Degrees(deg, minutes, seconds uint32) [][2]uint32 {
	return [][2]uint32{{deg, 1}, {minutes, 1}, {seconds, 1}}
}

// Camera is what a phone writes: orientation, camera, date and place.
func Camera(orientation int, original, offset string) Directory {
	exif := Directory{{TagOriginal, original}, {TagDigitized, original}}
	if offset != "" {
		exif = append(exif, Tag{TagOffsetOriginal, offset})
	}
	return Directory{
		{TagMake, "Shoebox"},
		{TagModel, "Model T"},
		{TagOrientation, uint16(orientation)},
		{TagExif, exif},
		{TagGPS, Directory{
			{TagGPSLatitudeRef, "N"}, {TagGPSLatitude, Degrees(52, 30, 0)},
			{TagGPSLongitudeRef, "E"}, {TagGPSLongitude, Degrees(13, 24, 0)},
		}},
	}
}

// WithSegment is the JPEG with a segment put in front of all others.
func WithSegment(jpeg []byte, marker byte, body []byte) []byte {
	b := bytes.Clone(jpeg[:2])
	b = append(b, 0xff, marker)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)+2))
	b = append(b, body...)
	return append(b, jpeg[2:]...)
}

// WithEXIF is the JPEG with EXIF put in (EXIF 2.32 §4.7.2).
func WithEXIF(jpeg []byte, d Directory) []byte {
	return WithSegment(jpeg, 0xe1, append([]byte("Exif\x00\x00"), TIFF(d)...))
}

// WithXMP is the JPEG with an XMP packet put in (XMP part 3 §1.1.3).
func WithXMP(jpeg []byte, attributes string, elements ...string) []byte {
	return WithSegment(jpeg, 0xe1, append([]byte("http://ns.adobe.com/xap/1.0/\x00"), XMP(attributes, elements...)...))
}

// XMP is a packet with one description that has the attributes and elements, which may
// use the prefixes exif, tiff, xmp, photoshop, aux, dc, rdf and GCamera.
func XMP(attributes string, elements ...string) string {
	return `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
		`<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"` +
		` xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"` +
		` xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:dc="http://purl.org/dc/elements/1.1/"` +
		` xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" ` +
		attributes + `>` + strings.Join(elements, "") + `</rdf:Description></rdf:RDF></x:xmpmeta>`
}

// AppleNote is a maker note with the identifiers of a burst and of a Live Photo; "" is none.
func AppleNote(burst, content string) []byte {
	d := Directory{}
	for id, s := range map[uint16]string{0x000b: burst, 0x0011: content} {
		if s != "" {
			d = append(d, Tag{id, s})
		}
	}
	return appendDirectory([]byte("Apple iOS\x00\x00\x01MM"), d)
}
