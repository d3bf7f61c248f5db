package media_test

import (
	"bytes"
	"errors"
	"image"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
)

// small is a JPEG without metadata.
func small() []byte { return testphoto.JPEG(image.NewGray(image.Rect(0, 0, 16, 8))) }

func exif(tags ...testphoto.Tag) []byte {
	return testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagExif, testphoto.Directory(tags))})
}

func tag(id uint16, value any) testphoto.Tag { return testphoto.Tag{ID: id, Value: value} }

func read(t *testing.T, b []byte) media.Meta {
	t.Helper()
	m, err := media.Read(bytes.NewReader(b), int64(len(b)), media.Sniff(b))
	if err != nil {
		t.Logf("note: %v", err)
	}
	return m
}

func TestReadCamera(t *testing.T) {
	got := read(t, testphoto.WithEXIF(small(), testphoto.Camera(6, "2024:07:14 21:05:59", "+02:00")))
	want := media.Meta{
		Taken:         time.Date(2024, 7, 14, 21, 5, 59, 0, time.UTC),
		OffsetMinutes: 120,
		HasOffset:     true,
		TakenFrom:     media.FromExif,
		Make:          "Shoebox",
		Model:         "Model T",
		Orientation:   6,
		Width:         16,
		Height:        8,
		DisplayWidth:  8,
		DisplayHeight: 16,
		HasPlace:      true,
		Lat:           52.5,
		Lon:           13.4,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := got.Instant(), time.Date(2024, 7, 14, 19, 5, 59, 0, time.UTC); !got.Equal(want) {
		t.Errorf("instant: got %v, want %v", got, want)
	}
}

func TestReadTaken(t *testing.T) {
	const (
		orig, digi, mod   = testphoto.TagOriginal, testphoto.TagDigitized, testphoto.TagModified
		origZone, anyZone = testphoto.TagOffsetOriginal, testphoto.TagOffset
	)
	xmp := func(attributes string) []byte { return testphoto.WithXMP(small(), attributes) }
	for _, test := range []struct {
		name  string
		file  []byte
		taken string // as RFC 3339 wall clock; "" if none
		zone  string
		from  string
	}{
		{"original", exif(tag(orig, "2020:01:02 03:04:05"), tag(digi, "2021:01:02 03:04:05")),
			"2020-01-02T03:04:05", "", media.FromExif},
		{"original, western offset", exif(tag(orig, "2020:01:02 03:04:05"), tag(origZone, "-03:30")),
			"2020-01-02T03:04:05", "-03:30", media.FromExif},
		{"offset of the change", exif(tag(orig, "2020:01:02 03:04:05"), tag(anyZone, "+09:00")),
			"2020-01-02T03:04:05", "+09:00", media.FromExif},
		{"blank offset", exif(tag(orig, "2020:01:02 03:04:05"), tag(origZone, "   :  ")),
			"2020-01-02T03:04:05", "", media.FromExif},
		{"offset of no place", exif(tag(orig, "2020:01:02 03:04:05"), tag(origZone, "+25:00")),
			"2020-01-02T03:04:05", "", media.FromExif},
		{"milliseconds", exif(tag(orig, "2020:01:02 03:04:05"), tag(testphoto.TagSubSecOriginal, "123")),
			"2020-01-02T03:04:05.123", "", media.FromExif},
		{"digitized", exif(tag(digi, "2021:01:02 03:04:05")), "2021-01-02T03:04:05", "", media.FromExifDigitized},
		{"empty original", exif(tag(orig, "0000:00:00 00:00:00"), tag(digi, "2021:01:02 03:04:05")),
			"2021-01-02T03:04:05", "", media.FromExifDigitized},
		{"blank original", exif(tag(orig, "    :  :     :  :  ")), "", "", ""},
		{"no such day", exif(tag(orig, "2021:02:30 10:00:00")), "", "", ""},
		{"before photography", exif(tag(orig, "1801:02:03 10:00:00")), "", "", ""},
		{"far future", exif(tag(orig, "2999:02:03 10:00:00")), "", "", ""},
		{"unset clock", exif(tag(orig, "1970:01:01 00:00:00")), "", "", ""},
		{"old scan", exif(tag(orig, "1912:04:10 12:00:00")), "1912-04-10T12:00:00", "", media.FromExif},
		{"leap second", exif(tag(orig, "2016:12:31 23:59:60")), "2016-12-31T23:59:59", "", media.FromExif},
		{"only changed", testphoto.WithEXIF(small(), testphoto.Directory{tag(mod, "2019:01:02 03:04:05")}),
			"2019-01-02T03:04:05", "", media.FromExifModified},
		{"XMP with offset", xmp(`exif:DateTimeOriginal="2018-05-06T07:08:09.5+05:45"`),
			"2018-05-06T07:08:09.5", "+05:45", media.FromXMP},
		{"XMP in UTC", xmp(`photoshop:DateCreated="2018-05-06T07:08:09Z"`), "2018-05-06T07:08:09", "+00:00", media.FromXMP},
		{"XMP, day alone", xmp(`xmp:CreateDate="2018-05-06"`), "2018-05-06T00:00:00", "", media.FromXMPDigitized},
		{"a scan", testphoto.WithXMP(exif(tag(digi, "2021:01:02 03:04:05")), `photoshop:DateCreated="1974-08-01" xmp:CreateDate="2021-01-02T03:04:05"`),
			"1974-08-01T00:00:00", "", media.FromXMP},
		{"a day alone, and its hour", testphoto.WithXMP(exif(tag(digi, "2021:01:02 03:04:05")), `photoshop:DateCreated="2021-01-02"`),
			"2021-01-02T03:04:05", "", media.FromExifDigitized},
		{"UTC for want of better", testphoto.WithXMP(exif(tag(orig, "2020:01:02 03:04:05")), `exif:DateTimeOriginal="2020-01-02T03:04:05Z"`),
			"2020-01-02T03:04:05", "", media.FromExif},
		{"XMP, year alone", xmp(`xmp:CreateDate="2018"`), "", "", ""},
		{"EXIF before XMP", testphoto.WithXMP(exif(tag(orig, "2020:01:02 03:04:05")), `xmp:CreateDate="2018-05-06T00:00:00"`),
			"2020-01-02T03:04:05", "", media.FromExif},
		{"offset from XMP of the same time", testphoto.WithXMP(exif(tag(orig, "2020:01:02 03:04:05")), `exif:DateTimeOriginal="2020-01-02T03:04:05+01:00"`),
			"2020-01-02T03:04:05", "+01:00", media.FromExif},
		{"satellites", testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagGPS, testphoto.Directory{
			tag(testphoto.TagGPSTime, testphoto.Degrees(10, 11, 12)), tag(testphoto.TagGPSDate, "2017:03:04")})}),
			"2017-03-04T10:11:12", "", media.FromGPS},
		{"no metadata", small(), "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := read(t, test.file)
			var taken, zone string
			if !m.Taken.IsZero() {
				taken = m.Taken.Format("2006-01-02T15:04:05.999")
			}
			if m.HasOffset {
				zone = time.Unix(0, 0).In(time.FixedZone("", m.OffsetMinutes*60)).Format("-07:00")
			}
			if taken != test.taken || zone != test.zone || m.TakenFrom != test.from {
				t.Errorf("got %q %q %q, want %q %q %q", taken, zone, m.TakenFrom, test.taken, test.zone, test.from)
			}
		})
	}
}

