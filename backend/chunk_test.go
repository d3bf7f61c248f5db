package backend_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// TestChunks puts files together from chunks of all sizes.
func TestChunks(t *testing.T) {
	const small, part = 1000, object.MinPart
	for _, tt := range []struct {
		name  string
		sizes []int
		want  error
	}{
		{"an empty one", []int{0}, nil},
		{"one small", []int{small}, nil},
		{"small ones", []int{small, small, 1, 0, small}, nil},
		{"parts, then a small one", []int{part, part + 1, small}, nil},
		{"parts, then small ones", []int{part, small, small}, nil},
		{"small ones that are a part together", []int{part / 2, part / 2, part}, nil},
		{"a small one, then a part", []int{small, part}, backend.ErrPartTooSmall},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bucket := membucket.New()
			b := backend.New(bucket, memkv.New(), nil)
			lib, err := b.Library(t.Context(), "abcdefghijklm", backend.Access{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := lib.OpenChunked(t.Context(), "nc-1", "", nil); err != nil {
				t.Fatal(err)
			}
			if _, err := lib.OpenChunked(t.Context(), "nc-1", "", nil); err != backend.ErrExist {
				t.Errorf("opened again: got %v, want ErrExist", err)
			}
			var whole []byte
			for i, n := range tt.sizes {
				data := bytes.Repeat([]byte{byte('a' + i)}, n)
				whole = append(whole, data...)
				for range 2 { // the second replaces the first
					if _, err := lib.PutChunk(t.Context(), "nc-1", backend.ChunkPlace{Order: int64(i), Part: i + 1, Name: "chunk"}, bytes.NewReader(data), int64(n), nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			modified := time.UnixMilli(1_700_000_000_000).UTC()
			opt := backend.FinishOptions{Size: int64(len(whole)) + 1, Modified: modified}
			if _, _, err := lib.FinishChunked(t.Context(), "nc-1", "photos/a.bin", opt); !errors.Is(err, backend.ErrIncomplete) {
				t.Errorf("with another size: got %v, want ErrIncomplete", err)
			}
			opt.Size--
			e, created, err := lib.FinishChunked(t.Context(), "nc-1", "photos/a.bin", opt)
			if tt.want != nil {
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if err := lib.AbortChunked(t.Context(), "nc-1"); err != nil {
					t.Error(err)
				}
				if n := originals(t, bucket); n != 0 {
					t.Errorf("%d objects are left behind", n)
				}
				return
			}
			if err != nil || !created {
				t.Fatalf("got %v, created %v", err, created)
			}
			c, err := lib.Open(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, whole) {
				t.Errorf("got %d bytes, %v, want %d", len(got), err, len(whole))
			}
			if !e.Modified.Equal(modified) {
				t.Errorf("modified %v", e.Modified)
			}
			if again, _, err := lib.FinishChunked(t.Context(), "nc-1", "photos/a.bin", opt); err != nil || again.Ino != e.Ino {
				t.Errorf("asked again: got %v, %v", again, err)
			}
			if n := originals(t, bucket); n > 1 {
				t.Errorf("%d objects, want the file's", n)
			}
		})
	}
}

func originals(t *testing.T, b object.Bucket) (n int) {
	for o, err := range b.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(o.Name, "v1/o/") {
			n++
		}
	}
	return n
}

// TestChunksAfterLoss: when the index is lost in the middle, what comes after is not taken
// for the whole.
func TestChunksAfterLoss(t *testing.T) {
	bucket := membucket.New()
	open := func() *backend.Library {
		t.Helper()
		lib, err := backend.New(bucket, memkv.New(), nil).Library(t.Context(), "abcdefghijklm", backend.Access{})
		if err != nil {
			t.Fatal(err)
		}
		return lib
	}
	lib := open()
	if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	put := func(order int64) error {
		_, err := lib.PutChunk(t.Context(), "nc-1", backend.ChunkPlace{Order: order, Part: int(order) + 1, Name: "c"}, strings.NewReader("data"), 4, nil)
		return err
	}
	finish := func() error {
		_, _, err := lib.FinishChunked(t.Context(), "nc-1", "photos/a", backend.FinishOptions{Size: -1})
		return err
	}
	if _, err := lib.OpenChunked(t.Context(), "nc-1", "", nil); err != nil {
		t.Fatal(err)
	}
	if err := finish(); !errors.Is(err, backend.ErrPart) {
		t.Errorf("without a chunk: got %v, want ErrPart", err)
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	lib = open()
	if err := put(1); !errors.Is(err, backend.ErrNoUpload) {
		t.Errorf("a chunk after the loss: got %v, want ErrNoUpload", err)
	}
	if err := finish(); !errors.Is(err, backend.ErrNoUpload) {
		t.Errorf("the end after the loss: got %v, want ErrNoUpload", err)
	}
	if _, err := lib.OpenChunked(t.Context(), "nc-1", "", nil); err != nil {
		t.Fatalf("begun anew: %v", err)
	}
	if err := errors.Join(put(0), put(1), finish()); err != nil {
		t.Error(err)
	}
	if e, err := lib.Stat(t.Context(), "photos/a"); err != nil || e.Size != 8 {
		t.Errorf("got %v, %v", e, err)
	}
}
