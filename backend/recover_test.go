package backend_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/backend/object/objecttest"
)

// loseLog removes everything from the bucket but the originals.
func (b *box) loseLog() {
	b.t.Helper()
	for _, name := range b.objects("v1/") {
		if !strings.HasPrefix(name, "v1/o/") {
			b.ok(b.bucket.Delete(b.t.Context(), name))
		}
	}
}

// With originals alone, names, contents, times and checksums come back.
func TestRecoverOriginals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t)
		ctx := t.Context()
		taken := time.Date(2021, 5, 6, 7, 8, 9, 123e6, time.UTC)
		put := func(key, body string) {
			t.Helper()
			time.Sleep(time.Second)
			_, _, err := b.Put(ctx, backend.Key(key), strings.NewReader(body), -1, &backend.PutOptions{MakeParents: true, Modified: taken})
			b.ok(err)
		}
		put("photos/2024/a.gif", gif+"first")
		put("photos/2024/a.gif", gif+"second")
		put("photos/2024/a.gif", gif+"third")
		put("photos/2024/Ünter 100%.gif", gif+"name")
		put("photos/x", "a file")
		b.ok(b.Delete(ctx, "photos/x", nil))
		put("photos/x/y.txt", "below what was a file")
		put("photos/"+strings.Repeat(strings.Repeat("ü", 100)+"/", 3)+"long.gif", gif+"long")
		u, err := b.CreateUpload(ctx, "photos/up.mov", nil)
		b.ok(err)
		p, err := b.PutPart(ctx, u.ID, 1, strings.NewReader("part"), 4, nil, nil)
		b.ok(err)
		_, err = b.CompleteUpload(ctx, u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil)
		b.ok(err)
		bare := object.OriginalPrefix(uid) + "2024-01/01HZZZZZZZZZZZZZZZZZZZZZZZ-bare.jpg"
		_, err = b.bucket.Put(ctx, bare, strings.NewReader("no metadata"), 11, nil)
		b.ok(err)
		b.loseLog()
		b.open(memkv.New())

		uids, err := b.b.UIDs(ctx)
		if err != nil || fmt.Sprint(uids) != "["+uid+"]" {
			t.Fatalf("users %v, %v", uids, err)
		}
		rec, err := b.b.RecoverOriginals(ctx, uid, nil)
		b.ok(err)
		if rec.Files != 9 || rec.Listed != 9 || rec.Known != 0 || rec.Unnamed != 1 {
			t.Errorf("%+v", rec)
		}
		got := b.content("recovered")
		for key, body := range map[string]string{
			"photos/2024/a.gif":          gif + "third",
			"photos/2024/a (2).gif":      gif + "second",
			"photos/2024/a (3).gif":      gif + "first",
			"photos/2024/Ünter 100%.gif": gif + "name",
			"photos/x/y.txt":             "below what was a file",
			"photos/x (2)":               "a file",
			"photos/up.mov":              "part",
			"unnamed/2024-01/bare.jpg":   "no metadata",
		} {
			if !strings.HasPrefix(got[key], body+" ") {
				t.Errorf("%s: got %q, want %q", key, got[key], body)
			}
			delete(got, key)
		}
		for key := range got {
			if !strings.HasSuffix(key, "/long.gif") || len(got) != 1 {
				t.Errorf("also %q", key)
			}
		}
		e, err := b.Stat(ctx, "recovered/photos/2024/a.gif")
		b.ok(err)
		if !e.Modified.Equal(taken) || len(e.SHA256) != 64 || e.ETag != e.MD5 || e.Type != "image/gif" {
			t.Errorf("%+v", e)
		}
		if e, err := b.Stat(ctx, "recovered/photos/up.mov"); err != nil || !strings.Contains(e.ETag, "-") {
			t.Errorf("%+v, %v", e, err)
		}
		check := func() {
			t.Helper()
			rep, err := b.b.CheckWith(ctx, uid, backend.CheckOptions{Level: 5, Scratch: memkv.New()})
			b.ok(err)
			if rep.Wrong != 0 {
				t.Errorf("%q", rep.Findings)
			}
		}
		check()
		if rec, err := b.b.RecoverOriginals(ctx, uid, nil); err != nil || rec.Files != 0 || rec.Known != 9 {
			t.Errorf("again: %+v, %v", rec, err)
		}
		index := dump(t, b.x)
		b.open(memkv.New())
		if dump(t, b.x) != index {
			t.Error("a rebuild differs")
		}
		b.put("recovered/new", "it goes on")
		check()
	})
}