func TestReadPlace(t *testing.T) {
	place := func(ns string, lat [][2]uint32, ew string, lon [][2]uint32) []byte {
		return testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagGPS, testphoto.Directory{
			tag(testphoto.TagGPSLatitudeRef, ns), tag(testphoto.TagGPSLatitude, lat),
			tag(testphoto.TagGPSLongitudeRef, ew), tag(testphoto.TagGPSLongitude, lon),
		})})
	}
	deg := testphoto.Degrees
	for _, test := range []struct {
		name     string
		file     []byte
		ok       bool
		lat, lon float64
	}{
		{"south west", place("S", deg(33, 30, 0), "W", deg(70, 45, 0)), true, -33.5, -70.75},
		{"no references", place("", deg(33, 30, 0), "", deg(70, 45, 0)), false, 0, 0},
		{"null island", place("N", deg(0, 0, 0), "E", deg(0, 0, 0)), false, 0, 0},
		{"beyond the pole", place("N", deg(91, 0, 0), "E", deg(0, 0, 0)), false, 0, 0},
		{"divided by zero", place("N", [][2]uint32{{1, 0}, {0, 0}, {0, 0}}, "E", deg(1, 0, 0)), false, 0, 0},
		{"XMP", testphoto.WithXMP(small(), `exif:GPSLatitude="26,30.0S" exif:GPSLongitude="80,12.0E"`), true, -26.5, 80.2},
		{"XMP, not a number", testphoto.WithXMP(small(), `exif:GPSLatitude="NaN" exif:GPSLongitude="Inf"`), false, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := read(t, test.file)
			if m.HasPlace != test.ok || math.Abs(m.Lat-test.lat) > 1e-6 || math.Abs(m.Lon-test.lon) > 1e-6 {
				t.Errorf("got %v %v %v, want %v %v %v", m.HasPlace, m.Lat, m.Lon, test.ok, test.lat, test.lon)
			}
		})
	}
}

func TestReadOrientation(t *testing.T) {
	for _, test := range []struct {
		value uint16
		want  int
	}{{0, 0}, {1, 1}, {8, 8}, {9, 0}, {65535, 0}} {
		m := read(t, testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagOrientation, test.value)}))
		if m.Orientation != test.want {
			t.Errorf("orientation %d: got %d, want %d", test.value, m.Orientation, test.want)
		}
	}
}

