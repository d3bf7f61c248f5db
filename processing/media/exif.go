package media

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bep/imagemeta"
)

// found collects what the parts of a file say, until it is weighed by meta.
type found struct {
	now           time.Time
	make, model   string
	orientation   int
	width, height int
	turned        bool // to be shown on its side, as the container says
	storedSize    bool // width and height are as stored, whatever imagemeta says
	dates         map[string]string
	movieCreated  time.Time // UTC
	lat, lon      *float64
	xmpLat        *float64
	xmpLon        *float64

	latSign, lonSign float64 // from EXIF's references; 0 if there are none
	latRaw, lonRaw   *float64
	altSign          float64
	altRaw           *float64

	altitude                                *float64
	lens, xmpLens                           string
	exposure, aperture, iso, focal, focal35 float64 // 0 is unknown
	duration                                time.Duration
	contentID, burstID                      string
	motion, animated                        bool
	rating                                  int
	keywords                                []string
}

// formats gives the name imagemeta has for a type. It wants to be told: it does
// not sniff.
var formats = map[string]imagemeta.ImageFormat{
	JPEG: imagemeta.JPEG,
	PNG:  imagemeta.PNG,
	WebP: imagemeta.WebP,
	TIFF: imagemeta.TIFF,
	HEIC: imagemeta.HEIF,
	HEIF: imagemeta.HEIF,
	AVIF: imagemeta.AVIF,
	DNG:  imagemeta.DNG,
	CR2:  imagemeta.CR2,
	NEF:  imagemeta.NEF,
	ARW:  imagemeta.ARW,
	PEF:  imagemeta.PEF,
	RW2:  imagemeta.TIFF, // but for the magic number
	ORF:  imagemeta.TIFF, // likewise
}

// image reads the EXIF and XMP of a picture through imagemeta, and what the format has
// beside those.
func (f *found) image(w *window, mediaType string) error {
	whole := *w // imagemeta moves w, or what it is patched with
	err := f.tags(w, mediaType)
	beside := map[string]func(*window) error{
		GIF: f.gif, BMP: f.bmp, CRW: f.crw, PNG: f.pngMoves, WebP: f.webpMoves, HEIC: f.heif, HEIF: f.heif, AVIF: f.heif, HEICs: f.heif, JPEG: f.jpegNote,
	}[mediaType]
	if beside != nil {
		err = errors.Join(err, beside(&whole))
	}
	if mediaType == JPEG {
		err = errors.Join(err, f.samsungTrailer(&whole))
	}
	return err
}

// tags reads what imagemeta can, if it can anything.
func (f *found) tags(w *window, mediaType string) error {
	format, ok := formats[mediaType]
	if !ok {
		return nil
	}
	switch mediaType {
	case RW2:
		w.patch = []byte("II*\x00")
	case ORF:
		order := make([]byte, 1)
		if _, err := w.ReadAt(order, 0); err != nil {
			return err
		}
		w.patch = []byte("II*\x00")
		if order[0] == 'M' {
			w.patch = []byte("MM\x00*")
		}
	}
	return f.decode(w, format, f.exifTag)
}

// decode runs imagemeta over w; handle gets the EXIF tags, XMP goes its own way.
// What was found before an error stays.
func (f *found) decode(w *window, format imagemeta.ImageFormat, handle func(imagemeta.TagInfo)) error {
	f.latSign, f.lonSign, f.latRaw, f.lonRaw = 0, 0, nil, nil
	f.altSign, f.altRaw = 1, nil // without a reference it is above the sea (EXIF 2.32, GPSAltitudeRef)
	res, err := imagemeta.Decode(imagemeta.Options{
		R:               w,
		ImageFormat:     format,
		Sources:         imagemeta.EXIF | imagemeta.XMP | imagemeta.IPTC | imagemeta.CONFIG,
		ShouldHandleTag: wants,
		HandleTag: func(t imagemeta.TagInfo) error {
			switch t.Source {
			case imagemeta.EXIF:
				handle(t)
			case imagemeta.XMP:
				f.xmpTag(t)
			case imagemeta.IPTC:
				switch t.Tag {
				case "DateCreated", "TimeCreated":
					f.setDate("IPTC "+t.Tag, t.Value)
				case "Keywords":
					f.addKeywords(t.Value)
				}
			}
			return nil
		},
		LimitTagSize: 4 << 10,
	})
	if err != nil && res.ImageConfig.Width == 0 {
		// Bad EXIF keeps imagemeta from the size that comes after it.
		w.pos = 0
		res, _ = imagemeta.Decode(imagemeta.Options{R: w, ImageFormat: format, Sources: imagemeta.CONFIG})
	}
	f.setSize(res.ImageConfig.Width, res.ImageConfig.Height)
	f.exifPlace()
	if err != nil {
		return fmt.Errorf("read EXIF: %w", err)
	}
	return nil
}

