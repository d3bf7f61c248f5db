package media_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
)

// tiffOf is EXIF that says one thing: the maker.
func tiffOf(maker string) []byte {
	return testphoto.TIFF(testphoto.Directory{tag(testphoto.TagMake, maker)})
}

func TestReadPNG(t *testing.T) {
	png := testphoto.PNG(image.NewGray(image.Rect(0, 0, 20, 10)))
	end := len(png) - 12
	front := func(id string, body []byte) []byte { return testphoto.WithChunk(png, id, body) }
	behind := func(id string, body []byte, others ...[]byte) []byte {
		file := png[:end:end]
		for _, other := range others {
			file = append(file, testphoto.Chunk(id, other)...)
		}
		return slices.Concat(file, testphoto.Chunk(id, body), png[end:])
	}
	xmp := testphoto.XMP(`tiff:Make="found"`)
	profile := func(name, content string) []byte {
		lines := fmt.Sprintf("\n%s\n%8d\n", strings.ToLower(name), len(content))
		for line := range slices.Chunk([]byte(content), 36) {
			lines += hex.EncodeToString(line) + "\n"
		}
		return append([]byte("Raw profile type "+name+"\x00\x00"), testphoto.Deflate([]byte(lines))...)
	}
	keywords := "8BIM\x04\x04\x00\x00\x00\x00\x00\x0a\x1c\x02\x19\x00\x05found"
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"EXIF", front("eXIf", tiffOf("found")), "found"},
		{"EXIF behind the picture", behind("eXIf", tiffOf("found")), "found"},
		{"EXIF as of a JPEG", front("eXIf", append([]byte("Exif\x00\x00"), tiffOf("found")...)), "found"},
		{"XMP", front("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"+xmp)), "found"},
		{"XMP with a language", front("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00en\x00title\x00"+xmp)), "found"},
		{"XMP, packed", behind("iTXt", append([]byte("XML:com.adobe.xmp\x00\x01\x00\x00\x00"), testphoto.Deflate([]byte(xmp))...)), "found"},
		{"ImageMagick's EXIF", front("zTXt", profile("exif", "Exif\x00\x00"+string(tiffOf("found")))), "found"},
		{"ImageMagick's APP1", front("zTXt", profile("APP1", "Exif\x00\x00"+string(tiffOf("found")))), "found"},
		{"ImageMagick's XMP", front("zTXt", profile("xmp", xmp)), "found"},
		{"ImageMagick's IPTC", front("zTXt", profile("iptc", keywords)), "found"},
		{"IPTC with another name", front("zTXt", bytes.Replace(profile("iptc", keywords), []byte("\niptc"), []byte("\nIPTC profile"), 1)), "found"},
		{"behind profiles of colours", behind("zTXt", profile("exif", string(tiffOf("found"))), slices.Repeat([][]byte{profile("icc", "rubbish")}, 5)...), "found"},
		{"other text", front("tEXt", []byte("Make\x00found")), ""},
		{"no content", front("iTXt", []byte("XML:com.adobe.xmp\x00")), ""},
		{"no hexadecimal", front("zTXt", append([]byte("Raw profile type exif\x00\x00"), testphoto.Deflate([]byte("\nexif\n 3\nxyz"))...)), ""},
		{"packed badly", front("zTXt", []byte("Raw profile type exif\x00\x00rubbish")), ""},
		{"not at all", png, ""},
	} {
		m := read(t, test.file)
		got := m.Make + strings.Join(m.Keywords, "")
		if got != test.want || m.Width != 20 || m.Height != 10 {
			t.Errorf("%s: got %q, %d × %d", test.name, got, m.Width, m.Height)
		}
	}
}

// webp is a WebP file of some chunks.
func webp(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), slices.Concat(chunks...)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func riff(kind string, content []byte) []byte {
	b := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(content))), content...)
	return append(b, make([]byte, len(content)%2)...)
}

