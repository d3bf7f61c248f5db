package backend_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// What package sim has found, each in a few lines.

func (b *box) wantSound(files int64) {
	b.t.Helper()
	rep, err := b.b.Check(b.t.Context(), uid, 3, memkv.New())
	if err != nil || rep.Wrong > 0 {
		b.t.Errorf("check: %q, %v", rep.Findings, err)
	}
	if u, err := b.Usage(b.t.Context()); err != nil || u.Files != files {
		b.t.Errorf("usage: got %+v, %v; want %d files", u, err, files)
	}
}

// Overwriting a file keeps its dead properties.
func TestPutKeepsProps(t *testing.T) {
	b := newBox(t)
	b.put("photos/a", "one")
	p := backend.PropPatch{Set: []backend.Prop{{Name: xml.Name{Space: "x:", Local: "p"}, Inner: []byte("v")}}}
	if _, err := b.SetProps(t.Context(), "photos/a", p, backend.Conditions{}); err != nil {
		t.Fatal(err)
	}
	if props, err := b.Props(t.Context(), b.put("photos/a", "two")); err != nil || len(props) != 1 {
		t.Errorf("got %v, %v", props, err)
	}
}

// What is junk by its name and its content, and was not before, or will not be, is told
// the same by index, log and usage.
func TestJunkNames(t *testing.T) {
	b := newBox(t)
	b.put("photos/big/._x", strings.Repeat("x", 50_000)) // too large for the index alone
	b.put("photos/._y", "junk")
	b.wantSound(1)
	b.put("photos/big/._x", "small")
	b.wantSound(1)
	b.put("photos/._y", strings.Repeat("y", 50_000))
	b.wantSound(2)
	if _, _, err := b.Move(t.Context(), "photos/big/._x", "photos/big/x", nil); err != nil {
		t.Fatal(err)
	}
	b.wantSound(2) // x, with its version, is the same entry
	b.put("photos/._more", "junk")
	if _, _, err := b.Copy(t.Context(), "photos/._more", "photos/more", nil); err != nil {
		t.Fatal(err)
	}
	b.wantSound(3)
	b.put("photos/more", "a file")
	b.wantSound(3)
	p := backend.PropPatch{Set: []backend.Prop{{Name: xml.Name{Space: "x:", Local: "p"}, Inner: []byte("v")}}}
	if _, err := b.SetProps(t.Context(), "photos/._more", p, backend.Conditions{}); err != nil {
		t.Fatal(err)
	}
	b.wantSound(3)
	b.open(memkv.New())
	b.wantSound(3)
}

// A collection that S3 made, and takes away again, leaves nothing of it.
func TestPruneDropsProps(t *testing.T) {
	b := newBox(t)
	b.put("photos/d/a", "one")
	p := backend.PropPatch{Set: []backend.Prop{{Name: xml.Name{Space: "x:", Local: "p"}, Inner: []byte("v")}}}
	if _, err := b.SetProps(t.Context(), "photos/d", p, backend.Conditions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), "photos/d/a", &backend.DeleteOptions{Prune: true}); err != nil {
		t.Fatal(err)
	}
	b.wantSound(1)
}

// Junk that is moved onto a file replaces it only if it may.
func TestMoveJunkOverwrite(t *testing.T) {
	b := newBox(t)
	b.put("photos/._a", "junk")
	b.put("photos/a", "one")
	if _, _, err := b.Move(t.Context(), "photos/._a", "photos/a", nil); !errors.Is(err, backend.ErrExist) {
		t.Errorf("got %v", err)
	}
	if got := b.read("photos/a"); got != "one" {
		t.Errorf("got %q", got)
	}
}

