package processing_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/internal/testphoto"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// The test binary is also the child process that renders.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "render" {
		if err := render.ChildMain(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "render-die" {
		bufio.NewReader(os.Stdin).ReadString('}') // the settings
		os.Stdout.Write(make([]byte, 4))          // a frame of nothing: ready
		os.Stdin.Read(make([]byte, 1))            // the first picture
		os.Exit(3)
	}
	warm()
	os.Exit(m.Run())
}

// warm lets the journal's packer make its channels outside of any synctest bubble: it is
// one for the whole process, and a bubble's channels are for that bubble alone.
func warm() {
	ctx := context.Background()
	b := backend.New(membucket.New(), memkv.New(), nil)
	lib, err := b.Library(ctx, uid, backend.Access{})
	if err != nil {
		panic(err)
	}
	if _, err := lib.Mkdir(ctx, "photos", nil); err != nil {
		panic(err)
	}
	found := make([]backend.Processed, 12)
	for i := range found {
		key := backend.Key(fmt.Sprintf("photos/%d", i))
		e, _, err := lib.Put(ctx, key, strings.NewReader("content"), 7, nil)
		if err != nil {
			panic(err)
		}
		found[i] = backend.Processed{Ino: e.Ino, Object: e.Object, Media: backend.Media{NoPreview: strings.Repeat("because ", 100)}}
	}
	if err := b.Finish(ctx, uid, found); err != nil {
		panic(err)
	}
}

const uid = "testuser23456"

// box is a Backend over memory with a library called photos, whose uploads queue
// jobs.
type box struct {
	*backend.Library
	b      *backend.Backend
	bucket *membucket.Bucket
	x      kv.Store
	queue  *job.Queue
}

func newBox(t *testing.T, opt *job.Options) *box {
	t.Helper()
	b := &box{bucket: membucket.New(), x: memkv.New()}
	b.queue = job.New(b.x, opt)
	b.b = backend.New(b.bucket, b.x, &backend.Options{Sniff: media.Sniff, Queue: b.queue})
	var err error
	if b.Library, err = b.b.Library(t.Context(), uid, backend.Access{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) put(t *testing.T, key string, content []byte) *backend.Entry {
	t.Helper()
	e, _, err := b.Put(t.Context(), backend.Key(key), bytes.NewReader(content), int64(len(content)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (b *box) media(t *testing.T, key string) backend.Media {
	t.Helper()
	e, err := b.Stat(t.Context(), backend.Key(key))
	if err != nil {
		t.Fatal(err)
	}
	return e.Media
}

// objects are the names in the bucket with a prefix.
func (b *box) objects(t *testing.T, prefix string) (names []string) {
	t.Helper()
	for info, err := range b.bucket.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

func (b *box) stats(t *testing.T) job.Stats {
	t.Helper()
	s, err := b.queue.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs the worker until the queue is empty, or for so many seconds of the fake
// clock; it is for use in a synctest bubble.
func (b *box) run(t *testing.T, w *processing.Worker, seconds int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	for range seconds {
		time.Sleep(time.Second) // of the bubble's clock
		if s := b.stats(t); s.Queued+s.Running == 0 {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: got %v, want %v", err, context.Canceled)
	}
}

// fake is a Renderer in this process, which can be told to fail.
type fake struct {
	mu    sync.Mutex
	calls int
	fail  func(call int) error // nil means that it renders
}

func (f *fake) Render(ctx context.Context, file *os.File, size int64) (*render.Result, error) {
	f.mu.Lock()
	f.calls++
	call := f.calls
	f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(call); err != nil {
			return new(render.Result), err
		}
	}
	return render.Render(file, size, nil)
}

func photo(w, h int, date string) []byte {
	return testphoto.WithEXIF(testphoto.JPEG(testphoto.Quarters(w, h)), testphoto.Camera(6, date, "+02:00"))
}

func TestWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		e := b.put(t, "photos/a.jpg", photo(640, 480, "1999:07:14 21:05:59"))
		b.run(t, processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: t.TempDir()}), 60)

		got := b.media(t, "photos/a.jpg")
		want := backend.Media{
			Processed:   true,
			Taken:       time.Date(1999, 7, 14, 19, 5, 59, 0, time.UTC),
			Offset:      120,
			TakenFrom:   media.FromExif,
			Camera:      "Shoebox Model T",
			HasPlace:    true,
			Lat:         52.5,
			Lon:         13.4,
			Width:       480,
			Height:      640,
			Placeholder: got.Placeholder,
		}
		want.SetDetails(backend.Details{StoredWidth: 640, StoredHeight: 480})
		for _, r := range render.Recipes {
			name := r.Variant + "-" + r.ID() + "." + render.Ext
			want.Variants = append(want.Variants, name)
			info, err := b.bucket.Head(t.Context(), object.VariantName(uid, e.Object, name))
			if err != nil || info.Type != render.Type {
				t.Errorf("%s: got %q, %v", name, info.Type, err)
			}
		}
		if !got.Taken.Equal(want.Taken) || got.Placeholder == "" {
			t.Errorf("got taken %v, placeholder %q", got.Taken, got.Placeholder)
		}
		got.Taken = want.Taken // two times that are equal may still differ
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if s := b.stats(t); s != (job.Stats{}) {
			t.Errorf("jobs left: %+v", s)
		}
	})
}

// What can't be shown is recorded as such, with what was found in it, and is done.
func TestNoPreview(t *testing.T) {
	film := "\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42"
	for _, test := range []struct {
		name, content, says string
		fail                error
	}{
		{"garbage.jpg", "\xff\xd8\xff\xe0garbage", "damaged", nil},
		{"film.mp4", film, "no preview of video/mp4", nil},
		{"vast.png", string(testphoto.BombPNG(30000, 30000)[:64]), "too many pixels", nil},
		{"bomb.jpg", string(photo(64, 48, "2001:01:01 01:01:01")), "too much time or memory", render.ErrCrashed},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, nil)
				b.put(t, "photos/"+test.name, []byte(test.content))
				f := &fake{fail: func(int) error { return test.fail }}
				b.run(t, processing.New(b.b, b.queue, f, &processing.Options{TempDir: t.TempDir()}), 60)
				got := b.media(t, "photos/"+test.name)
				if !got.Processed || !strings.Contains(got.NoPreview, test.says) || len(got.Variants) != 0 {
					t.Errorf("got %+v, want: … %s", got, test.says)
				}
				if s := b.stats(t); s != (job.Stats{}) {
					t.Errorf("jobs left: %+v", s)
				}
				if test.fail != nil && f.calls != 2 {
					t.Errorf("tried %d times, want 2", f.calls)
				}
			})
		})
	}
}

