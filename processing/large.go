package processing

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// What is read of an original that is too large to be copied: enough for what its headers
// say, and of a film for the first picture.
const (
	largeHead  = 32 << 20 // bytes of the beginning
	largeTail  = 8 << 20  // and of the end
	largeMovie = 64 << 20 // and of a film's table of contents, wherever it is
	largeBoxes = 64       // boxes looked at to find that
)

// parts makes a file as long as the original of which only those parts are there; what is
// between takes no space. It has no name, and is gone when it is closed.
func (w *Worker) parts(ctx context.Context, j job.Job, size int64) (_ *os.File, err error) {
	f, err := w.temp()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := f.Truncate(size); err != nil {
		return nil, fmt.Errorf("%w: %w", errDisk, err)
	}
	fill := func(off, n int64) error {
		if n = min(n, size-off); n <= 0 {
			return nil
		}
		r, err := w.lib.ReadOriginal(ctx, j.UID, j.Object, off, n)
		if err != nil {
			return fmt.Errorf("read a part of original: %w", err)
		}
		defer r.Close()
		return copyTo(io.NewOffsetWriter(f, off), r, n)
	}
	head, tail := int64(largeHead), max(size-largeTail, largeHead)
	if err := errors.Join(fill(0, head), fill(tail, largeTail)); err != nil {
		return nil, err
	}
	mediaType, err := sniff(f, size)
	if err != nil || !media.IsVideo(mediaType) {
		return f, err
	}
	// The boxes of ISO/IEC 14496-12 §4.2, down to the one that tells where all is.
	var b [16]byte
	for off, n := int64(0), 0; off+16 <= size && n < largeBoxes; n++ {
		if off+16 > head && off < tail {
			if err := fill(off, 16); err != nil {
				return nil, err
			}
		}
		if _, err := f.ReadAt(b[:], off); err != nil {
			return nil, fmt.Errorf("read parts of original: %w", err)
		}
		length := int64(binary.BigEndian.Uint32(b[:]))
		switch length {
		case 0:
			length = size - off
		case 1:
			length = int64(min(binary.BigEndian.Uint64(b[8:]), uint64(size)))
		}
		if length < 8 {
			break
		}
		if string(b[4:8]) == "moov" {
			if off+length <= head || off >= tail {
				break
			}
			return f, fill(off, min(length, largeMovie))
		}
		off += length
	}
	return f, nil
}

func sniff(f *os.File, size int64) (mediaType string, err error) {
	head := make([]byte, min(size, media.SniffLen))
	if _, err := f.ReadAt(head, 0); err != nil {
		return "", fmt.Errorf("read parts of original: %w", err)
	}
	return media.Sniff(head), nil
}

// renderLarge renders what parts has made of a film; of a picture there is only what its
// headers say. A failure is not the file's: it may need what is not there. What strangers wrote
// is read by the renderer's children alone, also where no more than the headers is wanted.
func (w *Worker) renderLarge(ctx context.Context, f *os.File, size int64) (*render.Result, error) {
	mediaType, err := sniff(f, size)
	if err != nil {
		return new(render.Result), err
	}
	res, err := w.renderer.Render(ctx, f, size)
	film := media.IsVideo(mediaType)
	if errors.Is(err, render.ErrCorrupt) || errors.Is(err, render.ErrCrashed) ||
		!film && (err == nil || errors.Is(err, render.ErrTooLarge) || errors.Is(err, render.ErrUnsupported)) {
		err = errTooBig
	}
	if !film {
		res.Variants, res.Placeholder, res.Partial = nil, "", false // of a part, at best
	}
	return res, err
}
