package render_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// garden is a picture of many colours, some of them as strong as can be, with
// gradients between them and fine lines across.
func garden(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			u, v := float64(x)/float64(w), float64(y)/float64(h)
			c := color.NRGBA{
				R: uint8(127.5 + 127*math.Sin(9*u+2*v)),
				G: uint8(127.5 + 127*math.Sin(7*v-3*u)),
				B: uint8(127.5 + 127*math.Cos(5*u+8*v)),
				A: 255,
			}
			if x/6%16 == 0 {
				c.R, c.G, c.B = c.R/2, c.G/2, c.B/2
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

// A gamut is what the numbers of a picture mean: red, green and blue in XYZ (of D65), and
// the power of its curve.
type gamut struct {
	name  string
	xyz   [3][3]float64
	power float64
}

var gamuts = []gamut{
	{"Display P3", [3][3]float64{{0.4866, 0.2657, 0.1982}, {0.2290, 0.6917, 0.0793}, {0, 0.0451, 1.0439}}, 2.2},
	{"Adobe RGB (1998)", [3][3]float64{{0.5767, 0.1856, 0.1882}, {0.2973, 0.6274, 0.0753}, {0.0270, 0.0707, 0.9911}}, 2.2},
}

var sRGB = gamut{"sRGB", [3][3]float64{{0.4124, 0.3576, 0.1805}, {0.2126, 0.7152, 0.0722}, {0.0193, 0.1192, 0.9505}}, 2.2}

// lab is a colour of the gamut in CIELAB.
func (g *gamut) lab(c color.NRGBA) (l, a, b float64) {
	var xyz [3]float64
	for i, v := range [3]uint8{c.R, c.G, c.B} {
		linear := math.Pow(float64(v)/255, g.power)
		for k := range xyz {
			xyz[k] += g.xyz[k][i] * linear
		}
	}
	f := func(v float64) float64 {
		if v > 216.0/24389 {
			return math.Cbrt(v)
		}
		return (24389.0/27*v + 16) / 116
	}
	x, y, z := f(xyz[0]/0.9505), f(xyz[1]), f(xyz[2]/1.0891)
	return 116*y - 16, 500 * (x - y), 200 * (y - z)
}

// differ is how different two colours look, by CIEDE2000 (CIE 142): 1 is just seen.
func (g *gamut) differ(p, q color.NRGBA) float64 {
	l1, a1, b1 := g.lab(p)
	l2, a2, b2 := g.lab(q)
	mean7 := math.Pow((math.Hypot(a1, b1)+math.Hypot(a2, b2))/2, 7)
	k := 1.5 - 0.5*math.Sqrt(mean7/(mean7+math.Pow(25, 7)))
	a1, a2 = a1*k, a2*k
	c1, c2 := math.Hypot(a1, b1), math.Hypot(a2, b2)
	degrees := func(b, a float64) float64 {
		if a == 0 && b == 0 {
			return 0
		}
		return math.Mod(math.Atan2(b, a)*180/math.Pi+360, 360)
	}
	h1, h2 := degrees(b1, a1), degrees(b2, a2)
	dh, mh := h2-h1, (h1+h2)/2
	if c1*c2 == 0 {
		dh, mh = 0, h1+h2
	} else if dh > 180 {
		dh, mh = dh-360, mh+180
	} else if dh < -180 {
		dh, mh = dh+360, mh+180
	}
	rad := func(d float64) float64 { return d * math.Pi / 180 }
	dl, dc, dH := l2-l1, c2-c1, 2*math.Sqrt(c1*c2)*math.Sin(rad(dh/2))
	ml, mc := (l1+l2)/2, (c1+c2)/2
	t := 1 - 0.17*math.Cos(rad(mh-30)) + 0.24*math.Cos(rad(2*mh)) + 0.32*math.Cos(rad(3*mh+6)) - 0.2*math.Cos(rad(4*mh-63))
	sl := 1 + 0.015*(ml-50)*(ml-50)/math.Sqrt(20+(ml-50)*(ml-50))
	sc, sh := 1+0.045*mc, 1+0.015*mc*t
	mc7 := math.Pow(mc, 7)
	rt := -2 * math.Sqrt(mc7/(mc7+math.Pow(25, 7))) * math.Sin(rad(60*math.Exp(-math.Pow((mh-275)/25, 2))))
	dl, dc, dH = dl/sl, dc/sc, dH/sh
	return math.Sqrt(dl*dl + dc*dc + dH*dH + rt*dc*dH)
}

// A pair of CIE 142 with its difference.
func TestDiffer(t *testing.T) {
	g := &gamuts[0]
	if d := g.differ(color.NRGBA{90, 90, 90, 255}, color.NRGBA{90, 90, 90, 255}); d != 0 {
		t.Errorf("a colour differs from itself by %v", d)
	}
	if d := g.differ(color.NRGBA{0, 0, 0, 255}, color.NRGBA{255, 255, 255, 255}); math.Abs(d-100) > 0.5 {
		t.Errorf("black differs from white by %v, want 100", d)
	}
}

// Pictures look like what another resizer makes of the original, in the original's own
// colours, whichever way they are turned: by colour, and by brightness in dB.
func TestLikeness(t *testing.T) {
	picture := garden(803, 601) // odd on purpose
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	stored, err := jpeg.Decode(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	small := imaging.Resize(stored, 400, 0, imaging.Lanczos)
	tall := imaging.Resize(stored, 0, 400, imaging.Lanczos)
	turns := [9]func(image.Image) *image.NRGBA{
		1: imaging.Clone, 2: imaging.FlipH, 3: imaging.Rotate180, 4: imaging.FlipV,
		5: imaging.Transpose, 6: imaging.Rotate270, 7: imaging.Transverse, 8: imaging.Rotate90,
	}
	for _, g := range gamuts {
		profile := testphoto.Profile("RGB ", g.name)
		for o := 1; o <= 8; o++ {
			t.Run(fmt.Sprintf("%s, orientation %d", g.name, o), func(t *testing.T) {
				file := testphoto.WithProfile(testphoto.WithEXIF(b.Bytes(), testphoto.Camera(o, "2024:07:14 21:05:59", "")), profile, 1<<15)
				res := do(t, file)
				reference := small
				if o >= 5 { // 400 wide when turned
					reference = tall
				}
				for _, v := range res.Variants {
					if !bytes.Equal(profileIn(v.Data), profile) {
						t.Errorf("%s: not the profile of the original", v.Recipe.Variant)
					}
				}
				like(t, &g, res.Variants[0], turns[o](stored), 0.75)
				// As small as that, the colours change steeply.
				like(t, &g, res.Variants[1], turns[o](reference), 1.2)
			})
		}
	}
}

func like(t *testing.T, g *gamut, v render.Variant, want *image.NRGBA, most float64) {
	t.Helper()
	got := imaging.Clone(pixels(t, v))
	if got.Bounds() != want.Bounds() {
		t.Fatalf("%s: got %v, want %v", v.Recipe.Variant, got.Bounds(), want.Bounds())
	}
	// Colour is compared in means of 4 by 4, as it is seen, and as it is coded.
	w, h := want.Bounds().Dx()/4, want.Bounds().Dy()/4
	a, b := imaging.Resize(got, w, h, imaging.Box), imaging.Resize(want, w, h, imaging.Box)
	sum := 0.0
	for y := range h {
		for x := range w {
			sum += g.differ(a.NRGBAAt(x, y), b.NRGBAAt(x, y))
		}
	}
	if mean := sum / float64(w*h); mean > most {
		t.Errorf("%s: colours differ by %.2f", v.Recipe.Variant, mean)
	}
	squares := 0.0
	for i := 0; i < len(got.Pix); i += 4 {
		luma := func(p []uint8) float64 { return 0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2]) }
		d := luma(got.Pix[i:]) - luma(want.Pix[i:])
		squares += d * d
	}
	if psnr := 10 * math.Log10(255*255*float64(len(got.Pix)/4)/squares); psnr < 34 {
		t.Errorf("%s: luma is at %.1f dB", v.Recipe.Variant, psnr)
	} else {
		t.Logf("%s: colours differ by %.2f, luma at %.1f dB", v.Recipe.Variant, sum/float64(w*h), psnr)
	}
}
