package media

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode"
)

// Meta is what a file tells of itself. The zero value says nothing.
//
// Where a file says a thing twice, the order of trust is: EXIF, then XMP, then IPTC; of a
// film Apple's keyed notes, then the old texts of udta, then the header. The first that is
// believable counts, whatever the order in the file. Dates have an order of their own,
// that of the From constants. Keywords are those of XMP and of IPTC together.
type Meta struct {
	// Taken is the wall clock at the place of the shot, as if that were UTC, to the
	// millisecond where the file is that exact. It is zero if the file has no
	// believable date. The instant is Taken minus OffsetMinutes, if HasOffset.
	Taken         time.Time `json:"taken,omitzero"`
	OffsetMinutes int       `json:"offsetMinutes,omitempty"` // east of UTC
	HasOffset     bool      `json:"hasOffset,omitempty"`
	TakenFrom     string    `json:"takenFrom,omitempty"` // a From constant; "" if Taken is zero

	Make  string `json:"make,omitempty"`
	Model string `json:"model,omitempty"`

	// Orientation is EXIF's, 1 to 8, or 0 if there is none. In HEIF, AVIF and JPEG XL it
	// is of no force: there the format's own rotation counts, and decoders apply it.
	Orientation int `json:"orientation,omitempty"`
	// Width and Height are as stored, in pixels; Display has them as shown. 0
	// means unknown.
	Width         int `json:"width,omitempty"`
	Height        int `json:"height,omitempty"`
	DisplayWidth  int `json:"displayWidth,omitempty"`
	DisplayHeight int `json:"displayHeight,omitempty"`

	// Lat and Lon are degrees north and east (WGS 84), if HasPlace.
	HasPlace bool    `json:"hasPlace,omitempty"`
	Lat      float64 `json:"lat,omitempty"`
	Lon      float64 `json:"lon,omitempty"`

	HasAltitude bool    `json:"hasAltitude,omitempty"`
	Altitude    float64 `json:"altitude,omitempty"` // metres above the sea

	Lens          string  `json:"lens,omitempty"`
	Exposure      float64 `json:"exposure,omitempty"`      // seconds; here and below, 0 means unknown
	Aperture      float64 `json:"aperture,omitempty"`      // f-number
	ISO           int     `json:"iso,omitempty"`           // sensitivity
	FocalLength   float64 `json:"focalLength,omitempty"`   // millimetres
	FocalLength35 int     `json:"focalLength35,omitempty"` // millimetres, as on 35 mm film

	Duration time.Duration `json:"duration,omitempty"` // of a film, to the millisecond
	Animated bool          `json:"animated,omitempty"` // a picture that moves: GIF, WebP, PNG, HEIF sequence
	// ContentID is the same in the picture and in the film of one Live Photo.
	ContentID string `json:"contentID,omitempty"`
	Motion    bool   `json:"motion,omitempty"`  // a film is kept behind the picture, in the same file
	BurstID   string `json:"burstID,omitempty"` // the same in all pictures of one burst

	Rating   int      `json:"rating,omitempty"`   // 1 to 5; -1 is rejected, 0 not rated
	Keywords []string `json:"keywords,omitempty"` // at most 32 of 64 characters
}

// Where Meta.Taken came from, best first.
const (
	FromExif          = "exif"           // DateTimeOriginal
	FromQuickTime     = "quicktime"      // com.apple.quicktime.creationdate, or the dates in udta
	FromXMP           = "xmp"            // DateTimeOriginal or photoshop:DateCreated
	FromIPTC          = "iptc"           // DateCreated and TimeCreated
	FromExifDigitized = "exif-digitized" // DateTimeDigitized
	FromXMPDigitized  = "xmp-digitized"  // xmp:CreateDate or DateTimeDigitized
	FromMovieHeader   = "mvhd"           // the film's creation time, in UTC
	FromGPS           = "gps"            // the satellites' clock, in UTC
	FromExifModified  = "exif-modified"  // DateTime: of the last change
)

// Valid says whether m can have come from Read: for who has it from a process that
// is not trusted.
func (m *Meta) Valid() bool {
	sane := func(n int) bool { return n >= 0 && n <= maxSide }
	return m.Make == clean(m.Make) && m.Model == clean(m.Model) && len(m.TakenFrom) <= maxName &&
		m.Orientation >= 0 && m.Orientation <= 8 &&
		m.OffsetMinutes >= minOffset && m.OffsetMinutes <= maxOffset &&
		(m.Taken.IsZero() || m.Taken.Year() >= firstYear && m.Taken.Year() <= 9999) &&
		math.Abs(m.Lat) <= 90 && math.Abs(m.Lon) <= 180 &&
		sane(m.Width) && sane(m.Height) && sane(m.DisplayWidth) && sane(m.DisplayHeight) &&
		m.validDetails()
}

func (m *Meta) validDetails() bool {
	within := func(v, most float64) bool { return v >= 0 && v <= most } // not so NaN
	if len(m.Keywords) > maxKeywords || len(m.Lens) > 4*maxName {
		return false
	}
	for _, word := range m.Keywords {
		if len(word) > 4*maxKeyword || word != clean(word) {
			return false
		}
	}
	return m.Altitude >= minAltitude && m.Altitude <= maxAltitude && m.Lens == clean(m.Lens) &&
		within(m.Exposure, maxExposure) && within(m.Aperture, maxAperture) && within(m.FocalLength, maxFocalLength) &&
		m.ISO >= 0 && m.ISO <= maxISO && m.FocalLength35 >= 0 && m.FocalLength35 <= maxFocalLength &&
		m.Duration >= 0 && m.Duration <= maxDuration && m.Rating >= minRating && m.Rating <= maxRating &&
		validID(m.ContentID) && validID(m.BurstID)
}

