package render

import (
	"image"
	"math"
)

// A plane is one channel of a picture, of at least one sample.
type plane struct {
	pix          []uint8
	stride, w, h int
}

func newPlane(w, h int) plane { return plane{make([]uint8, w*h), w, w, h} }

func (p *plane) row(y int) []uint8 { return p.pix[y*p.stride:][:p.w] }

// planes are a picture as JPEG and WebP have it: a plane of luma, and two of
// chroma, which may be smaller. To resize these and to hand them from coder to
// coder is less work than by way of RGB, and nothing is rounded twice.
type planes struct {
	w, h   int        // of the picture
	c      [3]plane   // Y, Cb, Cr; of a grey picture that is not resized yet, Y alone
	grey   bool       // there is no chroma, or all of it is 128
	sx, sy int        // pixels for a sample of chroma
	scale  [2]float64 // samples of luma for a pixel: less than 1 if decoded at a fraction
	video  bool       // luma is 16 to 235 and chroma 16 to 240, as in films and WebP; else 0 to 255
}

// planesOf takes a decoded picture's planes, if it has any.
func planesOf(m image.Image) *planes {
	b := m.Bounds()
	p := &planes{w: b.Dx(), h: b.Dy(), scale: [2]float64{1, 1}}
	switch m := m.(type) {
	case *image.Gray:
		p.grey = true
		p.c[0] = plane{m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, p.w, p.h}
		return p
	case filmRange:
		if p = planesOf(m.YCbCr); p != nil {
			p.video = true
		}
		return p
	case *image.YCbCr:
		var ok bool
		if p.sx, p.sy, ok = subsampling(m.SubsampleRatio); !ok || b.Min != (image.Point{}) {
			return nil
		}
		w, h := (p.w+p.sx-1)/p.sx, (p.h+p.sy-1)/p.sy
		p.c = [3]plane{{m.Y, m.YStride, p.w, p.h}, {m.Cb, m.CStride, w, h}, {m.Cr, m.CStride, w, h}}
		return p
	}
	return nil
}

// planesOfRGB makes planes of pixels of four bytes: red, green, blue, and one that
// does not matter. The numbers are those of image/color.
func planesOfRGB(pix []uint8, stride, w, h int) *planes {
	p := &planes{w: w, h: h, sx: 1, sy: 1, scale: [2]float64{1, 1}}
	p.c = [3]plane{newPlane(w, h), newPlane(w, h), newPlane(w, h)}
	for y := range h {
		line := pix[y*stride:][:4*w]
		luma, cb, cr := p.c[0].row(y), p.c[1].row(y)[:w], p.c[2].row(y)[:w]
		for x := range luma {
			px := line[4*x : 4*x+3 : 4*x+3]
			r, g, b := int32(px[0]), int32(px[1]), int32(px[2])
			luma[x] = uint8((19595*r + 38470*g + 7471*b + 1<<15) >> 16)
			cb[x] = uint8(min((-11056*r-21712*g+32768*b+257<<15)>>16, 255))
			cr[x] = uint8(min((32768*r-27440*g-5328*b+257<<15)>>16, 255))
		}
	}
	return p
}

func subsampling(r image.YCbCrSubsampleRatio) (x, y int, ok bool) {
	switch r {
	case image.YCbCrSubsampleRatio444:
		return 1, 1, true
	case image.YCbCrSubsampleRatio422:
		return 2, 1, true
	case image.YCbCrSubsampleRatio420:
		return 2, 2, true
	case image.YCbCrSubsampleRatio440:
		return 1, 2, true
	case image.YCbCrSubsampleRatio411:
		return 4, 1, true
	case image.YCbCrSubsampleRatio410:
		return 4, 2, true
	}
	return 0, 0, false
}

// resize makes the picture w by h, with a sample of chroma for each square of four
// pixels, then turns it upright. w and h are from before the turn.
func (p *planes) resize(w, h int, turn orientation, video bool) *planes {
	out, fits := p.prepare(w, h, turn, video)
	for i := range p.count() {
		resize(&out.c[i], &p.c[i], &fits[i])
	}
	out.turn(turn)
	return out
}

