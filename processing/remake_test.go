package processing_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// today makes a box whose Backend knows the recipes of today.
func today(t *testing.T) *box {
	t.Helper()
	b := newBox(t, nil)
	b.b = backend.New(b.bucket, b.x, &backend.Options{Sniff: media.Sniff, Queue: b.queue, Variants: render.Names()})
	var err error
	if b.Library, err = b.b.Library(t.Context(), uid, backend.Access{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// able is a Renderer that says what it can, and can do no film unless it says ffmpeg.
type able struct {
	fake
	can []string
}

func (a *able) Capabilities() []string { return a.can }

func (a *able) Render(ctx context.Context, file *os.File, size int64) (*render.Result, error) {
	head := make([]byte, min(size, media.SniffLen))
	file.ReadAt(head, 0)
	if media.IsVideo(media.Sniff(head)) && slices.Contains(a.can, "ffmpeg") {
		f, err := os.CreateTemp("", "poster")
		if err != nil {
			return new(render.Result), err
		}
		defer f.Close()
		os.Remove(f.Name())
		poster := testphoto.JPEG(testphoto.Quarters(64, 48))
		f.Write(poster)
		return a.fake.Render(ctx, f, int64(len(poster)))
	}
	return a.fake.Render(ctx, file, size)
}

func users(context.Context) ([]string, error) { return []string{uid}, nil }

const tinyFilm = "\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"

// What had no preview is tried again when a tool was installed, and then left alone.
func TestToolInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := today(t)
		b.put(t, "photos/film.mp4", []byte(tinyFilm))
		b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		start := func(can ...string) *able {
			r := &able{can: can}
			b.run(t, processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir(), Users: users}), 60)
			return r
		}
		for _, test := range []struct {
			can     string
			calls   int
			preview bool
		}{
			{"no film", 2, false},
			{"no film", 0, false},
			{"ffmpeg", 1, true},
			{"ffmpeg", 0, true},
			{"no film", 0, true}, // what there is stays
		} {
			r := start(test.can)
			if got := b.media(t, "photos/film.mp4"); r.calls != test.calls || (got.NoPreview == "") != test.preview || (got.By == "") != test.preview {
				t.Errorf("%s: %d calls, want %d; got %+v", test.can, r.calls, test.calls, got)
			}
		}
	})
}

// A new recipe: every picture is made anew in the background, a few at a time, with the
// progress in the job's row; then the old variants are gone, and it was done once.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		b := today(t)
		old := []string{"view-0badcafe." + render.Ext, "thumb-0badcafe." + render.Ext}
		var found []backend.Processed
		for i := range n {
			// All of them differ.
			e := b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(16, 12, fmt.Sprintf("2001:01:01 01:%02d:%02d", i/60, i%60)))
			for _, name := range old {
				variant, _, _ := strings.Cut(name, "-")
				if err := b.b.PutVariant(t.Context(), uid, e.Object, variant, "0badcafe", render.Ext, render.Type, []byte("old")); err != nil {
					t.Fatal(err)
				}
			}
			found = append(found, backend.Processed{Ino: e.Ino, Object: e.Object, Media: backend.Media{Variants: old, TakenFrom: "exif", Taken: e.Modified}})
			jobs, _, err := b.queue.List(t.Context(), "", 10)
			if err != nil || len(jobs) != 1 {
				t.Fatal(jobs, err)
			}
			leases, err := b.queue.Claim(t.Context(), 1)
			if err != nil || len(leases) != 1 {
				t.Fatal(leases, err)
			}
			found[i].Done = b.queue.DoneOps(leases[0])
			if err := b.b.Finish(t.Context(), uid, found[i:]); err != nil {
				t.Fatal(err)
			}
		}
		var most int
		var notes []string
		stop := make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Millisecond):
				}
				jobs, _, err := b.queue.List(context.Background(), "", 1000)
				if err != nil {
					t.Error(err)
				}
				most = max(most, len(jobs))
				for _, j := range jobs {
					if j.Kind == backend.JobSweep && j.Note != "" && !slices.Contains(notes, j.Note) {
						notes = append(notes, j.Note)
					}
				}
			}
		})
		r := &slowly{d: 100 * time.Millisecond}
		opt := &processing.Options{TempDir: t.TempDir(), Users: users, Workers: 2}
		b.run(t, processing.New(b.b, b.queue, r, opt), 600)
		close(stop)
		wait.Wait()
		if r.calls != n {
			t.Errorf("made %d, want %d", r.calls, n)
		}
		if most > 33 {
			t.Errorf("%d jobs in the queue at once, want at most 32 and the sweep", most)
		}
		if len(notes) < 2 || !strings.Contains(notes[len(notes)-1], "to be made anew") {
			t.Errorf("progress: %q", notes)
		}
		if left := b.objects(t, "v1/v/"); len(left) != 2*n || slices.ContainsFunc(left, func(name string) bool { return strings.Contains(name, "0badcafe") }) {
			t.Errorf("%d variants, want %d, and none of the old", len(left), 2*n)
		}
		r = new(slowly)
		b.run(t, processing.New(b.b, b.queue, r, opt), 600)
		if r.calls != 0 {
			t.Errorf("made %d again", r.calls)
		}
	})
}

