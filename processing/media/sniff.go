// Package media says what a file is and what it tells of itself: its media type
// by content, and from its EXIF, XMP or QuickTime metadata when, where and with
// what it was taken, and which way up. Names and declared types are never
// trusted. Everything here is fed by strangers: work and memory are bounded, and
// no input makes it panic.
package media

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
)

// SniffLen is how many bytes of a file's beginning Sniff can make use of. Fewer
// will do: 512 tell every type but some kinds of RAW from a plain TIFF.
const SniffLen = 4 << 10

// The media types that this program treats in some way of their own.
const (
	JPEG  = "image/jpeg"
	PNG   = "image/png"
	GIF   = "image/gif"
	WebP  = "image/webp"
	BMP   = "image/bmp"
	TIFF  = "image/tiff"
	HEIC  = "image/heic"
	HEIF  = "image/heif"
	HEICs = "image/heic-sequence"
	AVIF  = "image/avif"
	JXL   = "image/jxl"
	DNG   = "image/x-adobe-dng"
	CR2   = "image/x-canon-cr2"
	CR3   = "image/x-canon-cr3"
	CRW   = "image/x-canon-crw"
	NEF   = "image/x-nikon-nef"
	ARW   = "image/x-sony-arw"
	PEF   = "image/x-pentax-pef"
	ORF   = "image/x-olympus-orf"
	RAF   = "image/x-fuji-raf"
	RW2   = "image/x-panasonic-rw2"
	MP4   = "video/mp4"
	MOV   = "video/quicktime"
	M4V   = "video/x-m4v"
	GP3   = "video/3gpp"
	GP32  = "video/3gpp2"
	Other = "application/octet-stream" // nothing is known of it
)

// IsImage says whether a type that Sniff returned is a picture's, still or moving
// a little, whether or not it can be decoded here. SVG is not: it is a document
// with scripts, and Sniff calls it text.
func IsImage(mediaType string) bool { return strings.HasPrefix(mediaType, "image/") }

// IsVideo says whether a type that Sniff returned is a film's.
func IsVideo(mediaType string) bool { return strings.HasPrefix(mediaType, "video/") }

// magics are the signatures that stand at the very beginning and suffice.
var magics = []struct{ magic, mediaType string }{
	{"\xff\xd8\xff", JPEG},
	{"\x89PNG\r\n\x1a\n", PNG},
	{"GIF87a", GIF},
	{"GIF89a", GIF},
	{"FUJIFILMCCD-RAW ", RAF},
	{"IIU\x00", RW2},
	{"IIRO", ORF},
	{"IIRS", ORF},
	{"MMOR", ORF},
	{"II\x1a\x00\x00\x00HEAPCCDR", CRW},
	{"\x00\x00\x00\x0cJXL \r\n\x87\n", JXL},
	{"\xff\x0a", JXL},
	{"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"},
	{"8BPS\x00\x01", "image/vnd.adobe.photoshop"},
	{"\x00\x00\x01\xba", "video/mpeg"},
	{"\x00\x00\x01\xb3", "video/mpeg"},
}

// Sniff names the media type of a file by its first bytes, of which it uses at
// most SniffLen. What is no kind of picture or film is left to
// http.DetectContentType; what that does not know, and what is empty, is Other.
// The answer says how the file begins, not that it is whole or sound.
func Sniff(head []byte) string {
	head = head[:min(len(head), SniffLen)]
	for _, m := range magics {
		if len(head) >= len(m.magic) && string(head[:len(m.magic)]) == m.magic {
			return m.mediaType
		}
	}
	switch {
	case len(head) == 0:
		return Other
	case at(head, 0, "RIFF") && at(head, 8, "WEBPVP8"):
		return WebP
	case at(head, 0, "RIFF") && at(head, 8, "AVI "):
		return "video/x-msvideo"
	case at(head, 0, "II*\x00"), at(head, 0, "MM\x00*"):
		return sniffTIFF(head)
	case at(head, 4, "ftyp"):
		return sniffBrands(head)
	case isBareQuickTime(head):
		return MOV
	case at(head, 0, "\x1a\x45\xdf\xa3"):
		if bytes.Contains(head[:min(len(head), 128)], []byte("matroska")) {
			return "video/x-matroska"
		}
		return "video/webm"
	case at(head, 0, "\x47") && at(head, 188, "\x47"), at(head, 4, "\x47") && at(head, 196, "\x47"):
		return "video/mp2t" // the second form is AVCHD's: 4 bytes of time before each packet
	case at(head, 0, "BM"):
		return sniffBMP(head)
	}
	return http.DetectContentType(head)
}

