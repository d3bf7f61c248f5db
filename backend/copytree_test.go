package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// Whichever commit of a copy of a collection fails, with or without having been done: all of
// it is there, or nothing, and what it was to replace is as it was. What is left over goes.
func TestCopyTreeIsAtomic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []bool{false, true} {
			for n, done := 1, false; !done; n++ {
				f := objecttest.NewFaults(membucket.New())
				b := &box{t: t, bucket: f}
				b.open(memkv.New())
				_, err := b.Mkdir(t.Context(), "photos", nil)
				b.ok(err)
				for i := range 10 {
					b.put(fmt.Sprintf("photos/d/%d/%02d.gif", i%2, i), gif+fmt.Sprint(i))
				}
				b.put("photos/old/a", "old")
				before := b.used()
				calls := f.Count()
				// For so long that the commit is given up.
				f.Fail(objecttest.Fault{N: n, Method: objecttest.Put, After: after, Every: !after})
				_, _, err = b.Copy(t.Context(), "photos/d", "photos/old", &backend.MoveOptions{Overwrite: true})
				done = f.Count()-calls < n
				f.Heal()
				what := fmt.Sprintf("commit %d, after %v: %v", n, after, err)
				if err == nil && !after && !done {
					t.Errorf("%s", what)
				}
				if err != nil && !errors.Is(err, backend.ErrUnavailable) {
					t.Errorf("%s", what)
				}
				b.open(memkv.New())
				if _, statErr := b.Stat(t.Context(), "photos/old/a"); (statErr == nil) == (err == nil) {
					t.Errorf("%s; what it replaces: %v", what, statErr)
				}
				for i := range 10 {
					e, statErr := b.Stat(t.Context(), backend.Key(fmt.Sprintf("photos/old/%d/%02d.gif", i%2, i)))
					if (statErr == nil) != (err == nil) {
						t.Errorf("%s; file %d: %v, %v", what, i, e, statErr)
					}
				}
				b.sound()
				b.ok(b.b.Expire(t.Context(), uid))
				if u := b.used(); err != nil && u != before {
					t.Errorf("%s; usage %+v, was %+v", what, u, before)
				}
				b.sound()
				if all, err := b.Trash(t.Context(), "", 10); err != nil || len(all) > 1 {
					t.Errorf("%s; %d in the trash, %v", what, len(all), err)
				}
			}
		}
	})
}

// scanned is a store that does something else before it scans a partition.
type scanned struct {
	*memkv.Store
	p  string
	do func()
}

func (x *scanned) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	if do := x.do; do != nil && p == x.p {
		x.do = nil
		do()
	}
	return x.Store.Scan(ctx, p, from, to, rev, n)
}

// A copy that comes to be over the quota leaves nothing, and says that it is the quota.
func TestCopyTreeQuota(t *testing.T) {
	x := &scanned{Store: memkv.New()}
	b := &box{t: t, bucket: membucket.New()}
	b.open(x)
	_, err := b.Mkdir(t.Context(), "photos", nil)
	b.ok(err)
	for i := range 20 {
		b.put(fmt.Sprintf("photos/d/%02d", i), "0123456789")
	}
	l, err := b.b.Library(t.Context(), uid, backend.Access{Quota: 450})
	b.ok(err)
	before := b.used()
	opt := &backend.MoveOptions{Conditions: backend.Conditions{Confirm: func(*backend.Entry) error {
		// Somebody else fills the quota while it is copied.
		x.p, x.do = "d#"+uid+"#"+string(stat(t, b, "photos/d").Ino), func() { b.put("photos/other", strings.Repeat("x", 200)) }
		return nil
	}}}
	_, _, err = l.Copy(t.Context(), "photos/d", "photos/e", opt)
	if !errors.Is(err, backend.ErrQuota) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Stat(t.Context(), "photos/e"); err != backend.ErrNotExist {
		t.Errorf("got %v", err)
	}
	if u := b.used(); u.Files != before.Files+1 || u.Bytes != before.Bytes+200 {
		t.Errorf("usage %+v, was %+v", u, before)
	}
	b.sound()
}

