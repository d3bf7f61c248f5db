package media_test

import (
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
)

// box is a box of an ISO base media file.
func box(kind string, content ...string) string {
	s := kind + strings.Join(content, "")
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)+4))) + s
}

// movie is a film of which moov has the boxes given, before or after the media.
func movie(moov ...string) string {
	return ftyp("qt  ") + box("mdat", "........") + box("moov", moov...)
}

func be32(v ...uint32) string {
	var b []byte
	for _, v := range v {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return string(b)
}

// matrix is one of a film, which turns it by quarters clockwise.
func matrix(quarters int) string {
	const one, minus = 1 << 16, 0xffff0000
	m := [][4]uint32{{one, 0, 0, one}, {0, one, minus, 0}, {minus, 0, 0, minus}, {0, minus, one, 0}}[quarters]
	return be32(m[0], m[1], 0, m[2], m[3], 0, 0, 0, 1<<30)
}

// tkhd is a track of a size, turned by quarters.
func tkhd(w, h uint32, quarters int) string {
	return box("trak", box("tkhd", strings.Repeat("\x00", 40), matrix(quarters), be32(w<<16, h<<16)),
		box("mdia", box("hdlr", be32(0, 0), "vide", be32(0, 0, 0), "\x00")))
}

// mvhd is a film's header: when it was made, in seconds since 1904, and six seconds long.
func mvhd(created uint32, quarters int) string {
	return box("mvhd", be32(0, created, created, 600, 3600, 1<<16), "\x01\x00", strings.Repeat("\x00", 10), matrix(quarters), be32(0, 0, 0, 0, 0, 0, 2))
}

const created2020 = 3660681600 // 2020-01-01, as mvhd counts

// notes is Apple's keyed notes, from names and values in turn.
func notes(pairs ...string) string {
	keys, list := []string{be32(0, uint32(len(pairs)/2))}, []string{}
	for i := 0; i < len(pairs); i += 2 {
		keys = append(keys, box("mdta", pairs[i]))
		list = append(list, box(be32(uint32(i/2+1)), box("data", be32(1, 0), pairs[i+1])))
	}
	return box("meta", box("hdlr", be32(0, 0), "mdta", be32(0, 0, 0), "\x00"), box("keys", keys...), box("ilst", list...))
}

// udtaText is a text of udta, in English.
func udtaText(kind, s string) string {
	return box(kind, string(binary.BigEndian.AppendUint16(nil, uint16(len(s)))), "\x15\xc7", s)
}

// loci is a place as 3GPP writes it.
func loci(name string, role byte, lat, lon, alt float64, body string) string {
	fixed := func(v float64) string { return be32(uint32(int32(math.Round(v * 65536)))) }
	return box("loci", be32(0), "\x15\xc7", name, string([]byte{role}), fixed(lon), fixed(lat), fixed(alt), body, "\x00\x00")
}

func TestReadMovie(t *testing.T) {
	header := mvhd(created2020, 0)
	apple := notes("com.apple.quicktime.creationdate", "2021-06-07T08:09:10+0200",
		"com.apple.quicktime.location.ISO6709", "+52.5000-013.4000+034.000/", "com.apple.quicktime.make", "Apple",
		"com.apple.quicktime.content.identifier", "2E1C6A0F-0B7E-4F0B")
	const six = 6 * time.Second
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	byHeader := media.Meta{Taken: day, TakenFrom: media.FromMovieHeader, Duration: six}
	with := func(m media.Meta, change func(*media.Meta)) media.Meta {
		change(&m)
		return m
	}
	byApple := media.Meta{
		Taken: time.Date(2021, 6, 7, 8, 9, 10, 0, time.UTC), OffsetMinutes: 120, HasOffset: true, TakenFrom: media.FromQuickTime,
		Make: "Apple", HasPlace: true, Lat: 52.5, Lon: -13.4, HasAltitude: true, Altitude: 34, Duration: six,
		ContentID: "2E1C6A0F-0B7E-4F0B",
	}
	sized := func(w, h, shownW, shownH int) media.Meta {
		return media.Meta{Width: w, Height: h, DisplayWidth: shownW, DisplayHeight: shownH}
	}
	for _, test := range []struct {
		name, file string
		want       media.Meta
	}{
		{"header", movie(header), byHeader},
		{"header of 64 bits", movie(box("mvhd", "\x01\x00\x00\x00", be32(0, created2020, 0, created2020, 600, 0, 3600))), byHeader},
		{"counted from 1970", movie(mvhd(created2020-2082844800, 0)), byHeader},
		{"clock not set", movie(mvhd(0, 0)), media.Meta{Duration: six}},
		{"length unknown", movie(box("mvhd", be32(0, created2020, 0, 90000, 0xffffffff))), with(byHeader, func(m *media.Meta) { m.Duration = 0 })},
		{"Apple's notes", movie(header, apple), byApple},
		{"Apple's notes before old texts", movie(header, box("udta", udtaText("\xa9day", "2013-01-01T00:00:00Z"), udtaText("\xa9xyz", "+01.0+002.0/"),
			udtaText("\xa9mak", "other")), apple), byApple},
		{"old texts", movie(header, box("udta", udtaText("\xa9day", "2013-01-01T10:00:00-0500"), udtaText("\xa9mod", "Phone"), "\x00\x00\x00\x00")),
			with(byHeader, func(m *media.Meta) {
				m.Taken, m.TakenFrom = time.Date(2013, 1, 1, 10, 0, 0, 0, time.UTC), media.FromQuickTime
				m.OffsetMinutes, m.HasOffset, m.Model = -300, true, "Phone"
			})},
		{"the year of release", movie(header, box("udta", udtaText("\xa9day", "2013-05-06"))), byHeader},
		{"date of 3GPP", movie(header, box("udta", box("date", "2020-11-20T15:04:02+0100"))), with(byHeader, func(m *media.Meta) {
			m.Taken, m.TakenFrom, m.OffsetMinutes, m.HasOffset = time.Date(2020, 11, 20, 15, 4, 2, 0, time.UTC), media.FromQuickTime, 60, true
		})},
		{"XMP", movie(box("udta", box("XMP_", testphoto.XMP(`xmp:Rating="4"`)))), media.Meta{Rating: 4}},
		{"XMP in a box of its own", movie() + box("uuid", "\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac", testphoto.XMP(`xmp:Rating="3"`)),
			media.Meta{Rating: 3}},
		{"upright", movie(tkhd(0, 0, 0), tkhd(1920, 1080, 0)), sized(1920, 1080, 1920, 1080)},
		{"on its side", movie(tkhd(1920, 1080, 1)), sized(1920, 1080, 1080, 1920)},
		{"upside down", movie(tkhd(1920, 1080, 2)), sized(1920, 1080, 1920, 1080)},
		{"on its other side", movie(tkhd(1920, 1080, 3)), sized(1920, 1080, 1080, 1920)},
		{"the whole film on its side", movie(mvhd(0, 1), tkhd(1920, 1080, 0)), with(sized(1920, 1080, 1080, 1920), func(m *media.Meta) { m.Duration = six })},
		{"turned twice", movie(mvhd(0, 1), tkhd(1920, 1080, 3)), with(sized(1920, 1080, 1920, 1080), func(m *media.Meta) { m.Duration = six })},
		{"a small picture beside it", movie(tkhd(1920, 1080, 0), tkhd(320, 180, 1)), sized(1920, 1080, 1920, 1080)},
		{"cut short", movie(header)[:50], media.Meta{}},
		{"box of no size", ftyp("isom") + "\x00\x00\x00\x01free" + be32(0xffffffff, 0xffffffff), media.Meta{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := read(t, []byte(test.file)); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// A film in thousands of fragments, as those that are written for streaming, has all that is
// read of it in front of them.
func TestReadMovieFragments(t *testing.T) {
	film := movie(mvhd(created2020, 0), tkhd(640, 360, 1), box("udta", udtaText("\xa9xyz", "+4030.0-07415.0/")))
	m := read(t, []byte(film+strings.Repeat(box("moof")+box("mdat"), 12_000)))
	if !m.HasPlace || m.Taken.IsZero() || m.DisplayWidth != 360 {
		t.Errorf("got %+v", m)
	}
}

func TestReadMoviePlace(t *testing.T) {
	xyz := func(s string) string { return movie(box("udta", udtaText("\xa9xyz", s))) }
	for _, test := range []struct {
		name, file    string
		lat, lon, alt float64
	}{
		{"degrees", xyz("-33.4500+070.6600/"), -33.45, 70.66, 0},
		{"with height", xyz("+52.5000-013.4000+034.000/"), 52.5, -13.4, 34},
		{"below the sea, with a system", xyz("+31.5000+035.5000-427.500CRSWGS_84/"), 31.5, 35.5, -427.5},
		{"no end", xyz("+52.5-13.4"), 52.5, -13.4, 0},
		{"minutes", xyz("+4030.0-07415.0/"), 40.5, -74.25, 0},
		{"seconds", xyz("-403036.0+0741503.6/"), -40.51, 74.251, 0},
		{"too many digits", xyz("+40303636.0+0741503.6/"), 0, 0, 0},
		{"no number", xyz("+NaN+Inf/"), 0, 0, 0},
		{"one number", xyz("+52.5/"), 0, 0, 0},
		{"beyond the pole", xyz("+95.0+010.0/"), 0, 0, 0},
		{"null island", xyz("+00.0000+000.0000/"), 0, 0, 0},
		{"3GPP", movie(box("udta", loci("Lima\x00", 0, -12.0625, -77.03125, 154.5, "earth"))), -12.0625, -77.03125, 154.5},
		{"3GPP, no name of anything", movie(box("udta", loci("\x00", 0, 12.5, 77.25, 0, ""))), 12.5, 77.25, 0},
		{"3GPP, name in UTF-16", movie(box("udta", loci("\xfe\xff\x00L\x01\x00\x00\x00", 0, 12.5, 77.25, 0, ""))), 12.5, 77.25, 0},
		{"3GPP, of what is shown", movie(box("udta", loci("\x00", 1, 12.5, 77.25, 0, ""))), 0, 0, 0},
		{"3GPP, on the moon", movie(box("udta", loci("\x00", 0, 12.5, 77.25, 0, "moon"))), 0, 0, 0},
		{"3GPP, name without end", movie(box("udta", box("loci", be32(0), "\x15\xc7", "Lima"))), 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := read(t, []byte(test.file))
			if !near(m.Lat, test.lat) || !near(m.Lon, test.lon) || !near(m.Altitude, test.alt) || m.HasPlace != (test.lat != 0) || m.HasAltitude != (test.alt != 0) {
				t.Errorf("got %v, %v, %v (%v %v)", m.Lat, m.Lon, m.Altitude, m.HasPlace, m.HasAltitude)
			}
		})
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }
