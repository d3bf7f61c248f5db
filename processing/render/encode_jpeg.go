//go:build !cgo

package render

import (
	"bytes"
	"image"
	"image/jpeg"
)

// The form of every variant. There is no encoder for lossy WebP without cgo.
const (
	Ext  = "jpg"        // suffix of its object's name
	Type = "image/jpeg" // media type
)

// encodesVideo says which range encodePlanes wants.
const encodesVideo = false

// encode makes a JPEG of m, on white where it is transparent, with a colour profile
// if there is one.
func encode(m *image.NRGBA, quality int, profile []byte) ([]byte, error) {
	if !m.Opaque() {
		m = onWhite(m)
	}
	return encodeJPEG(m, quality, profile)
}

// encodePlanes makes a JPEG of planes of two by two pixels, with a colour profile
// if there is one.
func encodePlanes(p *planes, quality int, profile []byte) ([]byte, error) {
	return encodeJPEG(p.ycbcr(), quality, profile)
}

func encodeJPEG(m image.Image, quality int, profile []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		return nil, err
	}
	if len(profile) == 0 {
		return b.Bytes(), nil
	}
	return withSegments(b.Bytes(), profile), nil
}

// withSegments puts a colour profile into a JPEG, in as many segments as it takes
// (ICC.1:2022 §B.4).
func withSegments(data, profile []byte) []byte {
	const most = 1<<16 - 1 - 2 - len(magicICC) - 2
	count := (len(profile) + most - 1) / most
	out := append(make([]byte, 0, len(data)+len(profile)+count*32), data[:2]...)
	for i := range count {
		piece := profile[i*most : min((i+1)*most, len(profile))]
		size := 2 + len(magicICC) + 2 + len(piece)
		out = append(out, 0xff, markerAPP2, byte(size>>8), byte(size))
		out = append(out, magicICC...)
		out = append(out, byte(i+1), byte(count))
		out = append(out, piece...)
	}
	return append(out, data[2:]...)
}
