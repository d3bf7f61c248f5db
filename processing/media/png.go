package media

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// png reads the chunks of a PNG (PNG, third edition, §5): its size, whether it moves, EXIF
// and XMP, also where these come behind the picture. The profiles of ImageMagick are
// metadata too, in hexadecimal.
func (f *found) png(w *window) error {
	var failed error // the first one: a chain of thousands takes the square of that to be written out
	for off := int64(8); off+8 <= w.size; {
		head, err := w.sub(off, 8).bytes(8)
		if err != nil || len(head) < 8 {
			return errors.Join(failed, err)
		}
		size := int64(binary.BigEndian.Uint32(head))
		body := w.sub(off+8, size)
		off += 12 + size
		switch string(head[4:]) {
		case "IHDR":
			v, err := body.bytes(8)
			if err != nil {
				return err
			}
			if len(v) == 8 {
				f.setFloatSize([2]float64{float64(binary.BigEndian.Uint32(v)), float64(binary.BigEndian.Uint32(v[4:]))})
			}
		case "acTL": // an animation's
			f.animated = true
		case "eXIf":
			err = f.exif(body)
		case "tEXt", "zTXt", "iTXt":
			err = f.pngText(string(head[4:]), body)
		case "IEND":
			return failed
		}
		if errors.Is(err, errWork) {
			return err
		}
		failed = cmp.Or(failed, err)
	}
	return failed
}

// pngText reads a text that is metadata of another kind (§11.3.3).
func (f *found) pngText(kind string, w *window) error {
	const longest = 79 // of a keyword
	head, err := w.bytes(longest + 3)
	if err != nil {
		return err
	}
	keyword, rest, _ := strings.Cut(string(head), "\x00")
	profile, isProfile := strings.CutPrefix(keyword, "Raw profile type ")
	isProfile = isProfile && slices.Contains([]string{"xmp", "iptc", "exif", "APP1"}, profile) // others do not count
	if !isProfile && keyword != "XML:com.adobe.xmp" || len(rest) < 2 || w.size > maxPacket {
		return nil
	}
	if f.unpacked++; f.unpacked > maxPackets {
		return nil
	}
	text, err := w.sub(int64(len(keyword)+1), w.size).bytes(maxPacket)
	if err != nil {
		return err
	}
	packed := kind == "zTXt"
	switch kind {
	case "zTXt":
		text = text[1:]
	case "iTXt": // whether it is packed and how, the language, the keyword in that
		packed = text[0] == 1
		parts := bytes.SplitN(text[2:], []byte{0}, 3)
		text = parts[len(parts)-1]
	}
	if packed {
		if text, err = inflate(text); err != nil {
			return fmt.Errorf("text of PNG: %w", err)
		}
	}
	if !isProfile {
		return f.addPacket(w.unpacked(text))
	}
	// Lines: the profile's name, its length, then hexadecimal digits.
	lines := strings.Split(strings.TrimLeft(string(text), "\n"), "\n")
	b, err := hex.DecodeString(strings.Join(lines[min(2, len(lines)):], ""))
	if err != nil {
		return fmt.Errorf("profile of PNG: %w", err)
	}
	switch {
	case profile == "xmp":
		return f.addPacket(w.unpacked(b))
	case profile == "iptc":
		f.photoshop(b)
	case profile == "exif":
		return f.exif(w.unpacked(b))
	case profile == "APP1":
		return f.app1(w.unpacked(b))
	}
	return nil
}

// inflate unpacks a text, as much of it as may be.
func inflate(b []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxPacket))
}
