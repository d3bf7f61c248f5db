package backend_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// deletedKeys is ListDeleted made of all that DeletedFiles tells.
func deletedKeys(t *testing.T, l *backend.Library, o backend.ListOptions) (keys, prefixes []string, more bool) {
	t.Helper()
	units := map[string]bool{} // → it is a prefix
	for d, err := range l.DeletedFiles(t.Context(), backend.Key(o.Library)) {
		if err != nil {
			t.Fatal(err)
		}
		_, key := d.Entry.Key.Library()
		if !strings.HasPrefix(key, o.Prefix) {
			continue
		}
		if i := strings.Index(key[len(o.Prefix):], o.Delimiter); o.Delimiter != "" && i >= 0 {
			units[key[:len(o.Prefix)+i+len(o.Delimiter)]] = true
		} else {
			units[key] = false
		}
	}
	var names []string
	for name := range units {
		if name > o.After {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if more = len(names) > o.Max; more {
		names = names[:o.Max]
	}
	for _, name := range names {
		if units[name] {
			prefixes = append(prefixes, name)
		} else {
			keys = append(keys, name)
		}
	}
	return keys, prefixes, more
}

// ListDeleted lists what DeletedFiles finds by looking through the whole trash: files and
// trees, deleted in any order, of which some were restored or purged since.
func TestListDeleted(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	b := newBox(t)
	ctx := t.Context()
	names := []string{"a", "a!", "a-", "a.b", "b", "é", "z" + strings.Repeat("y", 200)}
	key := func() string {
		k := "photos"
		for range 1 + rng.IntN(4) {
			k += "/" + names[rng.IntN(len(names))]
		}
		return k
	}
	for range 400 {
		k := key()
		switch rng.IntN(10) {
		case 0, 1, 2, 3, 4:
			// A file in the way is no matter.
			b.Put(ctx, backend.Key(k), strings.NewReader(k), int64(len(k)), &backend.PutOptions{MakeParents: true})
		case 5, 6, 7:
			b.Delete(ctx, backend.Key(k), nil)
		default:
			all, err := b.Trash(ctx, "", 100)
			b.ok(err)
			if len(all) == 0 {
				continue
			}
			if d := all[rng.IntN(len(all))]; rng.IntN(2) == 0 {
				_, err = b.Restore(ctx, d.Entry.Ino)
			} else {
				err = b.Purge(ctx, d.Entry.Ino)
			}
			if !errors.Is(err, backend.ErrNotCollection) { // a file stands in the way of it
				b.ok(err)
			}
		}
	}
	for range 300 {
		o := backend.ListOptions{Library: "photos", Max: 1 + rng.IntN(8)}
		_, some := backend.Key(key()).Library()
		if rng.IntN(2) == 0 {
			o.Prefix = some[:rng.IntN(len(some)+1)]
		}
		if rng.IntN(2) == 0 {
			o.Delimiter = []string{"/", "a", "-", "a/"}[rng.IntN(4)]
		}
		o.Prefix = strings.ToValidUTF8(o.Prefix, "")
		for more := true; more; {
			keys, prefixes, wantMore := deletedKeys(t, b.Library, o)
			p, err := b.ListDeleted(ctx, o)
			b.ok(err)
			var got []string
			for _, d := range p.Objects {
				got = append(got, d.Key)
				want := 0
				for f, err := range b.DeletedFiles(ctx, "photos") {
					b.ok(err)
					if f.Entry.Key == "photos/"+backend.Key(d.Key) {
						want++
					}
				}
				as, err := b.DeletedAs(ctx, "photos/"+backend.Key(d.Key))
				b.ok(err)
				if len(d.Files) != want || len(as) != want || !slices.IsSortedFunc(d.Files, func(a, b backend.Trashed) int { return b.Deleted.Compare(a.Deleted) }) {
					t.Fatalf("%s: %d files, DeletedAs has %d, want %d", d.Key, len(d.Files), len(as), want)
				}
			}
			if !slices.Equal(got, keys) || !slices.Equal(p.Prefixes, prefixes) || p.More != wantMore {
				t.Fatalf("%+v:\ngot  %.40q %.40q %v\nwant %.40q %.40q %v", o, got, p.Prefixes, p.More, keys, prefixes, wantMore)
			}
			o.After, more = p.Next, p.More
		}
	}
	b.sound()
	before := dump(t, b.x)
	b.open(memkv.New())
	if dump(t, b.x) != before {
		t.Error("a rebuild finds other things in the trash")
	}
}

// Keys that are too long for a row of their own are listed in order all the same.
func TestListDeletedLongKeys(t *testing.T) {
	b := newBox(t)
	deep := strings.Repeat(strings.Repeat("é", 120)+"/", 4) // 964 bytes
	var want []string
	for _, name := range []string{"b/2", "a", "b/1", "c", "b!"} {
		b.put("photos/"+deep+name, name)
		want = append(want, deep+name)
	}
	for _, name := range []string{"c", "b", "a", "b!"} {
		b.ok(b.Delete(t.Context(), backend.Key("photos/"+deep+name), nil))
	}
	sort.Strings(want)
	var got []string
	o := backend.ListOptions{Library: "photos", Max: 2}
	for more := true; more; {
		p, err := b.ListDeleted(t.Context(), o)
		b.ok(err)
		for _, d := range p.Objects {
			got = append(got, d.Key)
		}
		o.After, more = p.Next, p.More
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d keys, want %d", len(got), len(want))
	}
	for _, k := range want {
		if as, err := b.DeletedAs(t.Context(), "photos/"+backend.Key(k)); err != nil || len(as) != 1 {
			t.Errorf("…%s: %d files, %v", k[len(deep):], len(as), err)
		}
	}
	b.sound()
}

// counting counts the rows that are read of a store.
type counting struct {
	*memkv.Store
	n int
}

func (c *counting) Get(ctx context.Context, keys ...kv.Key) ([]kv.Row, error) {
	c.n += len(keys)
	return c.Store.Get(ctx, keys...)
}

func (c *counting) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	rows, more, err := c.Store.Scan(ctx, p, from, to, rev, n)
	c.n += len(rows)
	return rows, more, err
}

// A page costs as much in a trash of thousands as in a small one, also behind a prefix that
// has most of it.
func TestListDeletedCost(t *testing.T) {
	cost := func(files int) (n int) {
		x := &counting{Store: memkv.New()}
		b := &box{t: t, bucket: membucket.New(), x: x}
		b.open(x)
		_, err := b.Mkdir(t.Context(), "photos", nil)
		b.ok(err)
		for i := range files {
			b.put(fmt.Sprintf("photos/f/%06d", i), "x")
			b.put(fmt.Sprintf("photos/t/%06d", i), "x")
			b.ok(b.Delete(t.Context(), backend.Key(fmt.Sprintf("photos/f/%06d", i)), nil))
		}
		b.ok(b.Delete(t.Context(), "photos/t", nil))
		x.n = 0
		for _, o := range []backend.ListOptions{{}, {Delimiter: "/"}, {After: fmt.Sprintf("f/%06d", files-5)}, {Prefix: "t/", After: fmt.Sprintf("t/%06d", files/2)}} {
			o.Library, o.Max = "photos", 10
			p, err := b.ListDeleted(t.Context(), o)
			b.ok(err)
			if len(p.Objects)+len(p.Prefixes) < 2 {
				t.Errorf("%+v: %+v", o, p)
			}
		}
		as, err := b.DeletedAs(t.Context(), "photos/f/000007")
		b.ok(err)
		if len(as) != 1 {
			t.Errorf("%d files were called that", len(as))
		}
		return x.n
	}
	small, large := cost(100), cost(2000)
	t.Logf("%d rows are read of a small trash, %d of a large one", small, large)
	if large > small+small/4 {
		t.Errorf("a trash 20 times as large: %d rows are read, not %d", large, small)
	}
}

// What is deleted says who did it, and Remove what is in the trash then.
func TestDeletedBy(t *testing.T) {
	b := newBox(t)
	l, err := b.b.Library(t.Context(), uid, backend.Access{By: "PHONE"})
	b.ok(err)
	b.put("photos/a", "a")
	b.put("photos/b", "b")
	b.put("photos/empty", "")
	d, err := l.Remove(t.Context(), "photos/a", nil)
	b.ok(err)
	if none, err := l.Remove(t.Context(), "photos/empty", nil); err != nil || none != nil {
		t.Errorf("an empty file: %+v, %v", none, err)
	}
	_, _, err = l.Move(t.Context(), "photos/b", "photos/a", nil)
	b.ok(err)
	b.put("photos/c", "c")
	_, _, err = l.Copy(t.Context(), "photos/c", "photos/a", &backend.MoveOptions{Overwrite: true})
	b.ok(err)
	b.ok(b.Delete(t.Context(), "photos/c", nil))
	b.open(memkv.New())
	all, err := b.Trash(t.Context(), "", 10)
	b.ok(err)
	by := map[backend.Key]string{}
	for _, d := range all {
		by[d.Entry.Key] += d.By + ","
	}
	if by["photos/a"] != "PHONE,PHONE," || by["photos/c"] != "," {
		t.Errorf("they were deleted by %q", by)
	}
	as, err := b.DeletedAs(t.Context(), "photos/a")
	b.ok(err)
	told := slices.ContainsFunc(as, func(a backend.Trashed) bool {
		return a.Deleted.Equal(d.Deleted) && a.Cursor == d.Cursor && a.By == "PHONE" && a.Entry.Ino == d.Entry.Ino
	})
	if len(as) != 2 || !told || d.Entry.Key != "photos/a" {
		t.Errorf("Remove told %+v, the trash %+v", d, as)
	}
}

// A page is bounded however often its keys, or the collections above them, were deleted: of
// one key it tells those that were deleted last.
func TestListDeletedManyTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		const often, most = 1100, backend.MaxDeletedAs
		put := func(key string, n int) { // and delete it
			for i := range n {
				time.Sleep(time.Second)
				b.put(key, fmt.Sprint(i))
				b.ok(b.Delete(ctx, backend.Key(key), nil))
			}
		}
		put("photos/a", often)
		put("photos/b", 2)
		for i := range often {
			time.Sleep(time.Second)
			b.put("photos/c/d", fmt.Sprint(i))
			b.ok(b.Delete(ctx, "photos/c", nil))
		}
		for i := range 10 {
			put(fmt.Sprint("photos/e", i), 30)
		}
		var got []string
		for o := (backend.ListOptions{Library: "photos", Max: 50}); ; {
			page, err := b.ListDeleted(ctx, o)
			b.ok(err)
			files := 0
			for _, d := range page.Objects {
				got = append(got, fmt.Sprint(d.Key, " ", len(d.Files)))
				if files >= o.Max {
					t.Errorf("%s comes when there are %d files in the page already", d.Key, files)
				}
				files += len(d.Files)
				for i, f := range d.Files[1:] {
					if !f.Deleted.Before(d.Files[i].Deleted) {
						t.Fatalf("%s: %v comes after %v", d.Key, f.Deleted, d.Files[i].Deleted)
					}
				}
			}
			if !page.More {
				break
			}
			o.After = page.Next
		}
		want := []string{fmt.Sprint("a ", most), "b 2", fmt.Sprint("c/d ", most)}
		for i := range 10 {
			want = append(want, fmt.Sprintf("e%d 30", i))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for _, key := range []backend.Key{"photos/a", "photos/c/d"} {
			all, err := b.DeletedAs(ctx, key)
			b.ok(err)
			if len(all) != most || all[0].Entry.Size != 4 {
				t.Errorf("%s: %d files, the first %+v", key, len(all), all[0])
			}
		}
	})
}
