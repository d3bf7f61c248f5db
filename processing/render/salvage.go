package render

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
)

var errSalvage = errors.New("jpeg: nothing of it can be decoded")

// salvageJPEG decodes what is whole of a JPEG that was cut short or damaged. The
// standard decoder gives all or nothing; so it is handed a lesser picture, one
// that is whole.
func salvageJPEG(file *io.SectionReader) (image.Image, error) {
	for s := range segmentsJPEG(file) {
		switch s.marker {
		case markerSOF0, markerSOF1:
			return salvageSequential(file, s)
		case markerSOF2:
			return salvageProgressive(file)
		}
	}
	return nil, errSalvage
}

// salvageSequential finds how many rows of pixels are whole, by asking for fewer of
// them in the frame header, and gives these on a grey ground. Each probe costs up
// to a decode of the whole, so they are few.
func salvageSequential(file *io.SectionReader, frame *segment) (image.Image, error) {
	b, err := frame.read(5) // precision, height, width
	if err != nil {
		return nil, err
	}
	height := int(binary.BigEndian.Uint16(b[1:]))
	const steps = 64 // of height, so 6 probes
	const least = 8  // fewer are not worth showing
	var best image.Image
	for low, high := least-1, steps; high-low > 1; {
		mid := (low + high) / 2
		rows := max(1, height*mid/steps)
		m, err := jpeg.Decode(withHeight(file, frame.off+5, rows))
		if err != nil {
			high = mid
			continue
		}
		low, best = mid, m
	}
	if best == nil {
		return nil, errSalvage
	}
	return onGrey(best, height), nil
}

// onGrey is a picture with the rows that it lacks, in grey.
func onGrey(m image.Image, height int) image.Image {
	b := m.Bounds()
	whole := image.Rect(0, 0, b.Dx(), height)
	if m, ok := m.(*image.YCbCr); ok { // it keeps its planes
		out := image.NewYCbCr(whole, m.SubsampleRatio)
		for _, p := range []struct{ to, from []uint8 }{{out.Y, m.Y}, {out.Cb, m.Cb}, {out.Cr, m.Cr}} {
			for i := range p.to {
				p.to[i] = 128
			}
		}
		sx, sy, _ := subsampling(m.SubsampleRatio)
		for y := range b.Dy() {
			copy(out.Y[y*out.YStride:][:b.Dx()], m.Y[y*m.YStride:])
		}
		for y := range (b.Dy() + sy - 1) / sy {
			n := (b.Dx() + sx - 1) / sx
			copy(out.Cb[y*out.CStride:][:n], m.Cb[y*m.CStride:])
			copy(out.Cr[y*out.CStride:][:n], m.Cr[y*m.CStride:])
		}
		return out
	}
	out := image.NewNRGBA(whole)
	draw.Draw(out, whole, image.NewUniform(color.Gray{128}), image.Point{}, draw.Src)
	draw.Draw(out, b, m, image.Point{}, draw.Src)
	return out
}

// withHeight is the file with other rows in the frame header, and an end.
func withHeight(file *io.SectionReader, off int64, rows int) io.Reader {
	return io.MultiReader(
		io.NewSectionReader(file, 0, off),
		bytes.NewReader(binary.BigEndian.AppendUint16(nil, uint16(rows))),
		io.NewSectionReader(file, off+2, file.Size()-off-2),
		bytes.NewReader([]byte{0xff, markerEOI}),
	)
}

// salvageProgressive leaves out scans from the last one back: each made the picture
// finer, and the first shows all of it.
func salvageProgressive(file *io.SectionReader) (image.Image, error) {
	scans := findScans(file)
	const most = 12 // scans as written by the usual encoders: 10
	for i := len(scans) - 1; i >= max(1, len(scans)-most); i-- {
		m, err := jpeg.Decode(io.MultiReader(
			io.NewSectionReader(file, 0, scans[i]),
			bytes.NewReader([]byte{0xff, markerEOI}),
		))
		if err == nil {
			return m, nil
		}
	}
	return nil, errSalvage
}

// findScans finds where the scans of a JPEG begin. In the data of a scan 0xff is
// followed by zero or a restart marker, so no scan header is seen where there is
// none, unless by damage.
func findScans(file *io.SectionReader) (offs []int64) {
	var first int64
	for s := range segmentsJPEG(file) {
		if s.marker == markerSOS {
			first = s.off
		}
	}
	if first == 0 {
		return nil
	}
	buf := make([]byte, 64<<10)
	for off := first; ; {
		n, _ := file.ReadAt(buf, off)
		if n < 2 {
			return offs
		}
		for i := 0; i+1 < n; i++ {
			if buf[i] == 0xff && buf[i+1] == markerSOS {
				offs = append(offs, off+int64(i))
			}
		}
		off += int64(n - 1)
	}
}