// slowly renders, after a while.
type slowly struct {
	fake
	d time.Duration
}

func (s *slowly) Render(ctx context.Context, file *os.File, size int64) (*render.Result, error) {
	time.Sleep(s.d) // of the bubble's clock
	return s.fake.Render(ctx, file, size)
}

// An upload does not wait until the whole library has been made anew.
func TestSweepGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := today(t)
		for i := range 200 {
			e := b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(16, 12, fmt.Sprintf("2001:01:01 01:%02d:%02d", i/60, i%60)))
			leases, err := b.queue.Claim(t.Context(), 1)
			if err != nil || len(leases) != 1 {
				t.Fatal(leases, err)
			}
			m := backend.Media{NoPreview: "by another program", By: "another"}
			if err := b.b.Finish(t.Context(), uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: m, Done: b.queue.DoneOps(leases[0])}}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		r := &slowly{d: time.Second}
		go func() {
			ended <- processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir(), Users: users, Workers: 1}).Run(ctx)
		}()
		time.Sleep(10 * time.Second)
		b.put(t, "photos/new.jpg", photo(20, 12, "2024:01:01 01:01:01"))
		time.Sleep(45 * time.Second)
		if got := b.media(t, "photos/new.jpg"); !got.Processed {
			t.Errorf("an upload waited longer than for the 32 before it; %d of 200 are done", r.calls)
		}
		cancel()
		<-ended
	})
}

// Old variants stay while a copy or a version lists them.
func TestStaleVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := today(t)
		e := b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		const old = "view-0badcafe." + render.Ext
		if err := b.b.PutVariant(t.Context(), uid, e.Object, "view", "0badcafe", render.Ext, render.Type, []byte("old")); err != nil {
			t.Fatal(err)
		}
		finish := func(ino backend.Ino, variants ...string) {
			t.Helper()
			if err := b.b.Finish(t.Context(), uid, []backend.Processed{{Ino: ino, Object: e.Object, Media: backend.Media{Variants: variants}}}); err != nil {
				t.Fatal(err)
			}
		}
		there := func() bool {
			_, err := b.bucket.Head(t.Context(), object.VariantName(uid, e.Object, old))
			return err == nil
		}
		finish(e.Ino, old)
		if _, _, err := b.Copy(t.Context(), "photos/a.jpg", "photos/b.jpg", nil); err != nil {
			t.Fatal(err)
		}
		finish(e.Ino, render.Names()...)
		if !there() {
			t.Error("deleted while the copy lists it")
		}
		b.put(t, "photos/b.jpg", []byte("the copy is overwritten: now a version lists it"))
		finish(e.Ino, old)
		finish(e.Ino, render.Names()...)
		if !there() {
			t.Error("deleted while a version lists it")
		}
		d := b.put(t, "photos/d.jpg", photo(64, 49, "2001:01:01 01:01:01"))
		e = d
		if err := b.b.PutVariant(t.Context(), uid, e.Object, "view", "0badcafe", render.Ext, render.Type, []byte("old")); err != nil {
			t.Fatal(err)
		}
		finish(d.Ino, old)
		finish(d.Ino, render.Names()...)
		if there() {
			t.Error("not deleted though nothing lists it")
		}
	})
}

