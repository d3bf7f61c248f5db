//go:build cgo && !turbo

package render

// #include "resize.h"
import "C"

import (
	"image"

	"github.com/chai2010/webp"
)

// encodesVideo says which range encodePlanes wants.
const encodesVideo = false

// encodePlanes makes a WebP of planes of two by two pixels, with a colour profile
// if there is one. chai2010/webp takes RGB only; with the same chroma for all four
// pixels of a square, libwebp gets it back as it was.
func encodePlanes(p *planes, quality int, profile []byte) ([]byte, error) {
	m := webp.NewRGBImage(image.Rect(0, 0, p.w, p.h))
	for y := range p.h {
		line := m.XPix[y*m.XStride:][:3*p.w]
		C.sb_rgb((*C.uint8_t)(&line[0]), (*C.uint8_t)(&p.c[0].row(y)[0]),
			(*C.uint8_t)(&p.c[1].row(y / 2)[0]), (*C.uint8_t)(&p.c[2].row(y / 2)[0]), C.int(p.w))
	}
	data, err := webp.EncodeRGB(m, float32(quality))
	return withProfile(data, profile, err)
}
