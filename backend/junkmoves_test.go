package backend_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// What was junk by its name, and is not any more, is kept as any other content: in the
// bucket, in the trash, and through the loss of the index.
func TestJunkBecomesFile(t *testing.T) {
	for _, verb := range []string{"copy", "move"} {
		t.Run(verb, func(t *testing.T) {
			b := newBox(t)
			ctx := t.Context()
			b.put("photos/._a", "worth it")
			do := b.Copy
			if verb == "move" {
				do = b.Move
			}
			e, created, err := do(ctx, "photos/._a", "photos/a", nil)
			b.ok(err)
			if !created || e.Object == "" || b.originals() != 1 {
				t.Errorf("created %v, object %q, %d originals", created, e.Object, b.originals())
			}
			if u := b.used(); u.Files != 1 || u.Bytes != 8 {
				t.Errorf("usage %+v", u)
			}
			b.ok(b.Delete(ctx, "photos/a", nil))
			b.open(memkv.New())
			_, err = b.Restore(ctx, e.Ino)
			b.ok(err)
			b.put("photos/a", "other")
			v, err := b.Versions(ctx, e.Ino)
			b.ok(err)
			if len(v) != 1 {
				t.Fatalf("%d versions", len(v))
			}
			_, err = b.RestoreVersion(ctx, e.Ino, v[0].Replaced)
			b.ok(err)
			if got := b.read("photos/a"); got != "worth it" {
				t.Errorf("got %q", got)
			}
			b.sound()
		})
	}
}

// A copy or move of junk that is refused leaves nothing in the bucket.
func TestJunkRefused(t *testing.T) {
	b := newBox(t)
	b.put("photos/._a", "junk")
	b.put("photos/b", "b")
	if _, _, err := b.Copy(t.Context(), "photos/._a", "photos/b", nil); err == nil {
		t.Error("it was copied")
	}
	if _, _, err := b.Move(t.Context(), "photos/._a", "photos/none/b", nil); err == nil {
		t.Error("it was moved")
	}
	if n := b.originals(); n != 1 {
		t.Errorf("%d originals", n)
	}
	b.sound()
}

// Whatever is done to junk and to files, the usage is what a count finds, a rebuild finds
// the same, and files keep their content.
func TestUsageOfJunkAndFiles(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SHOEBOX_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("SHOEBOX_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	b := newBox(t)
	ctx := t.Context()
	names := []string{"a", "b.gif", "._a", ".DS_Store", "Thumbs.db", "d/a", "d/._b", "e"}
	real := map[string]string{} // key → content, of what is not junk
	pick := func() string { return "photos/" + names[rng.IntN(len(names))] }
	isJunk := func(k string) bool { return backend.Junk(k[strings.LastIndexByte(k, '/')+1:]) }
	forget := func(k string) {
		maps.DeleteFunc(real, func(have, _ string) bool { return have == k || strings.HasPrefix(have, k+"/") })
	}
	all := func() (out []backend.Trashed) {
		out, err := b.Trash(ctx, "", 1000)
		b.ok(err)
		return out
	}
	_, err := b.Mkdir(ctx, "photos/d", nil)
	b.ok(err)
	for i := range 150 {
		k, to := pick(), pick()
		op := rng.IntN(12)
		switch op {
		case 0, 1, 2, 3:
			body := gif + fmt.Sprint(i) + strings.Repeat("x", []int{0, 10, 60 << 10}[rng.IntN(3)])
			if rng.IntN(4) == 0 {
				body = ""
			}
			if _, _, err := b.Put(ctx, backend.Key(k), strings.NewReader(body), int64(len(body)), nil); err == nil && !isJunk(k) {
				real[k] = body
			}
		case 4, 5, 6, 7:
			do := b.Move
			if op < 6 {
				do = b.Copy
			}
			e, statErr := b.Stat(ctx, backend.Key(k))
			content := ""
			if statErr == nil && !e.Dir {
				content = b.read(k)
			}
			if _, _, err := do(ctx, backend.Key(k), backend.Key(to), &backend.MoveOptions{Overwrite: true}); err == nil {
				if op >= 6 {
					forget(k)
				}
				if forget(to); !isJunk(to) {
					real[to] = content
				}
			}
		case 8:
			if b.Delete(ctx, backend.Key(k), nil) == nil {
				forget(k)
			}
		case 9:
			if d := all(); len(d) > 0 {
				e, err := b.Restore(ctx, d[rng.IntN(len(d))].Entry.Ino)
				if errors.Is(err, backend.ErrNotCollection) { // a file stands in the way of it
					break
				}
				b.ok(err)
				if !isJunk(string(e.Key)) && !e.Dir {
					real[string(e.Key)] = b.read(string(e.Key))
				}
			}
		case 10:
			e, err := b.Stat(ctx, backend.Key(k))
			if err != nil {
				break
			}
			if v, err := b.Versions(ctx, e.Ino); err == nil && len(v) > 0 {
				_, err := b.RestoreVersion(ctx, e.Ino, v[rng.IntN(len(v))].Replaced)
				b.ok(err)
				if !isJunk(k) {
					real[k] = b.read(k)
				}
			}
		case 11:
			switch d := all(); {
			case len(d) > 0 && rng.IntN(2) == 0:
				b.ok(b.Purge(ctx, d[0].Entry.Ino))
			case rng.IntN(3) == 0:
				b.ok(b.b.Snapshot(ctx, uid))
			case rng.IntN(3) == 0:
				b.open(memkv.New())
			}
		}
		for k, want := range real {
			e, err := b.Stat(ctx, backend.Key(k))
			if err != nil || len(e.Inline) > 0 || e.Size > 0 && e.Object == "" {
				t.Fatalf("step %d, op %d: %s: %+v, %v", i, op, k, e, err)
			}
			if got := b.read(k); got != want {
				t.Fatalf("step %d, op %d: %s has %.30q, want %.30q", i, op, k, got, want)
			}
		}
		if b.sound(); t.Failed() {
			t.Fatalf("step %d: op %d %s %s", i, op, k, to)
		}
	}
}