// count is how many planes have samples of the picture.
func (p *planes) count() int {
	if p.grey {
		return 1
	}
	return len(p.c)
}

// prepare is the first half of resize: it makes the planes, of which those that p has, too,
// are yet to be filled, each by its fitting, and then to be turned. Of p it needs no pixels.
func (p *planes) prepare(w, h int, turn orientation, video bool) (out *planes, fits [3]fitting) {
	out = &planes{w: w, h: h, sx: 2, sy: 2, scale: [2]float64{1, 1}, video: video}
	// For each sample, in samples of the source.
	x, y := float64(p.w)/float64(w)*p.scale[0], float64(p.h)/float64(h)*p.scale[1]
	out.c[0] = newPlane(w, h)
	gain, offset := between(p.video, video, 16, 219)
	fits[0] = fit(&out.c[0], &p.c[0], x, y, [2]float64{}, gain, offset)
	cw, ch := (w+1)/2, (h+1)/2
	out.c[1], out.c[2] = newPlane(cw, ch), newPlane(cw, ch)
	if p.grey {
		out.grey = true
		for _, c := range out.c[1:] {
			for j := range c.pix {
				c.pix[j] = 128
			}
		}
		return out, fits
	}
	// The last sample of an odd line stands for one pixel and none. Mirrored, it comes
	// first, and has to stand for two: all of them move by half a sample.
	var shift [2]float64
	mirrorX, mirrorY := turn.mirrors()
	if mirrorX && w%2 == 1 {
		shift[0] = -0.5
	}
	if mirrorY && h%2 == 1 {
		shift[1] = -0.5
	}
	gain, offset = between(p.video, video, 128, 224)
	fits[1] = fit(&out.c[1], &p.c[1], 2*x/float64(p.sx), 2*y/float64(p.sy), shift, gain, offset)
	fits[2] = fits[1]
	return out, fits
}

// turn turns the picture upright.
func (p *planes) turn(o orientation) {
	p.w, p.h = o.size(p.w, p.h)
	for i := range p.c {
		o.plane(&p.c[i])
	}
}

// between is how samples of one range become those of the other: by a factor, and
// by an offset in units of a sample. In the range of films, zero is the given one, and there
// are so many steps for the other's 255. (ITU-R BT.601-7 §2.5.3; for chroma zero is 128 in both.)
func between(fromVideo, toVideo bool, zero, steps float64) (gain, offset float64) {
	switch {
	case fromVideo == toVideo:
		return 1, 0
	case toVideo:
		gain = steps / 255
	default:
		gain = 255 / steps
	}
	if zero == 128 {
		return gain, 128 * (1 - gain)
	}
	if toVideo {
		return gain, zero
	}
	return gain, -zero * gain
}

// A fitting is how a plane is made from one of another size and range.
type fitting struct {
	columns, rows weights
	offset        int32 // for every sample, in units of 1/2^rowBits
}

// fit is how dst is made from src, for each sample of dst x by y of src. It needs no pixels.
func fit(dst, src *plane, x, y float64, shift [2]float64, gain, offset float64) fitting {
	return fitting{
		columns: lanczos(dst.h, src.h, y, shift[1], 1, 1),
		rows:    lanczos(dst.w, src.w, x, shift[0], gain, weightsAlign),
		offset:  int32(math.Round(offset * (1 << rowBits))),
	}
}

// ycbcr is the picture as the standard library has it, from full range.
func (p *planes) ycbcr() *image.YCbCr {
	return &image.YCbCr{
		Y: p.c[0].pix, Cb: p.c[1].pix, Cr: p.c[2].pix,
		YStride: p.c[0].stride, CStride: p.c[1].stride,
		SubsampleRatio: image.YCbCrSubsampleRatio420,
		Rect:           image.Rect(0, 0, p.w, p.h),
	}
}
