package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// bigger is longer than one buffer of any driver, so that it is streamed.
const bigger = 17<<20 + 7

var putCases = []testCase{
	{"put returns what Head says", func(t *testing.T, b object.Bucket) {
		data := Bytes(1, 1000)
		before := time.Now().Add(-2 * time.Minute)
		got := write(t, b, "v1/o/a.jpg", data)
		if got.Name != "v1/o/a.jpg" || got.Size != 1000 || got.ETag == "" || strings.Contains(got.ETag, `"`) {
			t.Errorf("Put: %+v, want the name, 1000 bytes and a bare ETag", got)
		}
		info, err := b.Head(t.Context(), "v1/o/a.jpg")
		if err != nil {
			t.Fatal(err)
		}
		if info.Name != got.Name || info.Size != got.Size || info.ETag != got.ETag {
			t.Errorf("Head: %+v, Put: %+v", info, got)
		}
		if info.ModTime.Before(before) || info.ModTime.After(time.Now().Add(2*time.Minute)) {
			t.Errorf("ModTime %v is not about now", info.ModTime)
		}
		has(t, b, "v1/o/a.jpg", data)
	}},
	{"put zero bytes", func(t *testing.T, b object.Bucket) {
		if info := write(t, b, "zero", nil); info.Size != 0 || info.ETag == "" {
			t.Errorf("Put: %+v, want 0 bytes and an ETag", info)
		}
		if _, err := b.Put(t.Context(), "none", nil, 0, nil); err != nil {
			t.Errorf("Put of a nil body: %v", err)
		}
		has(t, b, "zero", nil)
		has(t, b, "none", nil)
	}},
	{"put of unknown size", func(t *testing.T, b object.Bucket) {
		for i, n := range []int{0, 1, 100_000, bigger} {
			name, data := fmt.Sprintf("n%d", i), Bytes(2, n)
			info, err := b.Put(t.Context(), name, onlyReader{bytes.NewReader(data)}, -1, nil)
			if err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if info.Size != int64(n) {
				t.Errorf("Size %d, want %d", info.Size, n)
			}
			has(t, b, name, data)
		}
	}},
	{"put streams what no buffer holds", func(t *testing.T, b object.Bucket) {
		data := Bytes(3, bigger)
		info := write(t, b, "big", data)
		if head, err := b.Head(t.Context(), "big"); err != nil || head.ETag != info.ETag || head.Size != bigger {
			t.Errorf("Head: %+v, %v; Put: %+v", head, err, info)
		}
		has(t, b, "big", data)
	}},
	{"put at the edges of a buffer", func(t *testing.T, b object.Bucket) {
		for i, n := range []int{8<<20 - 1, 8 << 20, 8<<20 + 1, 16 << 20} {
			name, data := fmt.Sprintf("n%d", i), Bytes(uint64(n), n)
			write(t, b, name, data)
			has(t, b, name, data)
		}
	}},
	{"put reads a hesitant body", func(t *testing.T, b object.Bucket) {
		data := Bytes(4, 5000)
		for name, r := range map[string]io.Reader{
			"one": iotest.OneByteReader(bytes.NewReader(data)),
			"eof": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			if _, err := b.Put(t.Context(), name, r, 5000, nil); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			has(t, b, name, data)
		}
	}},
	{"put overwrites", func(t *testing.T, b object.Bucket) {
		one := write(t, b, "a", []byte("one"))
		two := write(t, b, "a", []byte("another"))
		if one.ETag == two.ETag {
			t.Errorf("ETag %q did not change with the content", one.ETag)
		}
		has(t, b, "a", []byte("another"))
		if got := list(t, b, "", ""); len(got) != 1 {
			t.Errorf("List: %q, want one name", got)
		}
	}},
	{"overwrite is atomic", overwriteIsAtomic},
	{"create-only refuses a taken name", func(t *testing.T, b object.Bucket) {
		for i, n := range []int{10, bigger} {
			name, data := fmt.Sprintf("n%d", i), Bytes(5, n)
			if err := create(t.Context(), b, name, data); err != nil {
				t.Fatalf("first of %d bytes: %v", n, err)
			}
			is(t, create(t.Context(), b, name, Bytes(6, n)), object.ErrExist)
			has(t, b, name, data)
		}
	}},
	{"create-only after delete", func(t *testing.T, b object.Bucket) {
		write(t, b, "a", []byte("one"))
		if err := b.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := create(t.Context(), b, "a", []byte("two")); err != nil {
			t.Fatal(err)
		}
		has(t, b, "a", []byte("two"))
	}},
	{"create-only: one of 16 racers wins", func(t *testing.T, b object.Bucket) { race(t, b, 100) }},
	{"create-only: one of 16 racers wins, streamed", func(t *testing.T, b object.Bucket) { race(t, b, 9<<20) }},
	{"a failing body stores nothing", func(t *testing.T, b object.Bucket) {
		for i, n := range []int{0, 10, 9 << 20} {
			for _, size := range []int64{-1, int64(n), int64(n + 100)} {
				name := fmt.Sprintf("n%d", i)
				_, err := b.Put(t.Context(), name, broken(n), size, nil)
				is(t, err, errBroken)
				gone(t, b, name)
			}
		}
	}},
	{"a failing body leaves what was there", func(t *testing.T, b object.Bucket) {
		write(t, b, "a", []byte("old"))
		for _, n := range []int{10, bigger} {
			_, err := b.Put(t.Context(), "a", broken(n), -1, nil)
			is(t, err, errBroken)
			has(t, b, "a", []byte("old"))
		}
	}},
	{"a short or long body is incomplete", func(t *testing.T, b object.Bucket) {
		for _, c := range []struct {
			n    int
			size int64
		}{{0, 1}, {1, 0}, {10, 11}, {10, 9}, {9 << 20, 9<<20 + 1}, {9 << 20, 9<<20 - 1}, {8<<20 + 1, 8 << 20}, {bigger, bigger + 1}} {
			_, err := b.Put(t.Context(), "a", bytes.NewReader(Bytes(7, c.n)), c.size, nil)
			if !errors.Is(err, object.ErrIncomplete) {
				t.Errorf("%d bytes promised as %d: error %v, want ErrIncomplete", c.n, c.size, err)
			}
			gone(t, b, "a")
		}
	}},
	{"metadata", func(t *testing.T, b object.Bucket) {
		meta := map[string]string{"sb-v": "1", "sb-name": "photos/2024/%C3%A9t%C3%A9 \"x\".jpg", "sb-empty-ish": "-"}
		opt := &object.PutOptions{Type: "image/jpeg", Meta: meta, FinalMeta: func() map[string]string {
			return map[string]string{"sb-sha256": "abc="}
		}}
		want := maps.Clone(meta)
		want["sb-sha256"] = "abc="
		if _, err := b.Put(t.Context(), "a", strings.NewReader("hello"), 5, opt); err != nil {
			t.Fatal(err)
		}
		headMeta(t, b, "a", "image/jpeg", want)
		if len(meta) != 3 {
			t.Errorf("Put wrote into the caller's map: %v", meta)
		}
	}},
	{"an overwrite drops metadata", func(t *testing.T, b object.Bucket) {
		opt := &object.PutOptions{Type: "image/jpeg", Meta: map[string]string{"sb-v": "1"}}
		if _, err := b.Put(t.Context(), "a", strings.NewReader("hello"), 5, opt); err != nil {
			t.Fatal(err)
		}
		write(t, b, "a", []byte("again"))
		if info, err := b.Head(t.Context(), "a"); err != nil || len(info.Meta) != 0 {
			t.Errorf("after an overwrite without: %v, %v, want no metadata", info.Meta, err)
		}
	}},
	{"metadata of a streamed body", func(t *testing.T, b object.Bucket) {
		meta := map[string]string{"sb-op": "01JE"}
		asked := 0
		opt := &object.PutOptions{Type: "video/mp4", Meta: meta, FinalMeta: func() map[string]string { asked++; return nil }}
		if _, err := b.Put(t.Context(), "a", bytes.NewReader(Bytes(8, bigger)), bigger, opt); err != nil {
			t.Fatal(err)
		}
		if asked > 1 {
			t.Errorf("FinalMeta was asked %d times", asked)
		}
		headMeta(t, b, "a", "video/mp4", meta)
	}},
	{"metadata up to its limit", func(t *testing.T, b object.Bucket) {
		meta := map[string]string{"a": long(1000), "b": long(object.MaxMeta - 1002)}
		opt := &object.PutOptions{Type: "image/jpeg", Meta: meta}
		if _, err := b.Put(t.Context(), "a", strings.NewReader("x"), 1, opt); err != nil {
			t.Fatal(err)
		}
		headMeta(t, b, "a", "image/jpeg", meta)
	}},
	{"metadata that is not valid is refused", func(t *testing.T, b object.Bucket) {
		for _, meta := range []map[string]string{
			{"A": "x"}, {"": "x"}, {"a b": "x"}, {"a": "é"}, {"a": "x\r\nb: y"}, {"a": " x"}, {"a": long(object.MaxMeta)},
		} {
			_, err := b.Put(t.Context(), "a", strings.NewReader("x"), 1, &object.PutOptions{Meta: meta})
			is(t, err, object.ErrMeta)
			_, err = b.Put(t.Context(), "a", strings.NewReader("x"), 1, &object.PutOptions{FinalMeta: func() map[string]string { return meta }})
			is(t, err, object.ErrMeta)
		}
		gone(t, b, "a")
	}},
	{"put with an ended context", func(t *testing.T, b object.Bucket) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Put(ctx, "a", strings.NewReader("x"), 1, nil)
		is(t, err, context.Canceled)
		gone(t, b, "a")
	}},
	{"put whose context ends midway", func(t *testing.T, b object.Bucket) {
		for _, n := range []int{100, 9 << 20} {
			ctx, cancel := context.WithCancel(t.Context())
			body := io.MultiReader(bytes.NewReader(Bytes(9, n)), readFunc(func(p []byte) (int, error) {
				cancel()
				return 1, nil
			}), bytes.NewReader(Bytes(9, n)))
			_, err := b.Put(ctx, "a", body, int64(2*n+1), nil)
			is(t, err, context.Canceled)
			gone(t, b, "a")
		}
	}},
	{"names that are not valid are refused", func(t *testing.T, b object.Bucket) {
		for _, name := range []string{
			"", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "../a", "a/../b", "a/..", "a\x00b", "a\nb", "\xff", "a/\xc3",
			long(256), strings.Repeat(long(99)+"/", 11) + "x",
		} {
			_, err := b.Put(t.Context(), name, strings.NewReader("x"), 1, nil)
			is(t, err, object.ErrName)
			_, err = b.Get(t.Context(), name, 0, -1)
			is(t, err, object.ErrName)
			_, err = b.Head(t.Context(), name)
			is(t, err, object.ErrName)
			is(t, b.Delete(t.Context(), name), object.ErrName)
			if m, ok := b.(object.Multiparter); ok {
				_, err = m.CreateMultipart(t.Context(), name, nil)
				is(t, err, object.ErrName)
			}
		}
		if got := list(t, b, "", ""); len(got) != 0 {
			t.Errorf("List: %q, want nothing", got)
		}
	}},
	{"names that are odd but valid", func(t *testing.T, b object.Bucket) {
		names := []string{
			"a b", "a+b", "a%20b", "a%2Fb", "é", "e\u0301", "日本/写真.jpg", "...", "a/.b", "~", "#x?y=z&w", "'\"<>&", `back\slash`,
			"@meta", "tmp/uploads/x", "objects/y", long(255), strings.Repeat(long(99)+"/", 10) + long(24), "\U0001F4F7",
		}
		for i, name := range names {
			write(t, b, name, Bytes(uint64(i), 10+i))
		}
		for i, name := range names {
			has(t, b, name, Bytes(uint64(i), 10+i))
			if info, err := b.Head(t.Context(), name); err != nil || info.Name != name {
				t.Errorf("Head(%q): %q, %v", name, info.Name, err)
			}
		}
		inOrder(t, b, names)
	}},
	{"concurrent use", concurrentUse},
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) {
	n, err := f(p)
	if err == nil {
		err = io.EOF // once; MultiReader goes on
	}
	return n, err
}

