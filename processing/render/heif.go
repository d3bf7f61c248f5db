package render

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"sync/atomic"

	"github.com/gen2brain/heic"
)

// HEIC and AVIF are decoded by libheif, if the system has it (as libheif.so, which
// comes with its development package), else HEIC alone by a decoder that is part of this
// program, compiled to WebAssembly. That takes four times as long, 50 bytes for a
// pixel, and gets deeper colours wrong.

// libheif says whether the system's library is there.
func libheif() bool { return heic.Dynamic() == nil && !heic.ForceWasmMode }

const (
	maxMeta       = 1 << 20   // bytes of a file's meta box
	maxHEIF       = 256 << 20 // bytes of a file
	maxPixelsWASM = 25e6      // pixels that the decoder in WebAssembly is given
)

// heif is what the headers of a file say.
type heif struct {
	w, h    int    // pixels: the largest there are, not turned yet
	deep    bool   // more than 8 bits, or colours that are not halved both ways
	isAV1   bool   // AVIF
	film    bool   // the range of films
	onSide  bool   // something is turned by 90 degrees
	profile []byte // ICC profile
}

// readHEIF reads the properties of the pictures in a file (ISO/IEC 23008-12 §6.5;
// ISO/IEC 14496-12 §8.11). Which belongs to which does not matter here: the largest and the
// hardest count.
func readHEIF(file *io.SectionReader) (*heif, error) {
	var meta []byte
	var head [16]byte
	off := int64(0)
	for range 64 {
		n, _ := file.ReadAt(head[:], off)
		if n < 8 {
			break
		}
		size, header := int64(binary.BigEndian.Uint32(head[:])), int64(8)
		if size == 1 && n == 16 {
			size, header = int64(binary.BigEndian.Uint64(head[8:])&(1<<62-1)), 16
		}
		if meta == nil && string(head[4:8]) == "meta" && size > header+4 && size <= maxMeta {
			meta = make([]byte, size-header)
			if _, err := file.ReadAt(meta, off+header); err != nil {
				return nil, errors.New("heif: cut short")
			}
		}
		if size < header { // or it goes on to the end
			break
		}
		if off += size; off > file.Size() {
			return nil, errors.New("heif: cut short")
		}
	}
	h := new(heif)
	if len(meta) < 4 {
		return nil, errors.New("heif: no header")
	}
	for kind, b := range boxesIn(meta[4:]) {
		if kind != "iprp" {
			continue
		}
		for kind, b := range boxesIn(b) {
			if kind != "ipco" {
				continue
			}
			for kind, b := range boxesIn(b) {
				h.property(kind, b)
			}
		}
	}
	if h.w == 0 {
		return nil, errors.New("heif: no size")
	}
	return h, nil
}

func (h *heif) property(kind string, b []byte) {
	switch {
	case kind == "ispe" && len(b) >= 12:
		const longest = 1 << 20
		w, ht := int(min(binary.BigEndian.Uint32(b[4:]), longest+1)), int(min(binary.BigEndian.Uint32(b[8:]), longest+1))
		if w > longest || ht > longest {
			w, ht = longest, longest // it is too large, whatever it is
		}
		if int64(w)*int64(ht) > int64(h.w)*int64(h.h) {
			h.w, h.h = w, ht
		}
	case kind == "hvcC" && len(b) >= 19: // ISO/IEC 14496-15 §8.3.3.1
		const chroma420 = 1
		if b[16]&3 > chroma420 || b[17]&7 > 0 || b[18]&7 > 0 {
			h.deep = true
		}
	case kind == "av1C":
		h.isAV1 = true
	case kind == "irot" && len(b) >= 1: // ISO/IEC 23008-12 §6.5.10, in quarters
		h.onSide = h.onSide || b[0]&1 == 1
	case kind == "colr" && len(b) >= 4:
		switch string(b[:4]) {
		case "prof", "rICC":
			if h.profile == nil {
				h.profile = b[4:]
			}
		case "nclx":
			h.film = len(b) >= 11 && b[10]&0x80 == 0
		}
	}
}

// boxesIn yields the boxes that follow one another in b.
func boxesIn(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(b) >= 8 {
			size := int64(binary.BigEndian.Uint32(b))
			if size == 0 {
				size = int64(len(b))
			}
			if size < 8 || size > int64(len(b)) || !yield(string(b[4:8]), b[8:size]) {
				return
			}
			b = b[size:]
		}
	}
}

func configHEIF(file *io.SectionReader) (image.Config, error) {
	h, err := readHEIF(file)
	if err != nil {
		return image.Config{}, err
	}
	switch {
	case file.Size() > maxHEIF:
		return image.Config{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, file.Size())
	case libheif():
	case h.isAV1:
		return image.Config{}, fmt.Errorf("%w: AVIF, without libheif", ErrUnsupported)
	case h.deep:
		return image.Config{}, fmt.Errorf("%w: HEIF of more than 8 bits or finer colour than 4:2:0, without libheif", ErrUnsupported)
	case h.w > maxPixelsWASM/h.h:
		return image.Config{}, fmt.Errorf("%w: %d x %d, without libheif", ErrTooLarge, h.w, h.h)
	}
	return image.Config{Width: h.w, Height: h.h}, nil
}

func weightHEIF(_ *io.SectionReader, c image.Config) int64 {
	pixels := int64(c.Width) * int64(c.Height)
	if libheif() {
		return 16*pixels + 32<<20
	}
	return 50*pixels + 100<<20
}

func profileHEIF(file *io.SectionReader) []byte {
	h, err := readHEIF(file)
	if err != nil || len(h.profile) > maxProfile {
		return nil
	}
	return h.profile
}

// spent says that this process has used the decoder in WebAssembly, whose memory is
// never given back.
var spent atomic.Bool

func decodeHEIF(file *io.SectionReader) (image.Image, error) {
	h, err := readHEIF(file)
	if err != nil {
		return nil, err
	}
	if libheif() && h.isAV1 && h.onSide {
		// Some versions tell the size of such a picture from before the turn, and would be
		// read beyond what they give.
		rewind(file)
		c, err := heic.DecodeConfig(bufio.NewReader(file))
		if err != nil {
			return nil, err
		}
		if c.Width == h.w && c.Height == h.h && h.w != h.h {
			return nil, fmt.Errorf("%w: AVIF on its side, by this libheif", ErrUnsupported)
		}
	}
	rewind(file)
	m, err := heic.Decode(bufio.NewReaderSize(file, 64<<10))
	if !libheif() {
		spent.Store(true)
	}
	if err != nil {
		return nil, err
	}
	if b := m.Bounds(); max(b.Dx(), b.Dy()) > max(h.w, h.h) {
		return nil, errors.New("heif: header and content differ in size")
	}
	if m, ok := m.(*image.YCbCr); ok && h.film {
		return filmRange{m}, nil
	}
	return m, nil
}

// warmHEIF lets libheif load what it loads on first use, while files can still be opened.
func warmHEIF() {
	if libheif() {
		heic.DecodeConfig(newBytes([]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")))
	}
}
