package render_test

import (
	"bytes"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
)

// raw is a camera's RAW file: a directory, a thumbnail, sensor data, and somewhere in
// it a preview.
func raw(directory testphoto.Directory, preview []byte) []byte {
	b := testphoto.TIFF(directory)
	b = append(b, testphoto.JPEG(testphoto.Quarters(160, 120))...)
	rnd := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	copy(noise[1000:], "\xff\xd8\xff\xc3\x00\x0b\x0e\x0f\xff\x0f\xff\x01\x00\x11\x00") // sensor data as lossless JPEG
	copy(noise[2000:], "\xff\xd8\xff\xe0")
	b = append(b, noise...)
	b = append(b, preview...)
	return append(b, noise[:1000]...)
}

func TestRAW(t *testing.T) {
	nikon := func(orientation uint16) testphoto.Directory {
		return testphoto.Directory{{ID: 0x00fe, Value: uint32(1)}, {ID: testphoto.TagMake, Value: "NIKON CORPORATION"}, {ID: testphoto.TagOrientation, Value: orientation}}
	}
	quarters := [4]color.NRGBA{red, green, blue, yellow}
	onItsSide := [4]color.NRGBA{blue, red, yellow, green} // orientation 6
	preview := testphoto.JPEG(testphoto.Quarters(640, 480))
	// The camera may say in the preview, too, how it was held. Once is enough.
	turned := testphoto.WithEXIF(preview, testphoto.Camera(6, "2024:01:02 03:04:05", ""))
	for _, test := range []struct {
		name string
		file []byte
		kind string
		w, h int
		want [4]color.NRGBA
	}{
		{"NEF", raw(nikon(1), preview), media.NEF, 640, 480, quarters},
		{"NEF on its side", raw(nikon(6), preview), media.NEF, 480, 640, onItsSide},
		{"NEF on its side, and said twice", raw(nikon(6), turned), media.NEF, 480, 640, onItsSide},
		{"DNG", raw(testphoto.Directory{{ID: 0xc612, Value: "\x01\x04"}}, preview), media.DNG, 640, 480, quarters},
		{"unknown, taken for a TIFF", raw(testphoto.Directory{{ID: testphoto.TagMake, Value: "Obscura"}}, preview), media.TIFF, 640, 480, quarters},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := do(t, test.file)
			if res.Type != test.kind || res.Width != test.w || res.Height != test.h || res.Partial {
				t.Errorf("got %s %d x %d, partial %v", res.Type, res.Width, res.Height, res.Partial)
			}
			for _, v := range res.Variants {
				checkCorners(t, v, test.want)
			}
		})
	}
}

func TestProfileOfTIFF(t *testing.T) {
	p3 := testphoto.Profile("RGB ", "Display P3")
	file := encodeTIFF(t, testphoto.Quarters(64, 48))
	// A directory of its own in front of the entries of the first one.
	at := int(file[4]) | int(file[5])<<8 | int(file[6])<<16
	count := int(file[at]) | int(file[at+1])<<8
	entries := bytes.Clone(file[at+2 : at+2+12*count])
	icc := len(file)
	file = append(file, p3...)
	u32 := func(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }
	copy(file[4:], u32(len(file)))
	file = append(file, byte(count+1), 0)
	file = append(file, entries...)
	file = append(append(append(file, 0x73, 0x87, 7, 0), u32(len(p3))...), u32(icc)...)
	file = append(file, 0, 0, 0, 0)
	for _, v := range do(t, file).Variants {
		if !bytes.Equal(profileIn(v.Data), p3) {
			t.Errorf("%s: not the profile", v.Name())
		}
	}
}
