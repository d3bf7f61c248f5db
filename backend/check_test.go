package backend_test

import (
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// A livedBox is a box in which everything has happened that leaves rows.
type livedBox struct {
	*box
	upload string
}

func lived(t *testing.T) *livedBox {
	b := newBox(t)
	ctx := t.Context()
	const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00"
	b.put("photos/2024/a.gif", gif+"a")
	b.put("photos/2024/a.gif", gif+"a, again")
	b.put("photos/2024/b.gif", gif+"b")
	b.put("photos/2024/.DS_Store", "junk")
	b.put("photos/empty.txt", "")
	b.put("photos/old/c.gif", gif+"c")
	b.put("photos/d.gif", gif+"d")
	for _, err := range []error{
		b.Delete(ctx, "photos/2024/b.gif", nil),
		b.Delete(ctx, "photos/old", nil),
		func() error { _, _, err := b.Move(ctx, "photos/2024", "photos/2025", nil); return err }(),
		func() error { _, _, err := b.Copy(ctx, "photos/d.gif", "photos/e.gif", nil); return err }(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	u, err := b.CreateUpload(ctx, "photos/big", nil)
	if err != nil {
		t.Fatal(err)
	}
	const part = "a part"
	if _, err := b.PutPart(ctx, u.ID, 1, strings.NewReader(part), int64(len(part)), nil, nil); err != nil {
		t.Fatal(err)
	}
	return &livedBox{b, u.ID}
}

func TestCheckFindsNothing(t *testing.T) {
	b := lived(t)
	checkFindsNothing(t, b)
	// A snapshot also has rows that are in no log.
	if err := b.b.Snapshot(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), "photos/2025/.DS_Store", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.AbortUpload(t.Context(), b.upload); err != nil {
		t.Fatal(err)
	}
	b.put("photos/2025/.DS_Store", "junk")
	checkFindsNothing(t, b)
}

func checkFindsNothing(t *testing.T, b *livedBox) {
	t.Helper()
	for level := 1; level <= 3; level++ {
		rep, err := b.b.Check(t.Context(), uid, level, memkv.New())
		if err != nil {
			t.Fatal(err)
		}
		if rep.Wrong != 0 || rep.Entries != 10 || rep.Objects != 5 || rep.Unused != 0 {
			t.Errorf("level %d: got %+v, want 10 entries, 5 objects, nothing wrong", level, rep)
		}
	}
}

// Every row that is taken away is missed.
func TestCheckMissesRows(t *testing.T) {
	var keys []kv.Key
	seen := map[byte]bool{}
	b := lived(t)
	for row, err := range b.x.(kv.Dumper).Dump(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(row.P, uid) && strings.IndexByte("dibtrw", row.P[0]) >= 0 && row.S != ".DS_Store" {
			keys = append(keys, row.Key)
			seen[row.P[0]] = true
		}
	}
	if len(seen) != 6 {
		t.Fatalf("rows of %d kinds, want 6", len(seen))
	}
	junk := 0
	for _, k := range keys {
		rows, err := b.x.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.x.Commit(t.Context(), []kv.Op{{Key: k, Kind: kv.Del}}); err != nil {
			t.Fatal(err)
		}
		one, err := b.b.Check(t.Context(), uid, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		two, err := b.b.Check(t.Context(), uid, 2, memkv.New())
		if err != nil {
			t.Fatal(err)
		}
		if two.Wrong <= one.Wrong {
			junk++ // the back pointer of junk is in no log
		}
		if one.Wrong == 0 && k.P[0] != 't' { // rows of a trashed collection are not missed there
			t.Errorf("level 1 does not miss %v", k)
		}
		if err := b.x.Commit(t.Context(), []kv.Op{{Key: k, D: rows[0].D}}); err != nil {
			t.Fatal(err)
		}
	}
	if junk > 1 {
		t.Errorf("level 2 does not miss %d rows", junk)
	}
}

func TestCheckMissesObjects(t *testing.T) {
	b := lived(t)
	e, err := b.Stat(t.Context(), "photos/d.gif")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.bucket.Delete(t.Context(), e.Object); err != nil {
		t.Fatal(err)
	}
	stray := object.OriginalPrefix(uid) + "2024-01/01HZZZZZZZZZZZZZZZZZZZZZZZ-x.jpg"
	if _, err := b.bucket.Put(t.Context(), stray, strings.NewReader("x"), 1, nil); err != nil {
		t.Fatal(err)
	}
	rep, err := b.b.Check(t.Context(), uid, 3, memkv.New())
	if err != nil {
		t.Fatal(err)
	}
	if rep.Wrong != 1 || rep.Unused != 1 || !strings.Contains(rep.Findings[0], "is not in the bucket") {
		t.Errorf("got %+v, want one missing and one unused", rep)
	}
	if _, err := b.b.Check(t.Context(), uid, 2, struct{ kv.Store }{memkv.New()}); err == nil {
		t.Error("a store that cannot be dumped is no error")
	}
}
