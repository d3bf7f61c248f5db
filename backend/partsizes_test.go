package backend_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// What an upload is given at its end is kept with its file, and so are the sizes of its
// parts, through a rename and a loss of the index.
func TestCompleteOptions(t *testing.T) {
	b := newBox(t)
	u, err := b.CreateUpload(t.Context(), "photos/v", &backend.PutOptions{Header: map[string]string{"a": "1", "b": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	var named []backend.CompletePart
	sizes := []int{object.MinPart, object.MinPart, object.MinPart + 7, 10}
	for i, n := range sizes {
		p, err := b.PutPart(t.Context(), u.ID, 2*i+1, bytes.NewReader(make([]byte, n)), int64(n), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, backend.CompletePart{Number: p.Number, ETag: p.ETag})
	}
	if _, err := b.CompleteUpload(t.Context(), u.ID, named, &backend.CompleteOptions{Header: map[string]string{"b": "2", "c": "3"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Move(t.Context(), "photos/v", "photos/w", nil); err != nil {
		t.Fatal(err)
	}
	b.open(memkv.New())
	e := stat(t, b, "photos/w")
	if want := map[string]string{"a": "1", "b": "2", "c": "3"}; !maps.Equal(e.Header, want) {
		t.Errorf("header %v, want %v", e.Header, want)
	}
	if got := fmt.Sprint(e.Parts, e.PartCount()); got != fmt.Sprintf("[{2 %d} {1 %d} {1 10}] 4", object.MinPart, object.MinPart+7) {
		t.Errorf("parts %s", got)
	}
	at := int64(0)
	for i, size := range sizes {
		if off, n, ok := e.Part(i + 1); off != at || n != int64(size) || !ok {
			t.Errorf("part %d: %d bytes at %d, %v", i+1, n, off, ok)
		}
		at += int64(size)
	}
	for _, n := range []int{-1, 0, 5} {
		if _, _, ok := e.Part(n); ok {
			t.Errorf("there is a part %d", n)
		}
	}
}

func stat(t *testing.T, b *box, key backend.Key) *backend.Entry {
	t.Helper()
	e, err := b.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A collection keeps what an S3 client says of its marker.
func TestMkdirHeader(t *testing.T) {
	b := newBox(t)
	make := func(h map[string]string, modified time.Time) *backend.Entry {
		t.Helper()
		if _, err := b.Mkdir(t.Context(), "photos/dir", &backend.MkdirOptions{Existing: true, Header: h, Modified: modified}); err != nil {
			t.Fatal(err)
		}
		return stat(t, b, "photos/dir")
	}
	then := time.UnixMilli(1_600_000_000_000)
	if e := make(map[string]string{"x-amz-meta-mode": "16877"}, then); e.Header["x-amz-meta-mode"] != "16877" || !e.Modified.Equal(then) {
		t.Errorf("new: %v, %s", e.Header, e.Modified)
	}
	if e := make(nil, time.Time{}); e.Header["x-amz-meta-mode"] != "16877" || !e.Modified.Equal(then) {
		t.Errorf("untouched: %v, %s", e.Header, e.Modified)
	}
	if e := make(map[string]string{"x-amz-meta-mode": "16832"}, then.Add(time.Hour)); e.Header["x-amz-meta-mode"] != "16832" || !e.Modified.Equal(then.Add(time.Hour)) {
		t.Errorf("changed: %v, %s", e.Header, e.Modified)
	}
}

// FinalHeader is asked when the body has been read, and only if that was right.
func TestFinalHeader(t *testing.T) {
	b := newBox(t)
	r := strings.NewReader("content")
	asked := 0
	opt := &backend.PutOptions{Header: map[string]string{"a": "1"}, FinalHeader: func() map[string]string {
		asked++
		return map[string]string{"left": fmt.Sprint(r.Len())}
	}}
	e, _, err := b.Put(t.Context(), "photos/a", r, 7, opt)
	if err != nil || asked != 1 || !maps.Equal(e.Header, map[string]string{"a": "1", "left": "0"}) {
		t.Errorf("%v, asked %d times, %v", err, asked, e)
	}
	opt.Expect = []backend.Checksum{{Algorithm: "md5", Sum: make([]byte, 16)}}
	r = strings.NewReader("content")
	if _, _, err := b.Put(t.Context(), "photos/a", r, 7, opt); err == nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
