package media_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// ftyp is the first box of an ISO base media file with the brands given.
func ftyp(major string, compatible ...string) string {
	s := "ftyp" + major + "\x00\x00\x00\x00" + strings.Join(compatible, "")
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)+4))) + s
}

// tiffField is one directory entry of type LONG or SHORT, little-endian.
type tiffField struct {
	tag   uint16
	value uint32
}

// tiffHead is a TIFF whose first directory has the fields; maker, if not empty, is
// its Make.
func tiffHead(maker string, fields ...tiffField) string {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("II*\x00"), 8)
	n := len(fields)
	if maker != "" {
		n++
	}
	b = le.AppendUint16(b, uint16(n))
	for _, f := range fields {
		b = le.AppendUint16(b, f.tag)
		b = le.AppendUint16(b, 4)
		b = le.AppendUint32(b, 1)
		b = le.AppendUint32(b, f.value)
	}
	if maker != "" {
		b = le.AppendUint16(b, 0x010f)
		b = le.AppendUint16(b, 2)
		b = le.AppendUint32(b, uint32(len(maker)+1))
		b = le.AppendUint32(b, uint32(len(b)+4+4))
	}
	b = le.AppendUint32(b, 0)
	return string(b) + maker + "\x00" + strings.Repeat("\x00", 16)
}

