package render

import (
	"image"

	"github.com/disintegration/imaging"
)

// orientation is one of EXIF's eight (EXIF 2.32 §4.6.4), how the stored picture is
// to be turned for display; any other value leaves it as it is.
type orientation int

// swaps says whether the orientation lays the picture on its side.
func (o orientation) swaps() bool { return o >= 5 && o <= 8 }

// mirrors says whether the stored picture's columns, and its rows, are shown from
// the last to the first.
func (o orientation) mirrors() (columns, rows bool) {
	return o == 2 || o == 3 || o == 7 || o == 8, o == 3 || o == 4 || o == 6 || o == 7
}

// size swaps width and height if the orientation lays the picture on its side.
func (o orientation) size(w, h int) (int, int) {
	if o.swaps() {
		return h, w
	}
	return w, h
}

func (o orientation) apply(m *image.NRGBA) *image.NRGBA {
	switch o {
	case 2:
		return imaging.FlipH(m)
	case 3:
		return imaging.Rotate180(m)
	case 4:
		return imaging.FlipV(m)
	case 5:
		return imaging.Transpose(m)
	case 6:
		return imaging.Rotate270(m) // counter-clockwise
	case 7:
		return imaging.Transverse(m)
	case 8:
		return imaging.Rotate90(m)
	}
	return m
}

// plane turns a plane.
func (o orientation) plane(p *plane) {
	if o < 2 || o > 8 {
		return
	}
	w, h := o.size(p.w, p.h)
	out := newPlane(w, h)
	// One step to the right and one down in the result are these in the source.
	from, right, down := 0, 1, p.stride
	mirrorX, mirrorY := o.mirrors()
	if mirrorX {
		from, right = from+p.w-1, -right
	}
	if mirrorY {
		from, down = from+(p.h-1)*p.stride, -down
	}
	if o.swaps() {
		right, down = down, right
	}
	const tile = 32 // the source's lines that are in the cache at once
	for y0 := 0; y0 < h; y0 += tile {
		for x0 := 0; x0 < w; x0 += tile {
			for y := y0; y < min(y0+tile, h); y++ {
				line := out.pix[y*w+x0 : y*w+min(x0+tile, w)]
				i := from + y*down + x0*right
				for x := range line {
					line[x] = p.pix[i]
					i += right
				}
			}
		}
	}
	*p = out
}
