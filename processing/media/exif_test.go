package media_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
)

// rawEntry is an entry of a directory with all its faults.
type rawEntry struct {
	tag, kind uint16
	count     uint32
	value     []byte // of up to 4 bytes where it stands, else behind the directory
}

// rawTIFF is a TIFF of one directory, in either order of bytes.
func rawTIFF(order binary.AppendByteOrder, entries ...rawEntry) []byte {
	b := []byte("II")
	if order.String() == binary.BigEndian.String() {
		b = []byte("MM")
	}
	b = order.AppendUint32(order.AppendUint16(b, 42), 8)
	b = order.AppendUint16(b, uint16(len(entries)))
	var behind []byte
	end := len(b) + 12*len(entries) + 4
	for _, e := range entries {
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, e.tag), e.kind), e.count)
		if len(e.value) <= 4 {
			b = append(b, append(bytes.Clone(e.value), 0, 0, 0, 0)[:4]...)
			continue
		}
		b = order.AppendUint32(b, uint32(end+len(behind)))
		behind = append(behind, e.value...)
	}
	return append(append(b, 0, 0, 0, 0), behind...)
}

// withTIFF is a JPEG with a TIFF for EXIF.
func withTIFF(jpeg, tiff []byte) []byte {
	return testphoto.WithSegment(jpeg, 0xe1, append([]byte("Exif\x00\x00"), tiff...))
}

func ascii(tag uint16, s string) rawEntry { return rawEntry{tag, 2, uint32(len(s)), []byte(s)} }

func TestReadByteOrders(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		m := read(t, withTIFF(small(), rawTIFF(order,
			rawEntry{testphoto.TagOrientation, 3, 1, order.AppendUint16(nil, 6)},
			ascii(testphoto.TagMake, "Maker\x00"),
			rawEntry{testphoto.TagExposure, 5, 1, order.AppendUint32(order.AppendUint32(nil, 1), 250)},
			rawEntry{testphoto.TagFocalLength, 10, 1, order.AppendUint32(order.AppendUint32(nil, 100), 8)},
			rawEntry{testphoto.TagAperture, 12, 1, order.AppendUint64(nil, 0x4004000000000000)},
			rawEntry{testphoto.TagISO, 4, 1, order.AppendUint32(nil, 102400)})))
		if m.Orientation != 6 || m.Make != "Maker" || m.Exposure != 1.0/250 || m.FocalLength != 12.5 || m.Aperture != 2.5 || m.ISO != 102400 {
			t.Errorf("%v: got %+v", order, m)
		}
	}
}

// What is wrong with an entry does not keep from the next.
func TestReadBadEntries(t *testing.T) {
	be := binary.BigEndian
	m := read(t, withTIFF(small(), rawTIFF(be,
		rawEntry{0x0100, 0, 1, nil},                     // of no kind
		rawEntry{0x0101, 99, 1, nil},                    // nor of this
		rawEntry{0x0131, 2, 0xffffffff, []byte("abcd")}, // endless
		rawEntry{0x8298, 2, 400, []byte{0xff, 0xff, 0xff, 0xf0}},
		rawEntry{0x8769, 4, 1, []byte{0xff, 0xff, 0xff, 0xff}}, // directories beyond the end,
		rawEntry{0x8825, 4, 1, []byte{0, 0, 0, 8}},             // and in a circle
		rawEntry{0x8769, 2, 0, nil},
		ascii(testphoto.TagModel, "last\x00"))))
	if m.Model != "last" {
		t.Errorf("got %+v", m)
	}
}

