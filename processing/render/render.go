package render

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/buckket/go-blurhash"
	"github.com/disintegration/imaging"

	"github.com/shoebox-photos/shoebox/processing/internal/vp8"
	"github.com/shoebox-photos/shoebox/processing/media"
)

// What is wrong with a file for good: trying again gives the same. Any other error
// may pass.
var (
	ErrUnsupported = errors.New("no decoder for this kind of file")
	ErrTooLarge    = errors.New("picture has too many pixels")
	ErrCorrupt     = errors.New("picture is damaged")
)

// Permanent says whether err is for good.
func Permanent(err error) bool {
	return errors.Is(err, ErrUnsupported) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt)
}

// Options adjusts Render. The zero value, and nil, are ready for use.
type Options struct {
	MaxPixels int // most pixels of a picture that is decoded; 0 means 100 million
	// Admit is called before a picture is decoded, with the bytes of memory that this
	// is expected to take, and may wait until there are so many. Its error ends Render.
	Admit func(bytes int64) error
}

func (o *Options) admit(bytes int64) error {
	if o == nil || o.Admit == nil {
		return nil
	}
	return o.Admit(bytes)
}

func (o *Options) maxPixels() int {
	if o == nil || o.MaxPixels <= 0 {
		return 100e6
	}
	return o.MaxPixels
}

// A Variant is one picture made.
type Variant struct {
	Recipe        Recipe
	Width, Height int // pixels
	Data          []byte
}

// Name is what the variant's object is called below its original.
func (v *Variant) Name() string { return v.Recipe.Name() }

// A Result is what was made of a file and found in it.
type Result struct {
	Type     string     // media type by content
	Meta     media.Meta // what the file tells of itself
	Variants []Variant  // in the order of Recipes; none if there was an error
	// Width and Height are the original's as displayed, in pixels; 0 if unknown.
	Width, Height int
	Placeholder   string // blurhash (https://blurha.sh), 20 to 30 bytes; "" without variants
	Partial       bool   // the file is damaged, and the variants show a part of the picture
}

// Settle tunes a process that renders one picture after another and does nothing else: the Go
// runtime for one processor, since with a process for each of them threads within
// a picture gain nothing; garbage is collected early, since it is few large pieces without
// pointers, which cost nothing to look through and all the memory; and libwebp is made
// faster, which changes nothing that it makes.
func Settle() {
	vp8.Use()
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(20)
}

// Render reads the first size bytes of src and makes the variants of Recipes. JPEG,
// PNG, GIF, WebP, TIFF, BMP and HEIC are decoded, AVIF where Capabilities says so; of an
// animation the first picture, of a camera's RAW the largest JPEG in it. The variants are
// upright and have the colour profile of the original, if that is not sRGB, but no
// other metadata: above all, not the place where the picture was taken.
//
// The result is never nil: whatever the error, what was found by then is in it.
func Render(src io.ReaderAt, size int64, opt *Options) (res *Result, err error) {
	res = new(Result)
	watched := &watch{r: src}
	defer func() {
		if p := recover(); p != nil { // imaging v1.6.2 panics on some broken files
			err = fmt.Errorf("%w: panic: %v", ErrCorrupt, p)
		}
		if watched.err != nil { // the disk's fault, not the picture's
			err = fmt.Errorf("read original: %w", watched.err)
		}
		if err != nil {
			res.Variants, res.Placeholder, res.Partial = nil, "", false
		}
	}()
	file := io.NewSectionReader(watched, 0, size)
	head := make([]byte, min(size, media.SniffLen))
	if _, err := io.ReadFull(file, head); err != nil {
		return res, fmt.Errorf("read beginning of original: %w", err)
	}
	res.Type = media.Sniff(head)
	res.Meta, _ = media.Read(file, size, res.Type) // what it could read counts
	res.Width, res.Height = res.Meta.DisplayWidth, res.Meta.DisplayHeight

	p, turn, err := decode(file, res.Type, orientation(res.Meta.Orientation), opt)
	if err != nil {
		return res, err
	}
	res.Partial = p.partial
	w, h := turn.size(p.w, p.h)
	if !raws[res.Type] || w*h > res.Width*res.Height { // of a RAW, it is the smaller preview's
		res.Width, res.Height = w, h
	}
	if p.planes != nil || p.view != nil {
		return res, res.makePlanar(p, turn)
	}
	return res, res.make(p, turn)
}

