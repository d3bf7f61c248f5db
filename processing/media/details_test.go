package media_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
)

const (
	burst   = "B0A5C3D2-1111-2222-3333-444455556666"
	content = "C0A5C3D2-1111-2222-3333-444455556666"
)

func TestReadDetails(t *testing.T) {
	got := read(t, testphoto.WithEXIF(small(), testphoto.Directory{
		tag(testphoto.TagMake, "Apple"),
		tag(testphoto.TagRating, uint16(4)),
		tag(testphoto.TagExif, testphoto.Directory{
			tag(testphoto.TagExposure, [][2]uint32{{1, 125}}), tag(testphoto.TagAperture, [][2]uint32{{178, 100}}),
			tag(testphoto.TagISO, uint16(640)), tag(testphoto.TagFocalLength, [][2]uint32{{686, 100}}),
			tag(testphoto.TagFocalLength35, uint16(24)), tag(testphoto.TagLens, "back camera 6.86mm f/1.78"),
			tag(testphoto.TagMakerNote, testphoto.AppleNote(burst, content)),
		}),
		tag(testphoto.TagGPS, testphoto.Directory{
			tag(testphoto.TagGPSAltitudeRef, []byte{1}), tag(testphoto.TagGPSAltitude, [][2]uint32{{4225, 10}}),
		}),
	}))
	want := media.Meta{
		Make: "Apple", Width: 16, Height: 8, DisplayWidth: 16, DisplayHeight: 8,
		HasAltitude: true, Altitude: -422.5, Lens: "back camera 6.86mm f/1.78", Exposure: 1.0 / 125, Aperture: 1.78, ISO: 640,
		FocalLength: 6.86, FocalLength35: 24, Rating: 4, BurstID: burst, ContentID: content,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadXMPDetails(t *testing.T) {
	got := read(t, testphoto.WithXMP(small(), `xmp:Rating="-1" GCamera:MotionPhoto="1" GCamera:BurstID="burst-7" aux:Lens="EF 50mm"`,
		`<dc:subject><rdf:Bag><rdf:li>Strand</rdf:li><rdf:li>strand</rdf:li><rdf:li> 海 </rdf:li></rdf:Bag></dc:subject>`))
	want := media.Meta{
		Width: 16, Height: 8, DisplayWidth: 16, DisplayHeight: 8,
		Rating: -1, Motion: true, BurstID: "burst-7", Lens: "EF 50mm", Keywords: []string{"Strand", "海"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	one := read(t, testphoto.WithXMP(small(), `GCamera:MicroVideo="1" xmp:Rating="3.0"`, `<dc:subject><rdf:Bag><rdf:li>one</rdf:li></rdf:Bag></dc:subject>`))
	if !one.Motion || one.Rating != 3 || !reflect.DeepEqual(one.Keywords, []string{"one"}) {
		t.Errorf("got %+v", one)
	}
	none := read(t, testphoto.WithXMP(small(), `GCamera:MotionPhoto="0" xmp:Rating="77" GCamera:BurstID="`+strings.Repeat("x", 100)+`"`))
	if none.Motion || none.Rating != 0 || none.BurstID != "" {
		t.Errorf("got %+v", none)
	}
}

// iptc is a JPEG with keywords in Photoshop's segment (IIM 4.2 §2:25).
func iptc(words ...string) []byte {
	var records []byte
	for _, w := range words {
		records = append(records, 0x1c, 2, 25)
		records = append(binary.BigEndian.AppendUint16(records, uint16(len(w))), w...)
	}
	body := []byte("Photoshop 3.0\x008BIM\x04\x04\x00\x00")
	body = append(binary.BigEndian.AppendUint32(body, uint32(len(records))), records...)
	if len(records)%2 == 1 {
		body = append(body, 0)
	}
	return testphoto.WithSegment(small(), 0xed, body)
}

func TestReadIPTCKeywords(t *testing.T) {
	if got, want := read(t, iptc("Oma", "Garten")).Keywords, []string{"Oma", "Garten"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var many []string
	for range 100 {
		many = append(many, strings.Repeat("w", len(many)+1))
	}
	got := read(t, iptc(many...)).Keywords
	if len(got) != 32 || len(got[31]) != 32 {
		t.Errorf("got %d keywords, want the first 32", len(got))
	}
}

// samsung is what Samsung's cameras put behind a motion photo.
func samsung(kind uint16) []byte {
	le := binary.LittleEndian
	dir := le.AppendUint32(le.AppendUint32([]byte("SEFH"), 107), 1)
	dir = le.AppendUint16(le.AppendUint16(dir, 0), kind)
	dir = le.AppendUint32(le.AppendUint32(dir, 40), 40)
	return append(le.AppendUint32(append(bytes.Repeat([]byte{1}, 40), dir...), uint32(len(dir))), "SEFT"...)
}

func TestReadMotion(t *testing.T) {
	for _, test := range []struct {
		name string
		file []byte
		want bool
	}{
		{"Samsung", append(small(), samsung(0x0a30)...), true},
		{"Samsung, other notes", append(small(), samsung(0x0a01)...), false},
		{"trailer cut", samsung(0x0a30)[30:], false},
		{"HEIC with a film", []byte(ftyp("heic") + box("mpvd", "....")), true},
		{"plain", small(), false},
	} {
		if got := read(t, test.file).Motion; got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

func TestReadAnimated(t *testing.T) {
	film := func(frames int) []byte {
		var b bytes.Buffer
		g := new(gif.GIF)
		for range frames {
			g.Image = append(g.Image, image.NewPaletted(image.Rect(0, 0, 20, 10), color.Palette{color.Black, color.White}))
			g.Delay = append(g.Delay, 10)
		}
		if err := gif.EncodeAll(&b, g); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	png := testphoto.PNG(image.NewGray(image.Rect(0, 0, 20, 10)))
	apng := append(bytes.Clone(png[:33]), append([]byte("\x00\x00\x00\x08acTL\x00\x00\x00\x02\x00\x00\x00\x00....."), png[33:]...)...)
	webp := func(flags byte) []byte {
		return []byte("RIFF\x1e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00" + string(flags) + "\x00\x00\x00\x13\x00\x00\x09\x00\x00")
	}
	for _, test := range []struct {
		name string
		file []byte
		want bool
	}{
		{"GIF of one", film(1), false},
		{"GIF of three", film(3), true},
		{"PNG", png, false},
		{"APNG", apng, true},
		{"WebP", webp(0), false},
		{"WebP that moves", webp(2), true},
		{"HEIC sequence", []byte(ftyp("hevc")), true},
		{"AVIF sequence", []byte(ftyp("avis")), true},
		{"AVIF", []byte(ftyp("avif")), false},
	} {
		m := read(t, test.file)
		if m.Animated != test.want {
			t.Errorf("%s: got %v", test.name, m.Animated)
		}
		if strings.HasPrefix(test.name, "GIF") && (m.Width != 20 || m.Height != 10) {
			t.Errorf("%s: got %d × %d", test.name, m.Width, m.Height)
		}
	}
}

// heic is a HEIC file whose primary picture is stored w × h and turned, with EXIF.
func heic(w, h uint32, turns string, exif []byte) []byte {
	meta := func(at uint32) string {
		return box("meta", be32(0),
			box("pitm", be32(0), "\x00\x01"),
			box("iinf", be32(0), "\x00\x02",
				box("infe", "\x02\x00\x00\x00", "\x00\x01\x00\x00", "hvc1\x00"),
				box("infe", "\x02\x00\x00\x00", "\x00\x02\x00\x00", "Exif\x00")),
			box("iprp",
				box("ipco", box("ispe", be32(0, w, h)), box("irot", turns), box("ispe", be32(0, 9, 9))),
				box("ipma", be32(0, 2), "\x00\x01\x02\x81\x82", "\x00\x02\x01\x03")),
			box("iloc", be32(0), "\x44\x00", "\x00\x01", "\x00\x02\x00\x00\x00\x01", be32(at, uint32(len(exif)))))
	}
	head := ftyp("heic")
	return []byte(head + meta(uint32(len(head)+len(meta(0))+8)) + box("mdat", string(exif)))
}

func TestReadHEIC(t *testing.T) {
	exif := append([]byte("\x00\x00\x00\x06Exif\x00\x00"), testphoto.TIFF(testphoto.Directory{
		tag(testphoto.TagMake, "Apple"), tag(testphoto.TagOrientation, uint16(6)),
		tag(testphoto.TagExif, testphoto.Directory{tag(testphoto.TagMakerNote, testphoto.AppleNote("", content))}),
	})...)
	for turns, shown := range map[string][2]int{"\x00": {400, 300}, "\x03": {300, 400}, "\x02": {400, 300}} {
		m := read(t, heic(400, 300, turns, exif))
		if m.Width != 400 || m.Height != 300 || [2]int{m.DisplayWidth, m.DisplayHeight} != shown || m.ContentID != content || m.Make != "Apple" || m.BurstID != "" {
			t.Errorf("turned by %q: got %+v", turns, m)
		}
	}
}

// crw is a RAW of Canon's first cameras.
func crw() []byte {
	le := binary.LittleEndian
	entry := func(b []byte, tag uint16, size, off int) []byte {
		return le.AppendUint32(le.AppendUint32(le.AppendUint16(b, tag), uint32(size)), uint32(off))
	}
	camera, clock := []byte("Canon\x00Canon EOS D30\x00"), le.AppendUint32(nil, 1_000_000_000)
	img := le.AppendUint32(le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, 2160), 1440), 0x3f800000), 90)
	sub := append(append(append([]byte{}, camera...), clock...), img...)
	at := len(sub)
	sub = le.AppendUint16(sub, 4)
	sub = entry(sub, 0x080a, len(camera), 0)
	sub = entry(sub, 0x180e, len(clock), len(camera))
	sub = entry(sub, 0x1810, len(img), len(camera)+len(clock))
	sub = entry(sub, 0x5813, 1, 1) // in the entry itself
	sub = le.AppendUint32(sub, uint32(at))
	heap := append([]byte{}, sub...)
	heap = entry(le.AppendUint16(heap, 1), 0x300a, len(sub), 0)
	heap = le.AppendUint32(heap, uint32(len(sub)))
	return append(append(le.AppendUint32([]byte("II"), 26), "HEAPCCDR\x02\x00\x01\x00........"...), heap...)
}

func TestReadCRW(t *testing.T) {
	m := read(t, crw())
	if m.Camera() != "Canon EOS D30" || m.Taken.Format("2006-01-02T15:04:05") != "2001-09-09T01:46:40" || m.HasOffset ||
		m.Width != 2160 || m.DisplayWidth != 1440 || m.Orientation != 6 {
		t.Errorf("got %+v", m)
	}
}

func TestReadHeaders(t *testing.T) {
	le := binary.LittleEndian
	bmp := func(w, h int32) []byte {
		b := append([]byte("BM"), make([]byte, 52)...)
		le.PutUint32(b[14:], 40)
		le.PutUint32(b[18:], uint32(w))
		le.PutUint32(b[22:], uint32(h))
		return b
	}
	for _, test := range []struct {
		name string
		file []byte
		w, h int
	}{
		{"BMP", bmp(30, 20), 30, 20},
		{"BMP from the top", bmp(30, -20), 30, 20},
		{"JXL, small and square", []byte("\xff\x0a\x47\x00"), 32, 32}, // bits 1, 11000 (8 × 4), 100 (ratio 1)
		{"JXL cut", []byte("\xff\x0a\x06"), 0, 0},
	} {
		m := read(t, test.file)
		if m.Width != test.w || m.Height != test.h {
			t.Errorf("%s: got %d × %d, want %d × %d", test.name, m.Width, m.Height, test.w, test.h)
		}
	}
}

// seeds are what fuzzing begins with: something for every reader.
func seeds() [][]byte {
	return [][]byte{
		testphoto.WithEXIF(small(), testphoto.Camera(6, "2024:07:14 21:05:59", "+02:00")),
		testphoto.WithXMP(small(), `exif:DateTimeOriginal="2018-05-06T07:08:09.5+05:45" exif:GPSLatitude="26,30.0S"`),
		testphoto.TIFF(testphoto.Camera(3, "2024:07:14 21:05:59", "")),
		[]byte(movie(mvhd(created2020, 1), tkhd(64, 32, 1), notes("com.apple.quicktime.creationdate", "2021-06-07T08:09:10+0200"),
			box("udta", udtaText("\xa9xyz", "+4030.0-07415.0+1CRS/"), loci("a\x00", 0, 1, 2, 3, ""), box("date", "2020-11-20T15:04:02+0100")))),
		[]byte(ftyp("heic") + box("meta", "\x00\x00\x00\x00", box("iinf", be32(0, 1)))),
		testphoto.PNG(image.NewGray(image.Rect(0, 0, 4, 4))),
		[]byte(ftyp("crx ") + box("moov", box("uuid", "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48",
			box("CMT1", string(testphoto.TIFF(testphoto.Directory{tag(testphoto.TagOrientation, uint16(3))})))))),
		heic(40, 30, "\x03", testphoto.TIFF(testphoto.Camera(6, "2024:07:14 21:05:59", ""))),
		testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagMake, "Apple"),
			tag(testphoto.TagExif, testphoto.Directory{tag(testphoto.TagMakerNote, testphoto.AppleNote(burst, content))})}),
		testphoto.WithXMP(small(), `xmp:Rating="3" GCamera:MotionPhoto="1"`, `<dc:subject><rdf:Bag><rdf:li>x</rdf:li></rdf:Bag></dc:subject>`),
		iptc("Oma", "Garten"),
		append(small(), samsung(0x0a30)...),
		crw(),
		[]byte("GIF89a\x14\x00\x0a\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x14\x00\x0a\x00\x00\x02\x01\x00\x00;"),
		[]byte("\xff\x0a\x47\x00"),
		jxlBoxes(box("jxlp", be32(0), string(jxlStream(4000, 300, 6))), box("brob", "Exif", "\x0b\x02\x80abcdef\x03"), box("xml ", testphoto.XMP(`tiff:Make="x"`))),
		heicItem("mime\x00application/rdf+xml\x00", []byte(testphoto.XMP(`tiff:Make="x"`)), box("ispe", be32(0, 400, 300)), box("clap", be32(780, 2, 200, 1, 0, 1, 0, 1))),
		testphoto.WithChunk(testphoto.PNG(image.NewGray(image.Rect(0, 0, 4, 4))), "iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"+testphoto.XMP(`xmp:Rating="2"`))),
		testphoto.WithChunk(testphoto.PNG(image.NewGray(image.Rect(0, 0, 4, 4))), "zTXt", append([]byte("Raw profile type iptc\x00\x00"), testphoto.Deflate([]byte("\niptc\n 2\n3842"))...)),
		webp(riff("VP8X", []byte{0x0c, 0, 0, 0, 19, 0, 0, 9, 0, 0}), riff("EXIF", append([]byte("Exif\x00\x00"), tiffOf("x")...))),
		raf(testphoto.WithEXIF(small(), testphoto.Camera(8, "2024:07:14 21:05:59", ""))),
		rawTIFF(binary.LittleEndian, rawEntry{0x0004, 3, 1, []byte{8, 0}}, rawEntry{0x8769, 4, 1, []byte{8, 0, 0, 0}}, ascii(testphoto.TagMake, "abc")),
		[]byte("RIFF\x1e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x13\x00\x00\x09\x00\x00"),
	}
}

// What comes from a process that is not trusted is believed only as far as Read could have
// said it.
func TestValid(t *testing.T) {
	if m := (media.Meta{Lens: "a lens", Exposure: 1, Rating: -1, Keywords: []string{"a"}, BurstID: burst, Duration: time.Hour}); !m.Valid() {
		t.Error("a good one is not valid")
	}
	for name, m := range map[string]media.Meta{
		"exposure":      {Exposure: math.NaN()},
		"aperture":      {Aperture: -1},
		"focal length":  {FocalLength: math.Inf(1)},
		"ISO":           {ISO: -5},
		"altitude":      {Altitude: 1e9},
		"rating":        {Rating: 6},
		"duration":      {Duration: -1},
		"identifier":    {ContentID: "a\nb"},
		"longer one":    {BurstID: strings.Repeat("x", 65)},
		"lens":          {Lens: "a\x1b[31m"},
		"maker":         {Make: "a\u202e"},
		"model":         {Model: strings.Repeat("x", 65)},
		"many keywords": {Keywords: make([]string, 33)},
		"long keyword":  {Keywords: []string{strings.Repeat("x", 65)}},
		"odd keyword":   {Keywords: []string{"a\x00b"}},
	} {
		if m.Valid() {
			t.Errorf("%s: valid", name)
		}
	}
}