func TestReadTexts(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"plain\x00", "plain"},
		{"no zero", "no zero"},
		{"ended\x00rubbish\x00", "ended"},
		{"\x00hidden", ""},
		{"  spaces  \x00", "spaces"},
		{"M\xfcller\x00", "Müller"}, // Latin-1
		{"Müller\x00", "Müller"},
		{"tab\tand\nline\x00", "tab and line"},
		{"50\u00a0mm\u3000\x00", "50 mm"},            // spaces of other widths
		{"\u202egpj.\u2066exe\u200b\x00", "gpj.exe"}, // what turns the direction of writing
		{"\xff\xfe\x01\x00", "ÿþ"},
		{"abc", "abc"}, // short enough to stand in the entry
	} {
		m := read(t, withTIFF(small(), rawTIFF(binary.LittleEndian, ascii(testphoto.TagMake, test.text), ascii(testphoto.TagLens, test.text))))
		if m.Make != test.want || m.Lens != test.want {
			t.Errorf("%q: got %q and %q, want %q", test.text, m.Make, m.Lens, test.want)
		}
		utf8 := rawEntry{testphoto.TagMake, 129, uint32(len(test.text)), []byte(test.text)} // EXIF 3.0
		if m := read(t, withTIFF(small(), rawTIFF(binary.LittleEndian, utf8))); m.Make != test.want {
			t.Errorf("%q in UTF-8: got %q, want %q", test.text, m.Make, test.want)
		}
	}
}

func TestReadFractions(t *testing.T) {
	for digits, want := range map[string]time.Duration{
		"5": 500 * time.Millisecond, "50": 500 * time.Millisecond, "05": 50 * time.Millisecond, "005": 5 * time.Millisecond,
		"123": 123 * time.Millisecond, "123456": 123 * time.Millisecond, "50 ": 500 * time.Millisecond, " 7": 700 * time.Millisecond,
		"0": 0, "00": 0, "": 0, "   ": 0, "-5": 0, "x": 0,
	} {
		m := read(t, exif(tag(testphoto.TagOriginal, "2020:01:02 03:04:05"), tag(testphoto.TagSubSecOriginal, digits)))
		if got := m.Taken.Sub(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)); got != want {
			t.Errorf("%q: got %v, want %v", digits, got, want)
		}
	}
}

// The offset of the last change is that of the picture only if the camera made it.
func TestReadOffsetOfChange(t *testing.T) {
	for changed, want := range map[string]bool{
		"2020:01:02 03:04:05": true, "2020:01:02 03:04:07": true, "2020:02:01 09:00:00": false, "": true, "0000:00:00 00:00:00": true,
	} {
		m := read(t, testphoto.WithEXIF(small(), testphoto.Directory{
			tag(testphoto.TagModified, changed),
			tag(testphoto.TagExif, testphoto.Directory{tag(testphoto.TagOriginal, "2020:01:02 03:04:05"), tag(testphoto.TagOffset, "+09:00")}),
		}))
		if m.HasOffset != want || m.TakenFrom != media.FromExif {
			t.Errorf("changed %q: got %v %d", changed, m.HasOffset, m.OffsetMinutes)
		}
	}
}

func TestReadGPS(t *testing.T) {
	deg := testphoto.Degrees
	gps := func(tags ...testphoto.Tag) []byte {
		return testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagGPS, testphoto.Directory(tags))})
	}
	const latRef, lat, lonRef, lon = testphoto.TagGPSLatitudeRef, testphoto.TagGPSLatitude, testphoto.TagGPSLongitudeRef, testphoto.TagGPSLongitude
	const altRef, alt = testphoto.TagGPSAltitudeRef, testphoto.TagGPSAltitude
	for _, test := range []struct {
		name          string
		file          []byte
		lat, lon, alt float64
	}{
		{"minutes with parts, no seconds", gps(tag(latRef, "S"), tag(lat, [][2]uint32{{33, 1}, {305, 10}}), tag(lonRef, "w"), tag(lon, [][2]uint32{{705, 10}})),
			-33.508333333, -70.5, 0},
		{"seconds of nothing", gps(tag(latRef, "North"), tag(lat, [][2]uint32{{33, 1}, {30, 1}, {0, 0}}), tag(lonRef, "E"), tag(lon, deg(1, 0, 36))), 33.5, 1.01, 0},
		{"degrees of nothing", gps(tag(latRef, "N"), tag(lat, [][2]uint32{{0, 0}, {0, 0}, {0, 0}}), tag(lonRef, "E"), tag(lon, deg(1, 0, 36))), 0, 0, 0},
		{"one of two", gps(tag(latRef, "N"), tag(lat, deg(1, 2, 3)), tag(lonRef, "E")), 0, 0, 0},
		{"above", gps(tag(altRef, []byte{0}), tag(alt, [][2]uint32{{1005, 10}})), 0, 0, 100.5},
		{"below", gps(tag(altRef, []byte{1}), tag(alt, [][2]uint32{{1005, 10}})), 0, 0, -100.5},
		{"above the sea, EXIF 3", gps(tag(altRef, []byte{2}), tag(alt, [][2]uint32{{1005, 10}})), 0, 0, 100.5},
		{"below the sea, EXIF 3", gps(tag(altRef, []byte{3}), tag(alt, [][2]uint32{{1005, 10}})), 0, 0, -100.5},
		{"no reference", gps(tag(alt, [][2]uint32{{1005, 10}})), 0, 0, 100.5},
		{"height of nothing", gps(tag(alt, [][2]uint32{{1005, 0}})), 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := read(t, test.file)
			if !near(m.Lat, test.lat) || !near(m.Lon, test.lon) || !near(m.Altitude, test.alt) || m.HasPlace != (test.lat != 0) || m.HasAltitude != (test.alt != 0) {
				t.Errorf("got %v, %v, %v (%v %v)", m.Lat, m.Lon, m.Altitude, m.HasPlace, m.HasAltitude)
			}
		})
	}
}

