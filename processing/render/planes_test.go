package render

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"
)

// noisePlane has samples of all values, extremes above all.
func noisePlane(rnd *rand.Rand, w, h int) plane {
	p := newPlane(w, h)
	for i := range p.pix {
		p.pix[i] = uint8(rnd.IntN(256))
		if rnd.IntN(2) == 0 {
			p.pix[i] = uint8(255 * rnd.IntN(2))
		}
	}
	return p
}

// The kernel in C makes the same bytes as the one in Go, of any size and range.
func TestResizeTwins(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		src := noisePlane(rnd, 1+rnd.IntN(150), 1+rnd.IntN(150))
		w, h := 1+rnd.IntN(150), 1+rnd.IntN(150)
		a, b := newPlane(w, h), newPlane(w, h)
		f := fit(&a, &src, float64(src.w)/float64(w), float64(src.h)/float64(h), [2]float64{0, float64(rnd.IntN(2)) / 2}, 219.0/255, 16)
		resize(&a, &src, &f)
		resizeGo(&b, &src, &f)
		if !bytes.Equal(a.pix, b.pix) {
			t.Fatalf("%d x %d to %d x %d: the twins differ", src.w, src.h, w, h)
		}
	}
}

func TestLanczos(t *testing.T) {
	for _, test := range []struct{ n, m int }{{1, 1}, {7, 7}, {1, 50}, {3, 50}, {50, 3}, {50, 1}, {2048, 4000}} {
		t.Run(fmt.Sprintf("%d of %d", test.n, test.m), func(t *testing.T) {
			w := lanczos(test.n, test.m, float64(test.m)/float64(test.n), 0, 1, 1)
			for i := range test.n {
				sum := 0
				for k, v := range w.weight[i*w.taps:][:w.taps] {
					sum += int(v)
					if at := int(w.start[i]) + k; v != 0 && (at < 0 || at >= test.m) {
						t.Fatalf("sample %d is made of sample %d", i, at)
					}
				}
				if sum != 1<<weightBits {
					t.Fatalf("sample %d: weights sum up to %d", i, sum)
				}
			}
			if test.n == test.m && w.taps != 1 {
				t.Errorf("got %d taps for a copy", w.taps)
			}
		})
	}
}

// A ramp stays a ramp: no sample is displaced, whatever the subsampling, scale and turn.
func TestPlanesSite(t *testing.T) {
	const w, h = 240, 120
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
		sx, sy, _ := subsampling(ratio)
		for y := range h {
			for x := range w {
				m.Y[m.YOffset(x, y)] = uint8(x)
				// What a coder writes is the mean of the pixels that share the sample.
				m.Cb[m.COffset(x, y)] = uint8(x - x%sx + sx/2)
				m.Cr[m.COffset(x, y)] = uint8(2 * (y - y%sy + sy/2))
			}
		}
		for _, size := range [][2]int{{240, 120}, {120, 60}, {85, 43}, {81, 41}} {
			for turn := orientation(1); turn <= 8; turn++ {
				out := planesOf(m).resize(size[0], size[1], turn, false)
				if tw, th := turn.size(size[0], size[1]); out.w != tw || out.h != th {
					t.Fatalf("%v, orientation %d: got %d x %d", ratio, turn, out.w, out.h)
				}
				stored := func(x, y float64) (float64, float64) { // of what is shown at x, y, in 0 to 1
					mx, my := turn.mirrors()
					if turn.swaps() {
						x, y = y, x
					}
					if mx {
						x = 1 - x
					}
					if my {
						y = 1 - y
					}
					return x, y
				}
				pic := out.ycbcr()
				for _, at := range [][2]int{{out.w / 3, out.h / 2}, {out.w / 2, out.h / 3}, {2 * out.w / 3, 2 * out.h / 3}} {
					x, y := at[0], at[1]
					got := pic.YCbCrAt(x, y)
					u, _ := stored((float64(x)+0.5)/float64(out.w), (float64(y)+0.5)/float64(out.h))
					if d := float64(got.Y) - (u*w - 0.5); math.Abs(d) > 1 {
						t.Errorf("%v, %v, orientation %d: luma is %.2f too large", ratio, size, turn, d)
					}
					// A sample of chroma lies in the middle of its square.
					u, v := stored((float64(x/2)*2+1)/float64(out.w), (float64(y/2)*2+1)/float64(out.h))
					if d := float64(got.Cb) - u*w; math.Abs(d) > 1 {
						t.Errorf("%v, %v, orientation %d: Cb is %.2f too large", ratio, size, turn, d)
					}
					if d := float64(got.Cr) - 2*v*h; math.Abs(d) > 2 {
						t.Errorf("%v, %v, orientation %d: Cr is %.2f too large", ratio, size, turn, d)
					}
				}
			}
		}
	}
}

// To the range of films and back is the identity, give or take the rounding.
func TestPlanesRange(t *testing.T) {
	m := image.NewYCbCr(image.Rect(0, 0, 256, 2), image.YCbCrSubsampleRatio444)
	for i := range m.Y {
		m.Y[i], m.Cb[i], m.Cr[i] = uint8(i), uint8(i), uint8(255-i%256)
	}
	film := planesOf(m).resize(256, 2, 1, true)
	if y := film.c[0].pix; y[0] != 16 || y[255] != 235 {
		t.Errorf("black and white are %d and %d, want 16 and 235", y[0], y[255])
	}
	back := film.resize(256, 2, 1, false).ycbcr()
	for x := range 256 {
		c := back.YCbCrAt(x, 0)
		if d := int(c.Y) - x; d < -1 || d > 1 {
			t.Errorf("luma %d came back as %d", x, c.Y)
		}
	}
	grey := planesOf(image.NewGray(image.Rect(0, 0, 9, 5))).resize(9, 5, 6, true)
	if got := color.YCbCrModel.Convert(color.Black); grey.c[1].pix[0] != 128 || got.(color.YCbCr).Cb != 128 {
		t.Error("grey has a colour")
	}
}
