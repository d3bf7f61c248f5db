//go:build cgo

package render

import (
	"image"

	"github.com/chai2010/webp"
)

// The form of every variant.
const (
	Ext  = "webp"       // suffix of its object's name
	Type = "image/webp" // media type
)

// encode makes a WebP of m, with a colour profile if there is one.
func encode(m *image.NRGBA, quality int, profile []byte) ([]byte, error) {
	// EncodeRGBA hands the bytes of an *image.RGBA to libwebp, which wants them not
	// multiplied by alpha: those of an *image.NRGBA. Given one as such, it would
	// convert it pixel by pixel, and wrongly.
	data, err := webp.EncodeRGBA((*image.RGBA)(m), float32(quality))
	return withProfile(data, profile, err)
}

// withProfile puts a colour profile into a WebP, if there is one.
func withProfile(data, profile []byte, err error) ([]byte, error) {
	if err != nil || len(profile) == 0 {
		return data, err
	}
	return webp.SetMetadata(data, profile, "ICCP")
}