// The lock of what a copy replaces ends with it, and does not come back out of the trash.
func TestCopyEndsLocks(t *testing.T) {
	b := newBox(t)
	b.put("photos/a", "one")
	old := b.put("photos/b", "two")
	if _, err := b.Lock(t.Context(), "photos/b", false, "", "me", time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Copy(t.Context(), "photos/a", "photos/b", &backend.MoveOptions{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Restore(t.Context(), old.Ino); err != nil {
		t.Fatal(err)
	}
	if locks, err := b.Locks(t.Context(), "photos", true); err != nil || len(locks) > 0 {
		t.Errorf("got %v, %v", locks, err)
	}
}

// An app password for one collection ends where that is when it is written to, not where
// it was when the request came.
func TestRootMovesMeanwhile(t *testing.T) {
	b := newBox(t)
	b.put("photos/d/a", "one")
	d, err := b.Stat(t.Context(), "photos/d")
	if err != nil {
		t.Fatal(err)
	}
	scoped, err := b.b.Library(t.Context(), uid, backend.Access{Root: d.Ino})
	if err != nil {
		t.Fatal(err)
	}
	body := readFunc(func([]byte) (int, error) { // while the body comes
		if _, _, err := b.Move(t.Context(), "photos/d", "photos/e", nil); err != nil {
			t.Error(err)
		}
		return 0, io.EOF
	})
	_, _, err = scoped.Put(t.Context(), "photos/d/b", body, -1, &backend.PutOptions{MakeParents: true})
	if !errors.Is(err, backend.ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A copy of junk and its properties is as little in the log as the junk.
func TestCopyOfJunk(t *testing.T) {
	b := newBox(t)
	b.put("photos/d/._a", "junk")
	p := backend.PropPatch{Set: []backend.Prop{{Name: xml.Name{Space: "x:", Local: "p"}, Inner: []byte("v")}}}
	if _, err := b.SetProps(t.Context(), "photos/d/._a", p, backend.Conditions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Copy(t.Context(), "photos/d", "photos/e", nil); err != nil {
		t.Fatal(err)
	}
	b.wantSound(0)
}

// However many pictures have been looked at, each has its time at once: a whole batch of
// them must not be too much for one segment.
func TestFinishMany(t *testing.T) {
	b := newBox(t)
	q := job.New(b.x, nil)
	b.b = backend.New(b.bucket, b.x, &backend.Options{Queue: q})
	l, err := b.b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 40
	for i := range n {
		if _, _, err := l.Put(t.Context(), backend.Key(fmt.Sprint("photos/", i)), strings.NewReader(fmt.Sprint("\xff\xd8\xff", i)), -1, nil); err != nil {
			t.Fatal(err)
		}
	}
	leases, err := q.Claim(t.Context(), n)
	if err != nil || len(leases) != n {
		t.Fatalf("%d leases, %v", len(leases), err)
	}
	var all []backend.Processed
	for i, j := range leases {
		m := backend.Media{Taken: time.Unix(int64(1000*i), 0)}
		all = append(all, backend.Processed{Ino: backend.Ino(j.Ino), Object: j.Object, Media: m, Done: q.DoneOps(j)})
	}
	if err := b.b.Finish(t.Context(), uid, all); err != nil {
		t.Fatal(err)
	}
}

// What a client says of a copy's type makes no picture of it.
func TestCopyTypeMakesNoPicture(t *testing.T) {
	b := newBox(t)
	b.put("photos/a", "text")
	for _, dst := range []backend.Key{"photos/a", "photos/b"} {
		e, _, err := b.Copy(t.Context(), "photos/a", dst, &backend.MoveOptions{Replace: true, Type: "image/png"})
		if err != nil || strings.HasPrefix(e.Type, "image/") {
			t.Errorf("%s: type %q, %v", dst, e.Type, err)
		}
	}
	if page, err := b.Timeline(t.Context(), "", 10); err != nil || len(page.Items) > 0 {
		t.Errorf("timeline: %v, %v", page.Items, err)
	}
}

// Whatever call of the index fails, nothing that is there is said not to be.
func TestIndexAway(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*box, string) error
		not  error
	}{
		{"delete and prune", func(b *box, _ string) error {
			return b.Delete(b.t.Context(), "photos/d/e/a", &backend.DeleteOptions{Prune: true})
		}, backend.ErrNotExist},
		{"complete again", func(b *box, id string) error {
			_, err := b.CompleteUpload(b.t.Context(), id, nil, nil)
			return err
		}, backend.ErrNoUpload},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n, failed := 1, true; failed; n++ {
				f := kvtest.NewFaults(memkv.New(), nil)
				b := newBox(t)
				b.open(f)
				b.put("photos/d/e/a", "content")
				u, err := b.CreateUpload(t.Context(), "photos/up", nil)
				if err != nil {
					t.Fatal(err)
				}
				p, err := b.PutPart(t.Context(), u.ID, 1, strings.NewReader("part"), 4, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.CompleteUpload(context.Background(), u.ID, []backend.CompletePart{{Number: 1, ETag: p.ETag}}, nil); err != nil {
					t.Fatal(err)
				}
				f.Script(kvtest.Nth(n, kvtest.Fault{}))
				err = c.do(b, u.ID)
				if errors.Is(err, c.not) {
					t.Fatalf("call %d failed: got %v", n, err)
				}
				failed = f.Calls() >= n
			}
		})
	}
}