func TestReadISO(t *testing.T) {
	long := rawEntry{0x8832, 4, 1, binary.LittleEndian.AppendUint32(nil, 204800)}
	short := func(n uint16) rawEntry {
		return rawEntry{testphoto.TagISO, 3, 1, binary.LittleEndian.AppendUint16(nil, n)}
	}
	for _, test := range []struct {
		entries []rawEntry
		want    int
	}{{[]rawEntry{short(400), long}, 400}, {[]rawEntry{short(65535), long}, 204800}, {[]rawEntry{long}, 204800}, {[]rawEntry{short(65535)}, 65535}} {
		if got := read(t, withTIFF(small(), rawTIFF(binary.LittleEndian, test.entries...))).ISO; got != test.want {
			t.Errorf("%v: got %d, want %d", test.entries, got, test.want)
		}
	}
}

// EXIF counts before XMP, wherever the two stand, and the first EXIF before the second.
func TestReadOrder(t *testing.T) {
	first := testphoto.Directory{tag(testphoto.TagMake, "first"), tag(testphoto.TagOrientation, uint16(3))}
	second := testphoto.Directory{tag(testphoto.TagMake, "second"), tag(testphoto.TagModel, "second")}
	attributes := `tiff:Make="XMP" tiff:Model="XMP" tiff:Orientation="8" exif:FNumber="28/10"`
	for name, file := range map[string][]byte{
		"XMP in front": testphoto.WithXMP(testphoto.WithEXIF(testphoto.WithEXIF(small(), second), first), attributes),
		"XMP behind":   testphoto.WithEXIF(testphoto.WithEXIF(testphoto.WithXMP(small(), attributes), second), first),
	} {
		m := read(t, file)
		if m.Make != "first" || m.Model != "second" || m.Orientation != 3 || m.Aperture != 2.8 {
			t.Errorf("%s: got %+v", name, m)
		}
	}
}

// Metadata may come late: behind profiles, and behind bytes that fill up.
func TestReadLateSegments(t *testing.T) {
	file := testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagMake, "late")})
	for range 200 {
		file = testphoto.WithSegment(file, 0xe2, make([]byte, 2000))
	}
	file = append([]byte("\xff\xd8\xff\xff\xff"), file[3:]...)
	if m := read(t, file); m.Make != "late" || m.Width != 16 || m.Height != 8 {
		t.Errorf("got %+v", m)
	}
	damaged := slices.Concat([]byte("\xff\xd8"), []byte("\xff\xe2\x00\x04.."), bytes.Repeat([]byte("junk"), 5000), testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagMake, "behind")})[2:])
	if m := read(t, damaged); m.Make != "behind" || m.Width != 16 {
		t.Errorf("behind junk: got %+v", m)
	}
	broken := testphoto.WithXMP(withTIFF(small(), []byte("no TIFF at all")), `xmp:Rating="2"`)
	if m := read(t, broken); m.Rating != 2 || m.Width != 16 {
		t.Errorf("behind broken EXIF: got %+v", m)
	}
}

