package backend_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

const uid = "testuser23456"

// box is a Backend over memory, with one library called photos.
type box struct {
	t      *testing.T
	bucket object.Bucket
	x      kv.Store
	b      *backend.Backend
	*backend.Library
}

func newBox(t *testing.T) *box {
	b := &box{t: t, bucket: membucket.New(), x: memkv.New()}
	b.open(b.x)
	if _, err := b.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// open starts anew on an index; an empty one is a rebuild.
func (b *box) open(x kv.Store) {
	b.t.Helper()
	b.x = x
	b.b = backend.New(b.bucket, x, &backend.Options{MaxSize: 64 << 20})
	l, err := b.b.Library(b.t.Context(), uid, backend.Access{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Library = l
}

func (b *box) put(key, body string) *backend.Entry {
	b.t.Helper()
	e, _, err := b.Put(b.t.Context(), backend.Key(key), strings.NewReader(body), int64(len(body)), &backend.PutOptions{MakeParents: true})
	if err != nil {
		b.t.Fatalf("put %s: %v", key, err)
	}
	return e
}

func (b *box) read(key string) string {
	b.t.Helper()
	e, err := b.Stat(b.t.Context(), backend.Key(key))
	if err != nil {
		b.t.Fatalf("stat %s: %v", key, err)
	}
	c, err := b.Open(b.t.Context(), e)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	d, err := io.ReadAll(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(d)
}

func (b *box) keys(o backend.ListOptions) (keys []string, prefixes []string, page *backend.ListPage) {
	b.t.Helper()
	if o.Library == "" {
		o.Library = "photos"
	}
	if o.Max == 0 {
		o.Max = 1000
	}
	page, err := b.ListObjects(b.t.Context(), o)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range page.Objects {
		keys = append(keys, e.Key)
	}
	return keys, page.Prefixes, page
}

// dump is the canonical text of all rows that a rebuild must bring back.
func dump(t *testing.T, x kv.Store) string {
	t.Helper()
	var out strings.Builder
	for r, err := range x.(kv.Dumper).Dump(t.Context(), "d#", "i#", "b#", "t#", "r#", "w#", "p#", "q#", "m#", "g#", "h#") {
		if err != nil {
			t.Fatal(err)
		}
		if r.P[0] == 'h' { // base and snapshot differ
			continue
		}
		fmt.Fprintf(&out, "%s|%s|%x\n", r.P, r.S, r.D)
	}
	return out.String()
}

func TestPutIsReadListedAndSurvives(t *testing.T) {
	b := newBox(t)
	e := b.put("photos/2024/a.txt", "hello")
	if want := fmt.Sprintf("%x", md5.Sum([]byte("hello"))); e.ETag != want {
		t.Errorf("etag: got %s, want %s", e.ETag, want)
	}
	b.put("photos/2024/empty", "")
	if got := b.read("photos/2024/a.txt"); got != "hello" {
		t.Errorf("read: got %q", got)
	}
	if got := b.read("photos/2024/empty"); got != "" {
		t.Errorf("empty: got %q", got)
	}
	before := dump(t, b.x)
	b.open(b.x) // restart
	if got := dump(t, b.x); got != before {
		t.Error("a restart changed rows")
	}
	b.open(memkv.New()) // the index is lost
	if got := dump(t, b.x); got != before {
		t.Errorf("rebuild differs:\n%s\nwant\n%s", got, before)
	}
	if got := b.read("photos/2024/a.txt"); got != "hello" {
		t.Errorf("read after rebuild: got %q", got)
	}
}

func TestRebuildFromSnapshotAndTail(t *testing.T) {
	b := newBox(t)
	for i := range 30 {
		b.put(fmt.Sprintf("photos/d%d/f%d.txt", i%3, i), fmt.Sprint("body ", i))
	}
	if err := b.Delete(t.Context(), "photos/d1", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.b.Snapshot(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	b.put("photos/d0/f0.txt", "other")
	if _, _, err := b.Move(t.Context(), "photos/d2", "photos/e2", nil); err != nil {
		t.Fatal(err)
	}
	before := dump(t, b.x)
	// Segments the snapshot covers are not needed.
	for info, err := range b.bucket.List(t.Context(), object.LogPrefix(uid), "") {
		if err != nil {
			t.Fatal(err)
		}
		if seq, _ := object.SeqOf(info.Name); seq <= 30 {
			b.bucket.Delete(t.Context(), info.Name)
		}
	}
	b.open(memkv.New())
	if got := dump(t, b.x); got != before {
		t.Errorf("rebuild differs:\n%s\nwant\n%s", got, before)
	}
}

// A reader that breaks off.
type cut struct {
	io.Reader
	err error
}

func (c cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err == io.EOF {
		err = c.err
	}
	return n, err
}

func TestBadPutChangesNothing(t *testing.T) {
	sum := md5.Sum([]byte("right"))
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		key  backend.Key
		body io.Reader
		size int64
		opt  backend.PutOptions
		want error
	}{
		{"cut", "photos/a", cut{strings.NewReader("tor"), io.ErrUnexpectedEOF}, 10, backend.PutOptions{}, backend.ErrIncomplete},
		{"cut of unknown length", "photos/a", cut{strings.NewReader("tor"), io.ErrUnexpectedEOF}, -1, backend.PutOptions{}, backend.ErrIncomplete},
		{"short", "photos/a", strings.NewReader("tor"), 10, backend.PutOptions{}, backend.ErrIncomplete},
		{"long", "photos/a", strings.NewReader("torso"), 3, backend.PutOptions{}, backend.ErrIncomplete},
		{"body error", "photos/a", cut{strings.NewReader("x"), boom}, -1, backend.PutOptions{}, boom},
		{"wrong checksum", "photos/a", strings.NewReader("wrong"), 5, backend.PutOptions{Expect: []backend.Checksum{{Algorithm: "md5", Sum: sum[:]}}}, backend.ErrChecksum},
		{"no parent", "photos/x/a", strings.NewReader("x"), 1, backend.PutOptions{}, backend.ErrParent},
		{"no library", "nosuch/a", strings.NewReader("x"), 1, backend.PutOptions{MakeParents: true}, backend.ErrParent},
		{"top level", "a.jpg", strings.NewReader("x"), 1, backend.PutOptions{}, backend.ErrTopLevel},
		{"onto a collection", "photos/dir", strings.NewReader("x"), 1, backend.PutOptions{}, backend.ErrIsCollection},
		{"below a file", "photos/a/b", strings.NewReader("x"), 1, backend.PutOptions{MakeParents: true}, backend.ErrNotCollection},
		{"too large", "photos/a", strings.NewReader("x"), 1 << 40, backend.PutOptions{}, backend.ErrTooLarge},
		{"If-None-Match", "photos/a", strings.NewReader("x"), 1, backend.PutOptions{Conditions: backend.Conditions{IfNoneMatch: []string{"*"}}}, backend.ErrPrecondition},
		{"If-Match", "photos/a", strings.NewReader("x"), 1, backend.PutOptions{Conditions: backend.Conditions{IfMatch: []string{"nope"}}}, backend.ErrPrecondition},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			b.put("photos/a", "old")
			if _, err := b.Mkdir(t.Context(), "photos/dir", nil); err != nil {
				t.Fatal(err)
			}
			before, objects := dump(t, b.x), countObjects(t, b.bucket)
			_, _, err := b.Put(t.Context(), c.key, c.body, c.size, &c.opt)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if got := dump(t, b.x); got != before {
				t.Errorf("rows changed:\n%s\nwant\n%s", got, before)
			}
			if got := countObjects(t, b.bucket); got != objects {
				t.Errorf("objects: got %d, want %d", got, objects)
			}
			if got := b.read("photos/a"); got != "old" {
				t.Errorf("content: got %q", got)
			}
		})
	}
}

func countObjects(t *testing.T, b object.Bucket) (n int) {
	t.Helper()
	for _, err := range b.List(t.Context(), "v1/o/", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestOverwriteKeepsTheOldVersion(t *testing.T) {
	b := newBox(t)
	first := b.put("photos/a", "one")
	second := b.put("photos/a", "two")
	if first.Ino != second.Ino {
		t.Error("overwriting made another entry")
	}
	b.put("photos/a", "two") // a retry is no new version
	vs, err := b.Versions(t.Context(), second.Ino)
	if err != nil || len(vs) != 1 {
		t.Fatalf("versions: got %d, %v", len(vs), err)
	}
	c, err := b.OpenVersion(t.Context(), vs[0])
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := io.ReadAll(c); string(d) != "one" {
		t.Errorf("version: got %q", d)
	}
	if n := countObjects(t, b.bucket); n != 2 {
		t.Errorf("objects: got %d, want 2", n)
	}
}

func TestDeleteAndRestore(t *testing.T) {
	b := newBox(t)
	b.put("photos/d/a", "one")
	b.put("photos/d/b", "two")
	if err := b.Delete(t.Context(), "photos/d", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stat(t.Context(), "photos/d/a"); !errors.Is(err, backend.ErrNotExist) {
		t.Fatalf("stat: %v", err)
	}
	b.put("photos/d/a", "new")
	tr, err := b.Trash(t.Context(), "", 10)
	if err != nil || len(tr) != 1 || tr[0].Entry.Key != "photos/d" {
		t.Fatalf("trash: %+v, %v", tr, err)
	}
	e, err := b.Restore(t.Context(), tr[0].Entry.Ino)
	if err != nil {
		t.Fatal(err)
	}
	if e.Key != "photos/d (restored)" {
		t.Errorf("restored as %q", e.Key)
	}
	if got := b.read("photos/d (restored)/b"); got != "two" {
		t.Errorf("got %q", got)
	}
	if got := b.read("photos/d/a"); got != "new" {
		t.Errorf("got %q", got)
	}
}

func TestMove(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	for i := range 20 {
		b.put(fmt.Sprintf("photos/src/%02d", i), "x")
	}
	b.put("photos/other", "other")
	seq := countLog(t, b.bucket)
	if _, created, err := b.Move(ctx, "photos/src", "photos/dst", nil); err != nil || !created {
		t.Fatalf("move: %v %v", created, err)
	}
	if got := countLog(t, b.bucket) - seq; got != 1 {
		t.Errorf("segments for a folder rename: got %d, want 1", got)
	}
	if got := b.read("photos/dst/07"); got != "x" {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		src, dst backend.Key
		opt      backend.MoveOptions
		want     error
	}{
		{"photos/missing", "photos/other", backend.MoveOptions{Overwrite: true}, backend.ErrNotExist},
		{"photos/dst", "photos/dst", backend.MoveOptions{Overwrite: true}, backend.ErrSameResource},
		{"photos/dst", "photos/dst/in", backend.MoveOptions{Overwrite: true}, backend.ErrSameResource},
		{"photos/dst/01", "photos/dst", backend.MoveOptions{Overwrite: true}, backend.ErrSameResource},
		{"photos/dst", "photos/other", backend.MoveOptions{}, backend.ErrExist},
		{"photos/dst", "photos/no/where", backend.MoveOptions{}, backend.ErrParent},
		{"photos/other", "other", backend.MoveOptions{}, backend.ErrTopLevel},
	} {
		before := dump(t, b.x)
		if _, _, err := b.Move(ctx, c.src, c.dst, &c.opt); !errors.Is(err, c.want) {
			t.Errorf("move %s to %s: got %v, want %v", c.src, c.dst, err, c.want)
		}
		if dump(t, b.x) != before {
			t.Errorf("move %s to %s changed rows", c.src, c.dst)
		}
	}
	if _, created, err := b.Move(ctx, "photos/dst/01", "photos/other", &backend.MoveOptions{Overwrite: true}); err != nil || created {
		t.Fatalf("move over: %v %v", created, err)
	}
	if got := b.read("photos/other"); got != "x" {
		t.Errorf("got %q", got)
	}
	if tr, _ := b.Trash(ctx, "", 10); len(tr) != 1 {
		t.Errorf("what was overwritten is not in the trash")
	}
}

func countLog(t *testing.T, b object.Bucket) (n int) {
	t.Helper()
	for _, err := range b.List(t.Context(), "v1/l/", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestCopyMovesNoBytes(t *testing.T) {
	b := newBox(t)
	for i := range 25 {
		b.put(fmt.Sprintf("photos/src/in/%02d", i), fmt.Sprint(i))
	}
	n := countObjects(t, b.bucket)
	if _, _, err := b.Copy(t.Context(), "photos/src", "photos/dst", nil); err != nil {
		t.Fatal(err)
	}
	if got := b.read("photos/dst/in/24"); got != "24" {
		t.Errorf("got %q", got)
	}
	if got := countObjects(t, b.bucket); got != n {
		t.Errorf("objects: got %d, want %d", got, n)
	}
	if _, _, err := b.Copy(t.Context(), "photos/src", "photos/src/in/x", nil); !errors.Is(err, backend.ErrSameResource) {
		t.Errorf("copy into itself: %v", err)
	}
	name := xml.Name{Space: "urn:x", Local: "note"}
	if _, err := b.SetProps(t.Context(), "photos/src/in/02", backend.PropPatch{Set: []backend.Prop{{Name: name, Inner: []byte("hi")}}}, backend.Conditions{}); err != nil {
		t.Fatal(err)
	}
	c, _, err := b.Copy(t.Context(), "photos/src/in/02", "photos/copy", nil)
	if err != nil {
		t.Fatal(err)
	}
	if ps, err := b.Props(t.Context(), c); err != nil || len(ps) != 1 || string(ps[0].Inner) != "hi" {
		t.Errorf("properties of the copy: %+v, %v", ps, err)
	}
	e, _, err := b.Copy(t.Context(), "photos/src/in/01", "photos/src/in/01", &backend.MoveOptions{Overwrite: true, Replace: true, Header: map[string]string{"x-amz-meta-a": "b"}})
	if err != nil || e.Header["x-amz-meta-a"] != "b" {
		t.Errorf("rewrite: %+v, %v", e, err)
	}
}

func TestUpload(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	u, err := b.CreateUpload(ctx, "photos/new/big", &backend.PutOptions{MakeParents: true, Header: map[string]string{"x-amz-meta-k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	part := func(n int, c byte, size int) backend.CompletePart {
		t.Helper()
		p, err := b.PutPart(ctx, u.ID, n, bytes.NewReader(bytes.Repeat([]byte{c}, size)), int64(size), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return backend.CompletePart{Number: n, ETag: p.ETag}
	}
	p2 := part(2, 'b', 100)
	part(1, 'x', object.MinPart)
	p1 := part(1, 'a', object.MinPart) // sent twice
	b.open(b.x)                        // a restart in the middle
	if _, err := b.CompleteUpload(ctx, u.ID, []backend.CompletePart{p2, p1}, nil); !errors.Is(err, backend.ErrPartOrder) {
		t.Errorf("order: %v", err)
	}
	if _, err := b.CompleteUpload(ctx, u.ID, []backend.CompletePart{{Number: 1, ETag: "no"}}, nil); !errors.Is(err, backend.ErrPart) {
		t.Errorf("etag: %v", err)
	}
	e, err := b.CompleteUpload(ctx, u.ID, []backend.CompletePart{p1, p2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(e.ETag, "-2") || e.Size != object.MinPart+100 || e.Header["x-amz-meta-k"] != "v" {
		t.Errorf("entry: %+v", e)
	}
	again, err := b.CompleteUpload(ctx, u.ID, []backend.CompletePart{p1, p2}, nil)
	if err != nil || again.ETag != e.ETag {
		t.Errorf("again: %v", err)
	}
	got, err := b.Stat(ctx, "photos/new/big")
	if err != nil || got.ETag != e.ETag {
		t.Errorf("stat: %+v, %v", got, err)
	}
	if d := b.read("photos/new/big"); len(d) != object.MinPart+100 || d[0] != 'a' || d[len(d)-1] != 'b' {
		t.Error("content differs")
	}
	if err := b.AbortUpload(ctx, u.ID); !errors.Is(err, backend.ErrNoUpload) {
		t.Errorf("abort after completion: %v", err)
	}
}

func TestTimelineFollowsProcessing(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	jpeg := "\xff\xd8\xff\xe0rest"
	e1 := b.put("photos/1.jpg", jpeg+"1")
	e2 := b.put("photos/d/2.jpg", jpeg+"2")
	b.put("photos/not-an-image.jpg", "<html>")
	taken := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	err := b.b.Finish(ctx, uid, []backend.Processed{
		{Ino: e1.Ino, Object: e1.Object, Media: backend.Media{Taken: taken, Offset: 60, Width: 3, Height: 2, Variants: []string{"thumb-12345678.webp"}}},
		{Ino: e2.Ino, Object: "v1/o/other", Media: backend.Media{Taken: taken}},
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.Timeline(ctx, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 2 || page.Items[0].Ino != e2.Ino || page.Items[1].Ino != e1.Ino || page.Items[1].Media.Offset != 60 {
		t.Fatalf("timeline: %+v", page.Items)
	}
	one, err := b.Timeline(ctx, "", 1)
	if err != nil || len(one.Items) != 1 {
		t.Fatal(err)
	}
	two, err := b.Timeline(ctx, one.Next, 1)
	if err != nil || len(two.Items) != 1 || two.Items[0].Ino != e1.Ino {
		t.Fatalf("second page: %+v, %v", two, err)
	}
	if err := b.Delete(ctx, "photos/d", nil); err != nil {
		t.Fatal(err)
	}
	page, err = b.Timeline(ctx, "", 10)
	if err != nil || len(page.Items) != 1 {
		t.Errorf("what is in the trash is shown: %+v, %v", page.Items, err)
	}
	before := dump(t, b.x)
	b.open(memkv.New())
	if got := dump(t, b.x); got != before {
		t.Errorf("rebuild differs")
	}
}

func TestJunkStaysOutOfTheBucket(t *testing.T) {
	b := newBox(t)
	n := countLog(t, b.bucket)
	b.put("photos/.DS_Store", "junk")
	if got := b.read("photos/.DS_Store"); got != "junk" {
		t.Errorf("got %q", got)
	}
	if countObjects(t, b.bucket) != 0 || countLog(t, b.bucket) != n {
		t.Error("junk reached the bucket")
	}
	if err := b.Delete(t.Context(), "photos/.DS_Store", nil); err != nil {
		t.Fatal(err)
	}
	if tr, _ := b.Trash(t.Context(), "", 10); len(tr) != 0 {
		t.Error("junk is in the trash")
	}
	b.put("photos/._tmp", "real")
	if _, _, err := b.Move(t.Context(), "photos/._tmp", "photos/real.txt", nil); err != nil {
		t.Fatal(err)
	}
	b.open(memkv.New())
	if got := b.read("photos/real.txt"); got != "real" {
		t.Errorf("got %q", got)
	}
}

func TestLocks(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	b.put("photos/d/a", "x")
	k, err := b.Lock(ctx, "photos/d", true, "<me/>", "dev", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Lock(ctx, "photos/d/a", false, "", "dev", time.Minute); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("below an infinite lock: %v", err)
	}
	if _, err := b.Lock(ctx, "photos", true, "", "dev", time.Minute); !errors.Is(err, backend.ErrLocked) {
		t.Errorf("above a lock: %v", err)
	}
	b.open(b.x)
	ks, err := b.Locks(ctx, "photos/d/a", false)
	if err != nil || len(ks) != 1 || ks[0].Token != k.Token || ks[0].Owner != "<me/>" {
		t.Fatalf("after a restart: %+v, %v", ks, err)
	}
	if err := b.Unlock(ctx, "photos", k.Token); !errors.Is(err, backend.ErrNoLock) {
		t.Errorf("unlock elsewhere: %v", err)
	}
	if _, err := b.RefreshLock(ctx, "photos/d/a", k.Token, time.Hour); err != nil {
		t.Errorf("refresh: %v", err)
	}
	if err := b.Delete(ctx, "photos/d", nil); err != nil {
		t.Fatal(err)
	}
	b.put("photos/d/a", "x")
	if ks, _ := b.Locks(ctx, "photos/d/a", false); len(ks) != 0 {
		t.Errorf("the lock outlived its resource: %+v", ks)
	}
}

func TestAccess(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	b.put("photos/d/a", "x")
	d, _ := b.Stat(ctx, "photos/d")
	a, _ := b.Stat(ctx, "photos/d/a")
	with := func(acc backend.Access) *backend.Library {
		l, err := b.b.Library(ctx, uid, acc)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	put := func(l *backend.Library, key backend.Key) error {
		_, _, err := l.Put(ctx, key, strings.NewReader("y"), 1, nil)
		return err
	}
	ro, up, in := with(backend.Access{Mode: backend.ReadOnly}), with(backend.Access{Mode: backend.UploadOnly}), with(backend.Access{Root: d.Ino})
	for name, c := range map[string]struct{ err, want error }{
		"read-only put":            {put(ro, "photos/x"), backend.ErrForbidden},
		"read-only delete":         {ro.Delete(ctx, "photos/d", nil), backend.ErrForbidden},
		"upload-only put":          {put(up, "photos/up"), nil},
		"upload-only overwrite":    {put(up, "photos/d/a"), backend.ErrForbidden},
		"upload-only delete":       {up.Delete(ctx, "photos/d/a", nil), backend.ErrForbidden},
		"upload-only read":         {second(up.Open(ctx, a)), backend.ErrForbidden},
		"in a collection":          {put(in, "photos/d/b"), nil},
		"outside":                  {put(in, "photos/b"), backend.ErrForbidden},
		"outside stat":             {second(in.Stat(ctx, "photos/up")), backend.ErrForbidden},
		"above stat":               {second(in.Stat(ctx, "photos")), nil},
		"the collection itself":    {in.Delete(ctx, "photos/d", nil), backend.ErrForbidden},
		"move out":                 {third(in.Move(ctx, "photos/d/b", "photos/b", nil)), backend.ErrForbidden},
		"quota":                    {put(with(backend.Access{Quota: 1}), "photos/q"), backend.ErrQuota},
		"trash is not read-only's": {second(ro.Trash(ctx, "", 1)), backend.ErrForbidden},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: got %v, want %v", name, c.err, c.want)
		}
	}
	var seen []string
	for e, err := range in.Members(ctx, "photos") {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, string(e.Key))
	}
	if fmt.Sprint(seen) != "[photos/d]" {
		t.Errorf("seen from inside: %q", seen)
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

func TestNamesMatchByNormalForm(t *testing.T) {
	b := newBox(t)
	nfd, nfc := "photos/cafe\u0301.txt", "photos/caf\u00e9.txt"
	b.put(nfd, "x")
	if got := b.read(nfc); got != "x" {
		t.Errorf("got %q", got)
	}
	if keys, _, _ := b.keys(backend.ListOptions{}); keys[0] != nfd[len("photos/"):] {
		t.Errorf("spelling changed: %q", keys[0])
	}
}

func TestManyAtOnce(t *testing.T) {
	b := newBox(t)
	errs := make(chan error)
	const n = 64
	for i := range n {
		go func() {
			_, _, err := b.Put(context.Background(), backend.Key(fmt.Sprintf("photos/%d/%d", i%7, i)), strings.NewReader(fmt.Sprint(i)), -1, &backend.PutOptions{MakeParents: true})
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	keys, _, _ := b.keys(backend.ListOptions{})
	if len(keys) != n {
		t.Errorf("got %d, want %d", len(keys), n)
	}
	u, _ := b.Usage(t.Context())
	if u.Files != n {
		t.Errorf("files: got %d", u.Files)
	}
	if got := countLog(t, b.bucket); got > n+1 {
		t.Errorf("segments: got %d for %d puts", got, n)
	}
	before := dump(t, b.x)
	b.open(memkv.New())
	if dump(t, b.x) != before {
		t.Error("rebuild differs")
	}
}
