package testphoto

import (
	"bytes"
	"encoding/binary"
	"image"

	"golang.org/x/image/tiff"
)

// BombJPEG is a grey JPEG of which every square of 8 by 8 pixels takes two bits of the file.
func BombJPEG(w, h int) []byte {
	b := []byte{0xff, 0xd8}
	segment := func(marker byte, body ...byte) {
		b = append(b, 0xff, marker)
		b = binary.BigEndian.AppendUint16(b, uint16(len(body)+2))
		b = append(b, body...)
	}
	quanta := append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)
	segment(0xdb, quanta...)
	segment(0xc0, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 1, 1, 0x11, 0)
	for _, class := range []byte{0x00, 0x10} { // "as before" and "nothing more" are one bit each, zero
		segment(0xc4, append(append([]byte{class, 1}, make([]byte, 15)...), 0)...)
	}
	segment(0xda, 1, 1, 0, 0, 63, 0)
	squares := ((w + 7) / 8) * ((h + 7) / 8)
	b = append(b, make([]byte, (squares+3)/4)...)
	return append(b, 0xff, 0xd9)
}

// BombGIF is an animation of so many pictures of one pixel.
func BombGIF(pictures int) []byte {
	b := []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff")
	picture := []byte{0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 0x01, 0}
	return append(append(b, bytes.Repeat(picture, pictures)...), 0x3b)
}

// LoopingTIFF is a picture whose directory is followed by itself.
func LoopingTIFF(m image.Image) []byte {
	var buf bytes.Buffer
	if err := tiff.Encode(&buf, m, nil); err != nil {
		panic(err)
	}
	b := buf.Bytes()
	directory := binary.LittleEndian.Uint32(b[4:])
	entries := uint32(binary.LittleEndian.Uint16(b[directory:]))
	binary.LittleEndian.PutUint32(b[directory+2+12*entries:], directory)
	return b
}
