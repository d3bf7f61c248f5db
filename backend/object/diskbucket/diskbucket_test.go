package diskbucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

func open(t testing.TB, dir string, opt *Options) *Bucket {
	t.Helper()
	b, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestBucket(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  Options
	}{{"xattr", Options{}}, {"sidecar", Options{NoXattr: true}}} {
		t.Run(c.name, func(t *testing.T) {
			reopen := func(t *testing.T, b object.Bucket) object.Bucket {
				dir := filepath.Dir(b.(*Bucket).objects)
				_ = b.(*Bucket).Close()
				return open(t, dir, &c.opt)
			}
			objecttest.Bucket(t, func(t *testing.T) object.Bucket {
				b := open(t, t.TempDir(), &c.opt)
				t.Cleanup(func() { tidy(t, b) })
				return b
			}, objecttest.Reopen(reopen))
		})
	}
}

// tidy fails the test if anything is left in tmp but uploads, or metadata of
// objects that are gone.
func tidy(t *testing.T, b *Bucket) {
	list, err := os.ReadDir(b.tmp)
	if err != nil {
		t.Error(err)
	}
	for _, e := range list {
		if e.Name() != "uploads" {
			t.Errorf("%s is left in tmp", e.Name())
		}
	}
	_ = filepath.WalkDir(b.meta, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(b.meta, filepath.Dir(path))
			if fi, err := os.Stat(filepath.Join(b.objects, rel)); err != nil || fi.IsDir() {
				t.Errorf("metadata of an object that is gone: %s", rel)
			}
		}
		return nil
	})
}

