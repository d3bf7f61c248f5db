package s3bucket

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// What operations cost. (S3 is paid by the request.)
func TestRequests(t *testing.T) {
	f := newFake(t)
	b := open(t, f.options())
	put := func(name string, n int, size int64) func() error {
		return func() error {
			_, err := b.Put(t.Context(), name, bytes.NewReader(objecttest.Bytes(1, n)), size, nil)
			return err
		}
	}
	for _, c := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"small", put("a", 1000, 1000), []string{"PUT"}},
		{"small of unknown size", put("b", 1000, -1), []string{"PUT"}},
		{"a photograph", put("c", 6<<20, 6<<20), []string{"PUT"}},
		{"exactly a part", put("d", 8<<20, -1), []string{"PUT"}},
		{"20 MB", put("e", 20<<20, 20<<20), []string{"POST ?uploads", "PUT ?partNumber", "PUT ?partNumber", "PUT ?partNumber", "POST ?uploadId"}},
		{"body too short", func() error { _ = put("f", 10, 20)(); return nil }, nil},
		{"get", func() error { return read(b.Get(t.Context(), "c", 0, -1)) }, []string{"GET"}},
		{"get a range", func() error { return read(b.Get(t.Context(), "c", 5, 100)) }, []string{"GET"}},
		{"head", func() error { _, err := b.Head(t.Context(), "c"); return err }, []string{"HEAD"}},
		{"delete", func() error { return b.Delete(t.Context(), "c") }, []string{"DELETE"}},
		{"list", func() error {
			for _, err := range b.List(t.Context(), "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		}, []string{"GET ?list-type"}},
	} {
		f.taken()
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := f.taken(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	_ = put("f", 9<<20, 20<<20)() // it ends too early
	if got := f.taken(); len(got) < 2 || got[0] != "POST ?uploads" || got[len(got)-1] != "DELETE ?uploadId" {
		t.Errorf("an upload that breaks: %q, want it to be aborted", got)
	}
}

func read(r io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

// Every answer that is not about the object itself is ErrUnavailable.
func TestErrors(t *testing.T) {
	f := newFake(t)
	b := open(t, f.options())
	if _, err := b.Put(t.Context(), "there/is-one", strings.NewReader("x"), 1, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "NoSuchKey", object.ErrNotExist},
		{404, "NoSuchBucket", object.ErrUnavailable},
		{403, "AccessDenied", object.ErrUnavailable},
		{403, "InvalidAccessKeyId", object.ErrUnavailable},
		{403, "SignatureDoesNotMatch", object.ErrUnavailable},
		{400, "ExpiredToken", object.ErrUnavailable},
		{301, "PermanentRedirect", object.ErrUnavailable},
		{501, "NotImplemented", object.ErrUnavailable},
		{400, "BadDigest", object.ErrChecksum},
		{400, "XAmzContentSHA256Mismatch", object.ErrChecksum},
		{507, "XMinioStorageFull", object.ErrNoSpace},
	} {
		t.Run(c.code, func(t *testing.T) {
			f.answerWith(func(w http.ResponseWriter, r *http.Request) bool { s3Error(w, c.status, c.code); return true })
			defer f.answerWith(nil)
			_, get := b.Get(t.Context(), "there/is-one", 0, -1)
			_, ranged := b.Get(t.Context(), "there/is-one", 1, 5)
			_, head := b.Head(t.Context(), "there/is-one")
			_, put := b.Put(t.Context(), "there/is-one", strings.NewReader("x"), 1, nil)
			var list error
			for _, list = range b.List(t.Context(), "", "") {
			}
			for op, err := range map[string]error{"Get": get, "Get a range": ranged, "Put": put, "List": list} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s: %v, want %v", op, err, c.want)
				}
				if c.want != object.ErrNotExist && errors.Is(err, object.ErrNotExist) {
					t.Errorf("%s: %v says that the object does not exist", op, err)
				}
				if err != nil && strings.Contains(err.Error(), "is-one") {
					t.Errorf("%s: %v shows the name", op, err)
				}
			}
			// Here the bucket is missing too, for all that HEAD can tell.
			if !errors.Is(head, object.ErrUnavailable) && head == nil {
				t.Errorf("Head: %v, want ErrUnavailable", head)
			}
		})
	}
	t.Run("a web server that is no store", func(t *testing.T) {
		f.answerWith(func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true })
		defer f.answerWith(nil)
		_, get := b.Get(t.Context(), "there/is-one", 0, -1)
		_, head := b.Head(t.Context(), "there/is-one")
		for _, err := range []error{get, head} {
			if !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrNotExist) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
		}
	})
	t.Run("a range that is ignored", func(t *testing.T) {
		f.answerWith(func(w http.ResponseWriter, r *http.Request) bool { _, _ = w.Write([]byte("everything")); return true })
		defer f.answerWith(nil)
		if _, err := b.Get(t.Context(), "there/is-one", 5, 2); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
	})
	t.Run("a body that is cut", func(t *testing.T) {
		f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 500))
			return true
		})
		defer f.answerWith(nil)
		if err := read(b.Get(t.Context(), "there/is-one", 0, -1)); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
	})
}