// Equal content is rendered once, whoever has it by whatever name, and all get variants
// that are the same to the byte; so it is if it comes at once.
func TestEqualContent(t *testing.T) {
	for _, test := range []struct {
		name  string
		after func(t *testing.T, b *box, same []byte)
	}{
		{"uploaded again", func(t *testing.T, b *box, same []byte) { b.put(t, "photos/b.jpg", same) }},
		{"copied", func(t *testing.T, b *box, same []byte) {
			if _, _, err := b.Copy(t.Context(), "photos/a.jpg", "photos/b.jpg", nil); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, at := range []string{"at once", "later"} {
			t.Run(test.name+" "+at, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := today(t)
					same := photo(640, 480, "2001:01:01 01:01:01")
					b.put(t, "photos/a.jpg", same)
					r := new(fake)
					w := processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir(), Workers: 4})
					if at == "later" {
						b.run(t, w, 60)
					}
					test.after(t, b, same)
					b.run(t, w, 60)
					if r.calls != 1 {
						t.Errorf("rendered %d times", r.calls)
					}
					first, second := b.media(t, "photos/a.jpg"), b.media(t, "photos/b.jpg")
					if fmt.Sprint(first) != fmt.Sprint(second) || len(first.Variants) != 2 {
						t.Errorf("got  %+v\nand  %+v", first, second)
					}
					tags := make(map[string]int)
					for _, name := range b.objects(t, "v1/v/") {
						info, err := b.bucket.Head(t.Context(), name)
						if err != nil {
							t.Fatal(err)
						}
						tags[info.ETag]++
					}
					if len(tags) != 2 {
						t.Errorf("got %d different variants, want 2", len(tags))
					}
				})
			})
		}
	}
}

// A variant that the bucket has lost is made again, though a copy's row says it is there.
func TestLostVariantOfCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := today(t)
		e := b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		r := new(fake)
		w := processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir()})
		b.run(t, w, 60)
		if _, _, err := b.Copy(t.Context(), "photos/a.jpg", "photos/b.jpg", nil); err != nil {
			t.Fatal(err)
		}
		lost := object.VariantName(uid, e.Object, render.Recipes[0].Name())
		if err := b.bucket.Delete(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		e, err := b.Stat(t.Context(), "photos/a.jpg")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.OpenVariant(t.Context(), e, "view"); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, backend.ErrUnavailable)
		}
		b.run(t, w, 60)
		if _, err := b.bucket.Head(t.Context(), lost); err != nil || r.calls != 2 {
			t.Errorf("after %d renderings: %v", r.calls, err)
		}
	})
}

// counted counts what is read of originals.
type counted struct {
	processing.Library
	mu          sync.Mutex
	whole, some int64 // bytes
}

func (c *counted) OpenOriginal(ctx context.Context, uid, name string) (io.ReadCloser, int64, error) {
	r, size, err := c.Library.OpenOriginal(ctx, uid, name)
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r, c), r}, size, err
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole += int64(len(p))
	return len(p), nil
}

func (c *counted) ReadOriginal(ctx context.Context, uid, name string, off, n int64) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.some += n
	return c.Library.ReadOriginal(ctx, uid, name, off, n)
}

// Of an original too large to be copied, what its headers say is read all the same, from
// wherever they are, and a film is tried. It is the renderer that reads them, whose children
// have limits: this program must not be the one to die of a file.
func TestLarge(t *testing.T) {
	box := func(kind string, body string) string {
		n := len(body) + 8
		return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + kind + body
	}
	mvhd := box("mvhd", "\x00\x00\x00\x00\xb0\xd0\x8d\x00\x00\x00\x00\x00\x00\x00\x02\x58\x00\x00\x17\x70")
	film := []byte(tinyFilm + box("mdat", strings.Repeat("x", 34<<20)) + box("moov", mvhd) + box("free", strings.Repeat("y", 9<<20)))
	for _, test := range []struct {
		name, says string
		content    []byte
		calls      int
		most       int64
	}{
		{"film.mp4", "no preview of video/mp4", film, 1, 40<<20 + 100},
		{"a.jpg", "too large for a preview", photo(640, 480, "1999:01:01 01:01:01"), 1, 1 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, nil)
				b.put(t, "photos/"+test.name, test.content)
				lib, r := &counted{Library: b.b}, new(fake)
				b.run(t, processing.New(lib, b.queue, r, &processing.Options{TempDir: t.TempDir(), MaxCopy: 1000}), 60)
				got := b.media(t, "photos/"+test.name)
				if !strings.Contains(got.NoPreview, test.says) || got.Taken.IsZero() || r.calls != test.calls {
					t.Errorf("got %+v after %d renderings", got, r.calls)
				}
				if len(got.Variants) > 0 || got.Placeholder != "" || got.Details().Partial {
					t.Errorf("there are pictures of a part: %+v", got)
				}
				if test.name == "film.mp4" && got.Details().Duration != 10*time.Second {
					t.Errorf("got %v, want 10 s", got.Details().Duration)
				}
				if lib.whole != 0 || lib.some > test.most {
					t.Errorf("read %d bytes as a whole and %d in parts of %d", lib.whole, lib.some, len(test.content))
				}
				if s := b.stats(t); s != (job.Stats{}) {
					t.Errorf("jobs left: %+v", s)
				}
			})
		})
	}
}