// A child that is killed in the midst of a picture, by whatever, is no more than a delay.
func TestCrashOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		f := &fake{fail: func(call int) error {
			if call == 1 {
				return render.ErrCrashed
			}
			return nil
		}}
		b.run(t, processing.New(b.b, b.queue, f, &processing.Options{TempDir: t.TempDir()}), 60)
		if got := b.media(t, "photos/a.jpg"); !got.Processed || got.NoPreview != "" || len(got.Variants) != 2 {
			t.Errorf("got %+v", got)
		}
	})
}

// flaky is a Library that fails in one of its methods for a while.
type flaky struct {
	processing.Library
	mu       sync.Mutex
	method   string
	left     int
	err      error
	finishes []int // results in each
}

func (f *flaky) fails(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.method != method || f.left == 0 {
		return nil
	}
	f.left--
	return f.err
}

func (f *flaky) OpenOriginal(ctx context.Context, uid, name string) (io.ReadCloser, int64, error) {
	if err := f.fails("OpenOriginal"); err != nil {
		return nil, 0, err
	}
	return f.Library.OpenOriginal(ctx, uid, name)
}

func (f *flaky) PutVariant(ctx context.Context, uid, name, variant, recipe, ext, mediaType string, data []byte) error {
	if err := f.fails("PutVariant"); err != nil {
		return err
	}
	return f.Library.PutVariant(ctx, uid, name, variant, recipe, ext, mediaType, data)
}

func (f *flaky) Finish(ctx context.Context, uid string, results []backend.Processed) error {
	if err := f.fails("Finish"); err != nil {
		return err
	}
	f.mu.Lock()
	f.finishes = append(f.finishes, len(results))
	f.mu.Unlock()
	return f.Library.Finish(ctx, uid, results)
}

// Trouble that passes costs time, but no picture, and no attempt if it is the
// bucket's.
func TestTrouble(t *testing.T) {
	for _, method := range []string{"OpenOriginal", "PutVariant", "Finish"} {
		for _, cause := range []error{backend.ErrUnavailable, backend.ErrNoSpace, errors.New("something else")} {
			t.Run(method+"/"+cause.Error(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBox(t, &job.Options{MaxAttempts: 4})
					b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
					times := 3
					if cause == backend.ErrUnavailable {
						times = 20 // more than there are attempts
					}
					lib := &flaky{Library: b.b, method: method, left: times, err: cause}
					b.run(t, processing.New(lib, b.queue, new(fake), &processing.Options{TempDir: t.TempDir()}), 3600)
					if got := b.media(t, "photos/a.jpg"); !got.Processed || len(got.Variants) != 2 {
						t.Errorf("got %+v", got)
					}
					if s := b.stats(t); s != (job.Stats{}) {
						t.Errorf("jobs left: %+v", s)
					}
				})
			})
		}
	}
}

// Results of one user that come close together are recorded together.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		for i := range 20 {
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(32, 24, fmt.Sprintf("2001:01:01 01:01:%02d", i)))
		}
		lib := &flaky{Library: b.b}
		b.run(t, processing.New(lib, b.queue, new(fake), &processing.Options{TempDir: t.TempDir(), Batch: 8}), 60)
		total := 0
		for _, n := range lib.finishes {
			total += n
			if n > 8 {
				t.Errorf("%d results at once, want at most 8", n)
			}
		}
		if total != 20 || len(lib.finishes) > 5 {
			t.Errorf("got results in groups of %v", lib.finishes)
		}
	})
}

// The same job, done twice, stores the same objects under the same names.
func TestTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		e := b.put(t, "photos/a.jpg", photo(640, 480, "2001:01:01 01:01:01"))
		w := processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: t.TempDir()})
		tags := func() (tags []string) {
			for _, name := range b.objects(t, "v1/v/") {
				info, err := b.bucket.Head(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				tags = append(tags, info.Name+" "+info.ETag)
			}
			return tags
		}
		b.run(t, w, 60)
		first := tags()
		if _, err := b.queue.Add(t.Context(), job.Job{Kind: backend.JobVariants, UID: uid, Ino: string(e.Ino), Object: e.Object}); err != nil {
			t.Fatal(err)
		}
		b.run(t, w, 60)
		if second := tags(); len(first) != 2 || !slices.Equal(first, second) {
			t.Errorf("first  %v\nsecond %v", first, second)
		}
	})
}

// An original that went away, by deletion or another upload, ends its job.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		e := b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		if err := b.bucket.Delete(t.Context(), e.Object); err != nil {
			t.Fatal(err)
		}
		b.run(t, processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: t.TempDir()}), 60)
		if s := b.stats(t); s != (job.Stats{}) {
			t.Errorf("jobs left: %+v", s)
		}
	})
}

func TestUnknownKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		if _, err := b.queue.Add(t.Context(), job.Job{Kind: "faces", UID: uid, Object: "x"}); err != nil {
			t.Fatal(err)
		}
		b.run(t, processing.New(b.b, b.queue, new(fake), nil), 5)
		if s := b.stats(t); s.Dead != 1 || s.Queued != 0 {
			t.Errorf("got %+v, want it to be given up", s)
		}
	})
}

// An original too large for the disk is not copied to it.
func TestTooBig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		b.run(t, processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: t.TempDir(), MaxCopy: 100}), 60)
		if got := b.media(t, "photos/a.jpg"); !got.Processed || !strings.Contains(got.NoPreview, "too large") {
			t.Errorf("got %+v", got)
		}
	})
}

// slow takes its time, or until ctx ends.
type slow struct{ d time.Duration }

func (s slow) Render(ctx context.Context, file *os.File, size int64) (*render.Result, error) {
	select {
	case <-time.After(s.d):
		return render.Render(file, size, nil)
	case <-ctx.Done():
		return new(render.Result), ctx.Err()
	}
}

// When Run is to end, a picture under way is finished if that takes not too long, and
// given back otherwise; no job is lost, nor costs it an attempt.
func TestStop(t *testing.T) {
	for _, test := range []struct {
		name string
		d    time.Duration
		done bool
	}{
		{"finished", 5 * time.Second, true},
		{"given back", time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, nil)
				b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				w := processing.New(b.b, b.queue, slow{test.d}, &processing.Options{TempDir: t.TempDir(), Grace: 10 * time.Second})
				go func() { ended <- w.Run(ctx) }()
				time.Sleep(time.Second)
				start := time.Now()
				cancel()
				<-ended
				if d := time.Since(start); d > 11*time.Second {
					t.Errorf("took %v", d)
				}
				s := b.stats(t)
				if got := b.media(t, "photos/a.jpg").Processed; got != test.done || s.Queued == 0 != test.done || s.Running != 0 {
					t.Errorf("processed %v, jobs %+v", got, s)
				}
				if !test.done {
					b.run(t, processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: t.TempDir()}), 60)
					if !b.media(t, "photos/a.jpg").Processed {
						t.Error("never processed")
					}
				}
			})
		})
	}
}

// A picture that takes longer than a lease keeps its lease.
func TestLeaseIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, &job.Options{Lease: 10 * time.Second})
		b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		ctx, cancel := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		for range 2 { // the second would take the job if it fell due
			w := processing.New(b.b, b.queue, slow{45 * time.Second}, &processing.Options{TempDir: t.TempDir()})
			wait.Go(func() { w.Run(ctx) })
		}
		time.Sleep(44 * time.Second)
		jobs, _, err := b.queue.List(t.Context(), "", 10)
		if err != nil || len(jobs) != 1 || jobs[0].Attempts != 1 {
			t.Errorf("got %+v, %v; want one job in its first attempt", jobs, err)
		}
		time.Sleep(5 * time.Second)
		if !b.media(t, "photos/a.jpg").Processed {
			t.Error("not processed")
		}
		cancel()
		wait.Wait()
	})
}

// first takes one Renderer for the first picture and another for the rest.
type first struct {
	one, rest processing.Renderer
	used      chan struct{}
}

func (f *first) Render(ctx context.Context, file *os.File, size int64) (*render.Result, error) {
	select {
	case f.used <- struct{}{}:
		res, err := f.one.Render(ctx, file, size)
		if !errors.Is(err, render.ErrCrashed) {
			return res, fmt.Errorf("not a crash: %w", err)
		}
		return res, err
	default:
		return f.rest.Render(ctx, file, size)
	}
}

// The whole of it, with real children, one of which dies in the midst of a picture:
// good pictures, a bomb, garbage and nothing.
func TestWithChildren(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pool := render.NewPool([]string{exe, "render"}, &render.PoolOptions{Children: 2, Options: render.Options{MaxPixels: 1e6}})
	defer pool.Close()
	b := newBox(t, &job.Options{Backoff: func(int) time.Duration { return time.Millisecond }})
	for i := range 4 {
		b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(400+i, 300, "2001:01:01 01:01:01"))
	}
	b.put(t, "photos/bomb.png", testphoto.BombPNG(2000, 2000))
	b.put(t, "photos/garbage.jpg", []byte("\xff\xd8\xff\xe0garbage"))
	b.put(t, "photos/text.jpg", []byte("not a picture at all"))
	b.put(t, "photos/empty.jpg", nil)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lib := &counting{Library: b.b, want: 6, cancel: cancel}
	dying := render.NewPool([]string{exe, "render-die"}, nil)
	defer dying.Close()
	both := &first{dying, pool, make(chan struct{}, 1)}
	if err := processing.New(lib, b.queue, both, &processing.Options{TempDir: t.TempDir(), Gather: time.Millisecond}).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for i := range 4 {
		if got := b.media(t, fmt.Sprintf("photos/%d.jpg", i)); len(got.Variants) != 2 || got.NoPreview != "" {
			t.Errorf("%d.jpg: got %+v", i, got)
		}
	}
	for name, says := range map[string]string{"bomb.png": "too many pixels", "garbage.jpg": "damaged"} {
		if got := b.media(t, "photos/"+name); !strings.Contains(got.NoPreview, says) {
			t.Errorf("%s: got %+v, want: … %s", name, got, says)
		}
	}
	for _, name := range []string{"text.jpg", "empty.jpg"} { // they make no jobs
		if got := b.media(t, "photos/"+name); got.Processed {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// counting ends everything after so many results.
type counting struct {
	processing.Library
	want   int
	cancel context.CancelFunc
}

func (c *counting) Finish(ctx context.Context, uid string, results []backend.Processed) error {
	err := c.Library.Finish(ctx, uid, results)
	if c.want -= len(results); c.want <= 0 {
		c.cancel()
	}
	return err
}