func TestUnreachable(t *testing.T) {
	f := newFake(t)
	opt := f.options()
	b := open(t, opt)
	f.Close()
	_, err := b.Get(t.Context(), "some/where", 0, -1)
	if !errors.Is(err, object.ErrUnavailable) || strings.Contains(err.Error(), "where") {
		t.Errorf("Get: %v, want ErrUnavailable without the name", err)
	}
}

// A 409 tells nothing about who won: the write is tried again.
func TestConflictIsRetried(t *testing.T) {
	f := newFake(t)
	b := open(t, f.options())
	var n atomic.Int32
	f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || n.Add(1) > 1 {
			return false
		}
		s3Error(w, 409, "ConditionalRequestConflict")
		return true
	})
	if err := create(t, b, "a", "x"); err != nil {
		t.Errorf("Put: %v", err)
	}
	if n.Load() != 2 {
		t.Errorf("%d requests, want 2", n.Load())
	}
}

// An answer is lost after the object was made. The retry is refused; whose
// object it is decides what the caller hears.
func TestLostAnswer(t *testing.T) {
	for _, n := range []int{1000, 9 << 20} {
		for _, ours := range []bool{true, false} {
			t.Run(fmt.Sprint(n, ours), func(t *testing.T) {
				f := newFake(t)
				b := open(t, f.options())
				mine, other := objecttest.Bytes(1, n), objecttest.Bytes(2, n)
				var once atomic.Bool
				f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
					if k := kind(r); k != "PUT" && k != "POST ?uploadId" || r.Header.Get("If-None-Match") == "" || once.Swap(true) {
						return false
					}
					if ours {
						f.serve(httptest.NewRecorder(), r)
					} else {
						req := httptest.NewRequest(http.MethodPut, r.URL.Path, bytes.NewReader(other))
						req.Header.Set("Content-Length", fmt.Sprint(len(other)))
						f.serve(httptest.NewRecorder(), req)
					}
					s3Error(w, 503, "SlowDown")
					return true
				})
				info, err := b.Put(t.Context(), "a", bytes.NewReader(mine), int64(n), &object.PutOptions{CreateOnly: true, Meta: map[string]string{"sb-op": "1"}})
				switch {
				case ours && (err != nil || info.Size != int64(n) || info.ETag == ""):
					t.Errorf("Put: %+v, %v; want success: it is there", info, err)
				case !ours && !errors.Is(err, object.ErrExist):
					t.Errorf("Put: %v, want ErrExist", err)
				}
				want := mine
				if !ours {
					want = other
				}
				r, err := b.Get(t.Context(), "a", 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
	}
}

// An answer is lost after the object was made, and the retry is told that there is no
// room: nobody may be told that nothing was done.
func TestLostAnswerThenFull(t *testing.T) {
	f := newFake(t)
	b := open(t, f.options())
	var tries atomic.Int32
	f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case kind(r) != "PUT":
			return false
		case tries.Add(1) == 1:
			f.serve(httptest.NewRecorder(), r)
			s3Error(w, 503, "SlowDown")
		default:
			s3Error(w, 507, "XMinioStorageFull")
		}
		return true
	})
	_, err := b.Put(t.Context(), "a", strings.NewReader("x"), 1, &object.PutOptions{CreateOnly: true})
	if !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Head(t.Context(), "a"); err != nil || tries.Load() != 2 {
		t.Errorf("%v after %d tries", err, tries.Load())
	}
	f.answerWith(func(w http.ResponseWriter, r *http.Request) bool { s3Error(w, 507, "XMinioStorageFull"); return true })
	if _, err := b.Put(t.Context(), "b", strings.NewReader("x"), 1, nil); !errors.Is(err, object.ErrNoSpace) {
		t.Errorf("of the first try: got %v", err)
	}
}

