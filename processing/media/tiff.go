package media

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// EXIF is a TIFF file without a picture (EXIF 2.32 §4.5), and most RAWs are TIFF files
// too: directories of entries of 12 bytes each, of which the value stands elsewhere if it
// is longer than four. What is wrong with one entry does not keep from the next.

// A directory says which tags are to be expected in it: the numbers of EXIF and of GPS
// mean something else in another.
type directory int

const (
	mainDirectory directory = iota // of the picture, and of EXIF
	gpsDirectory
	sizeDirectory // of another picture in the same file
)

// Tags that lead elsewhere.
const (
	tagSubDirectories  = 0x014a
	tagXMP             = 0x02bc
	tagIPTC            = 0x83bb
	tagExifDirectory   = 0x8769
	tagGPSDirectory    = 0x8825
	tagWidth           = 0x0100
	tagHeight          = 0x0101
	tagExifWidth       = 0xa002
	tagExifHeight      = 0xa003
	tagDefaultCropSize = 0xc620 // DNG 1.4: what is to be shown of the sensor's
)

// Tags of Panasonic's RAW (RW2), in its first directory.
const (
	tagBorders    = 0x0004 // of the picture on the sensor: top, left, bottom, right
	tagJPEG       = 0x002e // the picture to be looked at, with the whole EXIF
	borderEntries = 4
)

const (
	maxDirectories = 64   // followed in one block
	maxEntries     = 4096 // read of one directory
	maxText        = 1024 // bytes of a text
)

// A block is a TIFF block that is being read. Offsets count from its beginning.
type block struct {
	*found
	w     *window
	order binary.ByteOrder
	isRW2 bool
	left  int // directories

	latSign, lonSign, altSign float64 // from GPS's references; 0 if there are none
	lat, lon, alt             float64 // NaN if there are none
	gpsDate                   string
	gpsTime                   []float64

	size, exifSize, crop [2]float64 // as the directory says that is being read, EXIF, and DNG
	first, largest       [2]float64 // of the first directory; of any
	borders              [borderEntries]float64
}

// errTIFF says that there is no TIFF where one should be.
var errTIFF = errors.New("EXIF does not begin as a TIFF")

// tiffFile reads a file that is a TIFF, and its size.
func (f *found) tiffFile(w *window, mediaType string) error {
	b := f.newBlock(w)
	b.isRW2 = mediaType == RW2
	err := b.decode(mainDirectory)
	if mediaType == TIFF {
		f.setFloatSize(b.first)
	} else {
		f.setFloatSize(b.rawSize())
		f.clip = b.crop
	}
	return err
}

// exif reads an EXIF block of a file that is not itself a TIFF. Some writers leave the
// mark of JPEG's segment before it.
func (f *found) exif(w *window) error {
	mark, err := w.bytes(6)
	if err != nil {
		return err
	}
	if strings.HasPrefix(string(mark), "Exif\x00") {
		w = w.sub(6, w.size)
	}
	return f.newBlock(w).decode(mainDirectory)
}

func (f *found) newBlock(w *window) *block {
	return &block{found: f, w: w, left: maxDirectories, lat: math.NaN(), lon: math.NaN(), alt: math.NaN(),
		altSign: 1} // without a reference it is above the sea (EXIF 2.32, GPSAltitudeRef)
}

// decode reads the whole block, of which the first directory is of the kind as.
func (b *block) decode(as directory) error {
	var head [8]byte
	if _, err := io.ReadFull(io.NewSectionReader(b.w, 0, 8), head[:]); err != nil {
		return ended(err)
	}
	switch string(head[:4]) {
	case "II*\x00", "IIU\x00", "IIRO", "IIRS": // the latter are Panasonic's and Olympus's
		b.order = binary.LittleEndian
	case "MM\x00*", "MMOR":
		b.order = binary.BigEndian
	default:
		return errTIFF
	}
	err := b.read(int64(b.order.Uint32(head[4:])), as)
	b.takePlace()
	return err
}

// read reads the directory at off, and those below it.
func (b *block) read(off int64, as directory) error {
	if b.left--; b.left < 0 {
		return nil // it goes in circles; what was found counts
	}
	isFirst, above := b.left == maxDirectories-1, b.size
	b.size = [2]float64{}
	defer func() {
		if isFirst {
			b.first = b.size
		}
		if area(b.size) > area(b.largest) {
			b.largest = b.size
		}
		b.size = above
	}()
	var count [2]byte
	if _, err := io.ReadFull(io.NewSectionReader(b.w, off, 2), count[:]); err != nil {
		return ended(err)
	}
	const size = 12
	list, err := b.w.sub(off+2, size*maxEntries).bytes(size * int64(b.order.Uint16(count[:])))
	for ; len(list) >= size && err == nil; list = list[size:] {
		e := entry{tag: b.order.Uint16(list), kind: b.order.Uint16(list[2:]), order: b.order}
		bytes := kindSize(e.kind) * int64(b.order.Uint32(list[4:]))
		e.at = b.w.sub(int64(b.order.Uint32(list[8:])), bytes)
		if bytes <= 4 {
			e.inline = list[8 : 8+bytes]
		}
		switch {
		case bytes == 0: // of an unknown kind, or empty
		case as == sizeDirectory:
			err = b.sizeEntry(e)
		case as == gpsDirectory:
			err = b.gpsEntry(e)
		default:
			err = b.mainEntry(e)
		}
	}
	return err
}

