package media

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Namespaces of XMP (XMP Specification Part 2; EXIF 2.32 for XMP).
const (
	nsRDF        = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	nsExif       = "http://ns.adobe.com/exif/1.0/"
	nsExifEX     = "http://cipa.jp/exif/1.0/"
	nsAux        = "http://ns.adobe.com/exif/1.0/aux/"
	nsTIFF       = "http://ns.adobe.com/tiff/1.0/"
	nsXMP        = "http://ns.adobe.com/xap/1.0/"
	nsPhotoshop  = "http://ns.adobe.com/photoshop/1.0/"
	nsDublinCore = "http://purl.org/dc/elements/1.1/"
	nsGCamera    = "http://ns.google.com/photos/1.0/camera/"
)

const (
	maxPackets = 4
	maxPacket  = 2 << 20 // bytes of one
	maxDepth   = 64      // of elements in one
)

// addPacket keeps a packet of XMP until EXIF has been read, which comes first whatever the
// order in the file.
func (f *found) addPacket(w *window) error {
	if len(f.packets) >= maxPackets || w.size > maxPacket {
		return nil
	}
	v, err := w.bytes(maxPacket)
	f.packets = append(f.packets, v)
	return err
}

// readPackets reads the packets that were kept. Where EXIF has no word, XMP's fills the gap.
func (f *found) readPackets() error {
	var failed error
	for _, packet := range f.packets {
		if err := f.packet(packet); err != nil {
			failed = errors.Join(failed, fmt.Errorf("read XMP: %w", err))
		}
	}
	f.packets = nil
	return failed
}

// An xmpPlace is what one packet says of the place. NaN is nothing.
type xmpPlace struct{ lat, lon, alt, sign float64 }

// packet takes the properties of all descriptions in a packet (XMP part 1 §7): attributes,
// or elements with a text or a list of texts. What is built of further properties is
// passed over.
func (f *found) packet(packet []byte) error {
	d := &tokens{Decoder: xml.NewDecoder(bytes.NewReader(legible(packet)))}
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // it is UTF-8 by now
	at := xmpPlace{math.NaN(), math.NaN(), math.NaN(), 1}
	defer func() {
		f.setPlace(at.lat, at.lon)
		f.setAltitude(at.alt * at.sign)
	}()
	for {
		token, err := d.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if end, ok := token.(xml.EndElement); ok && end.Name.Space == nsRDF && end.Name.Local == "RDF" {
			return nil // the rest only fills up
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Space != nsRDF || start.Name.Local != "Description" {
			continue
		}
		for _, a := range start.Attr {
			f.property(a.Name, []string{a.Value}, &at)
		}
		if err := f.elements(d, &at); err != nil {
			return err
		}
	}
}

// badReferences are references to characters that XML may not have.
var badReferences = regexp.MustCompile(`&#(?:0*(?:[0-8]|1[124-9]|2[0-9]|3[01]|6553[45])|x0*(?i:[0-8bcef]|1[0-9a-f]|fff[ef]));`)

// legible is the packet in UTF-8, with spaces in place of what XML may not have in it, so
// that one text in another encoding does not cost all others.
func legible(packet []byte) []byte {
	out := bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, bytes.ToValidUTF8(fromUTF16(packet), []byte(" ")))
	return badReferences.ReplaceAllLiteral(out, []byte(" "))
}

