package processing_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/media"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// A meter counts the requests to a bucket.
type meter struct {
	*membucket.Bucket
	mu    sync.Mutex
	count map[string]int // by "method kind"
}

func (m *meter) note(method, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kind := strings.Split(name, "/")[1]
	m.count[method+" "+kind]++
}

func (m *meter) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	m.note("PUT", name)
	return m.Bucket.Put(ctx, name, body, size, opt)
}

func (m *meter) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	m.note("GET", name)
	return m.Bucket.Get(ctx, name, off, n)
}

func (m *meter) Head(ctx context.Context, name string) (object.Info, error) {
	m.note("HEAD", name)
	return m.Bucket.Head(ctx, name)
}

// A photograph that was just uploaded, at once, in parts or in chunks, costs the bucket 3 PUTs
// and its share of the log, and processing not one GET or HEAD: it reads from the spool, and
// clears that. (Chunks too small to be parts are read once, when they are put together.)
func TestProcessingReadsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 40
		b := newBox(t, nil)
		m := &meter{Bucket: b.bucket, count: make(map[string]int)}
		dir := filepath.Join(t.TempDir(), "spool")
		spool, err := backend.OpenSpool(dir, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		b.b = backend.New(m, b.x, &backend.Options{Sniff: media.Sniff, Queue: b.queue, Variants: render.Names(), Spool: spool})
		if b.Library, err = b.b.Library(t.Context(), uid, backend.Access{}); err != nil {
			t.Fatal(err)
		}
		clear(m.count)
		up, err := b.CreateUpload(t.Context(), "photos/multipart.jpg", nil)
		if err != nil {
			t.Fatal(err)
		}
		body := append(photo(64, 48, "1999:01:02 01:01:01"), make([]byte, 6<<20)...)
		var parts []backend.CompletePart
		for i, part := range [][]byte{body[:4], body[:5<<20], body[5<<20:]} { // the first comes twice
			p, err := b.PutPart(t.Context(), up.ID, max(i, 1), bytes.NewReader(part), int64(len(part)), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				parts = append(parts, backend.CompletePart{Number: p.Number, ETag: p.ETag})
			}
		}
		if _, err := b.CompleteUpload(t.Context(), up.ID, parts, nil); err != nil {
			t.Fatal(err)
		}
		chunked := append(photo(64, 47, "1999:01:02 01:01:01"), make([]byte, 11<<20)...)
		if _, err := b.OpenChunked(t.Context(), "of-the-client", "photos/chunked.jpg", nil); err != nil {
			t.Fatal(err)
		}
		ends := []int{0, 6 << 20, 11 << 20, 11<<20 + 100, len(chunked)} // the last two become a part together
		for i, end := range ends[1:] {
			chunk := chunked[ends[i]:end]
			at := backend.ChunkPlace{Order: int64(i), Part: i + 1, Name: fmt.Sprint(i)}
			if _, err := b.PutChunk(t.Context(), "of-the-client", at, bytes.NewReader(chunk), int64(len(chunk)), nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := b.FinishChunked(t.Context(), "of-the-client", "photos/chunked.jpg", backend.FinishOptions{Size: int64(len(chunked))}); err != nil {
			t.Fatal(err)
		}
		for i := range n - 2 {
			b.put(t, fmt.Sprintf("photos/%d.jpg", i), photo(64, 48+i, "1999:01:01 01:01:01"))
		}
		puts := m.count["PUT l"]
		clear(m.count)
		b.run(t, processing.New(b.b, b.queue, new(fake), &processing.Options{TempDir: t.TempDir(), Users: users}), 60)
		for _, name := range []string{"multipart", "chunked"} {
			if got := b.media(t, "photos/"+name+".jpg"); len(got.Variants) != 2 {
				t.Errorf("of the one %s: got %+v", name, got)
			}
		}
		for what, want := range map[string]int{"PUT o": 0, "PUT v": 2 * n, "GET o": 0, "GET v": 0, "HEAD o": 0, "HEAD v": 0} {
			if m.count[what] != want {
				t.Errorf("%s: %d, want %d", what, m.count[what], want)
			}
		}
		if more := m.count["PUT l"]; puts != n+2 || more > n/8 {
			t.Errorf("%d log segments for the uploads, %d for the results of %d", puts, more, n)
		}
		t.Logf("processing of %d photographs: %v", n, m.count)
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
			t.Errorf("%d files left in the spool, %v", len(left), err)
		}
	})
}
