package render

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
)

// What each reader of headers says of any bytes holds, and it comes to an end. (FuzzRender
// has the decoders, too, and is a hundred times slower.)

func fileOf(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

// boxed is a box of ISO/IEC 14496-12.
func boxed(kind string, body ...string) string {
	all := strings.Join(body, "")
	return string(binary.BigEndian.AppendUint32(nil, uint32(8+len(all)))) + kind + all
}

func FuzzHEIF(f *testing.F) {
	size := boxed("ispe", "\x00\x00\x00\x00\x00\x00\x01\x90\x00\x00\x01\x2c")
	colours := boxed("colr", "prof", strings.Repeat("icc ", 40)) + boxed("colr", "nclx\x00\x01\x00\x01\x00\x01\x00")
	f.Add([]byte(boxed("ftyp", "heic\x00\x00\x00\x00mif1") + boxed("meta", "\x00\x00\x00\x00",
		boxed("iprp", boxed("ipco", size, colours, boxed("hvcC", strings.Repeat("\x01", 23)), boxed("irot", "\x01"))))))
	f.Add([]byte(boxed("ftyp", "avif\x00\x00\x00\x00mif1") + "\x00\x00\x00\x01meta\x00\x00\x00\x00\x00\x00\x00\x40\x00\x00\x00\x00" +
		boxed("iprp", boxed("ipco", size, boxed("av1C", "\x81")))))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHEIF(fileOf(b))
		if err == nil && (h.w <= 0 || h.h <= 0 || h.w > 1<<20 || h.h > 1<<20) {
			t.Errorf("got %d x %d", h.w, h.h)
		}
		if icc := profileHEIF(fileOf(b)); len(icc) > len(b) {
			t.Errorf("a profile of %d bytes in a file of %d", len(icc), len(b))
		}
		if c, err := configHEIF(fileOf(b)); err == nil && (c.Width != h.w || c.Height != h.h) {
			t.Errorf("got %d x %d and %d x %d", c.Width, c.Height, h.w, h.h)
		}
	})
}

func FuzzRAW(f *testing.F) {
	jpg := testphoto.JPEG(testphoto.Quarters(24, 16))
	head := testphoto.TIFF(testphoto.Directory{{ID: 0x010f, Value: "NIKON CORPORATION"}})
	f.Add(append(head, jpg...))
	f.Add(append(append(head, jpg[:len(jpg)-20]...), jpg...))
	f.Fuzz(func(t *testing.T, b []byte) {
		readable(fileOf(b))
		in, err := embeddedJPEG(fileOf(b))
		if err != nil {
			return
		}
		got := make([]byte, in.Size())
		if _, err := in.ReadAt(got, 0); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(got, []byte("\xff\xd8\xff")) || !bytes.Contains(b, got) {
			t.Errorf("no JPEG of the file: % x", got[:min(len(got), 16)])
		}
		if sizeOfJPEG(in) <= 0 {
			t.Error("no pixels")
		}
	})
}

func FuzzProfile(f *testing.F) {
	icc := testphoto.Profile("RGB ", "Display P3")
	jpg := testphoto.JPEG(testphoto.Quarters(24, 16))
	f.Add(testphoto.WithProfile(jpg, icc, 200))
	f.Add(append(append([]byte("RIFF\x00\x02\x00\x00WEBPVP8X\x0a\x00\x00\x00"), make([]byte, 10)...), boxedRIFF("ICCP", icc)...))
	f.Add(append([]byte("\x89PNG\r\n\x1a\n"), testphoto.Chunk("iCCP", append([]byte("p3\x00\x00"), icc...))...))
	f.Add(append([]byte("II*\x00\x08\x00\x00\x00\x01\x00\x73\x87\x07\x00\x00\x02\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00"), icc...))
	f.Add(icc)
	f.Fuzz(func(t *testing.T, b []byte) {
		for i, read := range []func(*io.SectionReader) []byte{profileJPEG, profilePNG, profileWebP, profileTIFF} {
			if got := read(fileOf(b)); len(got) > maxProfile+1 {
				t.Errorf("reader %d: a profile of %d bytes", i, len(got))
			}
		}
		if got := usable(b); got != nil && (!bytes.Equal(got, b) || len(got) > maxProfile) {
			t.Error("not what it was given")
		}
	})
}

func boxedRIFF(id string, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body))), body...)
}

func FuzzSegments(f *testing.F) {
	jpg := testphoto.JPEG(testphoto.Quarters(24, 16))
	progressive, _ := testphoto.ProgressiveJPEG(testphoto.Quarters(24, 16))
	f.Add(jpg)
	f.Add(progressive)
	f.Add(progressive[:len(progressive)-10])
	f.Fuzz(func(t *testing.T, b []byte) {
		before := int64(0)
		for _, off := range findScans(fileOf(b)) {
			if off <= before || b[off] != 0xff || b[off+1] != markerSOS {
				t.Fatalf("no scan at %d, after one at %d", off, before)
			}
			before = off
		}
		for s := range segmentsJPEG(fileOf(b)) {
			if s.off+4+s.body.Size() > int64(len(b)) || b[s.off] != 0xff {
				t.Fatalf("no segment at %d", s.off)
			}
		}
		if w := weightJPEG(fileOf(b), image.Config{Width: 1 << 14, Height: 1 << 14}); w < 1<<28 || w > 1<<36 {
			t.Errorf("a weight of %d bytes", w)
		}
	})
}

func FuzzFirstFrame(f *testing.F) {
	anim := boxedRIFF("VP8X", []byte("\x02\x00\x00\x00\x09\x00\x00\x09\x00\x00"))
	anim = append(anim, boxedRIFF("ANMF", append([]byte("\x00\x00\x00\x00\x00\x00\x09\x00\x00\x09\x00\x00\x64\x00\x00\x00"), boxedRIFF("VP8L", []byte("\x2f\x09\x40\x02\x00\x00"))...))...)
	f.Add(append([]byte("RIFF\x60\x00\x00\x00WEBP"), anim...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 12 { // Sniff has seen to that
			return
		}
		frame, err := firstFrame(fileOf(b))
		if err != nil || frame == nil {
			return
		}
		head := make([]byte, 12)
		if _, err := io.ReadFull(frame.file, head); err != nil || string(head[:4]) != "RIFF" {
			t.Errorf("got %q, %v", head, err)
		}
		if frame.at.X < 0 || frame.at.Y < 0 || frame.at.X >= frame.canvas.X || frame.at.Y >= frame.canvas.Y {
			t.Errorf("at %v of %v", frame.at, frame.canvas)
		}
	})
}