// exifTag takes a tag of the main directory, of its EXIF or of its GPS directory.
func (f *found) exifTag(t imagemeta.TagInfo) {
	switch {
	case strings.HasPrefix(t.Tag, "GPS"):
		// Some RAW directories use the same numbers for other things.
		if strings.HasSuffix(t.Namespace, "GPSInfoIFD") {
			f.gpsTag(t)
		}
	case t.Namespace == "IFD0", t.Namespace == "IFD0/ExifIFDP":
		f.mainTag(t)
	}
}

func (f *found) mainTag(t imagemeta.TagInfo) {
	switch t.Tag {
	case "Orientation":
		if t.Namespace == "IFD0" {
			f.setOrientation(t.Value)
		}
	case "Make":
		f.setText(&f.make, t.Value)
	case "Model":
		f.setText(&f.model, t.Value)
	case "DateTimeOriginal", "CreateDate", "ModifyDate", "OffsetTimeOriginal", "OffsetTimeDigitized", "OffsetTime",
		"SubSecTimeOriginal", "SubSecTimeDigitized", "SubSecTime":
		f.setDate(t.Tag, t.Value)
	default:
		f.detailTag(t)
	}
}

func (f *found) gpsTag(t imagemeta.TagInfo) {
	sign := func(positive, negative string) float64 {
		s, _ := t.Value.(string)
		switch strings.ToUpper(strings.TrimSpace(strings.TrimRight(s, "\x00"))) {
		case positive:
			return 1
		case negative:
			return -1
		}
		return 0
	}
	switch t.Tag {
	case "GPSLatitudeRef":
		f.latSign = sign("N", "S")
	case "GPSLongitudeRef":
		f.lonSign = sign("E", "W")
	case "GPSLatitude":
		if v, ok := t.Value.(float64); ok {
			f.latRaw = &v
		}
	case "GPSLongitude":
		if v, ok := t.Value.(float64); ok {
			f.lonRaw = &v
		}
	case "GPSAltitudeRef":
		if number(t.Value) == 1 {
			f.altSign = -1
		}
	case "GPSAltitude":
		if v := number(t.Value); !math.IsNaN(v) {
			f.altRaw = &v
		}
	case "GPSDateStamp", "GPSTimeStamp":
		f.setDate(t.Tag, t.Value)
	}
}

// exifPlace puts the references' signs to the degrees, which may come before them.
func (f *found) exifPlace() {
	if f.altRaw != nil {
		f.setAltitude(*f.altRaw * f.altSign)
	}
	if f.latRaw == nil || f.lonRaw == nil || f.latSign == 0 || f.lonSign == 0 {
		return
	}
	lat, lon := *f.latRaw*f.latSign, *f.lonRaw*f.lonSign
	f.lat, f.lon = &lat, &lon
}

// The namespaces of XMP that say what EXIF says. (XMP Specification Part 2.)
const (
	nsExif      = "http://ns.adobe.com/exif/1.0/"
	nsTIFF      = "http://ns.adobe.com/tiff/1.0/"
	nsXMP       = "http://ns.adobe.com/xap/1.0/"
	nsPhotoshop = "http://ns.adobe.com/photoshop/1.0/"
)

// xmpTag takes a property. EXIF's own word comes first, whatever the order in the
// file; where it has none, XMP's fills the gap.
func (f *found) xmpTag(t imagemeta.TagInfo) {
	degrees := func() *float64 {
		if v, ok := t.Value.(float64); ok {
			return &v
		}
		return nil
	}
	switch t.Namespace + t.Tag {
	case nsExif + "DateTimeOriginal", nsPhotoshop + "DateCreated", nsXMP + "CreateDate", nsExif + "DateTimeDigitized":
		f.setDate("XMP "+t.Tag, t.Value)
	case nsExif + "GPSLatitude":
		f.xmpLat = degrees()
	case nsExif + "GPSLongitude":
		f.xmpLon = degrees()
	case nsTIFF + "Make":
		f.setText(&f.make, t.Value)
	case nsTIFF + "Model":
		f.setText(&f.model, t.Value)
	case nsTIFF + "Orientation":
		f.setOrientation(t.Value)
	default:
		f.detailXMP(t)
	}
}

