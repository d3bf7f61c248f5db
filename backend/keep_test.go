package backend_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

const (
	day = 24 * time.Hour
	gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00"
)

// objects are the names in the bucket that begin with prefix.
func (b *box) objects(prefix string) (names []string) {
	b.t.Helper()
	for info, err := range b.bucket.List(b.t.Context(), prefix, "") {
		if err != nil {
			b.t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

func (b *box) originals() int { return len(b.objects(object.OriginalPrefix(uid))) }

// rows counts the rows whose partition begins with prefix.
func (b *box) rows(prefix string) (n int) {
	b.t.Helper()
	for _, err := range b.x.(kv.Dumper).Dump(b.t.Context(), prefix+uid) {
		if err != nil {
			b.t.Fatal(err)
		}
		n++
	}
	return n
}

func (b *box) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// sound checks the tree by levels 1 to 3.
func (b *box) sound() {
	b.t.Helper()
	rep, err := b.b.Check(b.t.Context(), uid, 3, memkv.New())
	b.ok(err)
	if rep.Wrong != 0 {
		b.t.Errorf("%d wrong: %q", rep.Wrong, rep.Findings)
	}
}

func (b *box) used() backend.Usage {
	b.t.Helper()
	u, err := b.Usage(b.t.Context())
	b.ok(err)
	return u
}

// runUntil lets Run keep house for d.
func (b *box) runFor(d time.Duration) {
	ctx, cancel := context.WithTimeout(b.t.Context(), d)
	defer cancel()
	b.ok(b.b.Run(ctx))
}

// What is deleted or overwritten stays for 30 days, and its originals for 35 more.
func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		b.put("photos/kept.gif", gif+"kept")
		start := b.used()
		for i := range 40 {
			b.put(fmt.Sprintf("photos/old/%d/%02d.gif", i%3, i), gif+fmt.Sprint(i))
		}
		e := b.put("photos/old/0/00.gif", gif+"again")
		b.ok(b.b.PutVariant(ctx, uid, e.Object, "thumb", "0123", "webp", "image/webp", []byte("small")))
		_, err := b.SetProps(ctx, "photos/old/0/00.gif", backend.PropPatch{Set: []backend.Prop{{Inner: []byte("x")}}}, backend.Conditions{})
		b.ok(err)
		b.ok(b.Delete(ctx, "photos/old", nil))
		b.put("photos/kept.gif", gif+"new")
		b.put("photos/empty.txt", "once it had content")
		b.put("photos/empty.txt", "")
		b.ok(b.Delete(ctx, "photos/empty.txt", nil))
		if tr, err := b.Trash(ctx, "", 10); err != nil || len(tr) != 2 {
			t.Fatalf("trash: %d, %v", len(tr), err)
		}
		before := b.originals()

		b.runFor(29 * day)
		if n := b.originals(); n != before || b.rows("r#") != 2*2 || b.rows("w#") != 3 {
			t.Errorf("after 29 days %d of %d originals, %d rows of the trash, %d versions", n, before, b.rows("r#"), b.rows("w#"))
		}
		b.sound()
		b.runFor(2 * day)
		if n := b.rows("r#") + b.rows("w#") + b.rows("p#"); n != 0 {
			t.Errorf("after 31 days %d rows are left", n)
		}
		if u := b.used(); u.Files != start.Files || u.Bytes != start.Bytes-1 { // "new" for "kept"
			t.Errorf("usage %+v, was %+v", u, start)
		}
		if b.rows("d#") != 2 || b.rows("g#") != 2*(before-1) || b.originals() != before {
			t.Errorf("after 31 days %d entries, %d rows of tombstones, %d originals", b.rows("d#"), b.rows("g#"), b.originals())
		}
		b.sound()
		b.ok(b.b.Snapshot(ctx, uid))
		index := dump(t, b.x)
		b.open(memkv.New())
		if dump(t, b.x) != index {
			t.Error("a rebuild differs")
		}
		b.runFor(33 * day)
		if b.originals() != before {
			t.Errorf("after 64 days %d originals", b.originals())
		}
		b.runFor(3 * day)
		if b.originals() != 1 || b.rows("g#") != 0 || len(b.objects("v1/v/")) != 0 {
			t.Errorf("after 67 days %d originals, %d rows of tombstones, variants %q", b.originals(), b.rows("g#"), b.objects("v1/v/"))
		}
		if got := b.read("photos/kept.gif"); got != gif+"new" {
			t.Errorf("kept: got %q", got)
		}
		b.sound()
	})
}

