package render_test

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/render"
)

//go:embed testdata/colour.mjs
var colourScript []byte

// A small picture as colour.mjs gives it.
type small struct {
	W, H, Channels int
	Data           []byte
}

func (s *small) at(i int) color.NRGBA {
	p := s.Data[i*s.Channels:]
	if s.Channels < 3 {
		return color.NRGBA{p[0], p[0], p[0], 255}
	}
	return color.NRGBA{p[0], p[1], p[2], 255}
}

// Of these, sharp's colours are not ours, and for a reason.
var othersColours = map[string]string{
	"cmyk-small.jpg":  "CMYK is converted without its profile",
	"sixteen-bit.png": "sharp converts 16 bits by the profile, which is sRGB; ImageMagick finds our colours",
}

// The views of real photographs, in SHOEBOX_TEST_CORPUS, have the colours of the originals, as
// sharp in SHOEBOX_TEST_SHARP sees both (npm install --prefix DIRECTORY sharp), which also makes
// views of its own for comparison: as near in brightness, at as many bytes.
func TestCorpusColour(t *testing.T) {
	dir, node := os.Getenv("SHOEBOX_TEST_CORPUS"), os.Getenv("SHOEBOX_TEST_SHARP")
	if dir == "" || node == "" {
		t.Skip("SHOEBOX_TEST_CORPUS or SHOEBOX_TEST_SHARP is not set")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	type pair struct {
		Original string `json:"original"`
		View     string `json:"view"`
		bytes    int
		photo    bool // of a megapixel or more, as most are
	}
	var pairs []pair
	keep := t.TempDir()
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		res, err := render.Render(f, info.Size(), nil)
		f.Close()
		if err != nil || othersColours[entry.Name()] != "" || strings.Contains(res.Type, "-") {
			continue // TestCorpus has these; and of a RAW (image/x-…), sharp reads another picture
		}
		view := filepath.Join(keep, entry.Name()+"."+render.Ext)
		if err := os.WriteFile(view, res.Variants[0].Data, 0o600); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, pair{name, view, len(res.Variants[0].Data), res.Width*res.Height >= 1e6})
	}
	arg, err := json.Marshal(pairs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "--input-type=module", "-", string(arg))
	cmd.Dir, cmd.Stdin, cmd.Stderr = node, bytes.NewReader(colourScript), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	var count, photos, ours, theirs, psnrOurs, psnrTheirs, bytesOurs, bytesTheirs float64
	t.Logf("%-40s %11s %11s %11s %11s %9s %9s", "file", "dE00", "of sharp", "PSNR-Y dB", "of sharp", "bytes", "of sharp")
	for _, p := range pairs {
		if !lines.Scan() {
			t.Fatalf("%d pairs, and sharp ended before", len(pairs))
		}
		var a struct {
			Error string
			Bytes int
			PSNR  [2]float64
			Small [3]small // of the original, our view, sharp's view
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if a.Error != "" {
			t.Logf("%-40s sharp: %s", filepath.Base(p.Original), a.Error)
			continue
		}
		var differ [2]float64
		n := a.Small[0].W * a.Small[0].H
		for i := range n {
			for k := range differ {
				differ[k] += sRGB.differ(a.Small[0].at(i), a.Small[1+k].at(i)) / float64(n)
			}
		}
		t.Logf("%-40s %11.2f %11.2f %11.2f %11.2f %9d %9d", filepath.Base(p.Original), differ[0], differ[1], a.PSNR[0], a.PSNR[1], p.bytes, a.Bytes)
		count++
		ours, theirs = ours+differ[0], theirs+differ[1]
		if !p.photo {
			continue
		}
		photos++
		psnrOurs, psnrTheirs = psnrOurs+a.PSNR[0], psnrTheirs+a.PSNR[1]
		bytesOurs, bytesTheirs = bytesOurs+float64(p.bytes), bytesTheirs+float64(a.Bytes)
	}
	if photos == 0 {
		t.Fatal("nothing to compare")
	}
	t.Logf("%-40s %11.3f %11.3f", "mean of all", ours/count, theirs/count)
	t.Logf("%-40s %11s %11s %11.2f %11.2f %9.0f %9.0f", "mean of a megapixel and more", "", "", psnrOurs/photos, psnrTheirs/photos, bytesOurs/photos, bytesTheirs/photos)
	if ours/count > 0.7 {
		t.Errorf("colours differ by %.2f in the mean", ours/count)
	}
	if psnrOurs < psnrTheirs-0.1*photos {
		t.Error("sharp's are nearer in brightness")
	}
	if bytesOurs > 1.01*bytesTheirs {
		t.Error("sharp's are smaller")
	}
}
