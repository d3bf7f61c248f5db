package render_test

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// grain is a picture of 12 megapixels with the noise of a sensor, which is what a
// coder spends its time on.
func grain() *image.NRGBA {
	m := testphoto.Quarters(4000, 3000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(m.Pix); i += 4 {
		n := uint8(rnd.IntN(16))
		m.Pix[i] += n
		m.Pix[i+1] += n
		m.Pix[i+2] += n
	}
	return m
}

func BenchmarkRender(b *testing.B) {
	file := testphoto.JPEG(grain())
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := render.Render(bytes.NewReader(file), int64(len(file)), nil); err != nil {
			b.Fatal(err)
		}
	}
}
