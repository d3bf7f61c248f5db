package render_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

func do(t *testing.T, file []byte) *render.Result {
	t.Helper()
	res, err := render.Render(bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Variants) != len(render.Recipes) {
		t.Fatalf("got %d variants, want %d", len(res.Variants), len(render.Recipes))
	}
	return res
}

// pixels decodes a variant, by a decoder of another make than the encoder.
func pixels(t *testing.T, v render.Variant) image.Image {
	t.Helper()
	decode := webp.Decode
	if render.Type == media.JPEG {
		decode = jpeg.Decode
	}
	m, err := decode(bytes.NewReader(v.Data))
	if err != nil {
		t.Fatal(err)
	}
	// x/image gives the planes as they are in the file, as if of full range.
	if m, ok := m.(*image.YCbCr); ok && render.Type == media.WebP {
		for i, y := range m.Y {
			m.Y[i] = uint8(min(max((int(y)-16)*255/219, 0), 255))
		}
		for i := range m.Cb {
			m.Cb[i] = uint8(min(max((int(m.Cb[i])-128)*255/224+128, 0), 255))
			m.Cr[i] = uint8(min(max((int(m.Cr[i])-128)*255/224+128, 0), 255))
		}
	}
	if b := m.Bounds(); b.Dx() != v.Width || b.Dy() != v.Height {
		t.Errorf("%s: got %v, want %d x %d", v.Name(), b, v.Width, v.Height)
	}
	return m
}

// near says whether a colour is what it should be, give or take what lossy coding does.
func near(got color.Color, want color.NRGBA) bool {
	c := color.NRGBAModel.Convert(got).(color.NRGBA)
	if render.Type == media.JPEG { // it has no transparency: white shines through
		white := func(v uint8) uint8 { return uint8((int(v)*int(want.A) + 255*(255-int(want.A))) / 255) }
		want = color.NRGBA{white(want.R), white(want.G), white(want.B), 255}
	}
	differ := func(a, b uint8) bool { return a > b && a-b > 24 || b > a && b-a > 24 }
	if differ(c.A, want.A) {
		return false
	}
	return want.A == 0 || !differ(c.R, want.R) && !differ(c.G, want.G) && !differ(c.B, want.B)
}

// corners are the colours in the middle of a picture's quarters, in reading order.
func corners(m image.Image) (c [4]color.Color) {
	b := m.Bounds()
	for i := range c {
		c[i] = m.At(b.Min.X+b.Dx()*(1+2*(i%2))/4, b.Min.Y+b.Dy()*(1+2*(i/2))/4)
	}
	return c
}

var (
	red    = testphoto.Quarter(false, false)
	green  = testphoto.Quarter(true, false)
	blue   = testphoto.Quarter(false, true)
	yellow = testphoto.Quarter(true, true)
)

func checkCorners(t *testing.T, v render.Variant, want [4]color.NRGBA) {
	t.Helper()
	got := corners(pixels(t, v))
	for i := range want {
		if !near(got[i], want[i]) {
			t.Errorf("%s, quarter %d: got %v, want %v", v.Name(), i, got[i], want[i])
		}
	}
}

