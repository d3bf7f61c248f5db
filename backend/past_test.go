package backend_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// content is every file below dir, by its key below it.
func (b *box) content(dir backend.Key) map[string]string {
	b.t.Helper()
	files := make(map[string]string)
	var walk func(backend.Key)
	walk = func(at backend.Key) {
		for e, err := range b.Members(b.t.Context(), at) {
			b.ok(err)
			if e.Dir {
				walk(e.Key)
				continue
			}
			files[strings.TrimPrefix(string(e.Key), string(dir)+"/")] = fmt.Sprintf("%s %s %s", b.read(string(e.Key)), e.ETag, e.Modified.UTC())
		}
	}
	walk(dir)
	return files
}

func (b *box) restoreAt(at time.Time, from, to backend.Key, dry bool) *backend.Restored {
	b.t.Helper()
	got, err := b.b.RestoreAt(b.t.Context(), uid, backend.RestoreOptions{At: at, From: from, To: to, DryRun: dry, Scratch: memkv.New()})
	b.ok(err)
	return got
}

// A sync client with a wrong idea deletes, overwrites and renames: the collection comes
// back byte for byte, and nothing of what there is now is touched.
func TestRestoreAtUndoesASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		for i := range 50 {
			b.put(fmt.Sprintf("photos/2024/%d/%02d.gif", i%4, i), gif+fmt.Sprint("right ", i))
			time.Sleep(time.Second)
		}
		b.put("photos/2024/empty", "")
		_, err := b.SetProps(ctx, "photos/2024/0/00.gif", backend.PropPatch{Set: []backend.Prop{{Inner: []byte("a note")}}}, backend.Conditions{})
		b.ok(err)
		want := b.content("photos/2024")
		b.ok(b.b.Snapshot(ctx, uid))
		at := time.Now()
		time.Sleep(time.Hour)
		for i := range 50 {
			key := backend.Key(fmt.Sprintf("photos/2024/%d/%02d.gif", i%4, i))
			switch i % 3 {
			case 0:
				b.ok(b.Delete(ctx, key, nil))
			case 1:
				b.put(string(key), gif+fmt.Sprint("wrong ", i))
			default:
				_, _, err := b.Move(ctx, key, key+".wrong", nil)
				b.ok(err)
			}
		}
		b.ok(b.Delete(ctx, "photos/2024/3", nil))
		b.put("photos/2024/new.gif", gif+"new")
		wrong := b.content("photos/2024")
		used := b.used()
		originals := b.originals()

		dry := b.restoreAt(at, "photos/2024", "", true)
		if dry.Files != 51 || dry.Collections != 5 || dry.Gone != 0 || dry.To != "photos/2024-restored" {
			t.Errorf("dry run: %+v", dry)
		}
		if got := b.restoreAt(at, "photos/2024", "", false); fmt.Sprint(got) != fmt.Sprint(dry) {
			t.Errorf("got %+v, the dry run said %+v", got, dry)
		}
		if got := b.content("photos/2024-restored"); !maps.Equal(got, want) {
			t.Errorf("restored %v\nwant %v", got, want)
		}
		if got := b.content("photos/2024"); !maps.Equal(got, wrong) {
			t.Error("what there is now was changed")
		}
		if b.originals() != originals {
			t.Errorf("%d originals, were %d: bytes were moved", b.originals(), originals)
		}
		if u := b.used(); u.Files != used.Files+51 {
			t.Errorf("usage %+v, was %+v", u, used)
		}
		e, err := b.Stat(ctx, "photos/2024-restored/0/00.gif")
		b.ok(err)
		if props, err := b.Props(ctx, e); err != nil || len(props) != 1 || string(props[0].Inner) != "a note" {
			t.Errorf("properties %v, %v", props, err)
		}
		if got := b.restoreAt(at, "photos/2024", "", false); got.To != "photos/2024-restored-2" {
			t.Errorf("again: %+v", got)
		}
		b.sound()

		// In place: what is missing comes back, what differs stands beside it.
		dry = b.restoreAt(at, "photos/2024", "photos/2024", true)
		got := b.restoreAt(at, "photos/2024", "photos/2024", false)
		if fmt.Sprint(got) != fmt.Sprint(dry) || got.Same != 1 || got.Files != 50 {
			t.Errorf("in place: %+v, the dry run said %+v", got, dry)
		}
		if b.read("photos/2024/0/00.gif") != gif+"right 0" || b.read("photos/2024/0/04.gif") != gif+"wrong 4" || b.read("photos/2024/0/04 (restored).gif") != gif+"right 4" {
			t.Error("in place: wrong content")
		}
		if got := b.restoreAt(at, "photos", "", false); got.To != "photos-restored" || got.Files != 51 {
			t.Errorf("a library: %+v", got)
		}
		if got := b.restoreAt(at, "photos/2024/0/00.gif", "", false); got.To != "photos/2024/0/00-restored.gif" || got.Files != 1 {
			t.Errorf("a file: %+v", got)
		}
		b.sound()
		index := dump(t, b.x)
		b.open(memkv.New())
		if dump(t, b.x) != index {
			t.Error("a rebuild differs")
		}
	})
}

