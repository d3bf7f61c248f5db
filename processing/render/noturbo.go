//go:build !cgo || !turbo

package render

import (
	"image"
	"io"
)

// Turbo says whether this program has libjpeg-turbo in it, as release builds do.
const Turbo = false

// turboFactor is how many more pixels a JPEG may have than another picture.
const turboFactor = 1

func decodeTurbo(*io.SectionReader, image.Config, int, int, orientation) (*planes, bool, error) {
	return nil, false, errTurbo
}