func TestReadRAWSize(t *testing.T) {
	be := binary.BigEndian
	short := func(tag, n uint16) rawEntry { return rawEntry{tag, 3, 1, be.AppendUint16(nil, n)} }
	dng := testphoto.TIFF(testphoto.Directory{
		tag(0x00fe, uint32(1)), tag(0x0100, uint32(160)), tag(0x0101, uint32(120)), tag(0xc612, []byte{1, 4, 0, 0}), tag(testphoto.TagOrientation, uint16(8)),
		tag(0x014a, testphoto.Directory{tag(0x0100, uint32(4032)), tag(0x0101, uint32(3024)), tag(0xc620, [][2]uint32{{4000, 1}, {3000, 1}})}),
	})
	rw2 := rawTIFF(binary.LittleEndian, rawEntry{4, 3, 1, []byte{8, 0}}, rawEntry{5, 3, 1, []byte{4, 0}}, rawEntry{6, 3, 1, []byte{8, 2}}, rawEntry{7, 3, 1, []byte{4, 4}},
		rawEntry{0x2e, 7, 0, nil})
	rw2[2] = 'U'
	odd := withTIFF(small(), []byte("this is none"))
	behind := rawTIFF(binary.LittleEndian, rawEntry{0x2e, 7, uint32(len(odd)), odd}, ascii(testphoto.TagMake, "found\x00"))
	behind[2] = 'U'
	if m := read(t, behind); m.Make != "found" {
		t.Errorf("RW2, behind a JPEG with odd EXIF: got %+v", m)
	}
	for _, test := range []struct {
		name               string
		file               []byte
		mediaType          string
		w, h, shownW, show int
	}{
		{"DNG, what is to be shown", dng, media.DNG, 4032, 3024, 3000, 4000},
		{"TIFF, the first picture", rawTIFF(be, short(0x0100, 60), short(0x0101, 40)), media.TIFF, 60, 40, 60, 40},
		{"RW2, between its borders", rw2, media.RW2, 1024, 512, 1024, 512},
	} {
		m := read(t, test.file)
		if media.Sniff(test.file) != test.mediaType || m.Width != test.w || m.Height != test.h || m.DisplayWidth != test.shownW || m.DisplayHeight != test.show {
			t.Errorf("%s: got %s, %+v", test.name, media.Sniff(test.file), m)
		}
	}
}