// makePlanar makes the variants and the placeholder of a picture in planes.
func (res *Result) makePlanar(p *picture, turn orientation) error {
	w, h := turn.size(p.w, p.h)
	made := p.view
	for _, recipe := range Recipes {
		w, h = recipe.fit(w, h)
		switch {
		case made == nil:
			// Shrink first and turn then: it is fewer pixels to turn.
			storedW, storedH := turn.size(w, h)
			made = p.planes.resize(storedW, storedH, turn, encodesVideo)
			p.planes = nil
		case made.w != w || made.h != h:
			made = made.resize(w, h, 1, encodesVideo)
		}
		data, err := encodePlanes(made, recipe.Quality, p.profile)
		if err != nil {
			return fmt.Errorf("encode %s: %w", recipe.Variant, err)
		}
		res.Variants = append(res.Variants, Variant{Recipe: recipe, Width: w, Height: h, Data: data})
	}
	w, h = fitPlaceholder(w, h)
	return res.setPlaceholder(imaging.Clone(made.resize(w, h, 1, false).ycbcr()))
}

// make makes the variants and the placeholder of any other picture: it may be
// transparent.
func (res *Result) make(p *picture, turn orientation) error {
	var upright *image.NRGBA
	w, h := turn.size(p.w, p.h)
	for _, recipe := range Recipes {
		w, h = recipe.fit(w, h)
		if upright == nil {
			w, h := turn.size(w, h)
			upright = turn.apply(shrink(p.image, w, h))
			p.image = nil
		} else {
			upright = shrink(upright, w, h)
		}
		data, err := encode(upright, recipe.Quality, p.profile)
		if err != nil {
			return fmt.Errorf("encode %s: %w", recipe.Variant, err)
		}
		res.Variants = append(res.Variants, Variant{Recipe: recipe, Width: w, Height: h, Data: data})
	}
	w, h = fitPlaceholder(w, h)
	tiny := imaging.Resize(upright, w, h, imaging.Box)
	return res.setPlaceholder(onWhite(tiny))
}

// shrink resizes a picture; of the right size already, it is copied.
func shrink(m image.Image, w, h int) *image.NRGBA {
	if b := m.Bounds(); b.Dx() == w && b.Dy() == h {
		if m, ok := m.(*image.NRGBA); ok {
			return m
		}
		return imaging.Clone(m)
	}
	return imaging.Resize(m, w, h, imaging.Lanczos)
}

// onWhite is a picture as it is seen on white paper.
func onWhite(m *image.NRGBA) *image.NRGBA {
	b := m.Bounds()
	return imaging.Overlay(imaging.New(b.Dx(), b.Dy(), color.White), m, image.Point{}, 1)
}

// fitPlaceholder is the size of the picture that a placeholder is made of.
func fitPlaceholder(w, h int) (int, int) {
	return Recipe{MaxWidth: 32, MaxHeight: 32}.fit(w, h)
}

// setPlaceholder makes the blurhash of a tiny picture.
func (res *Result) setPlaceholder(tiny image.Image) (err error) {
	x, y := 4, 3
	if tiny.Bounds().Dy() > tiny.Bounds().Dx() {
		x, y = y, x
	}
	if res.Placeholder, err = blurhash.Encode(x, y, tiny); err != nil {
		return fmt.Errorf("make placeholder: %w", err)
	}
	return nil
}

// A watch remembers how reading failed, so that a decoder's complaint about a file
// that could not be read is not taken for damage to the file.
type watch struct {
	r   io.ReaderAt
	err error
}

func (w *watch) ReadAt(p []byte, off int64) (int, error) {
	n, err := w.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}
