package objecttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
)

var readCases = []testCase{
	{"get ranges", func(t *testing.T, b object.Bucket) {
		data := Bytes(1, 1000)
		write(t, b, "a", data)
		for _, c := range []struct{ off, n int64 }{
			{0, -1}, {0, 1000}, {0, 2000}, {0, 1}, {0, 0}, {1, 1}, {999, 1}, {999, 10}, {999, -1}, {500, -1}, {100, 300},
			{1000, 1}, {1000, -1}, {1000, 0}, {5000, 5}, {5000, -1}, {1, 1<<63 - 1},
		} {
			lo := min(c.off, 1000)
			hi := int64(1000)
			if c.n >= 0 && c.n < 1000-lo {
				hi = lo + c.n
			}
			if got := read(t, b, "a", c.off, c.n); !bytes.Equal(got, data[lo:hi]) {
				t.Errorf("Get(%d, %d): %d bytes, want %d", c.off, c.n, len(got), hi-lo)
			}
		}
	}},
	{"get ranges of nothing", func(t *testing.T, b object.Bucket) {
		write(t, b, "zero", nil)
		for _, c := range []struct{ off, n int64 }{{0, -1}, {0, 0}, {0, 5}, {3, -1}, {3, 3}} {
			if got := read(t, b, "zero", c.off, c.n); len(got) != 0 {
				t.Errorf("Get(%d, %d): %q", c.off, c.n, got)
			}
		}
	}},
	{"get writes itself", func(t *testing.T, b object.Bucket) {
		data := Bytes(2, 100_000)
		write(t, b, "a", data)
		r, err := b.Get(t.Context(), "a", 10, 50_000)
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if n, err := io.Copy(&buf, r); n != 50_000 || err != nil || !bytes.Equal(buf.Bytes(), data[10:50_010]) {
			t.Errorf("io.Copy: %d bytes, %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}},
	{"what was never there", func(t *testing.T, b object.Bucket) {
		write(t, b, "d/a", []byte("x"))
		for _, name := range []string{"a", "d", "d/b", "e/f/g"} {
			gone(t, b, name)
			for _, c := range []struct{ off, n int64 }{{0, 0}, {5, -1}, {5, 5}} {
				_, err := b.Get(t.Context(), name, c.off, c.n)
				is(t, err, object.ErrNotExist)
			}
		}
	}},
	{"a reader keeps what it opened", func(t *testing.T, b object.Bucket) {
		data := Bytes(3, 1000)
		write(t, b, "a", data)
		r, err := b.Get(t.Context(), "a", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		write(t, b, "a", []byte("new"))
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d bytes, %v; want the old content", len(got), err)
		}
		_ = r.Close()
	}},
	{"delete", func(t *testing.T, b object.Bucket) {
		write(t, b, "d/a", []byte("x"))
		write(t, b, "d/b", []byte("y"))
		for range 2 { // idempotent
			if err := b.Delete(t.Context(), "d/a"); err != nil {
				t.Fatal(err)
			}
		}
		gone(t, b, "d/a")
		has(t, b, "d/b", []byte("y"))
		for _, name := range []string{"never", "never/there/at/all", "d"} {
			if err := b.Delete(t.Context(), name); err != nil {
				t.Errorf("Delete(%q): %v", name, err)
			}
		}
		has(t, b, "d/b", []byte("y"))
		if err := b.Delete(t.Context(), "d/b"); err != nil {
			t.Fatal(err)
		}
		write(t, b, "d/c", []byte("z")) // where a directory was
		write(t, b, "e", []byte("z"))
		has(t, b, "d/c", []byte("z"))
	}},
	{"reading with an ended context", func(t *testing.T, b object.Bucket) {
		write(t, b, "a", []byte("x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Get(ctx, "a", 0, -1)
		is(t, err, context.Canceled)
		_, err = b.Head(ctx, "a")
		is(t, err, context.Canceled)
		is(t, b.Delete(ctx, "a"), context.Canceled)
		last := error(nil)
		for _, err := range b.List(ctx, "", "") {
			last = err
		}
		is(t, last, context.Canceled)
		has(t, b, "a", []byte("x"))
	}},
}

var listCases = []testCase{
	{"list of nothing", func(t *testing.T, b object.Bucket) {
		inOrder(t, b, nil)
		write(t, b, "a/b", []byte("x"))
		for _, prefix := range []string{"b", "a/b/", "a/b/c", "a/c", "0", "a/bb", "z/z/z"} {
			if got := list(t, b, prefix, ""); got != nil {
				t.Errorf("List(%q): %q, want nothing", prefix, got)
			}
		}
	}},
	{"list describes", func(t *testing.T, b object.Bucket) {
		want := write(t, b, "d/a", Bytes(1, 123))
		n := 0
		for info, err := range b.List(t.Context(), "", "") {
			n++
			if err != nil || info.Name != "d/a" || info.Size != 123 || info.ETag != want.ETag || info.ModTime.IsZero() {
				t.Errorf("List: %+v, %v; Put: %+v", info, err, want)
			}
		}
		if n != 1 {
			t.Errorf("%d objects, want 1", n)
		}
	}},
	{"list is in byte order of whole names", func(t *testing.T, b object.Bucket) {
		names := []string{
			"a-b", "a.b", "a/b", "a/b-", "a/b.c/d", "a/b0", "a/bc/d/e", "a0", "aa/b", "a-/b", "a./b", "a0/b", "a!/x", "A/b", "ab",
			"é/x", "é.x", "z", "Z", "_", "~", "-", ".a", "1", "10", "2", "1/2", "a/c", "a/c.x", "a b/c",
		}
		inOrder(t, b, skipPrefixes(names))
	}},
	{"list with prefix and after", func(t *testing.T, b object.Bucket) {
		var names []string
		for _, d := range []string{"a", "a-b", "a.b", "ab", "b/a", "b/b", "b"} {
			for _, f := range []string{"1", "10", "2", "x-y", "x.y"} {
				names = append(names, d+"/"+f)
			}
		}
		names = append(names, "b/x/y", "b/x/z", "b-", "b.", "c")
		for i, name := range names {
			write(t, b, name, Bytes(1, i))
		}
		slices.Sort(names)
		prefixes := []string{"", "a", "a/", "a/1", "a/1/", "ab", "b", "b/", "b/a/", "b/x", "b/x/", "b/x.", "b/x/y", "c", "d", "/", "a-b/10"}
		afters := append([]string{"", "a", "a/", "a/1", "a/1\x00", "a/zzz", "a-b", "a.", "b/", "b/a", "b/a/", "b/x/", "b/x/y", "b0", "zzz", "\xff"}, names...)
		for _, prefix := range prefixes {
			for _, after := range afters {
				var want []string
				for _, n := range names {
					if strings.HasPrefix(n, prefix) && n > after {
						want = append(want, n)
					}
				}
				if got := list(t, b, prefix, after); !slices.Equal(got, want) {
					t.Errorf("List(%q, %q):\n got %q\nwant %q", prefix, after, got, want)
				}
			}
		}
	}},
	{"list of more than a page", func(t *testing.T, b object.Bucket) {
		var names []string
		for i := range 1203 {
			names = append(names, fmt.Sprintf("p/%d/%04d", i%3, i))
		}
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				for j := i; j < len(names); j += 24 {
					if _, err := b.Put(t.Context(), names[j], nil, 0, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		inOrder(t, b, names)
		slices.Sort(names)
		if got := list(t, b, "p/", names[600]); !slices.Equal(got, names[601:]) {
			t.Errorf("%d names after the 601st, want %d", len(got), len(names)-601)
		}
	}},
	{"list stops when told", func(t *testing.T, b object.Bucket) {
		for i := range 5 {
			write(t, b, fmt.Sprintf("d%d/x", i), nil)
		}
		n := 0
		for range b.List(t.Context(), "", "") {
			if n++; n == 2 {
				break
			}
		}
		if n != 2 {
			t.Errorf("%d rounds, want 2", n)
		}
	}},
	{"list whose context ends midway", func(t *testing.T, b object.Bucket) {
		for i := range 5 {
			write(t, b, fmt.Sprintf("d%d/x", i), nil)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		n := 0
		for _, err := range b.List(ctx, "", "") {
			if last != nil {
				t.Fatal("goes on after an error")
			}
			last = err
			n++
			cancel()
		}
		// A driver that has the page in hand may give the rest of it.
		if last != nil {
			is(t, last, context.Canceled)
		} else if n != 5 {
			t.Errorf("%d rounds and no error", n)
		}
	}},
	{"delete and put while listing", func(t *testing.T, b object.Bucket) {
		for i := range 20 {
			write(t, b, fmt.Sprintf("d%d/x%d", i%4, i), nil)
		}
		n := 0
		for info, err := range b.List(t.Context(), "d", "") {
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Delete(t.Context(), info.Name); err != nil {
				t.Fatal(err)
			}
			write(t, b, "e/"+info.Name, nil)
			n++
		}
		if n != 20 {
			t.Errorf("%d objects, want 20", n)
		}
		if got := list(t, b, "", ""); len(got) != 20 {
			t.Errorf("%q left, want the 20 new ones", got)
		}
	}},
}

// inOrder puts the names that are not there and fails unless List yields all,
// sorted.
func inOrder(t *testing.T, b object.Bucket, names []string) {
	t.Helper()
	there := list(t, b, "", "")
	for _, name := range names {
		if !slices.Contains(there, name) {
			write(t, b, name, []byte(name))
		}
	}
	want := slices.Clone(names)
	slices.Sort(want)
	if got := list(t, b, "", ""); !slices.Equal(got, want) {
		t.Errorf("List:\n got %q\nwant %q", got, want)
	}
}

// skipPrefixes leaves out names that are also a directory of another.
func skipPrefixes(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return slices.ContainsFunc(names, func(m string) bool { return strings.HasPrefix(m, n+"/") })
	})
}