// wide is a text in UTF-16.
func wide(order binary.AppendByteOrder, s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

func TestReadXMP(t *testing.T) {
	packet := func(attributes string, elements ...string) string { return testphoto.XMP(attributes, elements...) }
	with := func(packet string) []byte {
		return testphoto.WithSegment(small(), 0xe1, append([]byte("http://ns.adobe.com/xap/1.0/\x00"), packet...))
	}
	bare := media.Meta{Width: 16, Height: 8, DisplayWidth: 16, DisplayHeight: 8}
	for _, test := range []struct {
		name, packet string
		change       func(*media.Meta)
	}{
		{"elements", packet("", `<tiff:Make> Maker </tiff:Make><exif:ISOSpeedRatings><rdf:Seq><rdf:li>800</rdf:li></rdf:Seq></exif:ISOSpeedRatings>`,
			`<exif:ExposureTime>1/50</exif:ExposureTime><exif:FocalLength>85/10</exif:FocalLength>`),
			func(m *media.Meta) { m.Make, m.ISO, m.Exposure, m.FocalLength = "Maker", 800, 1.0/50, 8.5 }},
		{"seconds of place, below the sea", packet(`exif:GPSLatitude="26,30,36S" exif:GPSLongitude="80,12.6W" exif:GPSAltitude="4225/10" exif:GPSAltitudeRef="1"`),
			func(m *media.Meta) {
				m.HasPlace, m.Lat, m.Lon, m.HasAltitude, m.Altitude = true, -26.51, -80.21, true, -422.5
			}},
		{"signs for letters", packet(`exif:GPSLatitude="-26.5" exif:GPSLongitude="80.25"`), func(m *media.Meta) { m.HasPlace, m.Lat, m.Lon = true, -26.5, 80.25 }},
		{"signs and minutes", packet(`exif:GPSLatitude="-26,30" exif:GPSLongitude="80.25"`), func(m *media.Meta) { m.HasPlace, m.Lat, m.Lon = true, -26.5, 80.25 }},
		{"half a place", packet(`exif:GPSLatitude="-26.5"`), nil},
		{"four numbers", packet(`exif:GPSLatitude="1,2,3,4N" exif:GPSLongitude="80.25"`), nil},
		{"what is built of others", packet("", `<exif:Flash rdf:parseType="Resource"><tiff:Make><b>no</b></tiff:Make></exif:Flash>`,
			`<dc:subject><rdf:Bag><rdf:li>one<x>not this</x></rdf:li><rdf:li>two</rdf:li></rdf:Bag></dc:subject>`,
			`<tiff:Model><rdf:Description tiff:Make="no"/></tiff:Model>`),
			func(m *media.Meta) { m.Keywords = []string{"one", "two"} }},
		{"no root but RDF", strings.TrimSuffix(strings.TrimPrefix(packet(`xmp:Rating="5"`), `<x:xmpmeta xmlns:x="adobe:ns:meta/">`), `</x:xmpmeta>`),
			func(m *media.Meta) { m.Rating = 5 }},
		{"a packet filled up", "\ufeff" + `<?xpacket begin=""?>` + packet(`xmp:Rating="-1"`) + strings.Repeat(" ", 100) + `<?xpacket end="w"?>` + "\x00\x00",
			func(m *media.Meta) { m.Rating = -1 }},
		{"a byte of Latin-1", packet("tiff:Model=\"M\xfcller 5\""), func(m *media.Meta) { m.Model = "M ller 5" }},
		{"UTF-16", wide(binary.BigEndian, "\ufeff"+`<?xml version="1.0" encoding="UTF-16"?>`+packet(`tiff:Model="Müller 😀"`)), func(m *media.Meta) { m.Model = "Müller 😀" }},
		{"UTF-16, the other order, no mark", wide(binary.LittleEndian, packet(`xmp:Rating="2"`)), func(m *media.Meta) { m.Rating = 2 }},
		{"another encoding, as it says", `<?xml version="1.0" encoding="ISO-8859-1"?>` + packet(`xmp:Rating="2"`), func(m *media.Meta) { m.Rating = 2 }},
		{"a zero", packet("tiff:Model=\"a\x00b\""), func(m *media.Meta) { m.Model = "a b" }},
		{"references to what XML has not", packet("tiff:Make=\"a&#0;b&#011;c&#x1F;d&#xFFFE;e\" tiff:Model=\"a\ufffeb&#65535;c&#38;d&#x20;e\""),
			func(m *media.Meta) { m.Make, m.Model = "a b c d e", "a b c&d e" }},
		{"cut", packet(`xmp:Rating="4"`)[:300] + `" xmp:Rating="4"><`, nil},
		{"rating of a half", packet(`xmp:Rating="3.5"`), func(m *media.Meta) { m.Rating = 3 }},
		{"other namespaces", packet(`photoshop:Make="no" dc:Rating="5"`), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := bare
			if test.change != nil {
				test.change(&want)
			}
			got := read(t, with(test.packet))
			if near(got.Lat, want.Lat) && near(got.Lon, want.Lon) {
				got.Lat, got.Lon = want.Lat, want.Lon
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestReadIPTC(t *testing.T) {
	record := func(set byte, v string) string {
		return "\x1c\x02" + string(set) + string(binary.BigEndian.AppendUint16(nil, uint16(len(v)))) + v
	}
	block := func(id, name, content string) string {
		return "8BIM" + id + name + be32(uint32(len(content))) + content + strings.Repeat("\x00", len(content)%2)
	}
	photoshop := func(blocks ...string) []byte {
		return testphoto.WithSegment(small(), 0xed, []byte("Photoshop 3.0\x00"+strings.Join(blocks, "")))
	}
	for _, test := range []struct{ name, records, want string }{
		{"day and time", record(55, "20190304") + record(60, "050607+0530"), "2019-03-04T05:06:07+05:30"},
		{"day", record(55, "20190304"), "2019-03-04T00:00:00Z"},
		{"with separators", record(55, "2019-03-04") + record(60, "05:06:07"), "2019-03-04T05:06:07Z"},
		{"month unknown", record(55, "20190000"), ""},
		{"time alone", record(60, "050607+0530"), ""},
		{"longer than it is", record(55, "20190304")[:8], ""},
	} {
		m := read(t, photoshop(block("\x04\x25", "\x05other", "......."), block("\x04\x04", "\x00\x00", test.records)))
		got := ""
		if !m.Taken.IsZero() {
			got = m.Instant().In(time.FixedZone("", m.OffsetMinutes*60)).Format(time.RFC3339)
		}
		if got != test.want {
			t.Errorf("%s: got %q from %q, want %q", test.name, got, m.TakenFrom, test.want)
		}
	}
	if got, want := read(t, photoshop(block("\x04\x04", "\x00\x00", record(25, "caf\xe9")+record(25, "caf\u00e9")+record(25, "th\u00e9")))).Keywords, []string{"café", "thé"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// raf is a Fuji RAW around a JPEG.
func raf(jpeg []byte) []byte {
	b := append([]byte("FUJIFILMCCD-RAW "), make([]byte, 84)...)
	binary.BigEndian.PutUint32(b[84:], 100)
	binary.BigEndian.PutUint32(b[88:], uint32(len(jpeg)))
	return append(b, jpeg...)
}

func TestReadRAF(t *testing.T) {
	m := read(t, raf(testphoto.WithEXIF(testphoto.JPEG(image.NewGray(image.Rect(0, 0, 30, 20))), testphoto.Camera(8, "2024:07:14 21:05:59", ""))))
	if m.Width != 30 || m.DisplayWidth != 20 || m.Orientation != 8 || m.Taken.Day() != 14 || !m.HasPlace {
		t.Errorf("got %+v", m)
	}
}

// A TIFF has XMP and IPTC as values of its first directory; a Panasonic RAW, the JPEG that
// has its EXIF.
func TestReadInTIFF(t *testing.T) {
	keyword := []byte("\x1c\x02\x19\x00\x03Oma\x00\x00\x00\x00") // filled up to whole words
	tiff := rawTIFF(binary.LittleEndian,
		rawEntry{testphoto.TagXMP, 1, 0, nil},
		rawEntry{testphoto.TagXMP, 7, uint32(len(testphoto.XMP(`xmp:Rating="4"`))), []byte(testphoto.XMP(`xmp:Rating="4"`))},
		rawEntry{0x83bb, 4, uint32(len(keyword) / 4), keyword})
	if m := read(t, tiff); m.Rating != 4 || !reflect.DeepEqual(m.Keywords, []string{"Oma"}) {
		t.Errorf("TIFF: got %+v", m)
	}
	jpeg := testphoto.WithEXIF(small(), testphoto.Camera(6, "2024:07:14 21:05:59", "+02:00"))
	rw2 := rawTIFF(binary.LittleEndian, ascii(testphoto.TagMake, "Panasonic\x00"), rawEntry{0x2e, 7, uint32(len(jpeg)), jpeg},
		rawEntry{4, 3, 1, []byte{8, 0}}, rawEntry{5, 3, 1, []byte{4, 0}}, rawEntry{6, 3, 1, []byte{8, 2}}, rawEntry{7, 3, 1, []byte{4, 4}})
	rw2[2] = 'U'
	if m := read(t, rw2); m.Make != "Panasonic" || m.Model != "Model T" || m.OffsetMinutes != 120 || !m.HasPlace || m.Width != 1024 || m.DisplayWidth != 512 {
		t.Errorf("RW2: got %+v", m)
	}
}
