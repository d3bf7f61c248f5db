package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"

	"github.com/disintegration/imaging"
	"golang.org/x/image/webp"
)

// luma is the brightness of a picture, 0 to 255, in reading order.
type luma struct {
	w, h int
	y    []float64
}

// lumaOf takes it from a decoded picture. x/image/webp gives WebP's planes as they
// are, in which luma goes from 16 to 235.
func lumaOf(m image.Image, format string) (*luma, error) {
	b := m.Bounds()
	l := &luma{b.Dx(), b.Dy(), make([]float64, 0, b.Dx()*b.Dy())}
	switch m := m.(type) {
	case *image.YCbCr:
		for y := range l.h {
			for _, v := range m.Y[y*m.YStride:][:l.w] {
				if format == "webp" {
					l.y = append(l.y, (float64(v)-16)*255/219)
				} else {
					l.y = append(l.y, float64(v))
				}
			}
		}
	case *image.NRGBA:
		for y := range l.h {
			for x := range l.w {
				p := m.Pix[y*m.Stride+4*x:]
				l.y = append(l.y, 0.299*float64(p[0])+0.587*float64(p[1])+0.114*float64(p[2]))
			}
		}
	default:
		return nil, fmt.Errorf("no luma of a %T", m)
	}
	return l, nil
}

// original is a file's picture, upright.
func original(file string) (image.Image, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return imaging.Decode(f, imaging.AutoOrientation(true))
}

// referenceOf makes a variant of the size of an encoded one at leisure: of all pixels, resized by
// another's Lanczos in RGB, and not encoded.
func referenceOf(m image.Image, encoded []byte) (*luma, error) {
	size, _, err := image.DecodeConfig(bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	return lumaOf(imaging.Resize(m, size.Width, size.Height, imaging.Lanczos), "")
}

// A likeness is how near an encoded picture comes to what it was made of.
type likeness struct {
	psnr float64 // of luma, in dB
	ssim float64 // of luma, 1 at best
}

// likeness compares an encoded picture with l.
func (l *luma) likeness(encoded []byte) (likeness, error) {
	format, decode := "webp", webp.Decode
	if bytes.HasPrefix(encoded, []byte("\xff\xd8")) { // of a build without cgo
		format, decode = "jpeg", jpeg.Decode
	}
	m, err := decode(bytes.NewReader(encoded))
	if err != nil {
		return likeness{}, err
	}
	got, err := lumaOf(m, format)
	if err != nil {
		return likeness{}, err
	}
	if got.w != l.w || got.h != l.h {
		return likeness{}, fmt.Errorf("got %d x %d, want %d x %d", got.w, got.h, l.w, l.h)
	}
	sum := 0.0
	for i, v := range got.y {
		d := v - l.y[i]
		sum += d * d
	}
	return likeness{10 * math.Log10(255*255*float64(len(l.y))/sum), l.ssim(got)}, nil
}

// ssim is the structural similarity index (Wang et al., IEEE Transactions on Image
// Processing 13, 2004), the mean over squares of 8 by 8 pixels at every fourth pixel.
func (l *luma) ssim(got *luma) float64 {
	const side, step = 8, 4
	const c1, c2 = (0.01 * 255) * (0.01 * 255), (0.03 * 255) * (0.03 * 255)
	sum, count := 0.0, 0
	for y := 0; y+side <= l.h; y += step {
		for x := 0; x+side <= l.w; x += step {
			var a, b, aa, bb, ab float64
			for i := range side {
				at := (y+i)*l.w + x
				p, q := l.y[at:at+side], got.y[at:at+side]
				for k, v := range p {
					w := q[k]
					a, b = a+v, b+w
					aa, bb, ab = aa+v*v, bb+w*w, ab+v*w
				}
			}
			const n = side * side
			a, b = a/n, b/n
			aa, bb, ab = aa/n-a*a, bb/n-b*b, ab/n-a*b
			sum += (2*a*b + c1) * (2*ab + c2) / ((a*a + b*b + c1) * (aa + bb + c2))
			count++
		}
	}
	return sum / float64(max(count, 1))
}
