package backend_test

import (
	"errors"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// TestJunkAfterSnapshot: junk is in no log, so what is done to it after a snapshot must not
// make an index that is rebuilt from that another one.
func TestJunkAfterSnapshot(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *box)
	}{
		{"a file takes its place", func(b *box) {
			_, _, err := b.Move(b.t.Context(), "photos/a.txt", "photos/d/._b", &backend.MoveOptions{Overwrite: true})
			b.ok(err)
		}},
		{"a collection takes its place", func(b *box) {
			_, _, err := b.Copy(b.t.Context(), "photos/e", "photos/d/._b", &backend.MoveOptions{Overwrite: true})
			b.ok(err)
		}},
		{"what is empty gets a name that is no junk's", func(b *box) {
			_, _, err := b.Move(b.t.Context(), "photos/d/._empty", "photos/d/c.txt", nil)
			b.ok(err)
		}},
		{"its collection is purged", func(b *box) {
			b.ok(b.Delete(b.t.Context(), "photos/d", nil))
			_, err := b.EmptyTrash(b.t.Context())
			b.ok(err)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			ctx := t.Context()
			b.put("photos/a.txt", "a")
			b.put("photos/e/a.txt", "a")
			b.put("photos/d/._b", "junk")
			b.put("photos/d/._empty", "")
			b.ok(b.b.Snapshot(ctx, uid))
			old := memkv.New()
			for row, err := range b.x.(kv.Dumper).Dump(ctx, "") {
				b.ok(err)
				b.ok(old.Commit(ctx, []kv.Op{{Key: row.Key, D: row.D}}))
			}
			tt.do(b)
			for _, index := range []struct {
				name string
				x    *memkv.Store
			}{{"as it is", nil}, {"made of the snapshot", memkv.New()}, {"of that time", old}} {
				if index.x != nil {
					b.open(index.x)
				}
				rep, err := b.b.Check(ctx, uid, 3, memkv.New())
				b.ok(err)
				if rep.Wrong > 0 {
					t.Errorf("index %s: %q", index.name, rep.Findings)
				}
				named := make(map[string]bool)
				for e, err := range b.Members(ctx, "photos/d") {
					if errors.Is(err, backend.ErrNotExist) {
						break
					}
					b.ok(err)
					if named[e.Name] {
						t.Errorf("index %s: there are two %s", index.name, e.Name)
					}
					named[e.Name] = true
				}
			}
		})
	}
}

// Junk is known to one index only. What another gateway purges leaves it behind in that,
// which is nothing to be alarmed about.
func TestJunkOfAPurgedCollection(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	b.put("photos/d/a.txt", "a")
	b.put("photos/d/._b", "junk")
	mine := b.x
	b.open(memkv.New())
	b.ok(b.Delete(ctx, "photos/d", nil))
	_, err := b.EmptyTrash(ctx)
	b.ok(err)
	b.open(mine)
	b.sound()
}

// TestLoggedJunkIsProcessed: junk in the place of something else is in the log; once it
// gets a name that is no junk's it is looked at as any photograph is.
func TestLoggedJunkIsProcessed(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	q := job.New(b.x, nil)
	b.b = backend.New(b.bucket, b.x, &backend.Options{Queue: q})
	var err error
	b.Library, err = b.b.Library(ctx, uid, backend.Access{})
	b.ok(err)
	b.put("photos/text", "no picture")
	_, _, err = b.Move(ctx, "photos/text", "photos/._a", nil)
	b.ok(err)
	b.put("photos/._a", gif+"small")
	e, _, err := b.Move(ctx, "photos/._a", "photos/a.gif", nil)
	b.ok(err)
	st, err := q.Stats(ctx)
	if b.ok(err); e.Object == "" || st.Queued != 1 {
		t.Errorf("object %q, jobs %+v; want one of each", e.Object, st)
	}
}
