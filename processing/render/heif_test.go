package render_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gen2brain/heic"

	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

func box(kind string, body ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(bytes.Join(body, nil))))
	return append(append(b, kind...), bytes.Join(body, nil)...)
}

// headHEIF is a file without a picture, but with all that is told of one beforehand.
func headHEIF(brand string, w, h uint32, properties ...[]byte) []byte {
	u32 := binary.BigEndian.AppendUint32
	ispe := box("ispe", u32(u32(make([]byte, 4), w), h))
	ipco := box("ipco", append([][]byte{ispe}, properties...)...)
	return append(box("ftyp", []byte(brand+"\x00\x00\x00\x00mif1"+brand)), box("meta", make([]byte, 4), box("iprp", ipco))...)
}

// hvcC says how a picture is coded: its colours' resolution and the bits above 8.
func hvcC(chroma, bits byte) []byte {
	b := make([]byte, 23)
	b[0], b[16], b[17], b[18] = 1, 0xfc|chroma, 0xf8|bits, 0xf8|bits
	return box("hvcC", b)
}

// What the decoder in WebAssembly cannot do, or not without gigabytes, or only wrongly,
// is refused beforehand.
func TestRefusedHEIF(t *testing.T) {
	heic.ForceWasmMode = true
	defer func() { heic.ForceWasmMode = false }()
	for _, test := range []struct {
		name string
		file []byte
		want error
	}{
		{"no picture", headHEIF("heic", 400, 300, hvcC(1, 0)), render.ErrCorrupt},
		{"no header", headHEIF("heic", 400, 300)[:30], render.ErrCorrupt},
		{"10 bits", headHEIF("heix", 400, 300, hvcC(1, 2)), render.ErrUnsupported},
		{"4:2:2", headHEIF("heic", 400, 300, hvcC(2, 0)), render.ErrUnsupported},
		{"48 megapixels", headHEIF("heic", 8064, 6048, hvcC(1, 0)), render.ErrTooLarge},
		{"as large as can be said", headHEIF("heic", 1<<32-1, 1<<32-1, hvcC(1, 0)), render.ErrTooLarge},
		{"AVIF", headHEIF("avif", 400, 300, box("av1C", make([]byte, 4))), render.ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := render.Render(bytes.NewReader(test.file), int64(len(test.file)), nil)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// sampleHEIC is a picture from the decoder's own tests: nothing here can make one.
func sampleHEIC(t *testing.T) []byte {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gen2brain/heic").Output()
	if err != nil {
		t.Skipf("where the decoder's source is, is not known: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "testdata", "test8.heic"))
	if err != nil {
		t.Skip(err)
	}
	return b
}

func TestHEIC(t *testing.T) {
	if raceEnabled {
		t.Skip("minutes, under the race detector")
	}
	file := sampleHEIC(t)
	for _, wasm := range []bool{true, false} {
		heic.ForceWasmMode = wasm
		res := do(t, file)
		heic.ForceWasmMode = false
		if res.Type != media.HEIC || res.Width < 16 || res.Height < 16 || res.Meta.DisplayWidth != res.Width || res.Meta.DisplayHeight != res.Height {
			t.Errorf("got %s %d x %d, said to be %d x %d", res.Type, res.Width, res.Height, res.Meta.DisplayWidth, res.Meta.DisplayHeight)
		}
		for _, v := range res.Variants {
			pixels(t, v)
		}
	}
}