func TestCamera(t *testing.T) {
	for _, test := range []struct{ make, model, want string }{
		{"Canon", "Canon EOS 70D", "Canon EOS 70D"},
		{"NIKON CORPORATION", "NIKON D3100", "NIKON D3100"},
		{"Apple", "iPhone 8", "Apple iPhone 8"},
		{"", "iPhone 8", "iPhone 8"},
		{"Apple", "", "Apple"},
		{"", "", ""},
	} {
		if got := (&media.Meta{Make: test.make, Model: test.model}).Camera(); got != test.want {
			t.Errorf("%q %q: got %q, want %q", test.make, test.model, got, test.want)
		}
	}
	name := testphoto.WithEXIF(small(), testphoto.Directory{tag(testphoto.TagModel, "  A\x01\x1b[31mB"+strings.Repeat("x", 100)+"  ")})
	if got := read(t, name).Model; got != "A[31mB"+strings.Repeat("x", 58) {
		t.Errorf("model not cleaned: %q", got)
	}
}

// A file that is another one's type, or none that has metadata, is no error.
func TestReadNothing(t *testing.T) {
	for _, mediaType := range []string{media.GIF, media.BMP, media.CRW, media.Other, "text/plain", ""} {
		m, err := media.Read(strings.NewReader("GIF89a"), 6, mediaType)
		if err != nil || !reflect.DeepEqual(m, media.Meta{}) {
			t.Errorf("%q: got %+v, %v", mediaType, m, err)
		}
	}
}

// endless is a file of one byte over and over, of any size.
type endless byte

func (e endless) ReadAt(p []byte, _ int64) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// turning is a HEIF whose only further box points back at itself.
type turning string

func (s turning) ReadAt(p []byte, off int64) (int, error) {
	return strings.NewReader(string(s)).ReadAt(p, off)
}

func TestReadIsBounded(t *testing.T) {
	start := time.Now()
	// A 64-bit size that, added to the position, goes back to the box's own beginning.
	loop := turning(ftyp("heic") + "\x00\x00\x00\x01free" + "\xff\xff\xff\xff\xff\xff\xff\xfc" + strings.Repeat("\x00", 64))
	for _, mediaType := range []string{media.HEIC, media.MP4, media.CR3, media.JXL, media.JPEG, media.TIFF, media.PNG, media.WebP} {
		for _, r := range []io.ReaderAt{loop, endless(0), endless(1), endless(0xff)} {
			_, err := media.Read(r, 1<<40, mediaType)
			if err != nil && strings.Contains(err.Error(), "panic") {
				t.Errorf("%s: %v", mediaType, err)
			}
		}
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// broken is a file on a disk that fails.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

var errBroken = errors.New("disk is broken")

func TestReadFails(t *testing.T) {
	for _, mediaType := range []string{media.MP4, media.CR3, media.RAF, media.JXL} {
		if _, err := media.Read(broken{}, 1000, mediaType); !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v, want %v", mediaType, err, errBroken)
		}
	}
}

// FuzzRead states the law of what is read from a stranger's file: whatever it is,
// the answer makes sense.
func FuzzRead(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { law(t, b, media.Sniff(b)) })
}

// FuzzReadAs reads bytes as a type that they may not be: every reader gets what it must
// refuse, not only what Sniff lets through.
func FuzzReadAs(f *testing.F) {
	for i, b := range seeds() {
		f.Add(b, uint8(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, kind uint8) { law(t, b, readable[int(kind)%len(readable)]) })
}

// readable are the types that have a reader.
var readable = []string{
	media.JPEG, media.PNG, media.GIF, media.WebP, media.BMP, media.TIFF, media.HEIC, media.AVIF, media.HEICs, media.JXL, media.DNG, media.CR2,
	media.CR3, media.CRW, media.NEF, media.ARW, media.PEF, media.ORF, media.RAF, media.RW2, media.MP4, media.MOV, media.M4V, media.GP3,
}

// law is what holds of any file.
func law(t *testing.T, b []byte, mediaType string) {
	t.Helper()
	m, err := media.Read(bytes.NewReader(b), int64(len(b)), mediaType)
	if err != nil && strings.Contains(err.Error(), "panic") {
		t.Error(err)
	}
	if !m.Valid() {
		t.Errorf("not valid: %+v", m)
	}
	if m.Orientation < 0 || m.Orientation > 8 {
		t.Errorf("orientation %d", m.Orientation)
	}
	if !(math.Abs(m.Lat) <= 90 && math.Abs(m.Lon) <= 180) || !m.HasPlace && (m.Lat != 0 || m.Lon != 0) {
		t.Errorf("place %v %v %v", m.HasPlace, m.Lat, m.Lon)
	}
	if m.OffsetMinutes < -12*60 || m.OffsetMinutes > 14*60 || !m.HasOffset && m.OffsetMinutes != 0 {
		t.Errorf("offset %v %d", m.HasOffset, m.OffsetMinutes)
	}
	if m.Taken.IsZero() != (m.TakenFrom == "") || !m.Taken.IsZero() && m.Taken.Year() < 1826 {
		t.Errorf("taken %v from %q", m.Taken, m.TakenFrom)
	}
	stored, shown := int64(m.Width)*int64(m.Height), int64(m.DisplayWidth)*int64(m.DisplayHeight)
	if m.Width < 0 || m.Height < 0 || m.Width > 1<<24 || shown > stored || (shown == 0) != (stored == 0) {
		t.Errorf("size %d x %d, displayed %d x %d", m.Width, m.Height, m.DisplayWidth, m.DisplayHeight)
	}
}