// Instant is when the shutter opened. Without a known offset it is the wall
// clock read as UTC: out by some hours, but the day told from it is right.
func (m *Meta) Instant() time.Time {
	if m.Taken.IsZero() || !m.HasOffset {
		return m.Taken
	}
	return m.Taken.Add(-time.Duration(m.OffsetMinutes) * time.Minute)
}

// TakenInUTC says whether Taken is no wall clock's reading at the place, but UTC, as far
// as HasOffset is false.
func (m *Meta) TakenInUTC() bool {
	return m.TakenFrom == FromMovieHeader || m.TakenFrom == FromGPS
}

// Camera is maker and model in one, without saying the maker twice; "" if unknown.
func (m *Meta) Camera() string {
	if m.Make == "" || strings.HasPrefix(strings.ToLower(m.Model), strings.ToLower(firstWord(m.Make))) {
		return m.Model
	}
	return strings.TrimSpace(m.Make + " " + m.Model)
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// Work that a file may cause, whatever its size.
const (
	maxReads = 1 << 16  // reads of the file
	maxBytes = 64 << 20 // bytes read in all
	maxBoxes = 20_000   // boxes of an ISO base media file looked at
	maxValue = 64 << 10 // bytes of one value in such a box
)

// What is taken for possible.
const (
	maxSide   = 1 << 24 // pixels
	maxName   = 64      // characters of a maker's or a model's name
	firstYear = 1826    // of the oldest photograph there is
	minOffset = -12 * 60
	maxOffset = 14 * 60
)

// errWork says that a file made its reader go in circles.
var errWork = errors.New("metadata asks for too much work")

// Read reads the metadata of the first size bytes of r, a file of the type Sniff
// gave. It does a bounded number of reads. A type that has no metadata, or none
// that is understood here, gives an empty Meta and no error. With an error, Meta
// still has what was found before.
func Read(r io.ReaderAt, size int64, mediaType string) (Meta, error) {
	return read(r, size, mediaType, time.Now())
}

// read is Read at a given time: dates after it are not believed.
func read(r io.ReaderAt, size int64, mediaType string, now time.Time) (m Meta, err error) {
	f := &found{now: now}
	w := &window{r: &budget{r: r, reads: maxReads, bytes: maxBytes}, size: size}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read metadata: panic: %v", p)
		}
		m = f.meta(mediaType)
	}()
	err = errors.Join(f.read(w, mediaType), f.readPackets())
	if err != nil {
		err = fmt.Errorf("read metadata: %w", err)
	}
	return m, err
}

// read reads a file by its type.
func (f *found) read(w *window, mediaType string) error {
	switch mediaType {
	case JPEG:
		return errors.Join(f.jpeg(w), f.samsungTrailer(w))
	case PNG:
		return f.png(w)
	case WebP:
		return f.webp(w)
	case GIF:
		return f.gif(w)
	case BMP:
		return f.bmp(w)
	case HEIC, HEIF, HEICs, AVIF:
		return f.heif(w)
	case JXL:
		return f.jxl(w)
	case MP4, MOV, M4V, GP3, GP32:
		return f.movie(w)
	case TIFF, DNG, CR2, NEF, ARW, PEF, ORF, RW2:
		return f.tiffFile(w, mediaType)
	case CR3:
		return f.cr3(w)
	case CRW:
		return f.crw(w)
	case RAF:
		return f.raf(w)
	}
	return nil
}

// clean is a name or a keyword fit to be shown: printable, short, trimmed.
func clean(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r): // of any width, and the ends of lines
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r): // what turns the direction of writing, too
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > maxName {
		s = string(r[:maxName])
	}
	return strings.TrimSpace(s)
}

// A budget is an io.ReaderAt that gives up after so many reads or bytes.
type budget struct {
	r     io.ReaderAt
	reads int
	bytes int64
}

func (b *budget) ReadAt(p []byte, off int64) (int, error) {
	if b.reads <= 0 || b.bytes <= 0 {
		return 0, errWork
	}
	b.reads--
	n, err := b.r.ReadAt(p, off)
	b.bytes -= int64(n)
	return n, err
}

// A window is a part of a file, read within the file's budget.
type window struct {
	r    *budget
	base int64 // of the window in the file
	size int64
}

// sub is the part of w from off, at most n bytes of it.
func (w *window) sub(off, n int64) *window {
	off = min(max(off, 0), w.size)
	return &window{r: w.r, base: w.base + off, size: min(max(n, 0), w.size-off)}
}

// unpacked is a window of what was packed in w. Reading it has a budget of its own: it
// is in memory.
func (w *window) unpacked(b []byte) *window {
	return &window{r: &budget{r: bytes.NewReader(b), reads: maxReads, bytes: maxBytes}, size: int64(len(b))}
}

func (w *window) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= w.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > w.size-off
	if short {
		p = p[:w.size-off]
	}
	n, err := w.r.ReadAt(p, w.base+off)
	if n == len(p) && errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}
