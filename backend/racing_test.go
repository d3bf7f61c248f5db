package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
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

// Restoring and purging one of what is in the trash does not look through all of it, and
// nor does house-keeping every minute.
func TestLargeTrash(t *testing.T) {
	x := &countingIndex{Store: memkv.New()}
	b := &box{t: t, bucket: membucket.New()}
	b.open(x)
	ctx := t.Context()
	_, err := b.Mkdir(ctx, "photos", nil)
	b.ok(err)
	const many = 3000
	var first, second, third *backend.Entry
	for i := range many {
		e := b.put("photos/a", fmt.Sprint(i))
		b.ok(b.Delete(ctx, "photos/a", nil))
		switch i {
		case 0:
			first = e
		case 1:
			second = e
		case 2:
			third = e
		}
	}
	x.rows.Store(0)
	_, err = b.Restore(ctx, first.Ino)
	b.ok(err)
	b.ok(b.Purge(ctx, second.Ino))
	if _, err := b.Restore(ctx, second.Ino); err != backend.ErrNotExist {
		t.Errorf("restored what was purged: %v", err)
	}
	if err := b.Purge(ctx, first.Ino); err != backend.ErrNotExist {
		t.Errorf("purged what was restored: %v", err)
	}
	if n := x.rows.Load(); n > 100 {
		t.Errorf("%d rows of the trash were read", n)
	}
	// A back pointer that was mended does not tell the row any more.
	k := kv.Key{P: "i#" + uid + "#" + string(third.Ino), S: "-"}
	b.ok(x.Commit(ctx, []kv.Op{{Key: k, D: fmt.Appendf(nil, `{"d":%q,"s":%q}`, backend.TrashIno, third.Ino)}}))
	_, err = b.Restore(ctx, third.Ino)
	b.ok(err)
	b.sound()
}

// countingIndex counts the rows of the trash that are read.
type countingIndex struct {
	*memkv.Store
	rows atomic.Int64
}

func (x *countingIndex) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	rows, more, err := x.Store.Scan(ctx, p, from, to, rev, n)
	if p == "r#"+uid {
		x.rows.Add(int64(len(rows)))
	}
	return rows, more, err
}

// House-keeping reads the trash when there is something to purge, and every hour.
func TestQuietHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &countingIndex{Store: memkv.New()}
		b := &box{t: t, bucket: membucket.New()}
		b.open(x)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.Mkdir(ctx, "photos", nil)
		b.ok(err)
		const many = 100
		for i := range many {
			b.put("photos/a", fmt.Sprint(i))
			b.ok(b.Delete(ctx, "photos/a", nil))
		}
		done := make(chan error)
		go func() { done <- b.b.Run(ctx) }()
		time.Sleep(3*time.Hour + time.Second)
		if n := x.rows.Load(); n > 5*many {
			t.Errorf("%d rows of a trash of %d were read in three hours", n, many)
		}
		// What is purged goes on by itself, and at once.
		for i := range 3 * many {
			b.put(fmt.Sprintf("photos/d/%03d", i), "x")
		}
		b.ok(b.Delete(ctx, "photos/d", nil))
		all, err := b.Trash(ctx, "", 1)
		b.ok(err)
		b.ok(b.Purge(ctx, all[0].Entry.Ino))
		if n := b.used().Files; n == many {
			t.Error("all of it was purged before the answer")
		}
		synctest.Wait()
		if n := b.used().Files; n != many {
			t.Errorf("%d files are left", n)
		}
		time.Sleep(31 * day)
		if n := b.rows("r#"); n != 0 {
			t.Errorf("%d rows of the trash are left", n)
		}
		cancel()
		b.ok(<-done)
	})
}