// Damage on the way is refused by the store, and nothing is stored.
func TestDamage(t *testing.T) {
	f := newFake(t)
	b := open(t, f.options())
	f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			p, _ := io.ReadAll(r.Body)
			p[len(p)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(p))
		}
		return false
	})
	for _, n := range []int{100, 9 << 20} {
		_, err := b.Put(t.Context(), "a", bytes.NewReader(objecttest.Bytes(1, n)), -1, nil)
		if !errors.Is(err, object.ErrChecksum) {
			t.Errorf("Put of %d bytes: %v, want ErrChecksum", n, err)
		}
	}
	id, err := b.CreateMultipart(t.Context(), "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{100, 9 << 20} { // buffered and streamed
		if _, err := b.PutPart(t.Context(), "a", id, 1, bytes.NewReader(objecttest.Bytes(1, n)), int64(n)); !errors.Is(err, object.ErrChecksum) {
			t.Errorf("PutPart of %d bytes: %v, want ErrChecksum", n, err)
		}
	}
}

// Damage that the store makes itself, and tells by the checksum it answers with, is no
// success, and leaves nothing behind.
func TestDamageTold(t *testing.T) {
	f := newFake(t)
	b := open(t, f.options())
	f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		f.serve(httptest.NewRecorder(), r)
		w.Header().Set("X-Amz-Checksum-Crc32c", "AAAAAA==")
		w.Header().Set("ETag", `"0123"`)
		return true
	})
	_, err := b.Put(t.Context(), "a", bytes.NewReader(objecttest.Bytes(1, 100)), 100, &object.PutOptions{CreateOnly: true})
	if !errors.Is(err, object.ErrChecksum) {
		t.Errorf("got %v, want ErrChecksum", err)
	}
	if _, err := b.Head(t.Context(), "a"); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}