func TestOrientation(t *testing.T) {
	// What is seen, in reading order, of a picture stored as red green / blue yellow
	// (EXIF 2.32 §4.6.4: where the 0th row and the 0th column of the stored one are).
	seen := [9][4]color.NRGBA{
		0: {red, green, blue, yellow},
		1: {red, green, blue, yellow},
		2: {green, red, yellow, blue}, // row top, column right
		3: {yellow, blue, green, red}, // bottom, right
		4: {blue, yellow, red, green}, // bottom, left
		5: {red, blue, green, yellow}, // left, top
		6: {blue, red, yellow, green}, // right, top
		7: {yellow, green, blue, red}, // right, bottom
		8: {green, yellow, red, blue}, // left, bottom
	}
	stored := testphoto.JPEG(testphoto.Quarters(640, 480))
	for o, want := range seen {
		t.Run(fmt.Sprint(o), func(t *testing.T) {
			res := do(t, testphoto.WithEXIF(stored, testphoto.Camera(o, "2024:01:02 03:04:05", "")))
			w, h := 640, 480
			if o >= 5 {
				w, h = h, w
			}
			if res.Width != w || res.Height != h {
				t.Errorf("got %d x %d, want %d x %d", res.Width, res.Height, w, h)
			}
			for _, v := range res.Variants {
				checkCorners(t, v, want)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for _, test := range []struct{ w, h, viewW, viewH, thumbW, thumbH int }{
		{4000, 3000, 2048, 1536, 400, 300},
		{3000, 4000, 1536, 2048, 400, 533},
		{2048, 2048, 2048, 2048, 400, 400},
		{500, 300, 500, 300, 400, 240},
		{400, 10, 400, 10, 400, 10},
		{100, 3000, 68, 2048, 68, 2048},
		{5000, 2, 2048, 1, 400, 1},
		{1, 1, 1, 1, 1, 1},
	} {
		t.Run(fmt.Sprintf("%dx%d", test.w, test.h), func(t *testing.T) {
			res := do(t, testphoto.JPEG(image.NewGray(image.Rect(0, 0, test.w, test.h))))
			if res.Width != test.w || res.Height != test.h {
				t.Errorf("got %d x %d", res.Width, res.Height)
			}
			for i, want := range [][2]int{{test.viewW, test.viewH}, {test.thumbW, test.thumbH}} {
				if v := res.Variants[i]; v.Width != want[0] || v.Height != want[1] {
					t.Errorf("%s: got %d x %d, want %v", v.Name(), v.Width, v.Height, want)
				}
				pixels(t, res.Variants[i])
			}
			if n := len(res.Placeholder); n < 6 || n > 36 {
				t.Errorf("placeholder %q", res.Placeholder)
			}
		})
	}
}

// deep is Quarters with 16 bits.
func deep(w, h int) image.Image {
	m := image.NewNRGBA64(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, testphoto.Quarter(x >= w/2, y >= h/2))
		}
	}
	return m
}

// paletted is Quarters with a palette, whose last colour, of the lower right, is
// transparent.
func paletted(w, h int) *image.Paletted {
	m := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{red, green, blue, color.NRGBA{}})
	for y := range h {
		for x := range w {
			m.SetColorIndex(x, y, uint8(x*2/w+2*(y*2/h)))
		}
	}
	return m
}

// veiled is Quarters, the right half of which is half transparent.
func veiled(w, h int) *image.NRGBA {
	m := testphoto.Quarters(w, h)
	for y := range h {
		for x := w / 2; x < w; x++ {
			m.Pix[m.PixOffset(x, y)+3] = 128
		}
	}
	return m
}

func encodeGIF(t *testing.T, frames ...*image.Paletted) []byte {
	t.Helper()
	var b bytes.Buffer
	g := &gif.GIF{Config: image.Config{Width: 200, Height: 100}}
	for _, f := range frames {
		g.Image, g.Delay = append(g.Image, f), append(g.Delay, 1)
	}
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeBMP(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := bmp.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeTIFF(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tiff.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// animate makes an animated WebP of one frame from a still one, on a canvas of 200 by
// 100, at 100, 0.
func animate(still []byte, w, h int) []byte {
	u24 := func(b []byte, v int) []byte { return append(b, byte(v), byte(v>>8), byte(v>>16)) }
	chunk := func(id string, body []byte) []byte {
		b := append([]byte(id), binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...)
		return append(b, body...)
	}
	frame := u24(u24(nil, 100/2), 0)
	frame = u24(u24(u24(frame, w-1), h-1), 100)
	frame = append(append(frame, 0), still[12:]...)
	body := append([]byte("WEBP"), chunk("VP8X", u24(u24([]byte{2 | 16, 0, 0, 0}, 199), 99))...)
	body = append(body, chunk("ANIM", make([]byte, 6))...)
	body = append(body, chunk("ANMF", frame)...)
	return chunk("RIFF", body)
}

type formatTest struct {
	name string
	file []byte
	kind string
	want [4]color.NRGBA
}

func TestFormats(t *testing.T) {
	half := func(c color.NRGBA) color.NRGBA { c.A = 128; return c }
	none := color.NRGBA{}
	quarters := [4]color.NRGBA{red, green, blue, yellow}
	small := image.NewPaletted(image.Rect(100, 0, 200, 50), color.Palette{green})
	tests := []formatTest{
		{"JPEG", testphoto.JPEG(testphoto.Quarters(200, 100)), media.JPEG, quarters},
		{"PNG", testphoto.PNG(testphoto.Quarters(200, 100)), media.PNG, quarters},
		{"PNG, 16 bits", testphoto.PNG(deep(200, 100)), media.PNG, quarters},
		{"PNG, palette with transparency", testphoto.PNG(paletted(200, 100)), media.PNG, [4]color.NRGBA{red, green, blue, none}},
		{"PNG, half transparent", testphoto.PNG(veiled(200, 100)), media.PNG, [4]color.NRGBA{red, half(green), blue, half(yellow)}},
		{"PNG, large and half transparent", testphoto.PNG(veiled(2400, 1200)), media.PNG, [4]color.NRGBA{red, half(green), blue, half(yellow)}},
		{"GIF", encodeGIF(t, paletted(200, 100)), media.GIF, [4]color.NRGBA{red, green, blue, none}},
		{"GIF, first picture smaller", encodeGIF(t, small, paletted(200, 100)), media.GIF, [4]color.NRGBA{none, green, none, none}},
		{"BMP", encodeBMP(t, testphoto.Quarters(200, 100)), media.BMP, quarters},
		{"TIFF", encodeTIFF(t, testphoto.Quarters(200, 100)), media.TIFF, quarters},
		{"TIFF, 16 bits", encodeTIFF(t, deep(200, 100)), media.TIFF, quarters},
		{"TIFF, palette", encodeTIFF(t, paletted(200, 100)), media.TIFF, [4]color.NRGBA{red, green, blue, {A: 255}}},
		{"grey JPEG", testphoto.JPEG(&image.Gray{Pix: bytes.Repeat([]byte{90}, 200*100), Stride: 200, Rect: image.Rect(0, 0, 200, 100)}), media.JPEG,
			[4]color.NRGBA{{90, 90, 90, 255}, {90, 90, 90, 255}, {90, 90, 90, 255}, {90, 90, 90, 255}}},
	}
	for _, test := range append(tests, formatsWebP(t)...) {
		t.Run(test.name, func(t *testing.T) {
			res := do(t, test.file)
			if res.Type != test.kind {
				t.Errorf("got %s, want %s", res.Type, test.kind)
			}
			for _, v := range res.Variants {
				checkCorners(t, v, test.want)
			}
		})
	}
}

// cmyk makes a JPEG of four components from a grey one for each, as Adobe's programs
// write them: inverted, with APP14.
func cmyk(t *testing.T) []byte {
	t.Helper()
	// Baseline, 8 x 8, four components of one block each: all DC only, by a Huffman
	// table with one code for "size 8" and one for "no more".
	var b []byte
	seg := func(marker byte, body ...byte) {
		b = append(b, 0xff, marker, byte((len(body)+2)>>8), byte(len(body)+2))
		b = append(b, body...)
	}
	b = append(b, 0xff, 0xd8)
	seg(0xee, append([]byte("Adobe"), 0, 100, 0, 0, 0, 0, 0)...) // transform 0: CMYK
	seg(0xdb, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...)...)
	seg(0xc0, 8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0)
	seg(0xc4, append(append([]byte{0x00}, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 7)...)
	seg(0xc4, append(append([]byte{0x10}, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0)...)
	seg(0xda, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0)
	// A DC of ±127 by a quantum of 8 over 8 is ±127 about 128. Codes: size 7 is "1",
	// then seven bits (all ones: 127, all zeros: -127), then "0" for the end of block.
	bits := "1" + "1111111" + "0" + // inverted cyan: none
		"1" + "0000000" + "0" + // magenta: all
		"1" + "0000000" + "0" + // yellow: all
		"1" + "1111111" + "0" // black: none
	bits += strings.Repeat("1", (8-len(bits)%8)%8)
	for i := 0; i < len(bits); i += 8 {
		var v byte
		for _, c := range bits[i : i+8] {
			v = v<<1 | byte(c-'0')
		}
		b = append(b, v)
		if v == 0xff {
			b = append(b, 0)
		}
	}
	return append(b, 0xff, 0xd9)
}

func TestCMYK(t *testing.T) {
	file := testphoto.WithProfile(cmyk(t), testphoto.Profile("CMYK", "Coated FOGRA39"), 1<<15)
	for _, v := range do(t, file).Variants {
		full := color.NRGBA{R: 255, A: 255}
		checkCorners(t, v, [4]color.NRGBA{full, full, full, full})
		if profileIn(v.Data) != nil {
			t.Errorf("%s has the profile of another colour space", v.Name())
		}
	}
}

// profileIn is the colour profile in a variant, which has it in one piece; nil without.
func profileIn(data []byte) []byte {
	magic, skip, size := []byte("ICC_PROFILE\x00\x01\x01"), 14, func(b []byte) int { return int(b[0])<<8 + int(b[1]) - 16 }
	lengthAt := -2
	if render.Type == media.WebP {
		magic, skip, lengthAt = []byte("ICCP"), 8, 4
		size = func(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }
	}
	i := bytes.Index(data, magic)
	if i < 0 {
		return nil
	}
	return data[i+skip:][:size(data[i+lengthAt:])]
}

func TestProfile(t *testing.T) {
	jpg, pic := testphoto.JPEG(testphoto.Quarters(64, 48)), testphoto.PNG(testphoto.Quarters(64, 48))
	p3 := testphoto.Profile("RGB ", "Display P3")
	iccp := func(icc []byte) []byte {
		return testphoto.WithChunk(pic, "iCCP", append([]byte("name\x00\x00"), testphoto.Deflate(icc)...))
	}
	broken := bytes.Clone(p3)
	copy(broken[36:], "nope")
	// One more tag, A2B0, of the same data.
	tables := testphoto.Profile("RGB ", "sRGB v4 ICC preference")
	tables = slices.Insert(tables, 144, append([]byte("A2B0"), tables[136:144]...)...)
	for at, add := range map[int]uint32{0: 12, 128: 1, 136: 12, 148: 12} { // size, count of tags, offsets
		binary.BigEndian.PutUint32(tables[at:], binary.BigEndian.Uint32(tables[at:])+add)
	}
	for _, test := range []struct {
		name string
		file []byte
		want []byte
	}{
		{"JPEG", testphoto.WithProfile(jpg, p3, 1<<15), p3},
		{"JPEG, in pieces", testphoto.WithProfile(jpg, p3, 50), p3},
		{"JPEG, a piece missing", testphoto.WithSegment(jpg, 0xe2, append([]byte("ICC_PROFILE\x00\x01\x02"), p3...)), nil},
		{"PNG", iccp(p3), p3},
		{"sRGB", testphoto.WithProfile(jpg, testphoto.Profile("RGB ", "sRGB IEC61966-2.1"), 1<<15), nil},
		{"sRGB with tables", testphoto.WithProfile(jpg, tables, 1<<15), tables},
		{"grey", testphoto.WithProfile(jpg, testphoto.Profile("GRAY", "Gamma 2.2"), 1<<15), nil},
		{"damaged", testphoto.WithProfile(jpg, broken, 1<<15), nil},
		{"too short", testphoto.WithProfile(jpg, p3[:100], 1<<15), nil},
		{"PNG, not packed", testphoto.WithChunk(pic, "iCCP", append([]byte("name\x00\x00"), p3...)), nil},
		{"PNG, a bomb", iccp(make([]byte, 64<<20)), nil},
		{"none", jpg, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, v := range do(t, test.file).Variants {
				if got := profileIn(v.Data); !bytes.Equal(got, test.want) {
					t.Errorf("%s: got %d bytes, want %d", v.Name(), len(got), len(test.want))
				}
				pixels(t, v)
			}
		})
	}
}

// A variant tells nothing of where and when the picture was taken.
func TestNothingLeaks(t *testing.T) {
	file := testphoto.WithEXIF(testphoto.JPEG(testphoto.Quarters(3000, 200)), testphoto.Camera(1, "2024:07:14 21:05:59", "+02:00"))
	file = testphoto.WithXMP(file, `exif:GPSLatitude="52,30.0N"`)
	file = testphoto.WithProfile(file, testphoto.Profile("RGB ", "Display P3"), 1<<15)
	res := do(t, file)
	if !res.Meta.HasPlace || res.Meta.Taken.IsZero() {
		t.Fatal("the original tells nothing")
	}
	for _, v := range res.Variants {
		for _, secret := range []string{"Exif", "EXIF", "XMP ", "adobe", "Shoebox", "2024:07", "GPS"} {
			if bytes.Contains(v.Data, []byte(secret)) {
				t.Errorf("%s contains %q", v.Name(), secret)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	jpg := testphoto.JPEG(testphoto.Quarters(64, 48))
	frame := bytes.Index(jpg, []byte{0xff, 0xc0})
	vast := bytes.Clone(jpg)
	copy(vast[frame+5:], "\xff\xff\xff\xff")
	pic := testphoto.PNG(testphoto.Quarters(64, 48))
	for _, test := range []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, render.ErrUnsupported},
		{"text", []byte("this is no photo"), render.ErrUnsupported},
		{"HEIC cut short", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), render.ErrCorrupt},
		{"TIFF of CMYK", testphoto.TIFF(testphoto.Directory{{ID: 0x0100, Value: uint16(8)}, {ID: 0x0101, Value: uint16(8)}, {ID: 0x0106, Value: uint16(5)}}), render.ErrUnsupported},
		{"BMP cut short", encodeBMP(t, testphoto.Quarters(200, 100))[:60], render.ErrCorrupt},
		{"RAW without a picture", testphoto.TIFF(testphoto.Directory{{ID: 0x00fe, Value: uint32(1)}, {ID: testphoto.TagMake, Value: "NIKON CORPORATION"}}), render.ErrUnsupported},
		{"film", []byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"), render.ErrUnsupported},
		{"JPEG's first bytes", []byte("\xff\xd8\xff"), render.ErrCorrupt},
		{"JPEG without pixels", jpg[:frame+19], render.ErrCorrupt},
		{"vast JPEG", vast, render.ErrTooLarge},
		{"vast PNG", testphoto.BombPNG(30000, 30000)[:64], render.ErrTooLarge},
		{"PNG cut short", pic[:len(pic)/2], render.ErrCorrupt},
		{"PNG without pixels", pic[:33], render.ErrCorrupt},
		{"GIF cut short", encodeGIF(t, paletted(200, 100))[:40], render.ErrCorrupt},
		{"WebP, broken animation", animate([]byte("RIFF....WEBPVP8L\xff\xff"), 100, 50), render.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			res, err := render.Render(bytes.NewReader(test.file), int64(len(test.file)), nil)
			if !errors.Is(err, test.want) || !render.Permanent(err) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if res == nil || len(res.Variants) != 0 {
				t.Errorf("got %+v", res)
			}
		})
	}
}

func TestPartial(t *testing.T) {
	upper := [4]color.NRGBA{red, green, {128, 128, 128, 255}, {128, 128, 128, 255}}
	jpg := testphoto.JPEG(testphoto.Quarters(640, 480))
	scan := bytes.Index(jpg, []byte{0xff, 0xda})
	cut := scan + (len(jpg)-scan)*60/100
	flipped := bytes.Clone(jpg)
	copy(flipped[cut:], bytes.Repeat([]byte{0xff, 0x00}, 8)) // no such code
	for _, test := range []struct {
		name string
		file []byte
	}{
		{"cut short", jpg[:cut]},
		{"damaged", flipped},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := do(t, test.file)
			if !res.Partial {
				t.Error("not said to be partial")
			}
			got := corners(pixels(t, res.Variants[0]))
			for i, want := range upper {
				// After damage, as opposed to the end, decoders may go on as best they can.
				if (i < 2 || test.name == "cut short") && !near(got[i], want) {
					t.Errorf("quarter %d: got %v, want %v", i, got[i], want)
				}
			}
		})
	}
}

// Of a progressive JPEG that was cut short all is shown, less finely.
func TestPartialProgressive(t *testing.T) {
	file, scans := testphoto.ProgressiveJPEG(testphoto.Quarters(640, 480))
	quarters := [4]color.NRGBA{red, green, blue, yellow}
	for _, test := range []struct {
		name string
		size int
		part bool
	}{
		{"whole", len(file), false},
		{"without the last scan's end", (scans[3] + len(file)) / 2, true},
		{"in the middle of the second scan", (scans[1] + scans[2]) / 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := do(t, file[:test.size])
			if res.Partial != test.part {
				t.Errorf("said to be partial: %v", res.Partial)
			}
			for _, v := range res.Variants {
				checkCorners(t, v, quarters)
			}
		})
	}
}

// faulty fails after its beginning, as a disk does.
type faulty struct {
	*bytes.Reader
	after int64
}

var errFaulty = errors.New("input/output error")

func (f faulty) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.after {
		return 0, errFaulty
	}
	return f.Reader.ReadAt(p, off)
}

// A fault of the disk is not taken for one of the picture: it may pass.
func TestReadFails(t *testing.T) {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, testphoto.Quarters(200, 200)); err != nil {
		t.Fatal(err)
	}
	for _, after := range []int64{0, 100, 70_000} {
		_, err := render.Render(faulty{bytes.NewReader(b.Bytes()), after}, int64(b.Len()), nil)
		if !errors.Is(err, errFaulty) || render.Permanent(err) {
			t.Errorf("after %d bytes: got %v, want %v", after, err, errFaulty)
		}
	}
}

func TestRecipes(t *testing.T) {
	// Names of objects in people's buckets: they change only with the recipe.
	ids := map[string]string{"view": "8683c24c", "thumb": "a436133c"}
	if render.Ext == "jpg" {
		ids = map[string]string{"view": "cb57694e", "thumb": "8711e232"}
	}
	for name, id := range ids {
		found := false
		for _, r := range render.Recipes {
			if r.Variant == name {
				found = true
				if r.ID() != id {
					t.Errorf("%s: got recipe %s, want %s", name, r.ID(), id)
				}
			}
		}
		if !found {
			t.Errorf("no recipe for %s", name)
		}
	}
}

// The same picture gives the same bytes: a job done twice writes the same objects.
func TestSameTwice(t *testing.T) {
	file := testphoto.JPEG(testphoto.Quarters(2500, 1000))
	a, b := do(t, file), do(t, file)
	for i := range a.Variants {
		if !bytes.Equal(a.Variants[i].Data, b.Variants[i].Data) {
			t.Errorf("%s differs", a.Variants[i].Name())
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add(testphoto.WithEXIF(testphoto.JPEG(testphoto.Quarters(24, 16)), testphoto.Camera(6, "2024:07:14 21:05:59", "")))
	f.Add(testphoto.PNG(veiled(24, 16)))
	f.Add(testphoto.PNG(paletted(24, 16)))
	f.Add([]byte("GIF89a\x02\x00\x02\x00"))
	f.Add(headHEIF("heic", 40, 30, hvcC(1, 0)))
	f.Add(raw(testphoto.Directory{{ID: 0xc612, Value: "\x01\x04"}}, testphoto.JPEG(testphoto.Quarters(24, 16)))[300:])
	progressive, _ := testphoto.ProgressiveJPEG(testphoto.Quarters(24, 16))
	f.Add(progressive)
	f.Add(progressive[:len(progressive)-10])
	var tiffFile, bmpFile bytes.Buffer
	if err := errors.Join(tiff.Encode(&tiffFile, paletted(24, 16), nil), bmp.Encode(&bmpFile, veiled(24, 16))); err != nil {
		f.Fatal(err)
	}
	f.Add(tiffFile.Bytes())
	f.Add(bmpFile.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		res, err := render.Render(bytes.NewReader(b), int64(len(b)), &render.Options{MaxPixels: 1 << 16})
		switch {
		case res == nil:
			t.Error("no result")
		case err != nil && !render.Permanent(err):
			t.Errorf("from memory, yet not for good: %v", err)
		case err != nil && strings.Contains(err.Error(), "panic"):
			t.Log(err)
		case err == nil && len(res.Variants) != len(render.Recipes):
			t.Errorf("%d variants", len(res.Variants))
		}
	})
}