func TestReadWebP(t *testing.T) {
	extended := riff("VP8X", []byte{0x0c, 0, 0, 0, 19, 0, 0, 9, 0, 0}) // announces EXIF and XMP
	lossy := riff("VP8 ", []byte("\x30\x01\x00\x9d\x01\x2a\x14\x40\x0a\x80."))
	lossless := riff("VP8L", []byte("\x2f\x13\x40\x02\x00"))
	marked := append([]byte("Exif\x00\x00"), tiffOf("found")...)
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"EXIF", webp(extended, lossy, riff("EXIF", tiffOf("found"))), "found"},
		{"EXIF as of a JPEG", webp(extended, lossy, riff("EXIF", marked)), "found"},
		{"EXIF behind an odd chunk", webp(extended, riff("ICCP", []byte("odd")), lossless, riff("EXIF", marked)), "found"},
		{"XMP, after EXIF that is none", webp(extended, lossy, riff("EXIF", []byte("rubbish.")), riff("XMP ", []byte(testphoto.XMP(`tiff:Make="found"`)))), "found"},
		{"not announced", webp(lossy, riff("EXIF", tiffOf("found"))), "found"},
		{"lossless", webp(lossless), ""},
		{"lossy", webp(lossy), ""},
	} {
		if m := read(t, test.file); m.Make != test.want || m.Width != 20 || m.Height != 10 {
			t.Errorf("%s: got %q, %d × %d", test.name, m.Make, m.Width, m.Height)
		}
	}
}

// heicItem is a HEIC file whose only item but the picture is of the kind that infe has; its
// content lies in idat.
func heicItem(infe string, content []byte, properties ...string) []byte {
	used := "\x00\x01" + string([]byte{byte(len(properties))})
	for i := range properties {
		used += string([]byte{byte(i + 1)})
	}
	return []byte(ftyp("heic") + box("meta", be32(0),
		box("iloc", "\x01\x00\x00\x00", "\x44\x00", "\x00\x01", "\x00\x02\x00\x01\x00\x00\x00\x01", be32(3, uint32(len(content)))),
		box("iprp", box("ipco", properties...), box("ipma", be32(0, 1), used)),
		box("pitm", be32(0), "\x00\x01"),
		box("iinf", "\x01\x00\x00\x00", be32(1), box("infe", "\x03\x00\x00\x00", be32(2), "\x00\x00", infe)),
		box("idat", "...", string(content))))
}

func TestReadHEICItems(t *testing.T) {
	ispe := box("ispe", be32(0, 400, 300))
	clap := box("clap", be32(780, 2, 200, 1, 0, 1, 0, 1))
	exif := func(before string, tiff []byte) []byte { return append([]byte(before), tiff...) }
	for _, test := range []struct {
		name       string
		file       []byte
		maker      string
		show, high int
	}{
		{"EXIF in idat", heicItem("Exif\x00", exif("\x00\x00\x00\x00", tiffOf("found")), ispe), "found", 400, 300},
		{"its mark not counted", heicItem("Exif\x00", exif("\x00\x00\x00\x00Exif\x00\x00", tiffOf("found")), ispe), "found", 400, 300},
		{"counted wrong", heicItem("Exif\x00", exif("\x00\x00\x00\x0aExif\x00\x00", tiffOf("found")), ispe), "found", 400, 300},
		{"counted beyond the end", heicItem("Exif\x00", exif("\xff\xff\xff\xff", nil), ispe), "", 400, 300},
		{"XMP", heicItem("mimeXMP\x00application/rdf+xml\x00", []byte(testphoto.XMP(`tiff:Make="found"`)), ispe), "found", 400, 300},
		{"another document", heicItem("mime\x00text/plain\x00", []byte(testphoto.XMP(`tiff:Make="found"`)), ispe), "", 400, 300},
		{"a part is shown", heicItem("Exif\x00", nil, ispe, clap), "", 390, 200},
		{"a part is shown, turned", heicItem("Exif\x00", nil, ispe, clap, box("irot", "\x01")), "", 200, 390},
		{"a part larger than the whole", heicItem("Exif\x00", nil, ispe, box("clap", be32(780, 1, 200, 1))), "", 400, 300},
		{"a part of nothing", heicItem("Exif\x00", nil, ispe, box("clap", be32(780, 0, 200, 0, 0, 0, 0, 0))), "", 400, 300},
	} {
		m := read(t, test.file)
		if m.Make != test.maker || m.Width != 400 || m.Height != 300 || m.DisplayWidth != test.show || m.DisplayHeight != test.high {
			t.Errorf("%s: got %+v", test.name, m)
		}
	}
}

// bitWriter writes numbers of some bits, the lowest first.
type bitWriter struct {
	b []byte
	n int
}