// A part that is streamed is all or nothing as well: the store gets its last
// bytes only when the body has said that it is whole.
func TestStreamedPart(t *testing.T) {
	f := newFake(t)
	b := open(t, f.options())
	id, err := b.CreateMultipart(t.Context(), "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	const n = 9 << 20
	data := objecttest.Bytes(1, n)
	bad := errors.New("checksum of the client differs")
	for name, body := range map[string]io.Reader{
		"long":  bytes.NewReader(append(data, 'x')),
		"short": bytes.NewReader(data[1:]),
		"bad":   io.MultiReader(bytes.NewReader(data), failing{bad}),
	} {
		_, err := b.PutPart(t.Context(), "a", id, 1, body, n)
		if name == "bad" && !errors.Is(err, bad) || name != "bad" && !errors.Is(err, object.ErrIncomplete) {
			t.Errorf("%s: %v", name, err)
		}
		f.mu.Lock()
		if len(f.parts) != 0 {
			t.Errorf("%s: the store has taken a part", name)
		}
		f.mu.Unlock()
	}
	p, err := b.PutPart(t.Context(), "a", id, 1, bytes.NewReader(data), n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CompleteMultipart(t.Context(), "a", id, []object.Part{p}); err != nil {
		t.Fatal(err)
	}
	r, err := b.Get(t.Context(), "a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Two buffers for eight uploads of three parts: nothing is deadlocked, and not
// more is buffered. A log segment does not wait for a slow original.
func TestBuffers(t *testing.T) {
	f := newFake(t)
	opt := f.options()
	opt.MaxBuffers, opt.PartSize = 2, object.MinPart
	b := open(t, opt)
	data := objecttest.Bytes(1, 11<<20)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := b.Put(t.Context(), fmt.Sprint(i), bytes.NewReader(data), int64(len(data)), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for range 2 {
		pr, pw := io.Pipe()
		defer pw.CloseWithError(errors.New("the end"))
		wg.Go(func() { _, _ = b.Put(t.Context(), "slow", pr, 2<<20, nil) })
		if _, err := pw.Write([]byte("x")); err != nil { // it has its buffer
			t.Fatal(err)
		}
	}
	if _, err := b.Put(t.Context(), "log", strings.NewReader("segment"), 7, nil); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Put(ctx, "x", strings.NewReader("x"), -1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Put without a buffer: %v, want context.Canceled", err)
	}
}

// Whoever waits for a buffer stops waiting when its context ends.
func TestPoolWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&Options{MaxBuffers: 1, PartSize: 10})
		held, err := p.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { _, err := p.get(ctx); done <- err }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		held.release()
		if p, err := p.get(t.Context()); err != nil || p.n != 0 || p.size != 10 {
			t.Errorf("%+v, %v; want room for 10", p, err)
		}
	})
}

// Bodies that come slowly hold all buffers: others are stored all the same, by way of files of
// which nothing is left.
func TestSlowBodies(t *testing.T) {
	opt := newFake(t).options()
	opt.MaxBuffers, opt.PartSize, opt.TempDir, opt.patience = 2, object.MinPart, t.TempDir(), time.Millisecond
	b := open(t, opt)
	var slow sync.WaitGroup
	defer slow.Wait()
	for range 2 {
		pr, pw := io.Pipe()
		defer pw.CloseWithError(errors.New("the end"))
		slow.Go(func() { _, _ = b.Put(t.Context(), "slow", pr, 2<<20, nil) })
		if _, err := pw.Write([]byte("x")); err != nil { // it has its buffer
			t.Fatal(err)
		}
	}
	for _, size := range []int{2 << 20, object.MinPart, object.MinPart + 1, 11 << 20} {
		data := objecttest.Bytes(1, size)
		name := fmt.Sprint(size)
		if _, err := b.Put(t.Context(), name, iotest.HalfReader(bytes.NewReader(data)), -1, &object.PutOptions{CreateOnly: true}); err != nil {
			t.Fatal(err)
		}
		r, err := b.Get(t.Context(), name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes of %d, %v", len(got), size, err)
		}
	}
	id, err := b.CreateMultipart(t.Context(), "parts", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutPart(t.Context(), "parts", id, 1, bytes.NewReader(objecttest.Bytes(1, 3<<20)), 3<<20); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(opt.TempDir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if n := len(b.pool.files); n > 0 {
		t.Errorf("%d files are held", n)
	}
}

// Files leave the disk what the index needs: a buffer is waited for. Else commits would be
// refused, and an upload that can be stored would fail in its midst.
func TestSlowBodiesFullDisk(t *testing.T) {
	for free, file := range map[uint64]bool{keepDisk + 9: false, keepDisk + 10: true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPool(&Options{MaxBuffers: 1, PartSize: 10, TempDir: t.TempDir(), patience: time.Second,
				TempFree: func() (uint64, error) { return free, nil }})
			held, err := p.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Minute, held.release)
			got, err := p.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if (got.file != nil) != file {
				t.Errorf("%d bytes free: a file: %t, want %t", free, !file, file)
			}
			got.release()
			if n := len(p.files); n > 0 {
				t.Errorf("%d files are held", n)
			}
		})
	}
}

