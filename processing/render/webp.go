package render

import (
	"encoding/binary"
	"errors"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// decodeWebP decodes a still picture, or the first one of an animation.
func decodeWebP(file *io.SectionReader) (image.Image, error) {
	frame, err := firstFrame(file)
	if err != nil {
		return nil, err
	}
	if frame == nil {
		rewind(file)
		m, err := plain(webp.Decode)(file)
		if m, ok := m.(*image.YCbCr); ok {
			return filmRange{m}, err
		}
		return fullRange(m), err
	}
	m, err := webp.Decode(frame.file)
	if err != nil {
		return nil, err
	}
	return onCanvas(fullRange(m), frame.at, frame.canvas.X, frame.canvas.Y), nil
}

// filmRange is a picture whose samples have the range of films.
type filmRange struct{ *image.YCbCr }

// fullRange gives samples of a lossy WebP, which have the range of films, the one
// that package image takes them for.
func fullRange(m image.Image) image.Image {
	convert := func(m *image.YCbCr) *image.YCbCr {
		p := planesOf(m)
		p.video = true
		return p.resize(p.w, p.h, 1, false).ycbcr()
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return convert(m)
	case *image.NYCbCrA:
		m.YCbCr = *convert(&m.YCbCr)
	}
	return m
}

// A frame is one picture of an animation, made into a WebP file of its own.
type frame struct {
	file   io.Reader
	at     image.Point
	canvas image.Point // size
}

var errFrame = errors.New("webp: broken animation")

// firstFrame finds the first picture of an animated WebP; nil if the file is not
// one. (WebP Container Specification, "Animation".)
func firstFrame(file *io.SectionReader) (*frame, error) {
	var canvas image.Point
	animated := false
	for c := range chunksWebP(file) {
		switch c.id {
		case "VP8X":
			b, err := c.read(10)
			if err != nil {
				return nil, err
			}
			animated = b[0]&2 != 0
			canvas = image.Pt(uint24(b[4:])+1, uint24(b[7:])+1)
		case "ANMF":
			b, err := c.read(16)
			if err != nil {
				return nil, err
			}
			at := image.Pt(2*uint24(b), 2*uint24(b[3:]))
			size := image.Pt(uint24(b[6:])+1, uint24(b[9:])+1)
			place := image.Rectangle{Min: at, Max: at.Add(size)}
			if !place.In(image.Rectangle{Max: canvas}) {
				return nil, errFrame
			}
			// A simple file has its pixels alone; x/image wants VP8X where alpha is apart.
			body := io.NewSectionReader(c.body, 16, c.body.Size()-16)
			x := make([]byte, 18)
			copy(x, "VP8X\x0a\x00\x00\x00")
			for chunk := range chunksIn(body) {
				if chunk.id == "ALPH" {
					x[8] = 1 << 4
				}
			}
			putUint24(x[12:], size.X-1)
			putUint24(x[15:], size.Y-1)
			riff := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(x)+int(body.Size())))
			riff = append(append(riff, "WEBP"...), x...)
			rewind(body)
			return &frame{io.MultiReader(newBytes(riff), body), at, canvas}, nil
		}
	}
	if animated {
		return nil, errFrame
	}
	return nil, nil
}
