package render

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"unicode/utf16"
)

// maxProfile is the largest ICC profile that is copied, in bytes. Those for
// displays have 0.5 to 4 KiB; those with tables for printing have megabytes.
const maxProfile = 256 << 10

// usable gives the profile back if a browser needs it to show the colours right: it
// is sound, for RGB, and not sRGB, which is what is taken without one.
func usable(icc []byte) []byte {
	// ICC.1:2022 §7.2: size, …, colour space at 16, signature at 36.
	if len(icc) < 132 || len(icc) > maxProfile ||
		string(icc[36:40]) != "acsp" || string(icc[16:20]) != "RGB " ||
		uint64(binary.BigEndian.Uint32(icc)) > uint64(len(icc)) {
		return nil
	}
	if isSRGB(icc) {
		return nil
	}
	return icc
}

// isSRGB goes by the description, the text of which all the many profiles for
// sRGB begin with: "sRGB", "sRGB IEC61966-2.1", "sRGB built-in", … One that has a table of
// colours beside (A2B0, ICC.1:2022 §9.2.1) shows them otherwise, though: "sRGB v4 ICC preference".
func isSRGB(icc []byte) bool {
	n := int(min(binary.BigEndian.Uint32(icc[128:]), 100))
	named := false
	for i := range n {
		entry := 132 + 12*i
		if entry+12 > len(icc) {
			return false
		}
		kind := string(icc[entry : entry+4])
		if kind == "A2B0" {
			return false
		}
		if kind != "desc" {
			continue
		}
		off, size := uint64(binary.BigEndian.Uint32(icc[entry+4:])), uint64(binary.BigEndian.Uint32(icc[entry+8:]))
		if off+size > uint64(len(icc)) || size < 12 {
			return false
		}
		text := description(icc[off : off+size])
		named = bytes.HasPrefix(bytes.TrimSpace(text), []byte("sRGB"))
	}
	return named
}

// description is the text of a desc tag, of version 2 (desc, ICC.1:2001 §6.5.17) or
// of version 4 (mluc, ICC.1:2022 §10.15), whose first translation will do.
func description(b []byte) []byte {
	switch string(b[:4]) {
	case "desc":
		return b[12:]
	case "mluc":
		if len(b) < 28 {
			return nil
		}
		size, off := uint64(binary.BigEndian.Uint32(b[20:])), uint64(binary.BigEndian.Uint32(b[24:]))
		if off+size > uint64(len(b)) {
			return nil
		}
		var text []uint16
		for i := off; i+1 < off+size; i += 2 {
			text = append(text, binary.BigEndian.Uint16(b[i:]))
		}
		return []byte(string(utf16.Decode(text)))
	}
	return nil
}

// magicICC begins a segment with a piece of a profile.
const magicICC = "ICC_PROFILE\x00"

// profileJPEG joins the pieces in APP2 segments (ICC.1:2022 §B.4), each with its
// number and their count.
func profileJPEG(file *io.SectionReader) []byte {
	pieces := make(map[byte][]byte)
	count, total := byte(0), 0
	for s := range segmentsJPEG(file) {
		if s.marker != markerAPP2 {
			continue
		}
		b := s.all(1 << 16)
		if len(b) < len(magicICC)+2 || string(b[:len(magicICC)]) != magicICC {
			continue
		}
		number := b[len(magicICC)]
		count = b[len(magicICC)+1]
		if _, dup := pieces[number]; !dup {
			pieces[number] = b[len(magicICC)+2:]
			total += len(pieces[number])
		}
	}
	if total > maxProfile {
		return nil
	}
	var icc []byte
	for i := range int(count) {
		piece, ok := pieces[byte(i+1)]
		if !ok {
			return nil
		}
		icc = append(icc, piece...)
	}
	return icc
}

// profilePNG unpacks iCCP (PNG 3 §11.3.2.3): a name, a zero, the method 0, deflate.
func profilePNG(file *io.SectionReader) []byte {
	for c := range chunksPNG(file) {
		switch c.id {
		case "iCCP":
			b := c.all(maxProfile)
			i := bytes.IndexByte(b, 0)
			if i < 0 || i+2 > len(b) || b[i+1] != 0 {
				return nil
			}
			z, err := zlib.NewReader(bytes.NewReader(b[i+2:]))
			if err != nil {
				return nil
			}
			icc, err := io.ReadAll(io.LimitReader(z, maxProfile+1))
			if err != nil {
				return nil
			}
			return icc
		case "IDAT": // iCCP comes before
			return nil
		}
	}
	return nil
}

func profileWebP(file *io.SectionReader) []byte {
	for c := range chunksWebP(file) {
		if c.id == "ICCP" {
			return c.all(maxProfile)
		}
	}
	return nil
}