// at says whether s stands at off in b.
func at(b []byte, off int, s string) bool {
	return len(b) >= off+len(s) && string(b[off:off+len(s)]) == s
}

// sniffBMP tells a bitmap from a text that begins with BM, by the reserved zeros
// and the size of the second header.
func sniffBMP(b []byte) string {
	if len(b) >= 18 && at(b, 6, "\x00\x00\x00\x00") {
		switch binary.LittleEndian.Uint32(b[14:]) {
		case 12, 40, 52, 56, 64, 108, 124:
			return BMP
		}
	}
	// DetectContentType would go by the two letters; a space before them hides them.
	return http.DetectContentType(append([]byte(" "), b[:min(len(b), 511)]...))
}

// sniffBrands reads the ftyp box of an ISO base media file (ISO/IEC 14496-12
// §4.3): the major brand, then the compatible ones.
func sniffBrands(b []byte) string {
	size := int(min(binary.BigEndian.Uint32(b), SniffLen))
	if size < 16 { // 0 and 1 have special meanings that no ftyp uses
		size = 16
	}
	b = b[:min(len(b), size)]
	if len(b) < 12 {
		return Other
	}
	brand := func(s string) bool { // among the compatible ones
		for i := 16; i+4 <= len(b); i += 4 {
			if string(b[i:i+4]) == s {
				return true
			}
		}
		return false
	}
	switch major := string(b[8:12]); {
	case major == "heic", major == "heix", major == "heim", major == "heis":
		return HEIC
	case major == "hevc", major == "hevx", major == "hevm", major == "hevs":
		return HEICs
	case major == "avif", major == "avis":
		return AVIF
	case major == "mif1", major == "msf1", major == "mif2", major == "mif3", major == "miaf":
		switch {
		case brand("avif"), brand("avis"):
			return AVIF
		case brand("heic"), brand("heix"):
			return HEIC
		}
		return HEIF
	case major == "crx ":
		return CR3
	case major == "qt  ":
		return MOV
	case strings.HasPrefix(major, "M4V"):
		return M4V
	case strings.HasPrefix(major, "M4A"), strings.HasPrefix(major, "M4B"):
		return "audio/mp4"
	case strings.HasPrefix(major, "3g2"):
		return GP32
	case strings.HasPrefix(major, "3gp"), strings.HasPrefix(major, "3gr"), strings.HasPrefix(major, "3gs"):
		return GP3
	case major == "jxl ":
		return JXL
	case major == "jp2 ", major == "jpx ":
		return "image/jp2"
	}
	return MP4
}

// isBareQuickTime knows the films of old cameras, which have no ftyp box but
// begin with the first box of their content.
func isBareQuickTime(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	size := binary.BigEndian.Uint32(b)
	switch string(b[4:8]) {
	case "moov", "wide", "free", "skip", "pnot":
		return size >= 8 && size < 1<<24 // a text that has the word there has no zero before
	case "mdat":
		return size <= 1 || size >= 8 && b[0] < ' '
	}
	return false
}

// Tags of a TIFF directory (TIFF 6.0 §8; DNG 1.4).
const (
	tagSubfileType = 0x00fe
	tagCompression = 0x0103
	tagMake        = 0x010f
	tagDNGVersion  = 0xc612
)

// sniffTIFF tells the kinds of RAW that are TIFF files from a plain TIFF, as far
// as the first directory lies in the head. It answers TIFF when in doubt.
func sniffTIFF(b []byte) string {
	if at(b, 8, "CR\x02") {
		return CR2
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	if len(b) < 8 {
		return TIFF
	}
	off := uint64(order.Uint32(b[4:]))
	if off+2 > uint64(len(b)) {
		return TIFF
	}
	n := int(order.Uint16(b[off:]))
	var maker string
	var reduced, pentaxCompression bool
	for i := range n {
		p := int(off) + 2 + 12*i
		if p+12 > len(b) {
			break
		}
		field := b[p : p+12]
		switch order.Uint16(field) {
		case tagSubfileType:
			reduced = order.Uint32(field[8:])&1 == 1
		case tagCompression:
			pentaxCompression = order.Uint16(field[8:]) == 65535
		case tagMake:
			if v := uint64(order.Uint32(field[8:])); v+8 <= uint64(len(b)) {
				maker = strings.ToUpper(string(b[v : v+8]))
			}
		case tagDNGVersion:
			return DNG
		}
	}
	switch {
	case strings.HasPrefix(maker, "NIKON") && reduced:
		return NEF
	case strings.HasPrefix(maker, "SONY") && reduced:
		return ARW
	case (strings.HasPrefix(maker, "PENTAX") || strings.HasPrefix(maker, "RICOH")) && pentaxCompression:
		return PEF
	}
	return TIFF
}
