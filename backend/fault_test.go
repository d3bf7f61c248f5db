package backend_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// A bucket that is away is a 503 to everyone who needs it, and nobody else notices. It
// is never a "does not exist": a sync client would delete its copy.
func TestBucketAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := objecttest.NewFaults(membucket.New())
		b := &box{t: t, bucket: f}
		b.open(memkv.New())
		if _, err := b.Mkdir(t.Context(), "photos", nil); err != nil {
			t.Fatal(err)
		}
		e := b.put("photos/a", "content")
		f.Fail(objecttest.Fault{Every: true})
		if _, err := b.Stat(t.Context(), "photos/a"); err != nil {
			t.Errorf("stat: %v", err)
		}
		if keys, _, _ := b.keys(backend.ListOptions{}); len(keys) != 1 {
			t.Errorf("list: %q", keys)
		}
		c, err := b.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"read":  second(io.ReadAll(c)),
			"put":   third(b.Put(t.Context(), "photos/b", strings.NewReader("x"), 1, nil)),
			"mkdir": second(b.Mkdir(t.Context(), "photos/d", nil)),
		} {
			if !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrNotExist) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		f.Heal()
		if got := b.read("photos/a"); got != "content" {
			t.Errorf("got %q", got)
		}
		b.put("photos/b", "now")
	})
}