// Who could have no file when it had waited for a while gets one later.
func TestSlowBodiesFileLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(&Options{MaxBuffers: 1, PartSize: 10, TempDir: t.TempDir(), patience: time.Second})
		held, err := p.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer held.release()
		for range maxFiles {
			p.files <- struct{}{}
		}
		time.AfterFunc(time.Minute, func() { <-p.files })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		got, err := p.get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got.release()
	})
}

// Where there can be no file, a buffer is waited for.
func TestSlowBodiesNoFile(t *testing.T) {
	opt := newFake(t).options()
	opt.MaxBuffers, opt.PartSize, opt.patience = 1, object.MinPart, time.Nanosecond
	opt.TempDir = filepath.Join(t.TempDir(), "missing")
	b := open(t, opt)
	held, err := b.pool.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := b.Put(t.Context(), "x", strings.NewReader("x"), -1, nil)
		done <- err
	}()
	held.release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(b.pool.files); n > 0 {
		t.Errorf("%d files are held", n)
	}
}

// An answer is lost, and whose object is there is told by comparing it with a part in a file.
func TestPartEquals(t *testing.T) {
	for _, n := range []int{0, 1, 32 << 10, 100_000} {
		data := objecttest.Bytes(1, n)
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*part{{buf: data, n: int64(n)}, {file: f, n: int64(n)}} {
			other := append(bytes.Clone(data), 1)
			for want, got := range map[bool][]byte{true: data, false: other} {
				if same, err := p.equals(iotest.OneByteReader(bytes.NewReader(got))); err != nil || same != want {
					t.Errorf("%d bytes and %d: %t, %v", n, len(got), same, err)
				}
			}
			if n > 0 {
				if same, err := p.equals(bytes.NewReader(data[:n-1])); err != nil || same {
					t.Errorf("%d bytes and one less: %t, %v", n, same, err)
				}
			}
		}
	}
}

func create(t *testing.T, b *Bucket, name, data string) error {
	t.Helper()
	_, err := b.Put(t.Context(), name, strings.NewReader(data), int64(len(data)), &object.PutOptions{CreateOnly: true})
	return err
}

func TestHoldBack(t *testing.T) {
	for _, n := range []int{0, 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 100_000} {
		data := objecttest.Bytes(1, n)
		for name, body := range map[string]io.Reader{
			"all":  bytes.NewReader(data),
			"half": iotest.HalfReader(bytes.NewReader(data)),
			"one":  iotest.OneByteReader(bytes.NewReader(data)),
			"eof":  iotest.DataErrReader(bytes.NewReader(data)),
		} {
			h := &holdBack{body: object.NewBody(t.Context(), body, int64(n)), sum: md5.New()}
			if err := iotest.TestReader(h, data); err != nil {
				t.Errorf("%d bytes, %s: %v", n, name, err)
			}
			if want := md5.Sum(data); !bytes.Equal(h.sum.Sum(nil), want[:]) {
				t.Errorf("%d bytes, %s: wrong sum", n, name)
			}
		}
		bad := errors.New("bad")
		h := &holdBack{body: object.NewBody(t.Context(), io.MultiReader(bytes.NewReader(data), failing{bad}), -1), sum: md5.New()}
		if got, err := io.ReadAll(h); !errors.Is(err, bad) || n > 0 && len(got) == n {
			t.Errorf("%d bytes: gave %d of them before the body was whole: %v", n, len(got), err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	f := newFake(b)
	// Takes what is sent and keeps nothing: what is measured is this side.
	f.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"0123"`)
		return true
	})
	bucket := open(b, f.options())
	data := objecttest.Bytes(1, 6<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bucket.Put(b.Context(), "a", bytes.NewReader(data), int64(len(data)), nil); err != nil {
			b.Fatal(err)
		}
	}
}