// A film too large to be copied still gets a poster, if ffmpeg is installed, though its
// table of contents is behind much that is not read.
func TestLargeFilmPoster(t *testing.T) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "film.mp4")
	cmd := exec.CommandContext(t.Context(), ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=5", "-t", "2", "-c:v", "mpeg4", "-y", name)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("ffmpeg makes no film: %v %s", err, text)
	}
	film, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(film, []byte("moov")) - 4
	if at < 0 || !bytes.Contains(film[:at], []byte("mdat")) {
		t.Skip("this ffmpeg puts the table of contents first")
	}
	free := func(n int) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(n)), append([]byte("free"), make([]byte, n-8)...)...)
	}
	film = slices.Concat(film[:at], free(40<<20), film[at:], free(9<<20))

	pool := render.NewPool([]string{exe, "render"}, nil)
	defer pool.Close()
	b := newBox(t, nil)
	b.put(t, "photos/film.mp4", film)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lib := &counted{Library: &counting{Library: b.b, want: 1, cancel: cancel}}
	if err := processing.New(lib, b.queue, pool, &processing.Options{TempDir: t.TempDir(), MaxCopy: 1 << 20}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	got := b.media(t, "photos/film.mp4")
	if len(got.Variants) != 2 || got.NoPreview != "" || got.Width != 320 || got.Details().Duration != 2*time.Second {
		t.Errorf("got %+v, %v", got, got.Details().Duration)
	}
	if lib.whole > 0 || lib.some > 41<<20 {
		t.Errorf("read %d and %d of %d bytes", lib.whole, lib.some, len(film))
	}
}

// Whoever waits for a preview is told when none will come, and the operator why; a retry
// makes it after all. A picture that has a preview keeps it.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := today(t)
		b.queue = job.New(b.x, &job.Options{MaxAttempts: 3})
		b.put(t, "photos/a.jpg", photo(64, 48, "1999:01:01 01:01:01"))
		broken := true
		f := &fake{fail: func(int) error {
			if broken {
				return errors.New("the disk is on fire")
			}
			return nil
		}}
		w := processing.New(b.b, b.queue, f, &processing.Options{TempDir: t.TempDir()})
		b.run(t, w, 600)
		if got := b.media(t, "photos/a.jpg"); !got.Processed || !strings.Contains(got.NoPreview, "could not be made") || f.calls != 3 {
			t.Errorf("after %d tries: %+v", f.calls, got)
		}
		dead, _, err := b.queue.Dead(t.Context(), "", 10)
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].LastError, "on fire") {
			t.Errorf("given up: %+v, %v", dead, err)
		}
		broken = false
		if n, err := b.queue.RetryAll(t.Context()); n != 1 || err != nil {
			t.Errorf("retried %d, %v", n, err)
		}
		b.run(t, w, 60)
		got := b.media(t, "photos/a.jpg")
		if got.NoPreview != "" || len(got.Variants) != 2 {
			t.Errorf("after the retry: %+v", got)
		}

		broken = true
		e, err := b.Stat(t.Context(), "photos/a.jpg")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.queue.Add(t.Context(), job.Job{Kind: backend.JobVariants, UID: uid, Ino: string(e.Ino), Object: e.Object, Recipe: string(e.Ino)}); err != nil {
			t.Fatal(err)
		}
		b.run(t, w, 600)
		if now := b.media(t, "photos/a.jpg"); fmt.Sprint(now) != fmt.Sprint(got) || b.stats(t).Dead != 1 {
			t.Errorf("given up while there is a preview: %+v, jobs %+v", now, b.stats(t))
		}
	})
}
