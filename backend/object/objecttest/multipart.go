package objecttest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// multipart adapts a case to buckets that have the capability.
func multipart(f func(*testing.T, object.Bucket, object.Multiparter)) func(*testing.T, object.Bucket) {
	return func(t *testing.T, b object.Bucket) {
		m, ok := b.(object.Multiparter)
		if !ok {
			t.Skip("not a Multiparter")
		}
		f(t, b, m)
	}
}

const part = object.MinPart

var multipartCases = []testCase{
	{"multipart out of order", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		meta := map[string]string{"sb-op": "1"}
		id, err := m.CreateMultipart(t.Context(), "d/a", &object.PutOptions{Type: "video/mp4", Meta: meta})
		if err != nil {
			t.Fatal(err)
		}
		three := putPart(t, m, "d/a", id, 30, Bytes(3, 1000))
		one := putPart(t, m, "d/a", id, 1, Bytes(1, part))
		two := putPart(t, m, "d/a", id, 7, Bytes(2, part+1))
		gone(t, b, "d/a")
		info, err := m.CompleteMultipart(t.Context(), "d/a", id, []object.Part{one, two, three})
		if err != nil {
			t.Fatal(err)
		}
		want := slices.Concat(Bytes(1, part), Bytes(2, part+1), Bytes(3, 1000))
		if info.Size != int64(len(want)) || info.Name != "d/a" || info.ETag == "" {
			t.Errorf("CompleteMultipart: %+v, want %d bytes", info, len(want))
		}
		if head, err := b.Head(t.Context(), "d/a"); err != nil || head.ETag != info.ETag || head.Size != info.Size {
			t.Errorf("Head: %+v, %v; CompleteMultipart: %+v", head, err, info)
		}
		has(t, b, "d/a", want)
		headMeta(t, b, "d/a", "video/mp4", meta)
	})},
	{"multipart of one part", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		p := putPart(t, m, "a", id, 5, Bytes(1, 10))
		complete(t, m, "a", id, p)
		has(t, b, "a", Bytes(1, 10))
		if got := list(t, b, "", ""); !slices.Equal(got, []string{"a"}) {
			t.Errorf("List: %q, want only the object", got)
		}
	})},
	{"multipart overwrites", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		write(t, b, "a", []byte("old"))
		id := begin(t, m, "a")
		p := putPart(t, m, "a", id, 1, []byte("new"))
		has(t, b, "a", []byte("old"))
		complete(t, m, "a", id, p)
		has(t, b, "a", []byte("new"))
	})},
	{"multipart leaves out parts not named", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		one := putPart(t, m, "a", id, 1, Bytes(1, part))
		putPart(t, m, "a", id, 2, Bytes(2, part))
		three := putPart(t, m, "a", id, 3, Bytes(3, 5))
		complete(t, m, "a", id, one, three)
		has(t, b, "a", slices.Concat(Bytes(1, part), Bytes(3, 5)))
	})},
	{"a part put again replaces the first", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		old := putPart(t, m, "a", id, 1, Bytes(1, part))
		two := putPart(t, m, "a", id, 2, Bytes(2, 10))
		one := putPart(t, m, "a", id, 1, Bytes(9, part+5))
		if old.ETag == one.ETag {
			t.Errorf("ETag %q did not change with the content", one.ETag)
		}
		_, err := m.CompleteMultipart(t.Context(), "a", id, []object.Part{old, two})
		is(t, err, object.ErrPart)
		complete(t, m, "a", id, one, two)
		has(t, b, "a", slices.Concat(Bytes(9, part+5), Bytes(2, 10)))
	})},
	{"parts that are wrong are ErrPart", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		one := putPart(t, m, "a", id, 1, Bytes(1, part))
		two := putPart(t, m, "a", id, 2, Bytes(2, 10))
		for name, parts := range map[string][]object.Part{
			"none":       {},
			"missing":    {one, two, {Number: 3, ETag: two.ETag, Size: 10}},
			"order":      {two, one},
			"twice":      {one, one},
			"wrong ETag": {one, {Number: 2, ETag: one.ETag, Size: 10}},
			"no ETag":    {one, {Number: 2, Size: 10}},
			"zero":       {{Number: 0, ETag: one.ETag}, two},
		} {
			if _, err := m.CompleteMultipart(t.Context(), "a", id, parts); !errors.Is(err, object.ErrPart) {
				t.Errorf("%s: error %v, want ErrPart", name, err)
			}
			gone(t, b, "a")
		}
		for _, n := range []int{-1, 0, 10_001} {
			_, err := m.PutPart(t.Context(), "a", id, n, strings.NewReader("x"), 1)
			is(t, err, object.ErrPart)
		}
		complete(t, m, "a", id, one, two)
		has(t, b, "a", slices.Concat(Bytes(1, part), Bytes(2, 10)))
	})},
	{"a small part in the middle is ErrPart", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		one := putPart(t, m, "a", id, 1, Bytes(1, part-1))
		two := putPart(t, m, "a", id, 2, Bytes(2, 10))
		_, err := m.CompleteMultipart(t.Context(), "a", id, []object.Part{one, two})
		is(t, err, object.ErrPart)
		gone(t, b, "a")
	})},
	{"a failing part stores nothing", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		good := putPart(t, m, "a", id, 1, Bytes(1, 100))
		_, err := m.PutPart(t.Context(), "a", id, 1, broken(50), 100)
		is(t, err, errBroken)
		_, err = m.PutPart(t.Context(), "a", id, 1, bytes.NewReader(Bytes(2, 50)), 100)
		is(t, err, object.ErrIncomplete)
		_, err = m.PutPart(t.Context(), "a", id, 1, bytes.NewReader(Bytes(2, 101)), 100)
		is(t, err, object.ErrIncomplete)
		complete(t, m, "a", id, good)
		has(t, b, "a", Bytes(1, 100))
	})},
	{"multipart abort", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		write(t, b, "a", []byte("old"))
		id := begin(t, m, "a")
		p := putPart(t, m, "a", id, 1, []byte("new"))
		for range 2 { // idempotent
			if err := m.AbortMultipart(t.Context(), "a", id); err != nil {
				t.Fatal(err)
			}
		}
		_, err := m.CompleteMultipart(t.Context(), "a", id, []object.Part{p})
		is(t, err, object.ErrNotExist)
		_, err = m.PutPart(t.Context(), "a", id, 1, strings.NewReader("x"), 1)
		is(t, err, object.ErrNotExist)
		has(t, b, "a", []byte("old"))
	})},
	{"multipart completed twice", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		p := putPart(t, m, "a", id, 1, []byte("x"))
		complete(t, m, "a", id, p)
		_, err := m.CompleteMultipart(t.Context(), "a", id, []object.Part{p})
		is(t, err, object.ErrNotExist)
		_, err = m.PutPart(t.Context(), "a", id, 1, strings.NewReader("x"), 1)
		is(t, err, object.ErrNotExist)
		if err := m.AbortMultipart(t.Context(), "a", id); err != nil {
			t.Errorf("AbortMultipart after success: %v", err)
		}
		has(t, b, "a", []byte("x"))
	})},
	{"uploads that never were", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		p := []object.Part{{Number: 1, ETag: "0123", Size: 1}}
		for _, id := range []string{"nonsense", "../../a", "00000000000000000000000000000000"} {
			_, err := m.PutPart(t.Context(), "a", id, 1, strings.NewReader("x"), 1)
			is(t, err, object.ErrNotExist)
			_, err = m.CompleteMultipart(t.Context(), "a", id, p)
			is(t, err, object.ErrNotExist)
			if err := m.AbortMultipart(t.Context(), "a", id); err != nil {
				t.Errorf("AbortMultipart(%q): %v", id, err)
			}
		}
	})},
	{"an upload belongs to its name", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		_, err := m.PutPart(t.Context(), "b", id, 1, strings.NewReader("x"), 1)
		is(t, err, object.ErrNotExist)
		p := putPart(t, m, "a", id, 1, []byte("x"))
		_, err = m.CompleteMultipart(t.Context(), "b", id, []object.Part{p})
		is(t, err, object.ErrNotExist)
		gone(t, b, "b")
		complete(t, m, "a", id, p)
	})},
	{"two uploads of one name", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id1, id2 := begin(t, m, "a"), begin(t, m, "a")
		if id1 == id2 {
			t.Fatalf("one upload ID %q for two uploads", id1)
		}
		p1 := putPart(t, m, "a", id1, 1, []byte("first"))
		p2 := putPart(t, m, "a", id2, 1, []byte("second"))
		complete(t, m, "a", id2, p2)
		has(t, b, "a", []byte("second"))
		complete(t, m, "a", id1, p1)
		has(t, b, "a", []byte("first"))
	})},
	{"parts at once", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		parts := make([]object.Part, 4)
		var want []byte
		var wg sync.WaitGroup
		for i := range parts {
			data := Bytes(uint64(i), part+i)
			want = append(want, data...)
			wg.Go(func() {
				p, err := m.PutPart(t.Context(), "a", id, i+1, bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Errorf("PutPart: %v", err)
				}
				parts[i] = p
			})
		}
		wg.Wait()
		complete(t, m, "a", id, parts...)
		has(t, b, "a", want)
	})},
	{"multipart with an ended context", multipart(func(t *testing.T, b object.Bucket, m object.Multiparter) {
		id := begin(t, m, "a")
		p := putPart(t, m, "a", id, 1, []byte("x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := m.CreateMultipart(ctx, "a", nil)
		is(t, err, context.Canceled)
		_, err = m.PutPart(ctx, "a", id, 1, strings.NewReader("y"), 1)
		is(t, err, context.Canceled)
		_, err = m.CompleteMultipart(ctx, "a", id, []object.Part{p})
		is(t, err, context.Canceled)
		is(t, m.AbortMultipart(ctx, "a", id), context.Canceled)
		gone(t, b, "a")
		complete(t, m, "a", id, p)
	})},
}

// restartCases are those that open the store again.
func restartCases(s *suite) []testCase {
	again := func(f func(t *testing.T, b object.Bucket, reopen func() object.Bucket)) func(*testing.T, object.Bucket) {
		return func(t *testing.T, b object.Bucket) {
			if s.reopen == nil {
				t.Skip("this store does not outlive the bucket")
			}
			f(t, b, func() object.Bucket { return s.reopen(t, b) })
		}
	}
	return []testCase{
		{"objects survive a restart", again(func(t *testing.T, b object.Bucket, reopen func() object.Bucket) {
			meta := map[string]string{"sb-v": "1"}
			info, err := b.Put(t.Context(), "d/a", strings.NewReader("hello"), 5, &object.PutOptions{Type: "image/jpeg", Meta: meta})
			if err != nil {
				t.Fatal(err)
			}
			b = reopen()
			has(t, b, "d/a", []byte("hello"))
			headMeta(t, b, "d/a", "image/jpeg", meta)
			if head, _ := b.Head(t.Context(), "d/a"); head.ETag != info.ETag || !head.ModTime.Equal(info.ModTime) && !info.ModTime.IsZero() && head.ModTime.Sub(info.ModTime).Abs() > 2e9 {
				t.Errorf("Head: %+v, was %+v", head, info)
			}
			is(t, create(t.Context(), b, "d/a", []byte("x")), object.ErrExist)
		})},
		{"uploads survive a restart", again(func(t *testing.T, b object.Bucket, reopen func() object.Bucket) {
			m, ok := b.(object.Multiparter)
			if !ok {
				t.Skip("not a Multiparter")
			}
			id := begin(t, m, "d/a")
			one := putPart(t, m, "d/a", id, 1, Bytes(1, part))
			b = reopen()
			m = b.(object.Multiparter)
			two := putPart(t, m, "d/a", id, 2, Bytes(2, 10))
			b = reopen()
			complete(t, b.(object.Multiparter), "d/a", id, one, two)
			has(t, b, "d/a", slices.Concat(Bytes(1, part), Bytes(2, 10)))
		})},
	}
}

func begin(t *testing.T, m object.Multiparter, name string) string {
	t.Helper()
	id, err := m.CreateMultipart(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func putPart(t *testing.T, m object.Multiparter, name, id string, number int, data []byte) object.Part {
	t.Helper()
	p, err := m.PutPart(t.Context(), name, id, number, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("PutPart(%d): %v", number, err)
	}
	if p.Number != number || p.Size != int64(len(data)) || p.ETag == "" || strings.Contains(p.ETag, `"`) {
		t.Fatalf("PutPart(%d): %+v, want its number, %d bytes and a bare ETag", number, p, len(data))
	}
	return p
}

func complete(t *testing.T, m object.Multiparter, name, id string, parts ...object.Part) {
	t.Helper()
	if _, err := m.CompleteMultipart(t.Context(), name, id, parts); err != nil {
		t.Fatalf("CompleteMultipart: %v", err)
	}
}