func TestSniff(t *testing.T) {
	bmp := "BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00"
	ts := "\x47" + strings.Repeat("\xff", 187) + "\x47" + strings.Repeat("\xff", 187)
	for _, test := range []struct{ name, head, want string }{
		{"JFIF", "\xff\xd8\xff\xe0\x00\x10JFIF\x00", media.JPEG},
		{"Exif", "\xff\xd8\xff\xe1\x00\x10Exif\x00", media.JPEG},
		{"PNG", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", media.PNG},
		{"GIF 87a", "GIF87a\x01\x00", media.GIF},
		{"GIF 89a", "GIF89a\x01\x00", media.GIF},
		{"WebP lossy", "RIFF\x00\x00\x00\x00WEBPVP8 ", media.WebP},
		{"WebP extended", "RIFF\x00\x00\x00\x00WEBPVP8X", media.WebP},
		{"BMP", bmp, media.BMP},
		{"HEIC", ftyp("heic", "mif1", "heic"), media.HEIC},
		{"HEIC by compatible brand", ftyp("mif1", "mif1", "heic"), media.HEIC},
		{"HEIF", ftyp("mif1", "mif1"), media.HEIF},
		{"HEIC burst", ftyp("hevc", "msf1", "hevc"), "image/heic-sequence"},
		{"AVIF", ftyp("avif", "avif", "mif1"), media.AVIF},
		{"AVIF by compatible brand", ftyp("mif1", "avif", "miaf"), media.AVIF},
		{"brand beyond the box", ftyp("mif1", "miaf") + "avif", media.HEIF},
		{"ftyp of no size", "\x00\x00\x00\x00ftypheic", media.HEIC},
		{"ftyp cut short", "\x00\x00\x00\x18ftyphe", media.Other},
		{"JXL box", "\x00\x00\x00\x0cJXL \r\n\x87\n", media.JXL},
		{"JXL codestream", "\xff\x0a\xfa\x7f", media.JXL},
		{"JPEG 2000", "\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"},
		{"MP4", ftyp("isom", "isom", "mp42"), media.MP4},
		{"MP4 of an unknown brand", ftyp("zzzz"), media.MP4},
		{"MOV", ftyp("qt  ", "qt  "), media.MOV},
		{"M4V", ftyp("M4V ", "M4V "), media.M4V},
		{"M4A", ftyp("M4A "), "audio/mp4"},
		{"3GP", ftyp("3gp5", "isom"), media.GP3},
		{"3G2", ftyp("3g2a"), media.GP32},
		{"MOV without ftyp", "\x00\x00\x00\x08wide\x00\x10\x00\x00mdat", media.MOV},
		{"MOV, 64-bit mdat", "\x00\x00\x00\x01mdat\x00\x00\x00\x00", media.MOV},
		{"AVI", "RIFF\x00\x00\x00\x00AVI LIST", "video/x-msvideo"},
		{"WebM", "\x1a\x45\xdf\xa3\x9fB\x82\x84webm", "video/webm"},
		{"Matroska", "\x1a\x45\xdf\xa3\xa3B\x82\x88matroska", "video/x-matroska"},
		{"MPEG transport stream", ts, "video/mp2t"},
		{"AVCHD", "\x00\x00\x00\x00\x47" + strings.Repeat("\x00", 191) + "\x47", "video/mp2t"},
		{"MPEG program stream", "\x00\x00\x01\xba\x44", "video/mpeg"},

		{"TIFF", tiffHead("EPSON", tiffField{0x103, 1}), media.TIFF},
		{"TIFF big-endian", "MM\x00*\x00\x00\x00\x08", media.TIFF},
		{"TIFF of a directory far away", "II*\x00\xff\xff\xff\xff", media.TIFF},
		{"TIFF cut short", "II*\x00", media.TIFF},
		{"scan by Nikon", tiffHead("NIKON CORPORATION", tiffField{0xfe, 0}), media.TIFF},
		{"DNG", tiffHead("Canon", tiffField{0xfe, 1}, tiffField{0xc612, 0x401}), media.DNG},
		{"NEF", tiffHead("NIKON CORPORATION", tiffField{0xfe, 1}), media.NEF},
		{"ARW", tiffHead("SONY", tiffField{0xfe, 1}), media.ARW},
		{"PEF", tiffHead("RICOH IMAGING", tiffField{0x103, 65535}), media.PEF},
		{"CR2", "II*\x00\x10\x00\x00\x00CR\x02\x00", media.CR2},
		{"CR3", ftyp("crx ", "crx ", "isom"), media.CR3},
		{"CRW", "II\x1a\x00\x00\x00HEAPCCDR", media.CRW},
		{"RAF", "FUJIFILMCCD-RAW 0201", media.RAF},
		{"RW2", "IIU\x00\x18\x00\x00\x00", media.RW2},
		{"ORF", "IIRO\x08\x00\x00\x00", media.ORF},

		{"text named .jpg", "this is a text file, not a photo", "text/plain; charset=utf-8"},
		{"text that begins as a BMP", "BMW and Audi: a comparison of two cars", "text/plain; charset=utf-8"},
		{"text with a box's name", "be freedom seven times", "text/plain; charset=utf-8"},
		{"page that names a picture", "<!DOCTYPE html><img src=x>\xff\xd8\xff", "text/html; charset=utf-8"},
		{"page after a picture's magic", "GIF89a=1;<script>alert(1)</script>", media.GIF},
		{"JPEG magic, not at the start", "\x00\xff\xd8\xff", media.Other},
		{"picture in a PDF", "%PDF-1.4\n\xff\xd8\xff", "application/pdf"},
		{"SVG", `<svg xmlns="http://www.w3.org/2000/svg"/>`, "text/plain; charset=utf-8"},
		{"RIFF of another kind", "RIFF\x00\x00\x00\x00ACON", media.Other},
		{"start of JPEG", "\xff\xd8\x00", media.Other},
		{"noise", "\x01\x02\x03\x04\x05\x06", media.Other},
		{"nothing", "", media.Other},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := media.Sniff([]byte(test.head)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	for _, test := range []struct {
		mediaType    string
		image, video bool
	}{
		{media.JPEG, true, false},
		{media.CR3, true, false},
		{"image/heic-sequence", true, false},
		{media.MOV, false, true},
		{"audio/mp4", false, false},
		{"text/plain; charset=utf-8", false, false},
		{media.Other, false, false},
		{"", false, false},
	} {
		if got := media.IsImage(test.mediaType); got != test.image {
			t.Errorf("IsImage(%q): got %v, want %v", test.mediaType, got, test.image)
		}
		if got := media.IsVideo(test.mediaType); got != test.video {
			t.Errorf("IsVideo(%q): got %v, want %v", test.mediaType, got, test.video)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte(ftyp("mif1", "heic")))
	f.Add([]byte(tiffHead("NIKON", tiffField{0xfe, 1})))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8X"))
	f.Fuzz(func(t *testing.T, head []byte) {
		got := media.Sniff(head)
		if got == "" || media.IsImage(got) && media.IsVideo(got) {
			t.Errorf("got %q", got)
		}
		// What lies beyond SniffLen does not count.
		if len(head) >= media.SniffLen {
			if more := media.Sniff(append(bytes.Clone(head), "\x47\x47\x47"...)); more != got {
				t.Errorf("got %q with bytes appended, want %q", more, got)
			}
		}
	})
}
