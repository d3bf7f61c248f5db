package testphoto

import (
	"encoding/binary"
	"image"
	"image/color"
)

// ProgressiveJPEG encodes a picture coarsely, as one colour for each square of 8 by 8
// pixels, but in the scans of a progressive JPEG: one shows all of it, three more
// would make it finer, and say that there is nothing to add. (ITU-T T.81 annex G.)
// It also gives where the scans begin.
func ProgressiveJPEG(m image.Image) (file []byte, scans []int) {
	bounds := m.Bounds()
	w, h := (bounds.Dx()+7)/8, (bounds.Dy()+7)/8
	segment := func(marker byte, body ...byte) {
		file = append(file, 0xff, marker)
		file = binary.BigEndian.AppendUint16(file, uint16(len(body)+2))
		file = append(file, body...)
	}
	file = []byte{0xff, 0xd8}
	quanta := make([]byte, 65)
	for i := range quanta[1:] {
		quanta[1+i] = 8 // so that a coefficient of the mean is the mean less 128
	}
	segment(0xdb, quanta...)
	segment(0xc2, 8, byte(bounds.Dy()>>8), byte(bounds.Dy()), byte(bounds.Dx()>>8), byte(bounds.Dx()), 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)
	// The sizes 0 to 8 of a difference of means, in four bits each.
	segment(0xc4, 0x00, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	// "Nothing more in this block", in one.
	segment(0xc4, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00)

	var bits, count uint32
	put := func(v uint32, n uint32) {
		for n > 0 {
			n--
			bits, count = bits<<1|v>>n&1, count+1
			if count == 8 {
				file = append(file, byte(bits))
				if byte(bits) == 0xff {
					file = append(file, 0)
				}
				bits, count = 0, 0
			}
		}
	}
	flush := func() {
		for count != 0 {
			put(1, 1)
		}
	}
	scans = append(scans, len(file))
	segment(0xda, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0)
	var before [3]int
	for y := range h {
		for x := range w {
			c := color.YCbCrModel.Convert(m.At(bounds.Min.X+min(8*x+4, bounds.Dx()-1), bounds.Min.Y+min(8*y+4, bounds.Dy()-1))).(color.YCbCr)
			for i, v := range []uint8{c.Y, c.Cb, c.Cr} {
				d := int(v) - 128 - before[i]
				before[i] = int(v) - 128
				size := uint32(0)
				for abs := max(d, -d); abs > 0; abs >>= 1 {
					size++
				}
				put(size, 4)
				if d < 0 {
					d--
				}
				put(uint32(d)&(1<<size-1), size)
			}
		}
	}
	flush()
	for i := range byte(3) {
		scans = append(scans, len(file))
		segment(0xda, 1, i+1, 0, 1, 63, 0)
		for range w * h {
			put(0, 1)
		}
		flush()
	}
	return append(file, 0xff, 0xd9), scans
}