func headMeta(t *testing.T, b object.Bucket, name, typ string, want map[string]string) {
	t.Helper()
	info, err := b.Head(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Type != typ {
		t.Errorf("Type %q, want %q", info.Type, typ)
	}
	if !maps.Equal(info.Meta, want) {
		t.Errorf("Meta %q, want %q", info.Meta, want)
	}
}

// race lets 16 writers create one name; the bucket must let exactly one.
func race(t *testing.T, b object.Bucket, n int) {
	const racers = 16
	errs := make([]error, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		data := Bytes(uint64(i), n)
		wg.Go(func() {
			<-start
			errs[i] = create(t.Context(), b, "seq/0001", data)
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("racers %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, object.ErrExist):
			t.Errorf("racer %d: %v, want ErrExist", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	has(t, b, "seq/0001", Bytes(uint64(winner), n))
}

// overwriteIsAtomic reads while an object is replaced: each read must see one
// of the contents, whole.
func overwriteIsAtomic(t *testing.T, b object.Bucket) {
	const n = 300_000
	versions := [][]byte{bytes.Repeat([]byte("a"), n), bytes.Repeat([]byte("b"), n/2)}
	write(t, b, "a", versions[0])
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := b.Get(t.Context(), "a", 0, -1)
				if err != nil {
					t.Errorf("Get while overwriting: %v", err)
					return
				}
				got, err := io.ReadAll(r)
				_ = r.Close()
				if err != nil || !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) {
					t.Errorf("read %d bytes that are neither content: %v", len(got), err)
					return
				}
			}
		})
	}
	for i := range 20 {
		write(t, b, "a", versions[i%2])
	}
	close(done)
	wg.Wait()
}

func concurrentUse(t *testing.T, b object.Bucket) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 4 {
				name, data := fmt.Sprintf("c/%d/%d", i%4, i*10+j), Bytes(uint64(i*10+j), 2000)
				if _, err := b.Put(t.Context(), name, bytes.NewReader(data), 2000, nil); err != nil {
					t.Errorf("Put: %v", err)
					continue
				}
				r, err := b.Get(t.Context(), name, 0, -1)
				if err != nil {
					t.Errorf("Get: %v", err)
					continue
				}
				got, err := io.ReadAll(r)
				_ = r.Close()
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("read back %d bytes, %v", len(got), err)
				}
				for _, err := range b.List(t.Context(), "c/", "") {
					if err != nil {
						t.Errorf("List: %v", err)
					}
				}
				if j%2 == 0 {
					if err := b.Delete(t.Context(), name); err != nil {
						t.Errorf("Delete: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := list(t, b, "c/", ""); len(got) != 16 {
		t.Errorf("%d objects left, want 16", len(got))
	}
}
