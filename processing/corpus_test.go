package processing_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// ends is how those files of the corpus end that are no sound picture: a part of what is
// said of them, or "partial". Of some, libjpeg-turbo makes out a part where the standard
// library gives up: "damaged or partial".
var ends = map[string]string{
	"bomb-30000x30000-1bit.png": "too many pixels",
	"truncated-40pct.jpg":       "partial",
	"truncated.heic":            "damaged",
	"canon-tiny.cr3":            "a RAW without a picture in it", // its metadata alone
	"head-sample.cr2":           "damaged or partial",            // cut in the midst of it
	"bad-exif-hopper.jpg":       "damaged or partial",            // not its EXIF alone is bad
	"head-sample.dng":           "a RAW without a picture in it", // cut before it
	"head-sample.nef":           "a RAW without a picture in it", // cut before it
}

// none are those that are no pictures at all: they are kept, and nobody looks at them.
var none = map[string]bool{"not-a-jpeg.jpg": true, "zero-byte.jpg": true}

// TestCorpus puts every file of a directory of photographs, if SHOEBOX_TEST_CORPUS names
// one, and lets children look at them: each gets its variants, but for those that ends
// names and those of which this machine has no decoder.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("SHOEBOX_TEST_CORPUS")
	if dir == "" {
		t.Skip("SHOEBOX_TEST_CORPUS is not set")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pool := render.NewPool([]string{exe, "render"}, nil)
	defer pool.Close()
	b := newBox(t, &job.Options{Backoff: func(int) time.Duration { return time.Millisecond }})
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	jobs := 0
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasSuffix(name, ".md") || strings.HasSuffix(name, ".tsv") {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b.put(t, "photos/"+name, content)
		names = append(names, name)
		if !none[name] {
			jobs++
		}
	}
	if s := b.stats(t); s.Queued != jobs {
		t.Errorf("%d jobs for %d files, want %d", s.Queued, len(names), jobs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lib := &counting{Library: b.b, want: jobs, cancel: cancel}
	if err := processing.New(lib, b.queue, pool, &processing.Options{TempDir: t.TempDir(), Gather: time.Millisecond}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	shown, without := 0, 0
	for _, name := range names {
		got := b.media(t, "photos/"+name)
		says, special := ends[name]
		lacks := strings.Contains(got.NoPreview, "there is no preview of")
		switch {
		case none[name]:
			if got.Processed {
				t.Errorf("%s: got %+v, want nothing", name, got)
			}
		case lacks && !special:
			without++
			t.Logf("%s: %s", name, got.NoPreview)
		case says == "damaged or partial" && got.NoPreview == "the file is damaged" && !render.Turbo:
		case special && !strings.HasSuffix(says, "partial"):
			if !strings.Contains(got.NoPreview, says) || len(got.Variants) != 0 {
				t.Errorf("%s: got %+v, want: … %s", name, got, says)
			}
		default:
			shown++
			if len(got.Variants) != len(render.Recipes) || got.NoPreview != "" || got.Width == 0 {
				t.Errorf("%s: got %+v, want variants", name, got)
			}
			if got.Details().Partial != special {
				t.Errorf("%s: partial is %v", name, got.Details().Partial)
			}
		}
	}
	t.Logf("%d files: %d have variants, %d end as they must, of %d there is no decoder here, %d are no pictures", len(names), shown, len(ends), without, len(none))
	if s := b.stats(t); s != (job.Stats{}) {
		t.Errorf("jobs left: %+v", s)
	}
}