// Another gateway takes over while a collection is copied, and removes what it finds of the
// copy. The first notices: nothing of it is put in its place, and no row is left.
func TestCopyTreeTakenOver(t *testing.T) {
	for _, dir := range []backend.Key{"photos/d", "photos/d/1"} { // before any member is copied, and after some are
		x := &scanned{Store: memkv.New()}
		b := &box{t: t, bucket: membucket.New()}
		b.open(x)
		_, err := b.Mkdir(t.Context(), "photos", nil)
		b.ok(err)
		for i := range 20 {
			b.put(fmt.Sprintf("photos/d/%d/%02d.gif", i%2, i), gif+fmt.Sprint(i))
		}
		before := b.used()
		armed := false
		opt := &backend.MoveOptions{Conditions: backend.Conditions{Confirm: func(*backend.Entry) error {
			if armed {
				return nil
			}
			armed = true
			x.p, x.do = "d#"+uid+"#"+string(stat(t, b, dir).Ino), func() {
				other := &box{t: t, bucket: b.bucket}
				other.open(memkv.New())
				b.ok(other.b.Expire(t.Context(), uid))
				// Whoever comes first is told, and that need not be the copy.
				if _, err := b.Mkdir(t.Context(), "photos/x", nil); !errors.Is(err, backend.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
			}
			return nil
		}}}
		if _, _, err = b.Copy(t.Context(), "photos/d", "photos/e", opt); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("%s: got %v", dir, err)
		}
		if x.do != nil {
			t.Errorf("%s: nobody took over", dir)
		}
		b.sound()
		b.ok(b.b.Expire(t.Context(), uid))
		if u := b.used(); u != before {
			t.Errorf("%s: usage %+v, was %+v", dir, u, before)
		}
		b.sound()
	}
}

// While a collection is copied, nothing of it is in the trash to be seen, restored or
// purged, the index is sound, and housekeeping leaves it alone; a rebuild then removes it.
func TestCopyTreeMeanwhile(t *testing.T) {
	x := &scanned{Store: memkv.New()}
	b := &box{t: t, bucket: membucket.New()}
	b.open(x)
	_, err := b.Mkdir(t.Context(), "photos", nil)
	b.ok(err)
	for i := range 20 {
		b.put(fmt.Sprintf("photos/d/%d/%02d.gif", i%2, i), gif+fmt.Sprint(i))
	}
	before := b.used()
	last := stat(t, b, "photos/d/1").Ino
	armed := false
	opt := &backend.MoveOptions{Conditions: backend.Conditions{Confirm: func(*backend.Entry) error {
		if armed {
			return nil
		}
		armed = true
		x.p, x.do = "d#"+uid+"#"+string(last), func() {
			b.sound()
			if all, err := b.Trash(t.Context(), "", 10); err != nil || len(all) != 0 {
				t.Errorf("in the trash: %v, %v", all, err)
			}
			if n, err := b.EmptyTrash(t.Context()); err != nil || n != 0 {
				t.Errorf("emptied: %d, %v", n, err)
			}
			b.ok(b.b.Expire(t.Context(), uid))
			if _, err := b.b.Collect(t.Context(), uid, nil); err != nil {
				t.Error(err)
			}
			b.ok(b.b.Snapshot(t.Context(), uid))
			// As after a crash here.
			again := &box{t: t, bucket: membucket.New()}
			for info, err := range b.bucket.List(t.Context(), "", "") {
				b.ok(err)
				r, err := b.bucket.Get(t.Context(), info.Name, 0, -1)
				b.ok(err)
				_, err = again.bucket.Put(t.Context(), info.Name, r, info.Size, nil)
				b.ok(errors.Join(err, r.Close()))
			}
			again.open(memkv.New())
			again.ok(again.b.Expire(t.Context(), uid))
			if u := again.used(); u != before {
				t.Errorf("after a crash: usage %+v, was %+v", u, before)
			}
			again.sound()
		}
		return nil
	}}}
	_, _, err = b.Copy(t.Context(), "photos/d", "photos/e", opt)
	b.ok(err)
	if x.do != nil {
		t.Error("it was not looked at in the middle")
	}
	for i := range 20 {
		stat(t, b, backend.Key(fmt.Sprintf("photos/e/%d/%02d.gif", i%2, i)))
	}
	b.sound()
}
