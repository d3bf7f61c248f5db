package testphoto

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

// Quarters is a picture whose quarters are red, green, blue and yellow, from the
// upper left in reading order: any turn or mirroring shows.
func Quarters(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, Quarter(x >= w/2, y >= h/2))
		}
	}
	return m
}

// Quarter is the colour of one quarter of Quarters.
func Quarter(right, lower bool) color.NRGBA {
	switch {
	case !right && !lower:
		return color.NRGBA{R: 220, G: 30, B: 30, A: 255}
	case right && !lower:
		return color.NRGBA{R: 30, G: 180, B: 40, A: 255}
	case !right:
		return color.NRGBA{R: 30, G: 60, B: 220, A: 255}
	}
	return color.NRGBA{R: 230, G: 210, B: 40, A: 255}
}

// JPEG encodes a picture well.
func JPEG(m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 92}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// PNG encodes a picture.
func PNG(m image.Image) []byte {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
		panic(err)
	}
	return b.Bytes()
}
