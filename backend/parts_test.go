package backend_test

import (
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// Rows of parts are not logged, so a snapshot must not have them either: they came back
// from it after their upload was done, and fsck found the index wrong.
func TestSnapshotHasNoParts(t *testing.T) {
	b := newBox(t)
	u, err := b.CreateUpload(t.Context(), "photos/up", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.PutPart(t.Context(), u.ID, 1, strings.NewReader("part"), 4, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.b.Snapshot(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	if _, err := b.CompleteUpload(t.Context(), u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil); err != nil {
		t.Fatal(err)
	}
	rep, err := b.b.Check(t.Context(), uid, 2, memkv.New())
	if err != nil || rep.Wrong > 0 {
		t.Errorf("got %v, %+v", err, rep)
	}
	before := dump(t, b.x)
	b.open(memkv.New())
	if dump(t, b.x) != before {
		t.Error("the rebuild differs")
	}
}