func (w *bitWriter) write(bits, v int) {
	for i := range bits {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

// jxlStream is the beginning of a JPEG XL codestream of a size, up as EXIF would say; 0 is
// nothing said.
func jxlStream(w, h, orientation int) []byte {
	var bits bitWriter
	bits.write(1, 0) // not a multiple of 8 below 256
	for i, side := range []int{h, w} {
		bits.write(2, 2) // 18 bits
		bits.write(18, side-1)
		if i == 0 {
			bits.write(3, 0) // no ratio: the width follows
		}
	}
	if orientation == 0 {
		bits.write(1, 1) // all of the picture's fields are as usual
	} else {
		bits.write(2, 2) // not all; further fields
		bits.write(3, orientation-1)
	}
	bits.write(30, 0)
	return append([]byte("\xff\x0a"), bits.b...)
}

// jxlBoxes is a JPEG XL container.
func jxlBoxes(boxes ...string) []byte {
	return []byte("\x00\x00\x00\x0cJXL \r\n\x87\n" + box("ftyp", "jxl ", be32(0), "jxl ") + strings.Join(boxes, ""))
}

func TestReadJXL(t *testing.T) {
	packed := func(kind string, content []byte) string {
		var b bytes.Buffer
		z := brotli.NewWriter(&b)
		z.Write(content)
		z.Close()
		return box("brob", kind, b.String())
	}
	exif := append([]byte("\x00\x00\x00\x00"), testphoto.TIFF(testphoto.Camera(6, "2024:07:14 21:05:59", "+02:00"))...)
	for orientation := range 9 {
		show := [2]int{4000, 300}
		if orientation >= 5 {
			show = [2]int{300, 4000}
		}
		stream := jxlStream(4000, 300, orientation)
		for name, file := range map[string][]byte{
			"bare":               stream,
			"in a box":           jxlBoxes(box("Exif", string(exif)), box("jxlc", string(stream))),
			"in parts":           jxlBoxes(box("jxlp", be32(0), string(stream)), box("jxlp", be32(1<<31|1), string(jxlStream(16, 16, 0))), packed("Exif", exif)),
			"EXIF in the middle": jxlBoxes(box("jxlp", be32(0), string(stream)), box("Exif", string(exif)), box("jxlp", be32(1<<31|1), "more")),
		} {
			m := read(t, file)
			if m.Width != 4000 || m.Height != 300 || m.DisplayWidth != show[0] || m.DisplayHeight != show[1] {
				t.Errorf("%s, orientation %d: got %+v", name, orientation, m)
			}
			if want := name != "bare"; (m.Make == "Shoebox") != want || m.HasOffset != want || m.HasPlace != want {
				t.Errorf("%s: got %+v", name, m)
			}
		}
	}
	for name, boxes := range map[string]string{
		"XMP":         box("xml ", testphoto.XMP(`tiff:Make="found"`)),
		"XMP, packed": packed("xml ", []byte(testphoto.XMP(`tiff:Make="found"`))),
	} {
		if m := read(t, jxlBoxes(boxes)); m.Make != "found" {
			t.Errorf("%s: got %+v", name, m)
		}
	}
	for n := range 12 { // cut anywhere
		m := read(t, jxlStream(4000, 300, 6)[:n])
		if m.DisplayWidth*m.DisplayHeight != m.Width*m.Height {
			t.Errorf("%d bytes: got %+v", n, m)
		}
	}
}

func TestReadCR3(t *testing.T) {
	deg := testphoto.Degrees
	canon := "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48"
	file := ftyp("crx ") + box("moov", box("uuid", canon,
		box("CMT1", string(testphoto.TIFF(testphoto.Directory{
			tag(testphoto.TagMake, "Canon"), tag(testphoto.TagOrientation, uint16(8)), tag(0x0100, uint16(6000)), tag(0x0101, uint16(4000))}))),
		box("CMT2", string(testphoto.TIFF(testphoto.Directory{
			tag(testphoto.TagOriginal, "2024:07:14 21:05:59"), tag(testphoto.TagSubSecOriginal, "21"), tag(testphoto.TagOffsetOriginal, "-07:00")}))),
		box("CMT4", string(testphoto.TIFF(testphoto.Directory{
			tag(testphoto.TagGPSLatitudeRef, "S"), tag(testphoto.TagGPSLatitude, deg(33, 30, 0)),
			tag(testphoto.TagGPSLongitudeRef, "E"), tag(testphoto.TagGPSLongitude, deg(18, 15, 0))}))))) +
		box("uuid", "\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac", testphoto.XMP(`xmp:Rating="5"`))
	m := read(t, []byte(file))
	if media.Sniff([]byte(file)) != media.CR3 || m.Make != "Canon" || m.Width != 6000 || m.DisplayWidth != 4000 || m.Rating != 5 || m.Lat != -33.5 || m.Lon != 18.25 ||
		m.Taken.Format("2006-01-02T15:04:05.000") != "2024-07-14T21:05:59.210" || m.OffsetMinutes != -420 {
		t.Errorf("got %+v", m)
	}
}

// What is small in the file may be large when it is unpacked, or never end.
func TestReadUnpackingIsBounded(t *testing.T) {
	zeros := make([]byte, 4<<20)
	var b bytes.Buffer
	z := brotli.NewWriterLevel(&b, 1)
	z.Write(zeros)
	z.Close()
	text := append([]byte("Raw profile type xmp\x00\x00"), testphoto.Deflate(zeros)...)
	png := testphoto.PNG(image.NewGray(image.Rect(0, 0, 4, 4)))
	for range 40 {
		png = testphoto.WithChunk(png, "zTXt", text)
	}
	deep := testphoto.XMP("", strings.Repeat("<dc:subject>", 200_000))
	faults := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat(testphoto.Chunk("eXIf", []byte("not a TIFF")), 10_000)...)
	files := map[string][]byte{
		"faults":   faults,
		"brotli":   jxlBoxes(strings.Repeat(box("brob", "xml ", b.String()), 40)),
		"deflate":  png,
		"deep XMP": testphoto.TIFF(testphoto.Directory{tag(testphoto.TagXMP, []byte(deep))}),
		"namespace": testphoto.TIFF(testphoto.Directory{tag(testphoto.TagXMP, []byte(testphoto.XMP(
			`xmlns:a="`+strings.Repeat("n", 100_000)+`" `+strings.Repeat(`a:b="" `, 10_000))))}),
		"IPTC again": again(0x83bb, strings.Repeat("\x1c\x02\x19\x00\x3c"+strings.Repeat("k", 60), 1000)),
		"GPS again":  rawTIFF(binary.BigEndian, slices.Repeat([]rawEntry{{0x8825, 4, 1, []byte{0, 0, 0, 8}}, {0x8769, 4, 1, []byte{0, 0, 0, 8}}}, 2000)...),
	}
	for name, file := range files {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m := read(t, file)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 200<<20 {
			t.Errorf("%s: took %d bytes, and gave %+v", name, used, m)
		}
	}
}

// again is a TIFF of which 1000 entries have one and the same value.
func again(tag uint16, value string) []byte {
	const n, end = 1000, 8 + 2 + 1000*12 + 4
	le := binary.LittleEndian
	b := le.AppendUint16([]byte("II*\x00\x08\x00\x00\x00"), n)
	for range n {
		b = le.AppendUint16(le.AppendUint16(b, tag), 7)
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(value))), end)
	}
	return append(append(b, 0, 0, 0, 0), value...)
}

