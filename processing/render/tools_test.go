//go:build unix

package render_test

import (
	"bytes"
	"errors"
	"image/color"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// madeBy runs a program that makes a file, if it is installed.
func madeBy(t *testing.T, name string, args func(out string) []string, out string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	out = filepath.Join(t.TempDir(), out)
	if text, err := exec.Command(path, args(out)...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", name, err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// onDisk is a picture to be read by another program.
func onDisk(t *testing.T, b []byte, name string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFilm(t *testing.T) {
	still := onDisk(t, testphoto.JPEG(testphoto.Quarters(320, 240)), "still.jpg")
	file := madeBy(t, "ffmpeg", func(out string) []string {
		return []string{"-loglevel", "error", "-loop", "1", "-i", still, "-t", "0.2", "-c:v", "mpeg4", "-q:v", "2", out}
	}, "film.mp4")
	p := newPool(t, "render", nil)
	f, size := open(t, file)
	res, err := p.Render(t.Context(), f, size)
	if err != nil {
		t.Fatal(err)
	}
	if res.Type != media.MP4 || res.Width != 320 || res.Height != 240 || res.Placeholder == "" {
		t.Errorf("got %s %d x %d %q", res.Type, res.Width, res.Height, res.Placeholder)
	}
	for _, v := range res.Variants {
		checkCorners(t, v, [4]color.NRGBA{red, green, blue, yellow})
	}
	// A film that is cut short has no index, and so no picture.
	f, size = open(t, file[:len(file)/2])
	if res, err := p.Render(t.Context(), f, size); !render.Permanent(err) || res.Type != media.MP4 {
		t.Errorf("cut short: got %s, %v", res.Type, err)
	}
}

// A film that is to be shown on its side is turned, by who makes its picture and in what
// is said of it.
func TestFilmOnItsSide(t *testing.T) {
	still := onDisk(t, testphoto.JPEG(testphoto.Quarters(320, 240)), "still.jpg")
	file := madeBy(t, "ffmpeg", func(out string) []string {
		return []string{"-loglevel", "error", "-loop", "1", "-i", still, "-t", "0.2", "-c:v", "mpeg4", "-q:v", "2", out}
	}, "film.mp4")
	const one = "\x00\x01\x00\x00"
	zero := strings.Repeat("\x00", 4)
	upright := one + zero + zero + zero + one
	track := bytes.Index(file, []byte("tkhd"))
	matrix := track + bytes.Index(file[max(track, 0):], []byte(upright))
	if track < 0 || matrix < track {
		t.Skip("ffmpeg writes films of another kind")
	}
	copy(file[matrix:], zero+one+zero+"\xff\xff\x00\x00"+zero) // clockwise
	p := newPool(t, "render", nil)
	f, size := open(t, file)
	res, err := p.Render(t.Context(), f, size)
	if err != nil {
		t.Fatal(err)
	}
	if res.Width != 240 || res.Height != 320 || res.Meta.DisplayWidth != 240 || res.Meta.DisplayHeight != 320 || res.Meta.Width != 320 {
		t.Errorf("got %d x %d, %+v", res.Width, res.Height, res.Meta)
	}
	for _, v := range res.Variants {
		checkCorners(t, v, [4]color.NRGBA{blue, red, yellow, green})
	}
}

func TestJPEGXL(t *testing.T) {
	still := onDisk(t, testphoto.PNG(testphoto.Quarters(320, 240)), "still.png")
	file := madeBy(t, "cjxl", func(out string) []string { return []string{still, out} }, "still.jxl")
	p := newPool(t, "render", nil)
	f, size := open(t, file)
	res, err := p.Render(t.Context(), f, size)
	if err != nil {
		t.Fatal(err)
	}
	if res.Type != media.JXL || res.Width != 320 || res.Height != 240 {
		t.Errorf("got %s %d x %d", res.Type, res.Width, res.Height)
	}
	for _, v := range res.Variants {
		checkCorners(t, v, [4]color.NRGBA{red, green, blue, yellow})
	}
}

// Without the program there is no picture, for good, and it is said why.
func TestNoTool(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	p := newPool(t, "render", nil)
	f, size := open(t, []byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"))
	if _, err := p.Render(t.Context(), f, size); !errors.Is(err, render.ErrUnsupported) || !strings.Contains(err.Error(), "without ffmpeg") {
		t.Errorf("got %v", err)
	}
	if s := p.Capabilities(); !slices.Contains(s, "no film: ffmpeg is not installed") || !strings.HasPrefix(s[0], "JPEG by") {
		t.Errorf("capabilities: %q", s)
	}
}

// A tool has the child's limits: no network, and an end.
func TestToolConfined(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nexec sleep 60\n"
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	p := newPool(t, "render", &render.PoolOptions{Timeout: 300 * time.Millisecond})
	f, size := open(t, []byte("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"))
	if _, err := p.Render(t.Context(), f, size); !errors.Is(err, render.ErrCrashed) || !strings.Contains(err.Error(), "took longer") {
		t.Errorf("got %v", err)
	}
}

// A JPEG XL that was a JPEG is turned once, though it says twice how.
func TestJPEGXLOnItsSide(t *testing.T) {
	still := onDisk(t, testphoto.WithEXIF(testphoto.JPEG(testphoto.Quarters(320, 240)), testphoto.Camera(6, "2024:07:14 21:05:59", "")), "still.jpg")
	file := madeBy(t, "cjxl", func(out string) []string { return []string{still, out} }, "still.jxl")
	p := newPool(t, "render", nil)
	f, size := open(t, file)
	res, err := p.Render(t.Context(), f, size)
	if err != nil {
		t.Fatal(err)
	}
	if res.Width != 240 || res.Height != 320 || res.Meta.DisplayWidth != 240 || res.Meta.DisplayHeight != 320 || res.Meta.Width != 320 {
		t.Errorf("got %d x %d, %+v", res.Width, res.Height, res.Meta)
	}
	if m := res.Meta; m.TakenFrom != media.FromExif || !m.HasPlace || m.Camera() != "Shoebox Model T" { // cjxl packs it
		t.Errorf("got %+v", m)
	}
	for _, v := range res.Variants {
		checkCorners(t, v, [4]color.NRGBA{blue, red, yellow, green})
	}
}
