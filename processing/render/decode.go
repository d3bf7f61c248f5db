package render

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/disintegration/imaging"
	"golang.org/x/image/webp"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// A picture is decoded, as stored: not yet upright. It has planes or is an image.
type picture struct {
	w, h    int // pixels, also where planes are of a fraction of them
	planes  *planes
	image   image.Image
	profile []byte // ICC profile for it, if that is not sRGB
	partial bool   // only a part could be decoded
}

// A codec decodes one media type. All functions get the file from its beginning.
type codec struct {
	config  func(io.Reader) (image.Config, error) // size by the header; cheap whatever the file
	decode  func(file *io.SectionReader) (image.Image, error)
	salvage func(file *io.SectionReader) (image.Image, error) // what is whole of a damaged file; may be nil
	profile func(file *io.SectionReader) []byte               // colour profile; may be nil
	// fast decodes what it can, perhaps at a fraction of the size that is still so much
	// larger than w by h that nobody sees it; may be nil.
	fast func(file *io.SectionReader, w, h int) (p *planes, partial bool, err error)
}

// errTurbo says that a JPEG is left to the standard library.
var errTurbo = errors.New("not for libjpeg-turbo")

var codecs = map[string]codec{
	media.JPEG: {jpeg.DecodeConfig, plain(jpeg.Decode), salvageJPEG, profileJPEG, decodeTurbo},
	media.PNG:  {png.DecodeConfig, plain(png.Decode), nil, profilePNG, nil},
	media.GIF:  {gif.DecodeConfig, decodeGIF, nil, nil, nil},
	media.WebP: {webp.DecodeConfig, decodeWebP, nil, profileWebP, nil},
}

// plain reads a file through a buffer.
func plain(decode func(io.Reader) (image.Image, error)) func(*io.SectionReader) (image.Image, error) {
	return func(file *io.SectionReader) (image.Image, error) {
		return decode(bufio.NewReaderSize(file, 64<<10))
	}
}

// decode decodes a file of the given type if it has at most so many pixels, which
// its header tells before any memory is spent on them. The picture is to be turned for
// display.
func decode(file *io.SectionReader, mediaType string, turn orientation, maxPixels int) (*picture, error) {
	c, ok := codecs[mediaType]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrUnsupported, mediaType)
	}
	rewind(file)
	config, err := c.config(bufio.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if config.Width <= 0 || config.Height <= 0 {
		return nil, fmt.Errorf("%w: it has no pixels", ErrCorrupt)
	}
	tooLarge := func(most int) error {
		if config.Width > most/config.Height {
			return fmt.Errorf("%w: %d x %d", ErrTooLarge, config.Width, config.Height)
		}
		return nil
	}
	p := &picture{w: config.Width, h: config.Height}
	if c.fast != nil {
		if err := tooLarge(turboFactor * maxPixels); err != nil {
			return nil, err
		}
		w, h := turn.size(Recipes[0].fit(turn.size(p.w, p.h)))
		if p.planes, p.partial, err = c.fast(file, w, h); err == nil && p.planes.w == p.w && p.planes.h == p.h {
			if !p.planes.grey {
				p.profile = profileBy(c, file)
			}
			return p, nil
		}
		p.planes, p.partial = nil, false
	}
	if err := tooLarge(maxPixels); err != nil {
		return nil, err
	}
	rewind(file)
	p.image, err = c.decode(file)
	if err != nil && c.salvage != nil {
		if m, err2 := c.salvage(file); err2 == nil {
			p.image, p.partial, err = m, true, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if b := p.image.Bounds(); b.Dx() != p.w || b.Dy() != p.h {
		return nil, fmt.Errorf("%w: header and content differ in size", ErrCorrupt)
	}
	if hasColour(p.image) {
		p.profile = profileBy(c, file)
	}
	if p.planes = planesOf(p.image); p.planes != nil {
		p.image = nil
	}
	return p, nil
}

// profileBy gives the colour profile in a file, if variants need it.
func profileBy(c codec, file *io.SectionReader) []byte {
	if c.profile == nil {
		return nil
	}
	rewind(file)
	return usable(c.profile(file))
}

func rewind(file *io.SectionReader) { file.Seek(0, io.SeekStart) } // a SectionReader's Seek to 0 can't fail

// hasColour says whether the pixels are RGB, or YCbCr of it, as a profile for RGB
// means them. CMYK is converted without its profile, which then means nothing.
func hasColour(m image.Image) bool {
	switch m.(type) {
	case *image.CMYK, *image.Gray, *image.Gray16:
		return false
	}
	return true
}

// decodeGIF decodes the first picture, and puts it where it belongs on the screen
// that the file declares: it need not fill it.
func decodeGIF(file *io.SectionReader) (image.Image, error) {
	config, err := gif.DecodeConfig(bufio.NewReader(file))
	if err != nil {
		return nil, err
	}
	rewind(file)
	m, err := gif.Decode(bufio.NewReader(file))
	if err != nil {
		return nil, err
	}
	return onCanvas(m, m.Bounds().Min, config.Width, config.Height), nil
}

// onCanvas puts m at a place on a transparent canvas, unless it fills it.
func onCanvas(m image.Image, at image.Point, w, h int) image.Image {
	if m.Bounds().Size() == image.Pt(w, h) {
		return m
	}
	return imaging.Paste(image.NewNRGBA(image.Rect(0, 0, w, h)), m, at)
}

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
