package render_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// TestCorpus renders real photographs, if SHOEBOX_TEST_CORPUS names a directory of
// them. With SHOEBOX_TEST_KEEP naming another, the variants are put there to look at.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SHOEBOX_TEST_CORPUS")
	if dir == "" {
		t.Skip("SHOEBOX_TEST_CORPUS is not set")
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range files {
		t.Run(entry.Name(), func(t *testing.T) {
			f, err := os.Open(filepath.Join(dir, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			res, err := render.Render(f, info.Size(), nil)
			if err != nil {
				if !render.Permanent(err) {
					t.Error(err)
				}
				switch res.Type {
				case media.JPEG, media.PNG, media.GIF, media.WebP:
					// One is a bomb, one has not an eighth of its rows.
					if !errors.Is(err, render.ErrTooLarge) && !errors.Is(err, render.ErrCorrupt) {
						t.Error(err)
					}
				}
				t.Logf("%s: %v", res.Type, err)
				return
			}
			t.Logf("%s %d x %d, partial %v, placeholder %s", res.Type, res.Width, res.Height, res.Partial, res.Placeholder)
			for _, v := range res.Variants {
				t.Logf("%s %d x %d, %d bytes", v.Name(), v.Width, v.Height, len(v.Data))
				if keep := os.Getenv("SHOEBOX_TEST_KEEP"); keep != "" {
					if err := os.WriteFile(filepath.Join(keep, entry.Name()+"-"+v.Name()), v.Data, 0o644); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}