// It can be broken off at every call of the bucket, and begun again.
func TestRecoverBrokenOff(t *testing.T) {
	for n := 1; ; n++ {
		f := objecttest.NewFaults(membucket.New())
		b := &box{t: t, bucket: f}
		b.open(memkv.New())
		_, err := b.Mkdir(t.Context(), "photos", nil)
		b.ok(err)
		for i := range 12 {
			b.put(fmt.Sprintf("photos/%d", i%6), fmt.Sprint(i))
		}
		b.loseLog()
		b.open(memkv.New())
		f.Fail(objecttest.Fault{N: n, Every: true, Err: errors.New("cut off")})
		_, err = b.b.RecoverOriginals(t.Context(), uid, nil)
		f.Heal()
		b.open(memkv.New())
		_, again := b.b.RecoverOriginals(t.Context(), uid, nil)
		b.ok(again)
		if u := b.used(); u.Files != 12 {
			t.Errorf("%d: %+v", n, u)
		}
		b.sound()
		if err == nil {
			return
		}
	}
}

// A log that is damaged is set aside, nothing of it is lost, and recovery begins anew.
func TestSetAsideLog(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	b.put("photos/a", "a")
	b.ok(b.b.Snapshot(ctx, uid))
	b.put("photos/b", "b")
	if _, err := b.b.SetAsideLog(ctx, uid); err == nil {
		t.Error("a sound log was set aside")
	}
	for _, name := range b.objects(object.SnapshotPrefix(uid)) {
		b.ok(b.bucket.Delete(ctx, name))
	}
	b.ok(b.bucket.Delete(ctx, object.LogName(uid, 1)))
	b.b = backend.New(b.bucket, memkv.New(), nil)
	if _, err := b.b.Library(ctx, uid, backend.Access{}); !errors.Is(err, journal.ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	aside, err := b.b.SetAsideLog(ctx, uid)
	b.ok(err)
	if n := len(b.objects(aside)); n < 2 || len(b.objects(object.LogPrefix(uid))) != 0 {
		t.Errorf("%d objects aside, %q", n, b.objects("v1/"))
	}
	b.open(memkv.New())
	rec, err := b.b.RecoverOriginals(ctx, uid, nil)
	b.ok(err)
	if rec.Files != 2 || b.read("recovered/photos/a") != "a" {
		t.Errorf("%+v", rec)
	}
}

func TestRecoverOnDisk(t *testing.T) {
	bucket, err := diskbucket.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, bucket: bucket}
	b.open(memkv.New())
	_, err = b.Mkdir(t.Context(), "photos", nil)
	b.ok(err)
	for i := range 100 {
		b.put(fmt.Sprintf("photos/%d/%d.gif", i%3, i%50), gif+fmt.Sprint(i))
	}
	b.loseLog()
	x, err := badgerkv.Open(t.TempDir(), nil)
	b.ok(err)
	defer x.Close()
	b.open(x)
	var last backend.Recovered
	rec, err := b.b.RecoverOriginals(t.Context(), uid, func(r backend.Recovered) { last = r })
	b.ok(err)
	if rec.Files != 100 || last != *rec {
		t.Errorf("%+v, last %+v", rec, last)
	}
	b.sound()
}