// setText sets a name that has not been set yet.
func (f *found) setText(to *string, v any) {
	if s, ok := v.(string); ok && *to == "" {
		*to = clean(s)
	}
}

func (f *found) setOrientation(v any) {
	if f.orientation != 0 {
		return
	}
	if n, err := strconv.Atoi(fmt.Sprint(v)); err == nil && n >= 1 && n <= 8 {
		f.orientation = n
	}
}

// setDate keeps a date, or a part of one, as written; the first of a name counts.
func (f *found) setDate(name string, v any) {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case int: // imagemeta makes numbers of fractions of a second
		s = strconv.Itoa(v)
	}
	if _, dup := f.dates[name]; dup || s == "" {
		return
	}
	if f.dates == nil {
		f.dates = make(map[string]string)
	}
	f.dates[name] = s
}

// taken weighs all dates found: the first believable one in the order of the From
// constants.
func (f *found) taken() (st stamp, from string, ok bool) {
	for _, c := range []struct{ from, date, offset, fraction string }{
		{FromExif, "DateTimeOriginal", "OffsetTimeOriginal", "SubSecTimeOriginal"},
		{FromExifDigitized, "CreateDate", "OffsetTimeDigitized", "SubSecTimeDigitized"},
		{from: FromXMP, date: "XMP DateTimeOriginal"},
		{from: FromXMP, date: "XMP DateCreated"},
		{from: FromXMP, date: "XMP CreateDate"},
		{from: FromXMP, date: "XMP DateTimeDigitized"},
		{from: FromIPTC},
		{from: FromQuickTime, date: quickTimeDate},
	} {
		date := f.dates[c.date]
		if c.from == FromIPTC {
			date = f.iptcDate()
		}
		st, ok := parseStamp(date, f.now)
		if !ok {
			continue
		}
		if !st.hasOffset && c.offset != "" {
			st.offset, st.hasOffset = parseOffset(f.dates[c.offset])
			if !st.hasOffset { // OffsetTime is of the last change, on the same device as a rule
				st.offset, st.hasOffset = parseOffset(f.dates["OffsetTime"])
			}
		}
		for _, other := range []string{f.dates["XMP DateTimeOriginal"], f.dates["XMP DateCreated"], f.iptcDate()} {
			// The same time may stand elsewhere, and there with its offset.
			if x, ok := parseStamp(other, f.now); ok && !st.hasOffset && sameSecond(x.wall, st.wall) {
				st.offset, st.hasOffset = x.offset, x.hasOffset
			}
		}
		st.wall = st.wall.Add(subSecond(f.dates[c.fraction]))
		return st, c.from, true
	}
	if t := f.movieCreated; !t.IsZero() && believable(t, f.now) {
		return stamp{wall: t}, FromMovieHeader, true
	}
	if day, clock := f.dates["GPSDateStamp"], f.dates["GPSTimeStamp"]; day != "" && clock != "" {
		if st, ok := parseStamp(day+" "+clock, f.now); ok {
			return st, FromGPS, true
		}
	}
	if st, ok := parseStamp(f.dates["ModifyDate"], f.now); ok {
		st.offset, st.hasOffset = parseOffset(f.dates["OffsetTime"])
		return st, FromExifModified, true
	}
	return stamp{}, "", false
}

// iptcDate joins the day and the time of IPTC (IIM 4.2 §2:55, 2:60), which are two
// records; a day alone will do.
func (f *found) iptcDate() string {
	return strings.TrimSpace(f.dates["IPTC DateCreated"] + " " + f.dates["IPTC TimeCreated"])
}

func sameSecond(a, b time.Time) bool { return a.Truncate(time.Second).Equal(b.Truncate(time.Second)) }

// subSecond reads EXIF's fraction of a second, which imagemeta hands on as a
// number: its leading zeros are lost. Three digits and more are taken as they
// stand; fewer would be a guess, and are left out.
func subSecond(digits string) time.Duration {
	if len(digits) < 3 {
		return 0
	}
	p := parser{s: digits}
	return time.Duration(p.fraction()) * time.Millisecond
}