// fromUTF16 turns a packet of UTF-16 (XMP part 1 §7.3.2), of either order, into one of UTF-8.
func fromUTF16(packet []byte) []byte {
	var order binary.ByteOrder
	switch at := bytes.IndexByte(packet[:min(4, len(packet))], '<'); { // which a mark may precede
	case at < 0:
		return packet
	case at%2 == 1 && packet[at-1] == 0:
		order = binary.BigEndian
	case at%2 == 0 && at+1 < len(packet) && packet[at+1] == 0:
		order = binary.LittleEndian
	default:
		return packet
	}
	units := make([]uint16, len(packet)/2)
	for i := range units {
		units[i] = order.Uint16(packet[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// tokens is a decoder that does not go deeper than any packet does.
type tokens struct {
	*xml.Decoder
	depth int
}

func (t *tokens) next() (xml.Token, error) {
	token, err := t.Token()
	switch token.(type) {
	case xml.StartElement:
		t.depth++
	case xml.EndElement:
		t.depth--
	}
	if t.depth > maxDepth {
		return nil, errWork
	}
	return token, err
}

// elements takes the properties that are elements of a description.
func (f *found) elements(d *tokens, at *xmpPlace) error {
	for {
		token, err := d.next()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			values, err := values(d)
			if err != nil {
				return err
			}
			if len(values) > 0 {
				f.property(token.Name, values, at)
			}
		}
	}
}

// values reads to the end of an element: its text, or the texts of the list in it.
func values(d *tokens) ([]string, error) {
	isItem := func(depth int, name xml.Name) bool {
		return depth == 2 && name.Space == nsRDF && name.Local == "li" // in a Bag, Seq or Alt
	}
	var text strings.Builder
	var list []string
	inItem := false
	for depth := 0; ; {
		token, err := d.next()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; isItem(depth, token.Name) {
				inItem = true
				text.Reset()
			}
		case xml.CharData:
			if depth == 0 && list == nil || depth == 2 && inItem {
				text.Write(token)
			}
		case xml.EndElement:
			if depth == 0 {
				if s := strings.TrimSpace(text.String()); list == nil && s != "" {
					list = []string{s}
				}
				return list, nil
			}
			if isItem(depth, token.Name) {
				inItem = false
				list = append(list, strings.TrimSpace(text.String()))
				text.Reset()
			}
			depth--
		}
	}
}

// property takes a property that matters here; of a list, the first value but for keywords.
func (f *found) property(name xml.Name, values []string, at *xmpPlace) {
	v := values[0]
	type key struct{ space, name string } // which costs nothing to compare, however long a name is
	switch (key{name.Space, name.Local}) {
	case key{nsExif, "DateTimeOriginal"}, key{nsPhotoshop, "DateCreated"}, key{nsXMP, "CreateDate"}, key{nsExif, "DateTimeDigitized"}:
		f.setDate("XMP "+name.Local, v)
	case key{nsExif, "GPSLatitude"}:
		at.lat = xmpDegrees(v, "N", "S")
	case key{nsExif, "GPSLongitude"}:
		at.lon = xmpDegrees(v, "E", "W")
	case key{nsExif, "GPSAltitude"}:
		at.alt = ratio(v)
	case key{nsExif, "GPSAltitudeRef"}:
		if v == "1" || v == "3" {
			at.sign = -1
		}
	case key{nsTIFF, "Make"}:
		setText(&f.make, v)
	case key{nsTIFF, "Model"}:
		setText(&f.model, v)
	case key{nsTIFF, "Orientation"}:
		f.setOrientation(ratio(v))
	case key{nsExifEX, "LensModel"}, key{nsAux, "Lens"}:
		setText(&f.lens, v)
	case key{nsExif, "ExposureTime"}:
		setNumber(&f.exposure, ratio(v), maxExposure)
	case key{nsExif, "FNumber"}:
		setNumber(&f.aperture, ratio(v), maxAperture)
	case key{nsExif, "ISOSpeedRatings"}, key{nsExifEX, "PhotographicSensitivity"}:
		setNumber(&f.iso, ratio(v), maxISO)
	case key{nsExif, "FocalLength"}:
		setNumber(&f.focal, ratio(v), maxFocalLength)
	case key{nsExif, "FocalLengthIn35mmFilm"}:
		setNumber(&f.focal35, ratio(v), maxFocalLength)
	case key{nsXMP, "Rating"}:
		f.setRating(ratio(v))
	case key{nsDublinCore, "subject"}:
		f.addKeywords(values...)
	case key{nsGCamera, "MotionPhoto"}, key{nsGCamera, "MicroVideo"}:
		f.motion = f.motion || v == "1"
	case key{nsGCamera, "BurstID"}:
		setID(&f.burstID, v)
	}
}

// ratio reads a number or a fraction, "1/125" (XMP part 1 §8.2.1.2 and part 2 §1.2.2.4).
func ratio(s string) float64 {
	num, den, isRatio := strings.Cut(strings.TrimSpace(s), "/")
	n, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return math.NaN()
	}
	if isRatio {
		d, err := strconv.ParseFloat(den, 64)
		if err != nil || d == 0 {
			return math.NaN()
		}
		n /= d
	}
	return n
}

// xmpDegrees reads "26,34.951N" or "26,34,57N" (XMP part 2 §1.2.2.2), or degrees alone,
// which may have a sign.
func xmpDegrees(s, positive, negative string) float64 {
	s = strings.TrimSpace(s)
	sign := 1.0
	if s != "" {
		if last := signOf(s[len(s)-1:], positive, negative); last != 0 {
			s, sign = s[:len(s)-1], last
		}
	}
	var n []float64
	for part := range strings.SplitSeq(s, ",") {
		if len(n) == 3 {
			return math.NaN()
		}
		v := ratio(part)
		if math.IsNaN(v) {
			return v
		}
		n = append(n, v)
	}
	return sign * degrees(n)
}
