//go:build cgo && turbo

package render

// #cgo LDFLAGS: -l:libturbojpeg.a
// #include <stdlib.h>
// #include <turbojpeg.h>
import "C"

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
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
// fractions have no vector code, and cost quality.) Of a damaged file the part
// before the damage is whole, and the rest is grey.
func decodeTurbo(file *io.SectionReader, w, h int) (p *planes, partial bool, err error) {
	if file.Size() > turboMax {
		return nil, false, errTurbo
	}
	data := make([]byte, file.Size())
	if _, err := file.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if len(data) == 0 {
		return nil, false, errTurbo
	}
	handle := C.tjInitDecompress()
	if handle == nil {
		return nil, false, errors.New("libjpeg-turbo does not start")
	}
	defer C.tjDestroy(handle)
	in, size := (*C.uchar)(&data[0]), C.ulong(len(data))
	var width, height, sampling, space C.int
	if C.tjDecompressHeader3(handle, in, size, &width, &height, &sampling, &space) != 0 && C.tjGetErrorCode(handle) == C.TJERR_FATAL {
		return nil, false, turboError(handle)
	}
	p = &planes{w: int(width), h: int(height)}
	switch {
	case space == C.TJCS_GRAY || sampling == C.TJSAMP_GRAY:
		p.grey = true
	case space != C.TJCS_YCbCr:
		return nil, false, errTurbo
	case sampling == C.TJSAMP_444:
		p.sx, p.sy = 1, 1
	case sampling == C.TJSAMP_422:
		p.sx, p.sy = 2, 1
	case sampling == C.TJSAMP_420:
		p.sx, p.sy = 2, 2
	case sampling == C.TJSAMP_440:
		p.sx, p.sy = 1, 2
	case sampling == C.TJSAMP_411:
		p.sx, p.sy = 4, 1
	default:
		return nil, false, errTurbo
	}
	part := 8
	for part > 1 && (float64(p.w)/float64(part) < keep*float64(w) || float64(p.h)/float64(part) < keep*float64(h)) {
		part /= 2
	}
	scaledW, scaledH := (p.w+part-1)/part, (p.h+part-1)/part
	p.scale = [2]float64{1 / float64(part), 1 / float64(part)}

	var pin runtime.Pinner
	defer pin.Unpin()
	var out [3]*C.uchar
	var strides [3]C.int
	for i := range p.c {
		if i > 0 && p.grey {
			break
		}
		pw := int(C.tjPlaneWidth(C.int(i), C.int(scaledW), sampling))
		ph := int(C.tjPlaneHeight(C.int(i), C.int(scaledH), sampling))
		if pw <= 0 || ph <= 0 {
			return nil, false, errTurbo
		}
		p.c[i] = newPlane(pw, ph)
		pin.Pin(&p.c[i].pix[0])
		out[i], strides[i] = (*C.uchar)(&p.c[i].pix[0]), C.int(pw)
	}
	pin.Pin(&data[0])
	if C.tjDecompressToYUVPlanes(handle, in, size, &out[0], C.int(scaledW), &strides[0], C.int(scaledH), C.TJFLAG_ACCURATEDCT) != 0 {
		if err := turboError(handle); C.tjGetErrorCode(handle) == C.TJERR_FATAL {
			return nil, false, err
		} else if !strings.HasSuffix(err.Error(), "extraneous bytes before marker 0xd9") { // more than all is no damage
			partial = true
		}
	}
	p.trim(scaledW, scaledH)
	return p, partial, nil
}

// trim takes the padding off the planes that were given room for whole blocks.
func (p *planes) trim(w, h int) {
	p.c[0].w, p.c[0].h = min(p.c[0].w, w), min(p.c[0].h, h)
	for i := 1; i < 3 && !p.grey; i++ {
		p.c[i].w, p.c[i].h = min(p.c[i].w, (w+p.sx-1)/p.sx), min(p.c[i].h, (h+p.sy-1)/p.sy)
	}
}

func turboError(handle C.tjhandle) error {
	return fmt.Errorf("libjpeg-turbo: %s", C.GoString(C.tjGetErrorStr2(handle)))
}