// A purge can be broken off by every fault, and what is left is whole and goes on.
func TestPurgeBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := 1; ; n++ {
			f := objecttest.NewFaults(membucket.New())
			b := &box{t: t, bucket: f}
			b.open(memkv.New())
			_, err := b.Mkdir(t.Context(), "photos", nil)
			b.ok(err)
			b.put("photos/c.gif", gif+"c")
			for i := range 30 {
				b.put(fmt.Sprintf("photos/d/%d/%02d.gif", i%2, i), gif+fmt.Sprint(i))
				if i%10 == 0 {
					b.put(fmt.Sprintf("photos/d/%d/%02d.gif", i%2, i), gif+"new"+fmt.Sprint(i))
				}
			}
			_, _, err = b.Copy(t.Context(), "photos/d/0/00.gif", "photos/copy.gif", nil)
			b.ok(err)
			b.ok(b.Delete(t.Context(), "photos/d", nil))
			time.Sleep(31 * day)
			f.Fail(objecttest.Fault{N: n, Method: objecttest.Put, Name: prefixed("v1/l/"), Every: true})
			err = b.b.Expire(t.Context(), uid)
			f.Heal()
			if n > 1 && err != nil { // it was broken off half-way
				if tr, err := b.Trash(t.Context(), "", 10); err != nil || len(tr) != 0 {
					t.Errorf("%d: half of a collection can be restored: %v", n, err)
				}
			}
			b.sound()
			b.open(memkv.New())
			b.sound()
			b.ok(b.b.Expire(t.Context(), uid))
			b.sound()
			if u := b.used(); u.Files != 2 || b.rows("d#") != 3 || b.rows("r#") != 0 || b.rows("w#") != 0 {
				t.Errorf("%d: %+v, %d entries", n, u, b.rows("d#"))
			}
			if b.rows("g#") != 2*32 { // one of 33 is in use by the copy
				t.Errorf("%d: %d rows of tombstones", n, b.rows("g#"))
			}
			if err == nil {
				break
			}
		}
	})
}

func TestPurgeAndEmptyTrash(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	for i := range 300 {
		b.put(fmt.Sprintf("photos/d/%03d", i), fmt.Sprint(i))
	}
	e := b.put("photos/a.txt", "a")
	c := b.put("photos/b.txt", "b")
	b.ok(b.Delete(ctx, "photos/a.txt", nil))
	b.ok(b.Delete(ctx, "photos/b.txt", nil))
	if err := b.Purge(ctx, c.Ino); err != nil {
		t.Error(err)
	}
	if err := b.Purge(ctx, c.Ino); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("twice: %v", err)
	}
	if _, err := b.Restore(ctx, c.Ino); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("restored: %v", err)
	}
	if u := b.used(); u.Files != 301 {
		t.Errorf("%d files", u.Files)
	}
	_, err := b.Restore(ctx, e.Ino)
	b.ok(err)
	b.ok(b.Delete(ctx, "photos/a.txt", nil))
	b.ok(b.Delete(ctx, "photos/d", nil))
	for i := range 100 {
		b.put("photos/x", fmt.Sprint(i))
		b.ok(b.Delete(ctx, "photos/x", nil))
	}
	if n, err := b.EmptyTrash(ctx); err != nil || n != 102 {
		t.Errorf("emptied %d, %v", n, err)
	}
	if tr, err := b.Trash(ctx, "", 10); err != nil || len(tr) != 0 {
		t.Errorf("trash has %d, %v", len(tr), err)
	}
	b.ok(b.b.Expire(ctx, uid))
	if u := b.used(); u.Files != 0 || u.Bytes != 0 || b.rows("i#") != 1 {
		t.Errorf("%+v, %d rows", u, b.rows("i#"))
	}
	b.sound()
	l, err := b.b.Library(ctx, uid, backend.Access{Mode: backend.ReadOnly})
	b.ok(err)
	if _, err := l.EmptyTrash(ctx); !errors.Is(err, backend.ErrForbidden) {
		t.Errorf("read-only: %v", err)
	}
	if err := l.Purge(ctx, e.Ino); !errors.Is(err, backend.ErrForbidden) {
		t.Errorf("read-only: %v", err)
	}
}