// mainEntry takes an entry of the first directory or of EXIF's.
func (b *block) mainEntry(e entry) error {
	if b.isRW2 {
		switch e.tag {
		case tagBorders, tagBorders + 1, tagBorders + 2, tagBorders + 3:
			n, err := e.numbers(1)
			b.borders[e.tag-tagBorders] = first(n)
			return err
		case tagJPEG:
			if err := b.jpeg(e.at); !errors.Is(err, errTIFF) {
				return err
			}
			return nil // its EXIF is none; what the RAW says itself still counts
		}
	}
	switch e.tag {
	case tagExifDirectory, tagGPSDirectory, tagSubDirectories:
		as := map[uint16]directory{tagExifDirectory: mainDirectory, tagGPSDirectory: gpsDirectory, tagSubDirectories: sizeDirectory}[e.tag]
		offsets, err := e.numbers(maxDirectories)
		for _, off := range offsets {
			if off >= 8 && off <= math.MaxUint32 && err == nil {
				err = b.read(int64(off), as)
			}
		}
		return err
	case tagXMP:
		return b.addPacket(e.at)
	case tagIPTC:
		if b.blocks >= maxPackets {
			return nil
		}
		v, err := e.bytes(maxValue)
		b.iptc(v)
		return err
	case tagWidth, tagHeight, tagDefaultCropSize:
		return b.sizeEntry(e)
	case tagExifWidth, tagExifHeight:
		n, err := e.numbers(1)
		b.exifSize[e.tag-tagExifWidth] = first(n)
		return err
	}
	return b.exifEntry(e)
}

// sizeEntry takes an entry that says how large a picture is.
func (b *block) sizeEntry(e entry) error {
	n, err := e.numbers(2)
	switch {
	case e.tag == tagWidth || e.tag == tagHeight:
		b.size[e.tag-tagWidth] = first(n)
	case e.tag == tagDefaultCropSize && len(n) == 2:
		b.crop = [2]float64(n)
	}
	return err
}

// rawSize is the size of a RAW as stored: of the largest picture in it.
func (b *block) rawSize() [2]float64 {
	switch {
	case b.isRW2:
		return [2]float64{b.borders[3] - b.borders[1], b.borders[2] - b.borders[0]}
	case area(b.exifSize) > area(b.largest):
		return b.exifSize
	}
	return b.largest
}

func area(size [2]float64) float64 { return size[0] * size[1] }

func (f *found) setFloatSize(size [2]float64) {
	if size[0] <= maxSide && size[1] <= maxSide { // not so NaN
		f.setSize(int(size[0]), int(size[1]))
	}
}

// An entry is a tag and where its value stands.
type entry struct {
	tag, kind uint16
	order     binary.ByteOrder
	inline    []byte // the value, if it is short
	at        *window
}

// kindSize is how many bytes a value of a kind takes; 0 if the kind is unknown.
func kindSize(kind uint16) int64 {
	switch kind {
	case 1, 2, 6, 7, 129: // BYTE, ASCII, SBYTE, UNDEFINED, and of EXIF 3.0 UTF-8
		return 1
	case 3, 8: // SHORT, SSHORT
		return 2
	case 4, 9, 11, 13: // LONG, SLONG, FLOAT, IFD
		return 4
	case 5, 10, 12: // RATIONAL, SRATIONAL, DOUBLE
		return 8
	}
	return 0
}

// bytes is the value, the first most bytes of it.
func (e entry) bytes(most int64) ([]byte, error) {
	if e.inline != nil {
		return e.inline, nil
	}
	return e.at.bytes(most)
}

// text is the value as a text: up to the first zero.
func (e entry) text() (string, error) {
	if kindSize(e.kind) != 1 {
		return "", nil
	}
	v, err := e.bytes(maxText)
	return decodeText(v), err
}

// decodeText reads a text up to the first zero. EXIF wants ASCII; what is no UTF-8 is
// taken for Latin-1.
func decodeText(v []byte) string {
	s, _, _ := strings.Cut(string(v), "\x00")
	if utf8.ValidString(s) {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// numbers is the value as numbers, the first most of them; NaN where the denominator is 0.
func (e entry) numbers(most int64) ([]float64, error) {
	size := kindSize(e.kind)
	v, err := e.bytes(size * most)
	var n []float64
	for ; int64(len(v)) >= size && int64(len(n)) < most; v = v[size:] {
		n = append(n, e.number(v))
	}
	return n, err
}

func (e entry) number(v []byte) float64 {
	long := func(v []byte) float64 {
		if u := e.order.Uint32(v); e.kind != 10 {
			return float64(u)
		} else {
			return float64(int32(u))
		}
	}
	switch e.kind {
	case 1, 7:
		return float64(v[0])
	case 6:
		return float64(int8(v[0]))
	case 3:
		return float64(e.order.Uint16(v))
	case 8:
		return float64(int16(e.order.Uint16(v)))
	case 4, 13:
		return float64(e.order.Uint32(v))
	case 9:
		return float64(int32(e.order.Uint32(v)))
	case 5, 10:
		if d := long(v[4:]); d != 0 {
			return long(v) / d
		}
	case 11:
		return float64(math.Float32frombits(e.order.Uint32(v)))
	case 12:
		return math.Float64frombits(e.order.Uint64(v))
	}
	return math.NaN()
}

// first is the first of some numbers, NaN if there are none.
func first(n []float64) float64 {
	if len(n) == 0 {
		return math.NaN()
	}
	return n[0]
}
