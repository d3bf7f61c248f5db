//go:build cgo && amd64

package vp8

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/chai2010/webp"
)

// mustUse skips a test on a processor that our functions are not for. On one that they are for they
// must be used: a new release of libwebp does not pass unnoticed.
func mustUse(tb testing.TB) {
	tb.Helper()
	if !suits() {
		tb.Skip("this processor has no AVX2")
	}
	if !Use() {
		tb.Fatal("the faster functions are not used: is libwebp another release? avx2.c is for 1.4")
	}
}

func TestUse(t *testing.T) { mustUse(t) }

// Each of our functions gives what libwebp's gives.
func TestDiffering(t *testing.T) {
	mustUse(t)
	for seed := range uint64(10) {
		if err := differing(seed, 20_000); err != nil {
			t.Error(err)
		}
	}
}

// Whole pictures are the same to the byte.
func TestSamePicture(t *testing.T) {
	mustUse(t)
	for name, m := range pictures() {
		for _, quality := range []float32{0, 20, 50, 80, 95, 100} {
			t.Run(fmt.Sprint(name, " ", quality), func(t *testing.T) {
				ours := encoded(t, m, quality)
				enable(false)
				defer enable(true)
				if !bytes.Equal(ours, encoded(t, m, quality)) {
					t.Error("libwebp alone makes another file of it")
				}
			})
		}
	}
}

// BenchmarkEncode encodes a photograph's likeness with our functions and with libwebp's own.
func BenchmarkEncode(b *testing.B) {
	mustUse(b)
	m := pictures()["photograph"]
	for _, ours := range []bool{false, true} {
		b.Run(map[bool]string{false: "libwebp", true: "avx2"}[ours], func(b *testing.B) {
			enable(ours)
			defer enable(true)
			b.SetBytes(int64(len(m.XPix)))
			for b.Loop() {
				encoded(b, m, 80)
			}
		})
	}
}

func encoded(tb testing.TB, m *webp.RGBImage, quality float32) []byte {
	tb.Helper()
	data, err := webp.EncodeRGB(m, quality)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// pictures are smooth, noisy, hard and mixed ones, of sizes that are no multiple of a block.
func pictures() map[string]*webp.RGBImage {
	made := make(map[string]*webp.RGBImage)
	var random *rand.Rand
	for name, at := range map[string]func(x, y, channel int) float64{
		"flat":    func(x, y, c int) float64 { return 90 },
		"slope":   func(x, y, c int) float64 { return float64(x+y*c) / 4 },
		"noise":   func(x, y, c int) float64 { return 256 * random.Float64() },
		"checker": func(x, y, c int) float64 { return float64((x ^ y) & 1 * 255) },
		"photograph": func(x, y, c int) float64 {
			v := 128 + 60*math.Sin(float64(x)/40+float64(c))*math.Cos(float64(y)/25)
			if (x/70+y/50)%3 == 0 {
				v += 50 * math.Sin(float64(x*y)/90)
			}
			return v + 6*random.NormFloat64()
		},
	} {
		random = rand.New(rand.NewPCG(1, 2))
		for shape, size := range map[string]image.Point{"": {421, 307}, ", a pixel": {1, 1}, ", a column": {1, 421}, ", a row": {421, 1}} {
			m := webp.NewRGBImage(image.Rectangle{Max: size})
			for y := range size.Y {
				for x := range size.X {
					for c := range 3 {
						m.XPix[y*m.XStride+3*x+c] = uint8(min(max(at(x, y, c), 0), 255))
					}
				}
			}
			made[name+shape] = m
		}
	}
	return made
}
