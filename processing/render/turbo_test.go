//go:build cgo && turbo

package render

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"testing"
)

// Decoded and resized a few lines at a time, a picture is that which is decoded whole by the
// standard library and resized then, but for the rounding of two decoders: of any size,
// with and without colour, at any fraction, whichever way it is turned.
func TestTurboStreams(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, grey := range []bool{false, true} {
		for _, size := range [][4]int{
			{640, 480, 640, 480}, {641, 483, 641, 483}, {641, 483, 300, 226}, {1203, 77, 700, 45}, {77, 1203, 20, 312},
			{1500, 1000, 400, 267}, {1501, 1003, 201, 134}, {2000, 1600, 90, 72}, {2000, 33, 1, 1}, {9, 9, 9, 9}, {1, 1, 1, 1},
		} {
			w, h := size[0], size[1]
			file := smooth(w, h, grey)
			whole, err := jpeg.Decode(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			turn := orientation(1 + rnd.IntN(8))
			want := planesOf(whole).resize(size[2], size[3], turn, encodesVideo)
			got, partial, err := decodeTurbo(section(file), image.Config{Width: w, Height: h}, size[2], size[3], turn)
			name := fmt.Sprintf("grey %v, %v, orientation %d", grey, size, turn)
			if err != nil || partial {
				t.Errorf("%s: partial %v, %v", name, partial, err)
				continue
			}
			if got.w != want.w || got.h != want.h {
				t.Errorf("%s: got %d x %d, want %d x %d", name, got.w, got.h, want.w, want.h)
				continue
			}
			for i := range got.c {
				worst := 0
				for k, v := range got.c[i].pix {
					worst = max(worst, int(math.Abs(float64(int(v)-int(want.c[i].pix[k])))))
				}
				if worst > 4 {
					t.Errorf("%s: plane %d differs by %d", name, i, worst)
				}
			}
		}
	}
}

func section(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

// smooth is a JPEG without a sharp edge, so that all ways to shrink it are alike.
func smooth(w, h int, grey bool) []byte {
	wave := func(x, y, s float64) uint8 { return uint8(127.5 + 100*math.Sin(x/37+s)*math.Cos(y/41+s)) }
	var m image.Image
	if grey {
		g := image.NewGray(image.Rect(0, 0, w, h))
		for i := range g.Pix {
			g.Pix[i] = wave(float64(i%w), float64(i/w), 0)
		}
		m = g
	} else {
		c := image.NewNRGBA(image.Rect(0, 0, w, h))
		for i := range w * h {
			x, y := float64(i%w), float64(i/w)
			copy(c.Pix[4*i:], []uint8{wave(x, y, 0), wave(x, y, 1), wave(x, y, 2), 255})
		}
		m = c
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 98}); err != nil {
		panic(err)
	}
	return b.Bytes()
}