func TestRestoreVersion(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	e := b.put("photos/a.gif", gif+"1")
	b.put("photos/a.gif", gif+"2")
	b.put("photos/a.gif", gif+"3")
	used := b.used()
	vs, err := b.Versions(ctx, e.Ino)
	b.ok(err)
	_, _, err = b.Move(ctx, "photos/a.gif", "photos/b.gif", nil)
	b.ok(err)
	got, err := b.RestoreVersion(ctx, e.Ino, vs[1].Replaced)
	b.ok(err)
	if got.Ino != e.Ino || got.ETag != e.ETag || got.Key != "photos/b.gif" || b.read("photos/b.gif") != gif+"1" {
		t.Errorf("got %+v", got)
	}
	vs, err = b.Versions(ctx, e.Ino)
	b.ok(err)
	var etags []string
	for _, v := range vs {
		c, err := b.OpenVersion(ctx, v)
		b.ok(err)
		d, err := io.ReadAll(c)
		b.ok(err)
		etags = append(etags, string(d))
	}
	if !slices.Equal(etags, []string{gif + "3", gif + "2"}) || b.used() != used {
		t.Errorf("versions %q, usage %+v", etags, b.used())
	}
	if _, err := b.RestoreVersion(ctx, e.Ino, vs[0].Replaced.Add(time.Hour)); !errors.Is(err, backend.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	b.sound()
	index := dump(t, b.x)
	b.open(memkv.New())
	if dump(t, b.x) != index {
		t.Error("a rebuild differs")
	}
}

func prefixed(prefix string) func(string) bool {
	return func(name string) bool { return strings.HasPrefix(name, prefix) }
}

// A file with more versions and properties than one plan can remove goes in several.
func TestManyVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		var props []backend.Prop
		for i := range backend.MaxProps {
			props = append(props, backend.Prop{Name: xml.Name{Local: fmt.Sprint("p", i)}, Inner: []byte("x")})
		}
		for _, key := range []backend.Key{"photos/d/a", "photos/d/b", "photos/kept"} {
			for i := range 100 {
				b.put(string(key), fmt.Sprint(key, i))
			}
			_, err := b.SetProps(ctx, key, backend.PropPatch{Set: props}, backend.Conditions{})
			b.ok(err)
		}
		b.ok(b.Delete(ctx, "photos/d", nil))
		n, err := b.EmptyTrash(ctx)
		b.ok(err)
		b.ok(b.b.Expire(ctx, uid))
		if n != 1 || b.rows("w#") != 99 || b.rows("p#") != backend.MaxProps || b.rows("g#") != 2*200 {
			t.Errorf("%d versions, %d properties, %d rows of tombstones", b.rows("w#"), b.rows("p#"), b.rows("g#"))
		}
		b.sound()
		time.Sleep(31 * day)
		b.ok(b.b.Expire(ctx, uid))
		if u := b.used(); u.Files != 1 || u.Bytes != int64(len("photos/kept99")) || b.rows("w#") != 0 {
			t.Errorf("%+v, %d versions", u, b.rows("w#"))
		}
		b.sound()
	})
}

// orphan puts an original that no row tells of.
func (b *box) orphan(i int) string {
	b.t.Helper()
	name := object.OriginalName(uid, time.Now(), fmt.Sprintf("00%024d", i), "x.jpg") // old by its ULID
	if _, err := b.bucket.Put(b.t.Context(), name, strings.NewReader("x"), 1, nil); err != nil {
		b.t.Fatal(err)
	}
	return name
}

// An original that no row tells of goes after two looks a week apart and 35 days more.
func TestStrays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		b.put("photos/a.gif", gif)
		u, err := b.CreateUpload(ctx, "photos/up", nil)
		b.ok(err)
		_, err = b.PutPart(ctx, u.ID, 1, strings.NewReader("part"), 4, nil, nil)
		b.ok(err)
		b.orphan(1)
		foreign := object.OriginalPrefix(uid) + "mine/keep.jpg"
		_, err = b.bucket.Put(ctx, foreign, strings.NewReader("x"), 1, nil)
		b.ok(err)
		look := func(dry bool) *backend.Collected {
			t.Helper()
			got, err := b.b.Collect(ctx, uid, &backend.CollectOptions{Strays: true, DryRun: dry})
			b.ok(err)
			if got.Foreign != 1 || got.Names[0] != foreign {
				t.Errorf("foreign: %+v", got)
			}
			return got
		}
		if got := look(false); got.Strays != 0 {
			t.Errorf("young: %+v", got)
		}
		time.Sleep(8 * day)
		for _, dry := range []bool{true, false} {
			if got := look(dry); got.Strays != 1 || got.Noted != 1 || got.Buried != 0 {
				t.Errorf("first look: %+v", got)
			}
		}
		time.Sleep(6 * day)
		if got := look(false); got.Noted != 0 || got.Buried != 0 {
			t.Errorf("too soon: %+v", got)
		}
		time.Sleep(day)
		for _, dry := range []bool{true, false} {
			if got := look(dry); got.Buried != 1 {
				t.Errorf("second look: %+v", got)
			}
		}
		time.Sleep(34 * day)
		if got := look(false); got.Deleted != 0 || got.Waiting != 1 || got.Strays != 0 {
			t.Errorf("waiting: %+v", got)
		}
		time.Sleep(2 * day)
		for _, dry := range []bool{true, false} {
			if got := look(dry); got.Deleted != 1 {
				t.Errorf("due: %+v", got)
			}
		}
		if n := b.originals(); n != 2 {
			t.Errorf("%d originals, want ours and the foreign one", n)
		}
		b.sound()
	})
}

