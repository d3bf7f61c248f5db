package testphoto

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
)

// Profile is a minimal ICC profile: a header of a colour space ("RGB ", "GRAY", …)
// and a description.
func Profile(space, description string) []byte {
	desc := append([]byte("desc\x00\x00\x00\x00"), binary.BigEndian.AppendUint32(nil, uint32(len(description)+1))...)
	desc = append(append(desc, description...), 0)
	b := make([]byte, 128)
	copy(b[16:], space)
	copy(b[36:], "acsp")
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(b, "desc"...)
	b = binary.BigEndian.AppendUint32(b, 144)
	b = binary.BigEndian.AppendUint32(b, uint32(len(desc)))
	b = append(b, desc...)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// WithProfile is the JPEG with an ICC profile put in, in pieces of at most n bytes.
func WithProfile(jpeg, icc []byte, n int) []byte {
	count := (len(icc) + n - 1) / n
	for i := count; i > 0; i-- { // each goes in front of the others
		piece := icc[(i-1)*n : min(i*n, len(icc))]
		jpeg = WithSegment(jpeg, 0xe2, append([]byte{'I', 'C', 'C', '_', 'P', 'R', 'O', 'F', 'I', 'L', 'E', 0, byte(i), byte(count)}, piece...))
	}
	return jpeg
}

// WithChunk is the PNG with a chunk put in after its header.
func WithChunk(png []byte, id string, body []byte) []byte {
	const after = 8 + 25 // signature, IHDR
	b := bytes.Clone(png[:after])
	return append(append(b, Chunk(id, body)...), png[after:]...)
}

// Chunk is a chunk of a PNG.
func Chunk(id string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, id...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// Deflate packs b as zlib does.
func Deflate(b []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

// BombPNG is a small file whose header promises w by h pixels of one bit, and keeps
// the promise: the rows of zeros pack a thousandfold.
func BombPNG(w, h int) []byte {
	var head []byte
	head = binary.BigEndian.AppendUint32(head, uint32(w))
	head = binary.BigEndian.AppendUint32(head, uint32(h))
	head = append(head, 1, 0, 0, 0, 0) // depth, grey, deflate, no interlace
	var data bytes.Buffer
	z, err := zlib.NewWriterLevel(&data, zlib.BestSpeed)
	if err != nil {
		panic(err)
	}
	row := make([]byte, 1+(w+7)/8)
	for range h {
		z.Write(row)
	}
	z.Close()
	b := []byte("\x89PNG\r\n\x1a\n")
	b = append(b, Chunk("IHDR", head)...)
	b = append(b, Chunk("IDAT", data.Bytes())...)
	return append(b, Chunk("IEND", nil)...)
}
