package backend_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

var historySeeds = flag.Int("history.seeds", 10, "random histories that TestHistory lives through")

// Months of random changes, with everything that cleans up running beside them: any moment
// of the last 35 days comes back, byte for byte, and in the end nothing is left over.
func TestHistory(t *testing.T) {
	for seed := range *historySeeds {
		synctest.Test(t, func(t *testing.T) { history(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A moment is what there was at a time.
type moment struct {
	at    time.Time
	files map[string]string
}

func history(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	b := newBox(t)
	ctx := t.Context()
	b.put("photos/d0/first", "first")
	some := func() backend.Key { return backend.Key(fmt.Sprintf("photos/d%d/%d", r.IntN(3), r.IntN(4))) }
	mayFail := func(err error) {
		t.Helper()
		for _, is := range []error{backend.ErrNotExist, backend.ErrExist, backend.ErrParent, backend.ErrSameResource, backend.ErrNotCollection, backend.ErrIsCollection} {
			if errors.Is(err, is) {
				return
			}
		}
		b.ok(err)
	}
	var moments []moment
	for step := range 120 {
		time.Sleep(time.Duration(1 + r.Int64N(int64(36*time.Hour))))
		switch r.IntN(12) {
		case 0, 1, 2:
			b.put(string(some()), fmt.Sprint("content ", step))
		case 3: // twice, and the same again
			key := string(some())
			b.put(key, fmt.Sprint("one ", step))
			b.put(key, fmt.Sprint("two ", step))
			b.put(key, fmt.Sprint("two ", step))
		case 4:
			mayFail(b.Delete(ctx, some(), nil))
		case 5:
			dir, _ := some().Split()
			mayFail(b.Delete(ctx, dir, nil))
		case 6:
			_, _, err := b.Move(ctx, some(), some(), &backend.MoveOptions{Overwrite: true, MakeParents: true})
			mayFail(err)
		case 7:
			_, _, err := b.Copy(ctx, some(), some(), &backend.MoveOptions{Overwrite: true, MakeParents: true})
			mayFail(err)
		case 8:
			from, _ := some().Split()
			to, _ := some().Split()
			_, _, err := b.Move(ctx, from, to, &backend.MoveOptions{Overwrite: true})
			mayFail(err)
		case 9:
			if tr, err := b.Trash(ctx, "", 5); err == nil && len(tr) > 0 {
				ino := tr[r.IntN(len(tr))].Entry.Ino
				if r.IntN(2) == 0 {
					mayFail(b.Purge(ctx, ino))
				} else {
					_, err := b.Restore(ctx, ino)
					mayFail(err)
				}
			}
		case 10:
			if e, err := b.Stat(ctx, some()); err == nil {
				vs, err := b.Versions(ctx, e.Ino)
				b.ok(err)
				if len(vs) > 0 {
					_, err := b.RestoreVersion(ctx, e.Ino, vs[r.IntN(len(vs))].Replaced)
					b.ok(err)
				}
			}
		case 11:
			_, err := b.EmptyTrash(ctx)
			b.ok(err)
		}
		moments = append(moments, moment{time.Now(), b.content("photos")})
		time.Sleep(time.Millisecond)
		switch r.IntN(6) {
		case 0:
			b.ok(b.b.Expire(ctx, uid))
		case 1, 2:
			_, err := b.b.Collect(ctx, uid, &backend.CollectOptions{Strays: true})
			b.ok(err)
		case 3:
			b.ok(b.b.Snapshot(ctx, uid))
		case 4:
			b.open(memkv.New())
		}
		if step%10 == 0 {
			b.sound()
		}
	}
	b.sound()
	n := 0
	for i, m := range moments {
		if time.Since(m.at) > 35*day-time.Hour {
			continue
		}
		n++
		to := backend.Key(fmt.Sprintf("past-%d", i))
		got, err := b.b.RestoreAt(ctx, uid, backend.RestoreOptions{At: m.at, From: "photos", To: to, Scratch: memkv.New()})
		if err != nil {
			t.Errorf("as of step %d: %v", i, err)
			continue
		}
		if files := b.content(to); got.Gone != 0 || !maps.Equal(files, m.files) {
			t.Errorf("as of step %d, %v ago: %+v: got %v, want %v", i, time.Since(m.at), got, files, m.files)
		}
	}
	if n < 20 {
		t.Errorf("only %d moments", n)
	}
	b.sound()

	// All goes, and 70 days later so has every object.
	for e, err := range b.Members(ctx, "") {
		b.ok(err)
		b.ok(b.Delete(ctx, e.Key, nil))
	}
	time.Sleep(31 * day)
	b.ok(b.b.Expire(ctx, uid))
	time.Sleep(36 * day)
	_, err := b.b.Collect(ctx, uid, &backend.CollectOptions{Strays: true})
	b.ok(err)
	b.sound()
	if u := b.used(); b.originals() != 0 || u.Bytes != 0 || u.Files != 0 || b.rows("b#")+b.rows("d#")+b.rows("g#")+b.rows("w#") != 0 {
		t.Errorf("%d originals, %+v and %d references are left", b.originals(), u, b.rows("b#"))
	}
}

// Of a file that was written very often, the last of what it was is told.
func TestMaxVersions(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	e := b.put("photos/a", "one")
	b.put("photos/a", "two")
	p := "w#" + uid + "#" + string(e.Ino)
	rows, _, err := b.x.Scan(ctx, p, "", "", false, 0)
	b.ok(err)
	var ops []kv.Op
	for i := range backend.MaxVersions + 100 {
		if ops = append(ops, kv.Op{Key: kv.Key{P: p, S: fmt.Sprintf("7%015x", i)}, D: rows[0].D}); len(ops) == kv.MaxOps {
			b.ok(b.x.Commit(ctx, ops))
			ops = nil
		}
	}
	vs, err := b.Versions(ctx, e.Ino)
	b.ok(err)
	if len(vs) != backend.MaxVersions || !vs[0].Replaced.After(vs[1].Replaced) {
		t.Errorf("%d versions", len(vs))
	}
}