// The object of an entry is gone from the bucket: a fault of ours, not a 404.
func TestObjectGone(t *testing.T) {
	b := newBox(t)
	e := b.put("photos/a", "content")
	if err := b.bucket.Delete(t.Context(), e.Object); err != nil {
		t.Fatal(err)
	}
	c, err := b.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// The content of an original that is gone, or cut, comes again: it is kept, and read.
func TestObjectComesAgain(t *testing.T) {
	b := newBox(t)
	e := b.put("photos/a", "content")
	again := b.put("photos/a", "content")
	if again.Object != e.Object || b.originals() != 1 {
		t.Errorf("the same content is kept twice: %q", b.objects("v1/o/"))
	}
	for i, damage := range []func() error{
		func() error { return b.bucket.Delete(t.Context(), again.Object) },
		func() error {
			return second(b.bucket.Put(t.Context(), again.Object, strings.NewReader("cont"), 4, nil))
		},
	} {
		b.ok(damage())
		if again = b.put("photos/a", "content"); b.read("photos/a") != "content" {
			t.Errorf("%d: what was acknowledged is not there", i)
		}
	}
}

// An original that has been altered is never served as a whole.
func TestDamagedOriginal(t *testing.T) {
	b := newBox(t)
	e := b.put("photos/a", "the content")
	if _, err := b.bucket.Put(t.Context(), e.Object, strings.NewReader("the cOntent"), 11, nil); err != nil {
		t.Fatal(err)
	}
	c, err := b.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	d, err := io.ReadAll(iotest.OneByteReader(c))
	if !errors.Is(err, backend.ErrUnavailable) || len(d) >= 11 {
		t.Errorf("got %q, %v", d, err)
	}
	// Whoever uploads it again mends it.
	b.put("photos/a", "the content")
	if got := b.read("photos/a"); got != "the content" {
		t.Errorf("after it came again: got %q", got)
	}
	// A part of it cannot be compared.
	if _, err := c.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if d, err := io.ReadAll(c); err != nil || string(d) != "Ontent" {
		t.Errorf("got %q, %v", d, err)
	}
}

// What came in parts, or in chunks, has no SHA-256 of the whole, and is compared too.
func TestDamagedParts(t *testing.T) {
	b := newBox(t)
	big := bytes.Repeat([]byte("part one "), object.MinPart/9+1)
	u, err := b.CreateUpload(t.Context(), "photos/parts", nil)
	b.ok(err)
	var named []backend.CompletePart
	for i, d := range [][]byte{big, []byte("the end")} {
		p, err := b.PutPart(t.Context(), u.ID, i+1, bytes.NewReader(d), int64(len(d)), nil, nil)
		b.ok(err)
		named = append(named, backend.CompletePart{Number: i + 1, ETag: p.ETag})
	}
	b.ok(second(b.CompleteUpload(t.Context(), u.ID, named, nil)))
	b.ok(second(b.OpenChunked(t.Context(), "nc", "", nil)))
	for i, d := range [][]byte{big, []byte("the end"), []byte("of it")} {
		b.ok(second(b.PutChunk(t.Context(), "nc", backend.ChunkPlace{Order: int64(i), Part: i + 1, Name: "c"}, bytes.NewReader(d), int64(len(d)), nil)))
	}
	b.ok(third(b.FinishChunked(t.Context(), "nc", "photos/chunks", backend.FinishOptions{Size: int64(len(big)) + 12})))
	for _, key := range []string{"photos/parts", "photos/chunks"} {
		e, err := b.Stat(t.Context(), backend.Key(key))
		b.ok(err)
		good := []byte(b.read(key))
		for _, at := range []int{0, len(big), len(good) - 1} {
			bad := bytes.Clone(good)
			bad[at] ^= 1
			b.ok(second(b.bucket.Put(t.Context(), e.Object, bytes.NewReader(bad), int64(len(bad)), nil)))
			c, err := b.Open(t.Context(), e)
			b.ok(err)
			if d, err := io.ReadAll(c); !errors.Is(err, backend.ErrUnavailable) || len(d) == len(good) {
				t.Errorf("%s: a bit flipped at %d: got %d bytes, %v", key, at, len(d), err)
			}
			rep, err := b.b.CheckWith(t.Context(), uid, backend.CheckOptions{Level: 5, Scratch: memkv.New()})
			if b.ok(err); rep.Wrong != 1 || rep.SizeOnly != 0 {
				t.Errorf("%s: the check says %+v", key, rep)
			}
		}
		b.ok(second(b.bucket.Put(t.Context(), e.Object, bytes.NewReader(good), int64(len(good)), nil)))
	}
}

func TestFullBucket(t *testing.T) {
	f := objecttest.NewFaults(membucket.New())
	b := &box{t: t, bucket: f}
	b.open(memkv.New())
	if _, err := b.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	f.Fail(objecttest.Fault{Every: true, Method: objecttest.Put, Err: object.ErrNoSpace})
	if err := third(b.Put(t.Context(), "photos/b", strings.NewReader("x"), 1, nil)); !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	f.Heal()
	b.put("photos/b", "x")
	b.b = backend.New(b.bucket, b.x, &backend.Options{Free: func() (uint64, error) { return 100, nil }, MinFree: 50})
	l, err := b.b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if err := third(l.Put(t.Context(), "photos/c", strings.NewReader("x"), 60, nil)); !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if err := third(l.Put(t.Context(), "photos/c", strings.NewReader("x"), 1, nil)); err != nil {
		t.Errorf("got %v", err)
	}
}

// Whatever call of the bucket fails, with or without having had its effect: what was
// acknowledged is there, also after a rebuild, and nothing is torn.
func TestEveryBucketCallFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, after := range []bool{false, true} {
			for n, done := 1, false; !done; n++ {
				f := objecttest.NewFaults(membucket.New())
				b := &box{t: t, bucket: f}
				b.open(memkv.New())
				calls := f.Count()
				f.Fail(objecttest.Fault{N: n, After: after})
				acked := script(t, b)
				done = f.Count()-calls < n
				f.Heal()
				index := dump(t, b.x)
				b.open(b.x)
				check(t, b, acked, fmt.Sprintf("call %d after=%v, restart", n, after))
				b.open(memkv.New())
				check(t, b, acked, fmt.Sprintf("call %d after=%v, rebuild", n, after))
				if done && dump(t, b.x) != index {
					t.Errorf("without a fault the rebuild differs")
				}
			}
		}
	})
}

