package render

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/tiff"

	"github.com/shoebox-photos/shoebox/processing/media"
)

// raws are the types of which the picture in them is shown that the camera made.
var raws = map[string]bool{
	media.CR2: true, media.CR3: true, media.CRW: true, media.NEF: true, media.ARW: true, media.DNG: true,
	media.RAF: true, media.RW2: true, media.ORF: true, media.PEF: true,
}

// readable says whether a TIFF is of a kind that can be decoded; a RAW that was taken
// for a plain TIFF is not.
func readable(file *io.SectionReader) bool {
	rewind(file)
	_, err := tiff.DecodeConfig(file)
	return err == nil
}

// maxEmbedded is how many JPEGs in a RAW are looked at.
const maxEmbedded = 256

// embeddedJPEG finds the JPEG with the most pixels in a file of another kind. Every
// maker puts it somewhere else; but all of them begin alike, and sensor data that
// looks like the beginning of a JPEG does not go on like one.
func embeddedJPEG(file *io.SectionReader) (*io.SectionReader, error) {
	var best *io.SectionReader
	most := int64(0)
	buf := make([]byte, 256<<10)
	seen := 0
	for off := int64(0); seen < maxEmbedded; {
		n, _ := file.ReadAt(buf, off)
		if n < 4 {
			break
		}
		for i := 0; seen < maxEmbedded; {
			k := bytes.Index(buf[i:n], []byte("\xff\xd8\xff"))
			if k < 0 {
				break
			}
			i += k
			seen++
			from := off + int64(i)
			jpeg := io.NewSectionReader(file, from, file.Size()-from)
			if pixels := sizeOfJPEG(jpeg); pixels > most {
				best, most = jpeg, pixels
			}
			i += 3
		}
		off += int64(n - 2)
	}
	if best == nil {
		return nil, fmt.Errorf("%w: a RAW without a picture in it", ErrUnsupported)
	}
	return cutJPEG(best), nil
}

// sizeOfJPEG is how many pixels a JPEG has, if it is of a kind that cameras use for
// pictures to look at (not lossless, as which some store the sensor's data); else 0.
func sizeOfJPEG(file *io.SectionReader) int64 {
	pixels := int64(0)
	for s := range segmentsJPEG(file) {
		switch s.marker {
		case markerSOF0, markerSOF1, markerSOF2:
			b, err := s.read(6) // precision, height, width, components
			if err != nil || b[0] != 8 || b[5] != 1 && b[5] != 3 {
				return 0
			}
			pixels = int64(binary.BigEndian.Uint16(b[1:])) * int64(binary.BigEndian.Uint16(b[3:]))
		case markerSOS:
			return pixels
		}
	}
	return 0
}

// cutJPEG is the JPEG up to its end, as far as that can be found.
func cutJPEG(file *io.SectionReader) *io.SectionReader {
	var scan int64
	for s := range segmentsJPEG(file) {
		scan = s.off
	}
	r := bufio.NewReaderSize(io.NewSectionReader(file, scan, file.Size()-scan), 64<<10)
	size := scan
	for {
		line, err := r.ReadSlice(markerEOI)
		size += int64(len(line))
		if n := len(line); err == nil && n >= 2 && line[n-2] == 0xff {
			return io.NewSectionReader(file, 0, size)
		}
		if err != nil && err != bufio.ErrBufferFull {
			return file
		}
	}
}

// weightJPEG counts the planes and, of a progressive picture, the coefficients that
// are kept until the last scan.
func weightJPEG(file *io.SectionReader, c image.Config) int64 {
	pixels := int64(c.Width) * int64(c.Height)
	samples, progressive := 3*pixels, false
	for s := range segmentsJPEG(file) {
		switch s.marker {
		case markerSOF0, markerSOF1, markerSOF2:
			progressive = s.marker == markerSOF2
			// Of the first component, 8 bytes in, how many samples there are for one of chroma.
			if b, err := s.read(8); err == nil && b[5] == 3 {
				samples = pixels + 2*pixels/max(1, int64(b[7]>>4)*int64(b[7]&15))
			}
		}
	}
	weight := samples
	if progressive {
		coefficient := int64(4) // bytes
		if Turbo {
			coefficient = 2
		}
		weight += coefficient * samples
	}
	if Turbo {
		weight += min(file.Size(), turboMax)
	}
	return weight + 24<<20
}

// profileTIFF reads tag 34675 of the first directory (ICC.1:2022 §B.5).
func profileTIFF(file *io.SectionReader) []byte {
	const tagICC = 34675
	var head [8]byte
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[0] == 'M' {
		order = binary.BigEndian
	}
	off := int64(order.Uint32(head[4:]))
	var count [2]byte
	if _, err := file.ReadAt(count[:], off); err != nil {
		return nil
	}
	fields := make([]byte, 12*int(order.Uint16(count[:])))
	if _, err := file.ReadAt(fields, off+2); err != nil {
		return nil
	}
	for ; len(fields) >= 12; fields = fields[12:] {
		if order.Uint16(fields) != tagICC {
			continue
		}
		c := chunk{body: io.NewSectionReader(file, int64(order.Uint32(fields[8:])), int64(order.Uint32(fields[4:])))}
		return c.all(maxProfile)
	}
	return nil
}
