//go:build cgo

package render_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"testing"

	chai "github.com/chai2010/webp"
	"github.com/disintegration/imaging"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

func encodeWebP(t *testing.T, m image.Image, lossless bool) []byte {
	t.Helper()
	rgba := (*image.RGBA)(imaging.Clone(m)) // not multiplied by alpha, as libwebp wants it
	data, err := chai.EncodeRGBA(rgba, 90)
	if lossless {
		data, err = chai.EncodeLosslessRGBA(rgba)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func formatsWebP(t *testing.T) []formatTest {
	half := func(c color.NRGBA) color.NRGBA { c.A = 128; return c }
	none := color.NRGBA{}
	quarters := [4]color.NRGBA{red, green, blue, yellow}
	greenAlone := encodeWebP(t, image.NewPaletted(image.Rect(0, 0, 100, 50), color.Palette{green}), true)
	return []formatTest{
		{"WebP, lossless", encodeWebP(t, testphoto.Quarters(200, 100), true), media.WebP, quarters},
		{"WebP, lossy", encodeWebP(t, testphoto.Quarters(200, 100), false), media.WebP, quarters},
		{"WebP, lossy and half transparent", encodeWebP(t, veiled(200, 100), false), media.WebP, [4]color.NRGBA{red, half(green), blue, half(yellow)}},
		{"WebP, animated", animate(greenAlone, 100, 50), media.WebP, [4]color.NRGBA{none, green, none, none}},
	}
}

// Black and white stay so, out of WebP's range and into it again.
func TestRangeOfWebP(t *testing.T) {
	m := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range m.Pix {
		m.Pix[i] = uint8(i % 64 / 32 * 255)
	}
	v := do(t, encodeWebP(t, m, false)).Variants[0]
	black, white := color.NRGBA{A: 255}, color.NRGBA{255, 255, 255, 255}
	checkCorners(t, v, [4]color.NRGBA{black, white, black, white})
	got := pixels(t, v)
	for x, want := range map[int]uint32{8: 0, 56: 255} {
		if r, _, _, _ := got.At(x, 32).RGBA(); r>>8 > want+3 || r>>8+3 < want {
			t.Errorf("at %d: got %d, want %d", x, r>>8, want)
		}
	}
}

func TestProfileOfWebP(t *testing.T) {
	p3 := testphoto.Profile("RGB ", "Display P3")
	file, err := chai.SetMetadata(encodeWebP(t, testphoto.Quarters(64, 48), true), p3, "ICCP")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range do(t, file).Variants {
		if !bytes.Equal(profileIn(v.Data), p3) {
			t.Errorf("%s has not the profile", v.Name())
		}
	}
}

func TestRefusedWebP(t *testing.T) {
	whole := encodeWebP(t, testphoto.Quarters(200, 100), true)
	for name, file := range map[string][]byte{
		"cut short":            whole[:60],
		"frame off the canvas": animate(whole, 200, 100),
	} {
		if _, err := render.Render(bytes.NewReader(file), int64(len(file)), nil); !errors.Is(err, render.ErrCorrupt) {
			t.Errorf("%s: got %v, want %v", name, err, render.ErrCorrupt)
		}
	}
}