// script does a little of everything and says which keys must have which content: "" for
// one that must not be there, "?" for one that may have either.
func script(t *testing.T, b *box) map[string]string {
	ctx := t.Context()
	want := make(map[string]string)
	note := func(err error, key, now string) {
		if err == nil {
			want[key] = now
		} else if before, ok := want[key]; !ok || before != now {
			want[key] = "?"
		}
	}
	if _, err := b.Mkdir(ctx, "photos", nil); err != nil {
		return nil
	}
	put := func(key, body string) {
		_, _, err := b.Put(ctx, backend.Key(key), strings.NewReader(body), -1, &backend.PutOptions{MakeParents: true})
		note(err, key, body)
	}
	put("photos/a", "one")
	put("photos/d/b", "two")
	put("photos/a", "three")
	_, _, err := b.Copy(ctx, "photos/a", "photos/c", nil)
	note(err, "photos/c", want["photos/a"])
	_, _, err = b.Move(ctx, "photos/d", "photos/e", nil)
	note(err, "photos/e/b", want["photos/d/b"])
	note(err, "photos/d/b", "")
	note(b.Delete(ctx, "photos/a", nil), "photos/a", "")
	if u, err := b.CreateUpload(ctx, "photos/up", nil); err == nil {
		if p, err := b.PutPart(ctx, u.ID, 1, strings.NewReader("part"), 4, nil, nil); err == nil {
			_, err = b.CompleteUpload(ctx, u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
			note(err, "photos/up", "part")
		}
	}
	return want
}

func check(t *testing.T, b *box, want map[string]string, when string) {
	t.Helper()
	for key, body := range want {
		if body == "?" {
			continue
		}
		_, err := b.Stat(t.Context(), backend.Key(key))
		switch {
		case body == "" && !errors.Is(err, backend.ErrNotExist):
			t.Errorf("%s: %s: got %v, want it gone", when, key, err)
		case body != "" && err != nil:
			t.Errorf("%s: %s: acknowledged and lost: %v", when, key, err)
		case body != "":
			if got := b.read(key); got != body {
				t.Errorf("%s: %s: got %q, want %q", when, key, got, body)
			}
		}
	}
}

func TestManifest(t *testing.T) {
	b := newBox(t)
	b.put("photos/d/a<&>.txt", "hello")
	b.put("photos/.DS_Store", "junk")
	if err := b.b.WriteManifest(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	r, err := b.bucket.Get(t.Context(), object.ManifestName(uid), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := io.ReadAll(r)
	if !strings.HasPrefix(string(d), `{"path":"photos/d/a<&>.txt","object":"v1/o/`) || strings.Count(string(d), "\n") != 1 {
		t.Errorf("got %s", d)
	}
}

// A copy of a collection that ends in the middle has changed nothing, and says why it did;
// one that the quota does not allow does not begin.
func TestCopyEndsInTheMiddle(t *testing.T) {
	f := objecttest.NewFaults(membucket.New())
	b := &box{t: t, bucket: f}
	b.open(memkv.New())
	if _, err := b.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		b.put(fmt.Sprintf("photos/src/%02d", i), "0123456789")
	}
	l, err := b.b.Library(t.Context(), uid, backend.Access{Quota: 450})
	if err != nil {
		t.Fatal(err)
	}
	before := dump(t, b.x)
	if err := third(l.Copy(t.Context(), "photos/src", "photos/dst", nil)); !errors.Is(err, backend.ErrQuota) {
		t.Errorf("over the quota: got %v", err)
	}
	if dump(t, b.x) != before {
		t.Error("a copy over the quota changed rows")
	}
	f.Fail(objecttest.Fault{Method: objecttest.Put, N: 3, Err: object.ErrNoSpace})
	if err := third(b.Copy(t.Context(), "photos/src", "photos/dst", nil)); !errors.Is(err, backend.ErrNoSpace) {
		t.Errorf("on a full disk: got %v", err)
	}
	if _, err := b.Stat(t.Context(), "photos/dst"); err != backend.ErrNotExist {
		t.Errorf("on a full disk: got %v", err)
	}
	f.Heal()
	b.sound()
}