// A write that is interrupted leaves nothing that can be seen; what it does
// leave is swept. At each point the process "dies": no clean-up runs.
func TestCrash(t *testing.T) {
	for _, point := range []string{"before name", "before sync of the directory"} {
		for _, opt := range []Options{{}, {NoXattr: true}} {
			t.Run(fmt.Sprint(point, opt.NoXattr), func(t *testing.T) {
				dir := t.TempDir()
				b := open(t, dir, &opt)
				crash(t, b, point, "d/new", strings.NewReader("hello"))

				again := open(t, dir, &opt)
				_, err := again.Head(t.Context(), "d/new")
				if point == "before name" {
					if !errors.Is(err, object.ErrNotExist) {
						t.Errorf("Head: %v, want ErrNotExist", err)
					}
					for info, err := range again.List(t.Context(), "", "") {
						t.Errorf("List: %v, %v; want nothing", info, err)
					}
				} else if got := content(t, again, "d/new"); err != nil || got != "hello" {
					t.Errorf("%q, %v: an object that has its name must be whole", got, err)
				}
				if n := files(t, again.tmp); n == 0 {
					t.Fatal("the crash left nothing: the test tests nothing")
				}
				if err := again.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := files(t, again.tmp); n == 0 {
					t.Error("swept what may be being written")
				}
				age(t, dir, 25*time.Hour)
				if err := again.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := files(t, again.tmp); n != 0 {
					t.Errorf("%d files left in tmp", n)
				}
				if _, err := again.Put(t.Context(), "d/new", strings.NewReader("again"), 5, nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// crash makes a create-only Put end for good at a point, as if the process had
// been killed there: the goroutine stands still for the rest of the test.
func crash(t *testing.T, b *Bucket, point, name string, body io.Reader) {
	t.Helper()
	reached, end := make(chan struct{}), make(chan struct{})
	done := make(chan struct{})
	b.failpoint = func(p string) error {
		if p == point {
			close(reached)
			<-end
		}
		return nil
	}
	go func() {
		defer close(done)
		_, err := b.Put(context.WithoutCancel(t.Context()), name, body, -1, &object.PutOptions{CreateOnly: true, Meta: map[string]string{"a": "b"}})
		if err != nil && point != "before name" {
			t.Errorf("Put: %v", err)
		}
	}()
	t.Cleanup(func() { close(end); <-done })
	<-reached
}

// A failed Put cleans up after itself.
func TestPutFails(t *testing.T) {
	for _, point := range []string{"before name", "before sync of the directory"} {
		b := open(t, t.TempDir(), nil)
		b.failpoint = func(p string) error {
			if p == point {
				return errors.New("input/output error")
			}
			return nil
		}
		_, err := b.Put(t.Context(), "a", strings.NewReader("x"), 1, nil)
		if !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", point, err)
		}
		tidy(t, b)
	}
}

func TestNoSpace(t *testing.T) {
	b := open(t, t.TempDir(), nil)
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		for point, want := range map[string]error{
			"before name":                  object.ErrNoSpace,
			"before sync of the directory": object.ErrUnavailable, // it may be there: that is no "nothing was done"
		} {
			b.failpoint = func(p string) error {
				if p == point {
					return &os.PathError{Op: "sync", Path: b.tmp, Err: errno}
				}
				return nil
			}
			_, err := b.Put(t.Context(), "a", strings.NewReader("x"), 1, nil)
			if !errors.Is(err, want) || errors.Is(err, object.ErrNoSpace) != (want == object.ErrNoSpace) || strings.Contains(err.Error(), b.tmp) {
				t.Errorf("%v %s: %v, want %v and no path", errno, point, err, want)
			}
		}
	}
	tidy(t, b)
}

// That a name is taken is said only when it is durable that it is.
func TestExistIsDurable(t *testing.T) {
	b := open(t, t.TempDir(), nil)
	opt := &object.PutOptions{CreateOnly: true}
	fail := errors.New("input/output error")
	b.failpoint = func(p string) error {
		if p == "before sync of the directory" {
			return fail
		}
		return nil
	}
	for range 2 { // it has its name, but nobody may rely on it
		if _, err := b.Put(t.Context(), "d/a", strings.NewReader("x"), 1, opt); !errors.Is(err, object.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
	}
	b.failpoint = nil
	if _, err := b.Put(t.Context(), "d/a", strings.NewReader("x"), 1, opt); !errors.Is(err, object.ErrExist) {
		t.Errorf("%v, want ErrExist", err)
	}
}

// A disk that goes away has lost nothing.
func TestDirectoryGone(t *testing.T) {
	dir := t.TempDir()
	b := open(t, filepath.Join(dir, "mnt"), nil)
	if _, err := b.Put(t.Context(), "d/a", strings.NewReader("x"), 1, nil); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrNotExist) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
		if err != nil && strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v shows a path", what, err)
		}
	}
	all := func() {
		t.Helper()
		_, err := b.Get(t.Context(), "d/a", 0, -1)
		check("Get", err)
		_, err = b.Head(t.Context(), "d/a")
		check("Head", err)
		check("Delete", b.Delete(t.Context(), "d/a"))
		_, err = b.Put(t.Context(), "d/b", strings.NewReader("x"), 1, nil)
		check("Put", err)
		_, err = b.CreateMultipart(t.Context(), "d/b", nil)
		check("CreateMultipart", err)
		_, err = b.PutPart(t.Context(), "d/b", "ABC", 1, strings.NewReader("x"), 1)
		check("PutPart", err)
		err = nil
		for _, err = range b.List(t.Context(), "d/", "") {
		}
		check("List", err)
	}
	if err := os.Rename(filepath.Join(dir, "mnt"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	all()
	if err := os.Mkdir(filepath.Join(dir, "mnt"), 0o700); err != nil { // the empty mount point
		t.Fatal(err)
	}
	all()
	if err := os.Remove(filepath.Join(dir, "mnt")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "mnt")); err != nil {
		t.Fatal(err)
	}
	if got := content(t, b, "d/a"); got != "x" {
		t.Errorf("%q after it came back", got)
	}
}

func TestClosed(t *testing.T) {
	b := open(t, t.TempDir(), nil)
	_ = b.Close()
	if _, err := b.Head(t.Context(), "a"); !errors.Is(err, object.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}

// "a" and "a/b" can not both be objects here.
func TestNameIsPrefix(t *testing.T) {
	b := open(t, t.TempDir(), nil)
	put := func(name string, createOnly bool) error {
		_, err := b.Put(t.Context(), name, strings.NewReader("x"), 1, &object.PutOptions{CreateOnly: createOnly})
		return err
	}
	if err := errors.Join(put("a", false), put("d/b", false)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b", "a/b/c", "d"} {
		for _, createOnly := range []bool{false, true} {
			if err := put(name, createOnly); !errors.Is(err, object.ErrName) {
				t.Errorf("Put(%q): %v, want ErrName", name, err)
			}
		}
	}
	tidy(t, b)
}

func TestDeletePrunes(t *testing.T) {
	for _, opt := range []Options{{}, {NoXattr: true}} {
		b := open(t, t.TempDir(), &opt)
		for _, name := range []string{"v/u/1/thumb", "v/u/2/thumb"} {
			if _, err := b.Put(t.Context(), name, strings.NewReader("x"), 1, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Delete(t.Context(), "v/u/1/thumb"); err != nil {
			t.Fatal(err)
		}
		if isDir(b.path("v/u/1")) || !isDir(b.path("v/u/2")) {
			t.Error("want exactly the empty directory gone")
		}
		if err := b.Delete(t.Context(), "v/u/2/thumb"); err != nil {
			t.Fatal(err)
		}
		if isDir(b.path("v")) || !isDir(b.objects) {
			t.Error("want all empty directories gone but the root")
		}
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, &Options{NoXattr: true})
	opt := &object.PutOptions{Meta: map[string]string{"a": "b"}}
	for _, name := range []string{"keep/a", "gone/b"} {
		if _, err := b.Put(t.Context(), name, strings.NewReader("x"), 1, opt); err != nil {
			t.Fatal(err)
		}
	}
	id, err := b.CreateMultipart(t.Context(), "up", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.path("gone/b")); err != nil { // behind our back
		t.Fatal(err)
	}
	before, _ := b.Head(t.Context(), "keep/a")
	ageNot(t, dir, 25*time.Hour, b.path("keep/a"))
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := b.Head(t.Context(), "keep/a")
	if err != nil || after.Meta["a"] != "b" || after.ETag != before.ETag {
		t.Errorf("Head after Sweep: %+v, %v", after, err)
	}
	if isDir(b.path("gone")) {
		t.Error("an empty directory is left")
	}
	if n := files(t, b.meta); n != 1 {
		t.Errorf("%d files of metadata, want 1", n)
	}
	if _, err := b.PutPart(t.Context(), "up", id, 1, strings.NewReader("x"), 1); err != nil {
		t.Errorf("an upload of yesterday was swept: %v", err)
	}
	ageNot(t, dir, 8*24*time.Hour, b.path("keep/a"))
	if err := b.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.PutPart(t.Context(), "up", id, 1, strings.NewReader("x"), 1); !errors.Is(err, object.ErrNotExist) {
		t.Errorf("PutPart to an upload of last week: %v, want ErrNotExist", err)
	}
}

func TestFree(t *testing.T) {
	free, total, err := open(t, t.TempDir(), nil).Free()
	if err != nil || free == 0 || total < free {
		t.Errorf("Free: %d of %d, %v", free, total, err)
	}
}

// The reader of Get must not hide the file from a connection.
func TestGetOverHTTP(t *testing.T) {
	b := open(t, t.TempDir(), nil)
	data := objecttest.Bytes(1, 1<<20)
	if _, err := b.Put(t.Context(), "a", bytes.NewReader(data), -1, nil); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc, err := b.Get(r.Context(), "a", 1000, 500_000)
		if err != nil {
			t.Error(err)
			return
		}
		defer rc.Close()
		if _, err := io.Copy(w, rc); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, data[1000:501_000]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func content(t *testing.T, b *Bucket, name string) string {
	t.Helper()
	r, err := b.Get(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func files(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// age makes everything below dir d old.
func age(t *testing.T, dir string, d time.Duration) { ageNot(t, dir, d, "") }

func ageNot(t *testing.T, dir string, d time.Duration, not string) {
	t.Helper()
	at := time.Now().Add(-d)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || path == not {
			return err
		}
		return os.Chtimes(path, at, at)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkPut(b *testing.B) {
	d := open(b, b.TempDir(), nil)
	data := objecttest.Bytes(1, 6<<20)
	b.SetBytes(int64(len(data)))
	i := 0
	for b.Loop() {
		i++
		name := fmt.Sprintf("v1/o/u/%06d.jpg", i)
		if _, err := d.Put(b.Context(), name, bytes.NewReader(data), int64(len(data)), &object.PutOptions{CreateOnly: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteFile is what BenchmarkPut is to be compared with.
func BenchmarkWriteFile(b *testing.B) {
	dir := b.TempDir()
	data := objecttest.Bytes(1, 6<<20)
	b.SetBytes(int64(len(data)))
	i := 0
	for b.Loop() {
		i++
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	d := open(b, b.TempDir(), nil)
	data := objecttest.Bytes(1, 6<<20)
	if _, err := d.Put(b.Context(), "a", bytes.NewReader(data), -1, nil); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		r, err := d.Get(b.Context(), "a", 0, -1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		_ = r.Close()
	}
}
