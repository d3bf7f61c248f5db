package backend_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// scannedIndex is an index in which something happens after the next scan of a partition.
type scannedIndex struct {
	*memkv.Store
	p  string
	do func()
}

func (x *scannedIndex) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	rows, more, err := x.Store.Scan(ctx, p, from, to, rev, n)
	if do := x.do; do != nil && p == x.p {
		x.do = nil
		do()
	}
	return rows, more, err
}

// What is deleted, replaced or moved away while its collection is copied is copied as it is
// when its turn comes, or not at all: never what the collector may take.
func TestCopyOfWhatGoes(t *testing.T) {
	x := &scannedIndex{Store: memkv.New()}
	b := &box{t: t, bucket: membucket.New()}
	b.open(x)
	ctx := t.Context()
	_, err := b.Mkdir(ctx, "photos", nil)
	b.ok(err)
	for _, name := range []string{"gone", "moved", "replaced", "stays"} {
		b.put("photos/d/"+name, name)
	}
	b.put("photos/d/sub/deep", "deep")
	dir, err := b.Stat(ctx, "photos/d")
	b.ok(err)
	x.p, x.do = "d#"+uid+"#"+string(dir.Ino), func() {
		b.ok(b.Delete(ctx, "photos/d/gone", nil))
		b.ok(b.Delete(ctx, "photos/d/sub", nil))
		_, err := b.EmptyTrash(ctx)
		b.ok(err)
		_, _, err = b.Move(ctx, "photos/d/moved", "photos/moved", nil)
		b.ok(err)
		b.put("photos/d/replaced", "new content")
	}
	_, _, err = b.Copy(ctx, "photos/d", "photos/copy", nil)
	b.ok(err)
	if x.do != nil {
		t.Fatal("nothing happened meanwhile")
	}
	b.sound()
	got := b.content("photos/copy")
	if len(got) != 2 || b.read("photos/copy/stays") != "stays" || b.read("photos/copy/replaced") != "new content" {
		t.Errorf("copied %q", got)
	}
}

// An original that the collector takes while an earlier time is restored is told as gone.
func TestRestoreAtOfWhatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := objecttest.NewFaults(membucket.New())
		b := &box{t: t, bucket: f}
		b.open(memkv.New())
		ctx := t.Context()
		_, err := b.Mkdir(ctx, "photos", nil)
		b.ok(err)
		e := b.put("photos/d/gone.gif", gif+"gone")
		b.put("photos/d/stays.gif", gif)
		at := time.Now()
		time.Sleep(time.Second)
		b.ok(b.Delete(ctx, "photos/d/gone.gif", nil))
		_, err = b.EmptyTrash(ctx)
		b.ok(err)
		time.Sleep(36 * day)
		f.Fail(objecttest.Fault{Method: objecttest.Head, Name: func(name string) bool { return name == e.Object }, After: true, Do: func(context.Context) error {
			got, err := b.b.Collect(ctx, uid, nil)
			b.ok(err)
			if got.Deleted != 1 {
				t.Errorf("%d originals were collected", got.Deleted)
			}
			return nil
		}})
		got := b.restoreAt(at, "photos/d", "photos/back", false)
		if got.Gone != 1 || got.Files != 1 {
			t.Errorf("%+v", got)
		}
		for m, err := range b.Members(ctx, "photos/back") {
			b.ok(err)
			if _, err := b.bucket.Head(ctx, m.Object); err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
		b.sound()
	})
}