// What has been purged since is brought back as long as its originals are there; those
// that are gone are named.
func TestRestoreAtAfterPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		for i := range 30 {
			b.put(fmt.Sprintf("photos/d/%02d", i), fmt.Sprint(i))
		}
		at := time.Now()
		time.Sleep(day)
		b.ok(b.Delete(ctx, "photos/d", nil))
		_, err := b.EmptyTrash(ctx)
		b.ok(err)
		time.Sleep(30 * day)
		b.ok(b.b.Expire(ctx, uid))
		if n := b.rows("g#"); n != 60 {
			t.Errorf("%d rows of tombstones", n)
		}
		got := b.restoreAt(at, "photos/d/07", "photos/seven", false)
		if got.Files != 1 || b.rows("g#") != 58 || b.read("photos/seven") != "7" {
			t.Errorf("%+v, %d rows of tombstones", got, b.rows("g#"))
		}
		// Removed again, it waits for 35 days from now.
		b.ok(b.Delete(ctx, "photos/seven", nil))
		_, err = b.EmptyTrash(ctx)
		b.ok(err)
		time.Sleep(6 * day)
		dead, err := b.b.Collect(ctx, uid, nil)
		b.ok(err)
		if dead.Deleted != 29 || dead.Waiting != 1 {
			t.Errorf("collected %+v", dead)
		}
		for _, dry := range []bool{true, false} {
			got := b.restoreAt(at, "photos/d", "", dry)
			if got.Files != 1 || got.Gone != 29 || got.Names[0] != "photos/d/00" || b.rows("g#") != 2 && dry {
				t.Errorf("%+v", got)
			}
		}
		if got := b.content("photos/d-restored"); len(got) != 1 || b.rows("g#") != 0 {
			t.Errorf("restored %v", got)
		}
		b.sound()
		for _, c := range []struct {
			at   time.Time
			from backend.Key
			want error
		}{
			{at, "photos/none", backend.ErrNotExist},
			{at.Add(-time.Hour), "photos", backend.ErrNotExist},
			{at, "", backend.ErrKey},
			{time.Now().Add(time.Hour), "photos", nil},
		} {
			_, err := b.b.RestoreAt(ctx, uid, backend.RestoreOptions{At: c.at, From: c.from, Scratch: memkv.New()})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v %s: %v", c.at, c.from, err)
			}
		}
		// Before the log's beginning.
		b.ok(b.b.Snapshot(ctx, uid))
		for info, err := range b.bucket.List(ctx, object.LogPrefix(uid), "") {
			b.ok(err)
			b.ok(b.bucket.Delete(ctx, info.Name))
			break
		}
		_, err = b.b.RestoreAt(ctx, uid, backend.RestoreOptions{At: at, From: "photos", Scratch: memkv.New()})
		if !errors.Is(err, journal.ErrHistory) {
			t.Errorf("got %v", err)
		}
	})
}

// An object that is being deleted is not referred to any more, whatever the bucket says.
func TestRestoreAtMeetsCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		e := b.put("photos/a", "a")
		at := time.Now()
		time.Sleep(2 * time.Millisecond)
		b.ok(b.Delete(ctx, "photos/a", nil))
		_, err := b.EmptyTrash(ctx)
		b.ok(err)
		id := object.ULIDOf(e.Object)
		b.ok(b.x.Commit(ctx, []kv.Op{{Key: kv.Key{P: "g#" + uid + "#" + id, S: "-"}, D: []byte("0000000000000#" + id)}}))
		if got := b.restoreAt(at, "photos/a", "", false); got.Gone != 1 || got.Files != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// Broken off by any fault of the bucket, what was restored is whole, and the rest comes
// when it is called again.
func TestRestoreAtBrokenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := 1; ; n++ {
			f := objecttest.NewFaults(membucket.New())
			b := &box{t: t, bucket: f}
			b.open(memkv.New())
			ctx := t.Context()
			_, err := b.Mkdir(ctx, "photos", nil)
			b.ok(err)
			for i := range 15 {
				b.put(fmt.Sprintf("photos/d/%d/%02d", i%2, i), fmt.Sprint(i))
			}
			want := b.content("photos/d")
			at := time.Now()
			time.Sleep(time.Hour)
			b.ok(b.Delete(ctx, "photos/d", nil))
			_, err = b.EmptyTrash(ctx)
			b.ok(err)
			f.Fail(objecttest.Fault{N: n, Every: true})
			opt := backend.RestoreOptions{At: at, From: "photos/d", To: "photos/back", Scratch: memkv.New()}
			_, err = b.b.RestoreAt(ctx, uid, opt)
			f.Heal()
			b.sound()
			opt.Scratch = memkv.New()
			got, again := b.b.RestoreAt(ctx, uid, opt)
			b.ok(again)
			if got.Files+got.Same != 15 || !maps.Equal(b.content("photos/back"), want) {
				t.Errorf("%d: %+v: %v", n, got, b.content("photos/back"))
			}
			b.sound()
			if err == nil {
				return
			}
			if !errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("%d: %v", n, err)
			}
		}
	})
}