// The trash of one user that takes long to empty does not keep that of another waiting.
func TestTwoLargeTrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := objecttest.NewFaults(membucket.New())
		be := backend.New(f, memkv.New(), nil)
		ctx, cancel := context.WithCancel(t.Context())
		uids := []string{"aaaaaaaaaaaaa", "bbbbbbbbbbbbb"}
		const many = 2500
		for _, uid := range uids {
			b := &box{t: t}
			var err error
			b.Library, err = be.Library(ctx, uid, backend.Access{})
			b.ok(err)
			_, err = b.Mkdir(ctx, "photos", nil)
			b.ok(err)
			for i := range many {
				b.put(fmt.Sprintf("photos/d/%04d", i), "x")
			}
			b.ok(b.Delete(ctx, "photos/d", nil))
			_, err = b.EmptyTrash(ctx)
			b.ok(err)
		}
		turns, last := 0, ""
		f.Fail(objecttest.Fault{Method: objecttest.Put, Every: true, Do: func(context.Context) error { return nil }, Name: func(name string) bool {
			for _, uid := range uids {
				if strings.HasPrefix(name, object.LogPrefix(uid)) && uid != last {
					turns, last = turns+1, uid
				}
			}
			return false
		}})
		done := make(chan error)
		go func() { done <- be.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if turns < 3 { // one after the other they would have two
			t.Errorf("they had %d turns", turns)
		}
		for _, uid := range uids {
			l, err := be.Library(t.Context(), uid, backend.Access{})
			if err != nil {
				t.Fatal(err)
			}
			if u, err := l.Usage(t.Context()); err != nil || u.Files != 0 {
				t.Errorf("%+v, %v", u, err)
			}
		}
	})
}

// Much of the trash between what stands on the timeline makes pages short, not slow.
func TestTimelineBeyondTheTrash(t *testing.T) {
	x := memkv.New()
	b := &box{t: t, bucket: membucket.New()}
	b.open(x)
	ctx := t.Context()
	_, err := b.Mkdir(ctx, "other", nil)
	b.ok(err)
	const many = 60_000
	b.ok(backend.Fill(ctx, b.Library, x, many))
	b.ok(b.Delete(ctx, "photos", nil))
	put := func(key string, taken time.Time) {
		e := b.put(key, gif+key)
		b.ok(b.b.Finish(ctx, uid, []backend.Processed{{Ino: e.Ino, Object: e.Object, Media: backend.Media{Taken: taken}}}))
	}
	put("other/new.gif", time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	put("other/old.gif", time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC))
	var found []string
	var pages []int
	for cursor := ""; ; {
		p, err := b.Timeline(ctx, cursor, 10)
		b.ok(err)
		pages = append(pages, len(p.Items))
		for _, e := range p.Items {
			found = append(found, e.Name)
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if !slices.Equal(found, []string{"new.gif", "old.gif"}) || len(pages) < 2 || pages[0] != 1 {
		t.Errorf("found %q in pages of %v", found, pages)
	}
}

// Emptying the trash takes as long as its first few segments of the log, however much is
// in it; what was restored meanwhile stays.
func TestEmptyLargeTrash(t *testing.T) {
	f := objecttest.NewFaults(membucket.New())
	b := &box{t: t, bucket: f}
	b.open(memkv.New())
	ctx := t.Context()
	_, err := b.Mkdir(ctx, "photos", nil)
	b.ok(err)
	const many = 1000
	for i := range many {
		b.put("photos/a", fmt.Sprint(i))
		b.ok(b.Delete(ctx, "photos/a", nil))
	}
	e := b.put("photos/restored", "restored")
	b.ok(b.Delete(ctx, "photos/restored", nil))
	_, err = b.Restore(ctx, e.Ino)
	b.ok(err)
	f.Reset()
	n, err := b.EmptyTrash(ctx)
	b.ok(err)
	if n != many {
		t.Errorf("%d of %d", n, many)
	}
	if n := f.Count(objecttest.Put); n > 10 {
		t.Errorf("%d segments were written", n)
	}
	if left, err := b.Trash(ctx, "", 1); err != nil || len(left) != 0 {
		t.Errorf("the trash has %v, %v", left, err)
	}
	b.sound()
	b.ok(b.b.Expire(ctx, uid))
	if u := b.used(); u.Files != 1 || b.rows("r#") != 0 || b.read("photos/restored") != "restored" {
		t.Errorf("%+v, %d rows of the trash", u, b.rows("r#"))
	}
	b.sound()
	before := dump(t, b.x)
	b.open(memkv.New())
	if dump(t, b.x) != before {
		t.Error("a rebuild differs")
	}
}
