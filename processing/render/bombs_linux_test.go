package render_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// Whatever is in a file, the process that asked for a picture of it takes no memory for it,
// hears why there is none, and gets the next one.
func TestBombs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory does not fit in")
	}
	bombs := []struct {
		name string
		file []byte
		want error // nil if a picture is made of it
	}{
		{"PNG of 40,000 by 40,000", testphoto.BombPNG(40000, 40000), render.ErrTooLarge},
		{"JPEG of 280 megapixels", testphoto.BombJPEG(20000, 14000), render.ErrTooLarge},
		{"JPEG of 4 gigapixels", testphoto.BombJPEG(65500, 1<<16-1)[:1<<20], render.ErrTooLarge},
		{"HEIC of 200 megapixels", headHEIF("heic", 16320, 12288, hvcC(1, 0)), render.ErrTooLarge},
		{"GIF of 100,000 pictures", testphoto.BombGIF(100_000), nil},
		{"TIFF that loops", testphoto.LoopingTIFF(testphoto.Quarters(64, 48)), nil},
	}
	if render.Turbo { // at an eighth, it is an eighth by an eighth of the work
		bombs[1].want = nil
	}
	dir := t.TempDir()
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	for i := range bombs {
		if err := os.WriteFile(name(i), bombs[i].file, 0o600); err != nil {
			t.Fatal(err)
		}
		bombs[i].file = nil
	}
	p := newPool(t, "render", nil)
	check(t, p)
	for i, bomb := range bombs {
		f, err := os.Open(name(i))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		debug.FreeOSMemory()
		before := peak(t)
		res, err := p.Render(t.Context(), f, info.Size())
		grown := peakAgain(t) - before
		f.Close()
		if !errors.Is(err, bomb.want) || errors.Is(err, render.ErrCrashed) {
			t.Errorf("%s: got %v, want %v", bomb.name, err, bomb.want)
		}
		if grown > 10<<10 {
			t.Errorf("%s: this process grew by %d KiB", bomb.name, grown)
		}
		if strings.HasPrefix(bomb.name, "GIF") && !res.Meta.Animated {
			t.Errorf("%s: not said to be animated", bomb.name)
		}
		t.Logf("%s, %d bytes: %v; this process grew by %d KiB", bomb.name, info.Size(), err, grown)
		check(t, p)
	}
}

// peak forgets the most memory that this process has had, and says how much it has now, in KiB.
func peak(t *testing.T) int {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skip("the kernel does not measure: ", err)
	}
	return peakAgain(t)
}

// peakAgain is the most memory since peak, in KiB.
func peakAgain(t *testing.T) (kib int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib
		}
	}
	t.Skip("no peak of memory in /proc/self/status")
	return 0
}