// An item may have as many parts as it says, of no bytes each.
func TestReadEmptyParts(t *testing.T) {
	iloc := box("iloc", "\x01\x00\x00\x00", "\x00\x00", "\xff\xff", strings.Repeat("\x00\x01\x00\x00\x00\x00\xff\xff", 8000))
	file := []byte(ftyp("heic") + box("meta", be32(0), strings.Repeat(iloc, 30)))
	start := time.Now()
	read(t, file)
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// Numbers of items and of properties may be wide, and the boxes in any order.
func TestReadHEICWide(t *testing.T) {
	properties := make([]string, 200)
	for i := range properties {
		properties[i] = box("free")
	}
	properties[199] = box("ispe", be32(0, 400, 300))
	properties[150] = box("irot", "\x01")
	file := []byte(ftyp("heic") + box("meta", be32(0),
		box("iprp", box("ipco", properties...),
			box("ipma", "\x01\x00\x00\x01", be32(1, 7), "\x01\x00\x01"),              // another's
			box("ipma", "\x01\x00\x00\x01", be32(1, 70000), "\x02\x80\xc8\x80\x97")), // 200 and 151, essential
		box("pitm", "\x01\x00\x00\x00", be32(70000))))
	if m := read(t, file); m.Width != 400 || m.Height != 300 || m.DisplayWidth != 300 {
		t.Errorf("got %+v", m)
	}
	alone := []byte(ftyp("heic") + box("meta", be32(0), box("iprp", box("ipco", box("ispe", be32(0, 40, 30)), box("ispe", be32(0, 400, 300)), box("ispe", be32(0, 4, 3))))))
	if m := read(t, alone); m.Width != 400 || m.Height != 300 {
		t.Errorf("no primary picture: got %+v", m)
	}
}
