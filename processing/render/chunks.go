package render

import (
	"bytes"
	"encoding/binary"
	"io"
	"iter"
)

// maxChunks is how many chunks or segments of a file are looked at.
const maxChunks = 1 << 16

// A chunk is a named part of a file.
type chunk struct {
	id   string
	body *io.SectionReader
}

// read reads the first n bytes of the body.
func (c *chunk) read(n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(io.NewSectionReader(c.body, 0, c.body.Size()), b)
	return b, err
}

// all reads the body if it has at most so many bytes; else nothing.
func (c *chunk) all(most int64) []byte {
	if c.body.Size() > most {
		return nil
	}
	b, err := c.read(int(c.body.Size()))
	if err != nil {
		return nil
	}
	return b
}

// chunksWebP yields the chunks of a WebP file, without the header of RIFF.
func chunksWebP(file *io.SectionReader) iter.Seq[*chunk] {
	return chunksIn(io.NewSectionReader(file, 12, file.Size()-12))
}

// chunksIn yields RIFF chunks that follow one another, padded to even length.
func chunksIn(r *io.SectionReader) iter.Seq[*chunk] {
	return func(yield func(*chunk) bool) {
		var head [8]byte
		off := int64(0)
		for range maxChunks {
			if n, _ := r.ReadAt(head[:], off); n < 8 {
				return
			}
			size := int64(binary.LittleEndian.Uint32(head[4:]))
			c := &chunk{string(head[:4]), io.NewSectionReader(r, off+8, min(size, max(0, r.Size()-off-8)))}
			if !yield(c) {
				return
			}
			off += 8 + size + size&1
		}
	}
}

// chunksPNG yields the chunks of a PNG file (PNG 3 §5.3).
func chunksPNG(file *io.SectionReader) iter.Seq[*chunk] {
	return func(yield func(*chunk) bool) {
		var head [8]byte
		off := int64(8)
		for range maxChunks {
			if n, _ := file.ReadAt(head[:], off); n < 8 {
				return
			}
			size := int64(binary.BigEndian.Uint32(head[:]))
			if !yield(&chunk{string(head[4:]), io.NewSectionReader(file, off+8, min(size, file.Size()-off-8))}) {
				return
			}
			off += 12 + size
		}
	}
}

// A segment is a marker segment of a JPEG (ITU-T T.81 §B.1.1.4).
type segment struct {
	marker byte
	off    int64 // of its 0xff in the file
	chunk
}

// The markers that are of interest here (T.81 table B.1).
const (
	markerSOF0 = 0xc0 // baseline
	markerSOF1 = 0xc1 // extended sequential
	markerSOF2 = 0xc2 // progressive
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda // start of a scan
	markerAPP2 = 0xe2
)

// segmentsJPEG yields the segments of a JPEG up to and with the first scan's header.
func segmentsJPEG(file *io.SectionReader) iter.Seq[*segment] {
	return func(yield func(*segment) bool) {
		var head [4]byte
		off := int64(2)
		for range maxChunks {
			if n, _ := file.ReadAt(head[:], off); n < 4 || head[0] != 0xff {
				return
			}
			if head[1] == 0xff { // fill
				off++
				continue
			}
			size := int64(binary.BigEndian.Uint16(head[2:]))
			if size < 2 {
				return
			}
			s := &segment{head[1], off, chunk{body: io.NewSectionReader(file, off+4, min(size-2, file.Size()-off-4))}}
			if !yield(s) || s.marker == markerSOS {
				return
			}
			off += 2 + size
		}
	}
}

func newBytes(b []byte) *bytes.Reader { return bytes.NewReader(b) }

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func putUint24(b []byte, v int) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }
