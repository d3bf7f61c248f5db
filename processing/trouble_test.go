package processing_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"context"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// leaving is a bucket that can be away.
type leaving struct {
	*membucket.Bucket
	mu   sync.Mutex
	away bool
}

func (l *leaving) is() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return fmt.Errorf("dial: %w", object.ErrUnavailable)
	}
	return nil
}

func (l *leaving) set(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

func (l *leaving) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	if err := l.is(); err != nil {
		return object.Info{}, err
	}
	return l.Bucket.Put(ctx, name, body, size, opt)
}

func (l *leaving) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := l.is(); err != nil {
		return nil, err
	}
	return l.Bucket.Get(ctx, name, off, n)
}

func (l *leaving) Head(ctx context.Context, name string) (object.Info, error) {
	if err := l.is(); err != nil {
		return object.Info{}, err
	}
	return l.Bucket.Head(ctx, name)
}

// A bucket that is away for an hour costs no picture its chance, nor this machine an hour of
// rendering what it can not store: all are made when it is back.
func TestBucketAwayForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 50
		b := newBox(t, nil)
		bucket := &leaving{Bucket: b.bucket}
		spool, err := backend.OpenSpool(filepath.Join(t.TempDir(), "spool"), 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		b.b = backend.New(bucket, b.x, &backend.Options{Sniff: media.Sniff, Queue: b.queue, Variants: render.Names(), Spool: spool})
		if b.Library, err = b.b.Library(t.Context(), uid, backend.Access{}); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(64, 48+i, "2001:01:01 01:01:01"))
		}
		bucket.set(true)
		go func() {
			time.Sleep(time.Hour)
			bucket.set(false)
		}()
		r := new(fake)
		start := time.Now()
		b.run(t, processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir(), Workers: 2}), 2*3600)
		if s := b.stats(t); s != (job.Stats{}) {
			t.Errorf("jobs left: %+v", s)
		}
		for i := range n {
			if m := b.media(t, fmt.Sprintf("photos/%d.jpg", i)); len(m.Variants) != 2 {
				t.Fatalf("%d: got %+v", i, m)
			}
		}
		if d := time.Since(start); d > time.Hour+2*time.Minute {
			t.Errorf("done %v after the bucket was back", d-time.Hour)
		}
		if wasted := r.calls - n; wasted > 2*(3600/30+10) {
			t.Errorf("%d pictures rendered for nothing", wasted)
		}
		t.Logf("%d renderings of %d pictures", r.calls, n)
	})
}

// A library of one person that cannot be used does not slow down the others.
func TestOneLibraryBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, other = 40, "otheruser2345"
		b := newBox(t, nil)
		bo, err := b.b.Library(t.Context(), other, backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bo.Mkdir(t.Context(), "photos", nil); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			content := photo(16, 12+i, "1999:01:01 01:01:01")
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), content)
			if _, _, err := bo.Put(t.Context(), backend.Key(fmt.Sprintf("photos/%d.jpg", i)), bytes.NewReader(content), -1, nil); err != nil {
				t.Fatal(err)
			}
		}
		lib := &unusable{Library: b.b, uid: other}
		b.run(t, processing.New(lib, b.queue, &slowly{d: 100 * time.Millisecond}, &processing.Options{TempDir: t.TempDir(), Workers: 2}), 10)
		for i := range n {
			if m := b.media(t, fmt.Sprintf("photos/%d.jpg", i)); len(m.Variants) != 2 {
				t.Fatalf("%d is not done after 10 seconds", i)
			}
		}
		if s := b.stats(t); s.Queued != n || s.Dead > 0 {
			t.Errorf("got %+v, want the other's %d to wait", s, n)
		}
	})
}

// unrecorded is a Library in which results can be recorded only from a time on.
type unrecorded struct {
	*backend.Backend
	from time.Time
	slow time.Duration // how long a try takes before
	uid  string        // whose; "" means everybody's
}

func (u *unrecorded) Finish(ctx context.Context, uid string, results []backend.Processed) error {
	if time.Now().Before(u.from) && (u.uid == "" || u.uid == uid) {
		time.Sleep(u.slow) // of the bubble's clock
		return fmt.Errorf("write log: %w", backend.ErrUnavailable)
	}
	return u.Backend.Finish(ctx, uid, results)
}

// Pictures that can be stored, but not recorded, are not rendered again and again.
func TestNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 50
		b := newBox(t, nil)
		for i := range n {
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(16, 12+i, "2001:01:01 01:01:01"))
		}
		r := &slowly{d: 100 * time.Millisecond}
		lib := &unrecorded{Backend: b.b, from: time.Now().Add(10 * time.Minute)}
		b.run(t, processing.New(lib, b.queue, r, &processing.Options{TempDir: t.TempDir(), Workers: 2}), 3600)
		if s := b.stats(t); s != (job.Stats{}) {
			t.Errorf("jobs left: %+v", s)
		}
		if wasted := r.calls - n; wasted > (600/30+10)*20 { // as many as come before it is known
			t.Errorf("%d pictures rendered for nothing", wasted)
		}
	})
}

// While the results of one person wait for a bucket that does not answer, those of others
// are recorded.
func TestSlowToRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const other = "otheruser2345"
		b := newBox(t, nil)
		bo, err := b.b.Library(t.Context(), other, backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bo.Mkdir(t.Context(), "photos", nil); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			content := photo(16, 12+i, "1999:01:01 01:01:01")
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), content)
			if _, _, err := bo.Put(t.Context(), backend.Key(fmt.Sprintf("photos/%d.jpg", i)), bytes.NewReader(content), -1, nil); err != nil {
				t.Fatal(err)
			}
		}
		lib := &unrecorded{Backend: b.b, from: time.Now().Add(time.Hour), slow: time.Minute, uid: other}
		w := processing.New(lib, b.queue, &slowly{d: 100 * time.Millisecond}, &processing.Options{TempDir: t.TempDir(), Workers: 2, Batch: 8})
		b.run(t, w, 15)
		for i := range 40 {
			if m := b.media(t, fmt.Sprintf("photos/%d.jpg", i)); len(m.Variants) != 2 {
				t.Fatalf("%d is not done after 15 seconds", i)
			}
		}
		b.run(t, w, 2*3600)
		if s := b.stats(t); s != (job.Stats{}) {
			t.Errorf("jobs left: %+v", s)
		}
	})
}

// Pictures do not wait until it is known whose libraries are to be looked through.
func TestManyLibraries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, nil)
		b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		users := func(context.Context) ([]string, error) {
			time.Sleep(time.Minute) // of the bubble's clock
			return nil, nil
		}
		start := time.Now()
		w := processing.New(b.b, b.queue, &slowly{}, &processing.Options{TempDir: t.TempDir(), Users: users})
		go func() {
			time.Sleep(10 * time.Second)
			if m := b.media(t, "photos/a.jpg"); len(m.Variants) != 2 {
				t.Errorf("after %v: %+v", time.Since(start), m)
			}
		}()
		b.run(t, w, 120)
		time.Sleep(time.Minute)
	})
}

// Whose pictures take long does not get all the workers.
func TestFairByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, other = 20, "otheruser2345"
		b := newBox(t, nil)
		bo, err := b.b.Library(t.Context(), other, backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bo.Mkdir(t.Context(), "photos", nil); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			slow := append(photo(16, 12+i, "1999:01:01 01:01:01"), make([]byte, 100_000)...)
			if _, _, err := bo.Put(t.Context(), backend.Key(fmt.Sprintf("photos/%d.jpg", i)), bytes.NewReader(slow), -1, nil); err != nil {
				t.Fatal(err)
			}
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(16, 12+i, "1999:01:01 01:01:01"))
		}
		b.run(t, processing.New(b.b, b.queue, bySize{}, &processing.Options{TempDir: t.TempDir(), Workers: 2}), 70)
		for i := range n {
			if m := b.media(t, fmt.Sprintf("photos/%d.jpg", i)); len(m.Variants) != 2 {
				t.Fatalf("%d is not done after 70 seconds", i)
			}
		}
	})
}

// bySize is a Renderer that takes a minute for large files.
type bySize struct{}

func (bySize) Render(ctx context.Context, file *os.File, size int64) (*render.Result, error) {
	time.Sleep(100 * time.Millisecond) // of the bubble's clock
	if size > 50_000 {
		time.Sleep(time.Minute)
	}
	return render.Render(file, size, nil)
}

// unusable is a Library in which nothing can be done for one user.
type unusable struct {
	processing.Library
	uid string
}

func (u *unusable) Known(ctx context.Context, uid string, ino backend.Ino, object, by string) (backend.Known, error) {
	if uid == u.uid {
		return backend.Known{}, fmt.Errorf("open library: %w", backend.ErrUnavailable)
	}
	return u.Library.Known(ctx, uid, ino, object, by)
}

// A picture that takes much longer than a lease is looked at once, though another program
// waits for it, and even if the clock is set back meanwhile.
func TestLongerThanALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var wrong time.Duration
		opt := &job.Options{Lease: time.Minute, Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(wrong)
		}}
		b := newBox(t, opt)
		b.put(t, "photos/a.jpg", photo(64, 48, "1999:01:01 01:01:01"))
		r := &slowly{d: 20 * time.Minute}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			w := processing.New(b.b, job.New(b.x, opt), r, &processing.Options{TempDir: t.TempDir()})
			ended <- w.Run(ctx)
		}()
		go func() {
			time.Sleep(5 * time.Minute)
			mu.Lock()
			defer mu.Unlock()
			wrong = -30 * time.Minute
		}()
		b.run(t, processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir()}), 3600)
		cancel()
		<-ended
		if m := b.media(t, "photos/a.jpg"); len(m.Variants) != 2 || r.calls != 1 {
			t.Errorf("after %d renderings: %+v", r.calls, m)
		}
	})
}

// broken gives originals that break off in the middle, for a while.
type broken struct {
	flaky
}

func (b *broken) OpenOriginal(ctx context.Context, uid, name string) (io.ReadCloser, int64, error) {
	r, size, err := b.flaky.Library.OpenOriginal(ctx, uid, name)
	if err != nil {
		return nil, 0, err
	}
	if cause := b.fails("body"); cause != nil {
		return io.NopCloser(io.MultiReader(io.LimitReader(r, 100), iotest.ErrReader(cause))), size, nil
	}
	return io.NopCloser(io.MultiReader(r)), size, nil // not the spool's file
}

// A connection to the bucket that breaks in the middle of an original, for most of an hour,
// costs no picture. What never can be read to its end is not read for ever, and whoever waits
// for it is told.
func TestOriginalBreaksOff(t *testing.T) {
	for _, times := range []int{1, 4, 1000} {
		t.Run(fmt.Sprint(times), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, nil)
				b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
				lib := &broken{flaky: flaky{Library: b.b, method: "body", left: times, err: fmt.Errorf("reset: %w", object.ErrUnavailable)}}
				b.run(t, processing.New(lib, b.queue, new(fake), &processing.Options{TempDir: t.TempDir()}), 95*60)
				got, s := b.media(t, "photos/a.jpg"), b.stats(t)
				if times == 1000 {
					if s != (job.Stats{Dead: 1}) || got.NoPreview == "" || lib.left != 1000-6 {
						t.Errorf("jobs %+v, %d times; got %+v", s, 1000-lib.left, got)
					}
				} else if s != (job.Stats{}) || len(got.Variants) != 2 || lib.left != 0 {
					t.Errorf("jobs %+v; got %+v", s, got)
				}
			})
		})
	}
}

// A disk that takes no copies costs no picture its chance, unless it lasts: then it ends
// with the reason, for copies that never fit cost much each time.
func TestDiskFull(t *testing.T) {
	for _, full := range []time.Duration{40 * time.Minute, 2 * time.Hour} {
		t.Run(full.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, nil)
				b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
				dir := filepath.Join(t.TempDir(), "not there")
				go func() {
					time.Sleep(full)
					if err := os.Mkdir(dir, 0o700); err != nil {
						t.Error(err)
					}
				}()
				w := processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: dir})
				b.run(t, w, int(full.Seconds())+1200)
				dead, _, err := b.queue.Dead(t.Context(), "", 10)
				if err != nil {
					t.Fatal(err)
				}
				if full > time.Hour {
					if len(dead) != 1 || !strings.Contains(dead[0].LastError, "disk") || !b.media(t, "photos/a.jpg").Processed {
						t.Errorf("given up: %+v", dead)
					}
					time.Sleep(time.Until(time.Now().Add(full))) // the bubble's clock: until the disk is back
					if n, err := b.queue.RetryAll(t.Context()); n != 1 || err != nil {
						t.Fatal(n, err)
					}
					b.run(t, w, 60)
				} else if len(dead) > 0 {
					t.Errorf("given up: %+v", dead)
				}
				if got := b.media(t, "photos/a.jpg"); len(got.Variants) != 2 {
					t.Errorf("got %+v", got)
				}
			})
		})
	}
}

// Of many pictures a full disk has few tried in vain, and none of those given up.
func TestDiskFullForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		b := newBox(t, nil)
		for i := range n {
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(16, 12+i, "2001:01:01 01:01:01"))
		}
		dir := filepath.Join(t.TempDir(), "not there")
		go func() {
			time.Sleep(time.Hour)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Error(err)
			}
		}()
		b.run(t, processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: dir, Workers: 2}), 2*3600)
		if s := b.stats(t); s != (job.Stats{}) {
			t.Errorf("jobs left: %+v", s)
		}
	})
}

// A picture that takes the whole program down each time is not tried for ever, and whoever
// waits for it is told.
func TestKillsTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, &job.Options{MaxAttempts: 3, Lease: time.Minute})
		b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		for i := range 3 { // programs that are no more
			if leases, err := b.queue.Claim(t.Context(), 1); err != nil || len(leases) != 1 {
				t.Fatal(i, leases, err)
			}
			time.Sleep(time.Minute)
		}
		r := new(fake)
		b.run(t, processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir()}), 60)
		dead, _, err := b.queue.Dead(t.Context(), "", 10)
		if err != nil || len(dead) != 1 || !strings.Contains(dead[0].LastError, "the program ended each time") {
			t.Errorf("given up: %+v, %v", dead, err)
		}
		if got := b.media(t, "photos/a.jpg"); !got.Processed || got.NoPreview == "" || r.calls != 0 {
			t.Errorf("after %d renderings: %+v", r.calls, got)
		}
	})
}

// Whoever waits for a picture that is given up while the bucket is away is told when it is
// back.
func TestGivenUpWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, &job.Options{MaxAttempts: 2, Lease: time.Minute})
		bucket := &leaving{Bucket: b.bucket}
		b.b = backend.New(bucket, b.x, &backend.Options{Sniff: media.Sniff, Queue: b.queue})
		e := b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
		for range 2 { // programs that are no more
			if leases, err := b.queue.Claim(t.Context(), 1); err != nil || len(leases) != 1 {
				t.Fatal(leases, err)
			}
			time.Sleep(time.Minute)
		}
		bucket.set(true)
		go func() {
			time.Sleep(10 * time.Minute)
			bucket.set(false)
		}()
		r := new(fake)
		b.run(t, processing.New(b.b, b.queue, r, &processing.Options{TempDir: t.TempDir()}), 3600)
		lib, err := b.b.Library(t.Context(), uid, backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		if e, err = lib.Stat(t.Context(), e.Key); err != nil {
			t.Fatal(err)
		}
		if s := b.stats(t); s != (job.Stats{Dead: 1}) || !e.Media.Processed || e.Media.NoPreview == "" || r.calls != 0 {
			t.Errorf("jobs %+v, after %d renderings: %+v", s, r.calls, e.Media)
		}
	})
}

// What is overwritten, or deleted for good, while it is rendered leaves nothing behind: the
// newer content's picture is shown, and the variants of the older go with it.
func TestOvertaken(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, b *box, e *backend.Entry)
		left int // variants in the bucket in the end
	}{
		{"overwritten", func(t *testing.T, b *box, e *backend.Entry) {
			b.put(t, string(e.Key), photo(48, 64, "1990:02:02 02:02:02"))
		}, 4}, // the earlier version's too, until it goes
		{"moved", func(t *testing.T, b *box, e *backend.Entry) {
			if _, _, err := b.Move(t.Context(), e.Key, "photos/b.jpg", nil); err != nil {
				t.Fatal(err)
			}
			b.put(t, string(e.Key), photo(48, 64, "1990:02:02 02:02:02"))
		}, 4},
		{"deleted", func(t *testing.T, b *box, e *backend.Entry) {
			if err := b.Delete(t.Context(), e.Key, nil); err != nil {
				t.Fatal(err)
			}
			if err := b.Purge(t.Context(), e.Ino); err != nil {
				t.Fatal(err)
			}
			b.put(t, string(e.Key), photo(48, 64, "1990:02:02 02:02:02"))
		}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := today(t)
				e := b.put(t, "photos/a.jpg", photo(64, 48, "2001:01:01 01:01:01"))
				go func() {
					time.Sleep(5 * time.Second)
					test.do(t, b, e)
				}()
				w := processing.New(b.b, b.queue, &slowly{d: 10 * time.Second}, &processing.Options{TempDir: t.TempDir(), Workers: 2})
				b.run(t, w, 60)
				got, err := b.Stat(t.Context(), "photos/a.jpg")
				if err != nil || got.Media.Taken.Year() != 1990 || len(got.Media.Variants) != 2 {
					t.Errorf("got %+v, %v", got, err)
				}
				for _, name := range got.Media.Variants {
					if _, err := b.bucket.Head(t.Context(), object.VariantName(uid, got.Object, name)); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				time.Sleep(40 * 24 * time.Hour) // of the bubble's clock: tombstones are due
				if _, err := b.b.Collect(t.Context(), uid, nil); err != nil {
					t.Error(err)
				}
				if left := b.objects(t, "v1/v/"); len(left) != test.left {
					t.Errorf("%d variants left, want %d: %q", len(left), test.left, left)
				}
				if s := b.stats(t); s != (job.Stats{}) {
					t.Errorf("jobs left: %+v", s)
				}
			})
		})
	}
}
