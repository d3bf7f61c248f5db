//go:build cgo && turbo

package render

// #cgo LDFLAGS: -l:libjpeg.a
// #include "jpeg.h"
import "C"

import (
	"errors"
	"fmt"
	"image"
	"io"
	"runtime"
)

// Turbo says whether this program has libjpeg-turbo in it, as release builds do.
const Turbo = true

// turboFactor is how many more pixels a JPEG may have than another picture: decoded
// at an eighth, it takes a sixty-fourth of the memory.
const turboFactor = 3

// keep is how many times larger than the view, at least, a picture is decoded. Less
// blurs, more only costs: see decodeTurbo.
const keep = 1.3

// decodeTurbo decodes a JPEG of YCbCr or grey with libjpeg-turbo, at the smallest of
// 1, 1/2, 1/4 and 1/8 that leaves keep times the size of w by h pixels: the inverse
// transform itself does the rest, for less than nothing. (The library's other
// fractions have no vector code, and cost quality.) Lines are resized as they come, so
// that the decoded picture is never whole in memory. Of a damaged file the part
// before the damage is whole, and the rest is grey.
func decodeTurbo(file *io.SectionReader, c image.Config, w, h int, turn orientation) (p *planes, partial bool, err error) {
	if file.Size() > turboMax || file.Size() == 0 {
		return nil, false, errTurbo
	}
	data := make([]byte, file.Size())
	if _, err := file.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&data[0])
	j := C.sb_jpeg_open((*C.uint8_t)(&data[0]), C.size_t(len(data)))
	if j == nil {
		return nil, false, errMemory
	}
	defer C.sb_jpeg_close(j)
	failed := func() error { return fmt.Errorf("libjpeg-turbo: %s", C.GoString(C.sb_jpeg_error(j))) }
	if C.sb_jpeg_error(j) != nil {
		return nil, false, failed()
	}
	// The picture as it will be decoded, without pixels.
	src := &planes{w: int(C.sb_jpeg_width(j)), h: int(C.sb_jpeg_height(j)), grey: C.sb_jpeg_planes(j) == 1}
	if C.sb_jpeg_planes(j) == 0 || src.w != c.Width || src.h != c.Height {
		return nil, false, errTurbo
	}
	part := 8
	for part > 1 && (float64(src.w)/float64(part) < keep*float64(w) || float64(src.h)/float64(part) < keep*float64(h)) {
		part /= 2
	}
	src.scale = [2]float64{1 / float64(part), 1 / float64(part)}
	var channels [3]C.sb_channel
	if C.sb_jpeg_scale(j, C.int(part), &channels[0]) != 0 {
		return nil, false, failed()
	}
	for i, c := range channels[:src.count()] {
		if c.across == 0 || c.down == 0 || i == 2 && (int(c.across) != src.sx || int(c.down) != src.sy) {
			return nil, false, errTurbo // sampled in a way that only a test does
		}
		src.c[i].w, src.c[i].h = int(c.w), int(c.h)
		src.sx, src.sy = int(c.across), int(c.down)
	}
	p, fits := src.prepare(w, h, turn, encodesVideo)
	var targets [3]C.sb_target
	for i := range src.count() {
		targets[i] = target(&pin, &p.c[i], &fits[i])
	}
	if C.sb_jpeg_decode(j, &targets[0]) != 0 {
		return nil, false, failed()
	}
	p.turn(turn)
	return p, C.sb_jpeg_damaged(j) != 0, nil
}
