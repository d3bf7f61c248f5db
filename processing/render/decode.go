package render

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/disintegration/imaging"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// A picture is decoded, as stored: not yet upright. It has planes or an image.
type picture struct {
	w, h    int // pixels
	planes  *planes
	image   image.Image
	view    *planes // the first of Recipes made of it already, upright, instead of planes and image
	profile []byte  // ICC profile for it, if that is not sRGB
	partial bool    // only a part could be decoded
}

// A codec decodes one media type. All functions get the file from its beginning.
type codec struct {
	config  func(file *io.SectionReader) (image.Config, error) // size by the header; cheap whatever the file
	decode  func(file *io.SectionReader) (image.Image, error)
	profile func(file *io.SectionReader) []byte                     // colour profile; may be nil
	weight  func(file *io.SectionReader, config image.Config) int64 // see Options.Admit

	// salvage decodes what is whole of a damaged file; may be nil.
	salvage func(file *io.SectionReader) (image.Image, error)
	// fast decodes what it can, resizes it to w by h and turns it, at once; may be nil.
	fast func(file *io.SectionReader, config image.Config, w, h int, turn orientation) (p *planes, partial bool, err error)
	// upright says that decode turns the picture, and EXIF's orientation is of no force.
	upright bool
}

// errTurbo says that a JPEG is left to the standard library.
var errTurbo = errors.New("not for libjpeg-turbo")

// turboMax is the largest JPEG that is read whole into memory for it, in bytes.
const turboMax = 256 << 20

var codecs = map[string]codec{
	media.JPEG: {config: plain(jpeg.DecodeConfig), decode: plain(jpeg.Decode), profile: profileJPEG, weight: weightJPEG, salvage: salvageJPEG, fast: decodeTurbo},
	media.PNG:  {config: plain(png.DecodeConfig), decode: plain(png.Decode), profile: profilePNG, weight: weightRGB},
	media.GIF:  {config: plain(gif.DecodeConfig), decode: decodeGIF, weight: weightRGB},
	media.WebP: {config: plain(webp.DecodeConfig), decode: decodeWebP, profile: profileWebP, weight: weightRGB},
	media.BMP:  {config: plain(bmp.DecodeConfig), decode: plain(bmp.Decode), weight: weightRGB},
	media.TIFF: {config: direct(tiff.DecodeConfig), decode: direct(tiff.Decode), profile: profileTIFF, weight: weightRGB},
	media.HEIC: {config: configHEIF, decode: decodeHEIF, profile: profileHEIF, weight: weightHEIF, upright: true},
	media.HEIF: {config: configHEIF, decode: decodeHEIF, profile: profileHEIF, weight: weightHEIF, upright: true},
	media.AVIF: {config: configHEIF, decode: decodeHEIF, profile: profileHEIF, weight: weightHEIF, upright: true},
}

// plain reads a file through a buffer.
func plain[T any](read func(io.Reader) (T, error)) func(*io.SectionReader) (T, error) {
	return func(file *io.SectionReader) (T, error) { return read(bufio.NewReaderSize(file, 64<<10)) }
}

// direct is for who reads here and there.
func direct[T any](read func(io.Reader) (T, error)) func(*io.SectionReader) (T, error) {
	return func(file *io.SectionReader) (T, error) { return read(file) }
}

// weightRGB is for decoders that make all pixels of a picture, and copies of them.
func weightRGB(_ *io.SectionReader, c image.Config) int64 {
	return 8*int64(c.Width)*int64(c.Height) + 32<<20
}

// decode decodes a file of the given type, if it has not too many pixels, which its
// header tells before any memory is spent on them. Orientation is what EXIF has; turn is how the
// picture, as decoded, is to be turned for display.
func decode(file *io.SectionReader, mediaType string, exif orientation, opt *Options) (p *picture, turn orientation, err error) {
	c, ok := codecs[mediaType]
	if raws[mediaType] || mediaType == media.TIFF && !readable(file) {
		// The picture in it that the camera made.
		file, err = embeddedJPEG(file)
		c, ok = codecs[media.JPEG], true
	}
	if err != nil {
		return nil, 1, err
	}
	if !ok {
		return nil, 1, fmt.Errorf("%w: %s", ErrUnsupported, mediaType)
	}
	turn = exif
	if c.upright {
		turn = 1
	}
	rewind(file)
	config, err := c.config(file)
	if err != nil {
		return nil, turn, damage(err)
	}
	if config.Width <= 0 || config.Height <= 0 {
		return nil, turn, fmt.Errorf("%w: it has no pixels", ErrCorrupt)
	}
	p = &picture{w: config.Width, h: config.Height}
	tooLarge := func(most int) error {
		if p.w > most/p.h {
			return fmt.Errorf("%w: %d x %d", ErrTooLarge, p.w, p.h)
		}
		return nil
	}
	if c.fast == nil {
		err = tooLarge(opt.maxPixels())
	} else {
		err = tooLarge(turboFactor * opt.maxPixels())
	}
	if err != nil {
		return nil, turn, err
	}
	if err := opt.admit(c.weight(file, config)); err != nil {
		return nil, turn, err
	}
	if c.fast != nil {
		w, h := turn.size(Recipes[0].fit(turn.size(p.w, p.h)))
		rewind(file)
		if p.view, p.partial, err = c.fast(file, config, w, h, turn); err == nil {
			if !p.view.grey {
				p.profile = profileBy(c, file)
			}
			return p, turn, nil
		}
	}
	if err := tooLarge(opt.maxPixels()); err != nil {
		return nil, turn, err
	}
	rewind(file)
	p.image, err = c.decode(file)
	if err != nil && c.salvage != nil {
		if m, err2 := c.salvage(file); err2 == nil {
			p.image, p.partial, err = m, true, nil
		}
	}
	if err != nil {
		return nil, turn, damage(err)
	}
	switch b := p.image.Bounds(); {
	case c.upright:
		p.w, p.h = b.Dx(), b.Dy()
	case b.Dx() != p.w || b.Dy() != p.h:
		return nil, turn, fmt.Errorf("%w: header and content differ in size", ErrCorrupt)
	}
	if hasColour(p.image) {
		p.profile = profileBy(c, file)
	}
	switch m := p.image.(type) {
	case *image.RGBA:
		if m.Opaque() {
			p.planes, p.image = planesOfRGB(m.Pix, m.Stride, p.w, p.h), nil
		}
	case *image.NRGBA:
		if m.Opaque() {
			p.planes, p.image = planesOfRGB(m.Pix, m.Stride, p.w, p.h), nil
		}
	case *image.Paletted: // imaging v1.6.2 panics on one whose palette is too short
		p.image = image.NewNRGBA(m.Bounds())
		draw.Draw(p.image.(draw.Image), m.Bounds(), m, m.Bounds().Min, draw.Src)
	default:
		if p.planes = planesOf(m); p.planes != nil {
			p.image = nil
		}
	}
	return p, turn, nil
}

// damage says what an error of a decoder means: that it does not know this kind, or
// that the file is broken.
func damage(err error) error {
	var (
		asJPEG jpeg.UnsupportedError
		asPNG  png.UnsupportedError
		asTIFF tiff.UnsupportedError
	)
	switch {
	case Permanent(err):
		return err
	case errors.As(err, &asJPEG), errors.As(err, &asPNG), errors.As(err, &asTIFF), errors.Is(err, bmp.ErrUnsupported):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
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