// The brake, and everything else that is not certain, ends the run before it deletes.
func TestCollectIsCareful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := objecttest.NewFaults(membucket.New())
		b := &box{t: t, bucket: f}
		b.open(memkv.New())
		ctx := t.Context()
		_, err := b.Mkdir(ctx, "photos", nil)
		b.ok(err)
		e := b.put("photos/a.gif", gif)
		for i := range 11 {
			b.orphan(i)
		}
		time.Sleep(8 * day)
		opt := &backend.CollectOptions{Strays: true}
		if got, err := b.b.Collect(ctx, uid, opt); !errors.Is(err, backend.ErrBrake) || got.Strays != 11 || got.Noted != 0 {
			t.Errorf("brake: %+v, %v", got, err)
		}
		opt.MaxStrays = 100
		if got, err := b.b.Collect(ctx, uid, opt); err != nil || got.Noted != 11 {
			t.Errorf("%+v, %v", got, err)
		}
		time.Sleep(8 * day)
		for _, after := range []bool{false, true} {
			f.Fail(objecttest.Fault{Method: objecttest.List, Name: prefixed("v1/o/"), Every: true, After: after})
			if got, err := b.b.Collect(ctx, uid, opt); !errors.Is(err, backend.ErrUnavailable) || got.Buried != 0 {
				t.Errorf("list that is cut off: %+v, %v", got, err)
			}
			f.Heal()
		}
		// A reference row is lost: the index is not to be believed.
		k := kv.Key{P: "b#" + uid + "#" + object.ULIDOf(e.Object), S: string(e.Ino)}
		b.ok(b.x.Commit(ctx, []kv.Op{{Key: k, Kind: kv.Del}}))
		if got, err := b.b.Collect(ctx, uid, opt); !errors.Is(err, backend.ErrWrongIndex) || got.Buried != 0 {
			t.Errorf("wrong index: %+v, %v", got, err)
		}
		b.ok(b.x.Commit(ctx, []kv.Op{{Key: k, D: []byte(e.Object)}}))
		if got, err := b.b.Collect(ctx, uid, opt); err != nil || got.Buried != 11 {
			t.Errorf("%+v, %v", got, err)
		}
		// Deleting is broken off, by every call; then it goes on.
		time.Sleep(36 * day)
		for n := 1; ; n++ {
			f.Fail(objecttest.Fault{N: n, Every: true})
			_, err := b.b.Collect(ctx, uid, nil)
			f.Heal()
			b.sound()
			if n == 3 {
				b.open(memkv.New())
				b.sound()
			}
			if err == nil {
				break
			}
		}
		if b.originals() != 1 || b.rows("g#") != 0 {
			t.Errorf("%d originals, %d tombstones", b.originals(), b.rows("g#"))
		}
		if got := b.read("photos/a.gif"); got != gif {
			t.Errorf("got %q", got)
		}
	})
}

// The same on the real drivers, as far as the clock lets it.
func TestKeepingOnDisk(t *testing.T) {
	bucket, err := diskbucket.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := badgerkv.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	b := &box{t: t, bucket: bucket}
	b.open(x)
	ctx := t.Context()
	_, err = b.Mkdir(ctx, "photos", nil)
	b.ok(err)
	for i := range 50 {
		e := b.put(fmt.Sprintf("photos/d/%d/%02d.gif", i%3, i), gif+fmt.Sprint(i))
		b.ok(b.b.PutVariant(ctx, uid, e.Object, "thumb", "0123", "webp", "image/webp", []byte("small")))
	}
	b.put("photos/d/0/00.gif", gif+"again")
	b.put("photos/keep", "keep")
	b.ok(b.Delete(ctx, "photos/d", nil))
	b.sound()
	later := time.Now()
	reopen := func(d time.Duration) {
		later = later.Add(d)
		b.b = backend.New(b.bucket, x, &backend.Options{Now: func() time.Time { return later }})
		b.Library, err = b.b.Library(ctx, uid, backend.Access{})
		b.ok(err)
	}
	reopen(31 * day)
	b.ok(b.b.Expire(ctx, uid))
	b.sound()
	reopen(36 * day)
	got, err := b.b.Collect(ctx, uid, &backend.CollectOptions{Strays: true})
	b.ok(err)
	if got.Deleted != 51 || got.Variants != 50 || got.Listed != 1 || b.originals() != 1 {
		t.Errorf("%+v", got)
	}
	b.sound()
	if got := b.read("photos/keep"); got != "keep" {
		t.Errorf("got %q", got)
	}
}
