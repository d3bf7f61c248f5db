package backend_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// meanwhile is a bucket in which something else happens whenever an upload is begun.
type meanwhile struct {
	*membucket.Bucket
	do func()
}

func (m *meanwhile) CreateMultipart(ctx context.Context, name string, opt *object.PutOptions) (string, error) {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.Bucket.CreateMultipart(ctx, name, opt)
}

// Of two that open an upload in chunks under one id, at once, one is told.
func TestOpenChunkedTwiceAtOnce(t *testing.T) {
	bucket := &meanwhile{Bucket: membucket.New()}
	b := &box{t: t, bucket: bucket}
	b.open(memkv.New())
	_, err := b.Mkdir(t.Context(), "photos", nil)
	b.ok(err)
	chunk := func() {
		t.Helper()
		_, err := b.PutChunk(t.Context(), "one", backend.ChunkPlace{Part: 1, Name: "1"}, strings.NewReader("first"), 5, nil)
		b.ok(err)
	}
	bucket.do = func() {
		_, err := b.OpenChunked(t.Context(), "one", "photos/a", nil)
		b.ok(err)
		chunk()
	}
	if _, err := b.OpenChunked(t.Context(), "one", "photos/b", nil); !errors.Is(err, backend.ErrExist) {
		t.Errorf("the second: got %v, want ErrExist", err)
	}
	u, err := b.Upload(t.Context(), "one")
	b.ok(err)
	if u.Key != "photos/a" {
		t.Errorf("the upload is for %q, not what the first said", u.Key)
	}
	if _, _, err := b.FinishChunked(t.Context(), "one", "photos/a", backend.FinishOptions{Size: 5}); err != nil {
		t.Fatal(err)
	}
	if got := b.read("photos/a"); got != "first" {
		t.Errorf("got %q", got)
	}
}

// Rows that are as large as rows may be come back from the log, however many they are.
func TestRepairLargeRows(t *testing.T) {
	b := newBox(t)
	large := map[string]string{"x-amz-meta-large": strings.Repeat("x", 60<<10)}
	for i := range 80 {
		_, _, err := b.Put(t.Context(), backend.Key("photos/"+strings.Repeat("a", i+1)), strings.NewReader("x"), 1, &backend.PutOptions{Header: large})
		b.ok(err)
	}
	before := dump(t, b.x)
	for _, row := range b.logged() {
		b.ok(b.x.Commit(t.Context(), []kv.Op{{Key: row.Key, Kind: kv.Del}}))
	}
	if rep := b.repair(2, false); rep.Wrong != 0 {
		t.Errorf("%+v", rep)
	}
	if dump(t, b.x) != before {
		t.Error("it is not as it was")
	}
}

// What was deleted comes back to where it was, though all of the many collections above it
// are gone for ever.
func TestRestoreDeep(t *testing.T) {
	b := newBox(t)
	deep := "photos" + strings.Repeat("/d", backend.MaxDepth-2) + "/f"
	e := b.put(deep, "deep")
	b.ok(b.Delete(t.Context(), backend.Key(deep), nil))
	b.ok(b.Delete(t.Context(), "photos", nil))
	all, err := b.Trash(t.Context(), "", 10)
	b.ok(err)
	for _, d := range all {
		if d.Entry.Dir {
			b.ok(b.Purge(t.Context(), d.Entry.Ino))
		}
	}
	b.ok(b.b.Expire(t.Context(), uid))
	restored, err := b.Restore(t.Context(), e.Ino)
	b.ok(err)
	if string(restored.Key) != deep || b.read(deep) != "deep" {
		t.Errorf("it is at %s", restored.Key)
	}
	b.sound()
}
