package backend_test

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/diskbucket"
)

// An upload that nobody completes is forgotten after Options.UploadAge, with its rows and
// all that its parts took of the disk. One that is younger stays, and so does a file.
func TestAbandonedUploads(t *testing.T) {
	dir := t.TempDir()
	disk, err := diskbucket.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	x := memkv.New()
	b := backend.New(disk, x, &backend.Options{Now: func() time.Time { return now }, UploadAge: 3 * day})
	l, err := b.Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	begin := func(key backend.Key) (id string, parts []backend.CompletePart) {
		t.Helper()
		u, err := l.CreateUpload(t.Context(), key, nil)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			p, err := l.PutPart(t.Context(), u.ID, n+1, bytes.NewReader(make([]byte, object.MinPart)), object.MinPart, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, backend.CompletePart{Number: p.Number, ETag: p.ETag})
		}
		return u.ID, parts
	}
	parts := func() (files, rows int) { // that uploads have
		t.Helper()
		err := filepath.WalkDir(filepath.Join(dir, "tmp", "uploads"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, prefix := range []string{"m#", "mp#"} {
			for _, err := range kv.Dumper(x).Dump(t.Context(), prefix+uid) {
				if err != nil {
					t.Fatal(err)
				}
				rows++
			}
		}
		return files, rows
	}
	old, _ := begin("photos/old")
	now = now.Add(2 * day)
	young, named := begin("photos/young")
	if files, rows := parts(); files != 8 || rows != 8 {
		t.Fatalf("%d files, %d rows of two uploads of three parts", files, rows)
	}
	now = now.Add(day)
	if err := b.Expire(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	if files, rows := parts(); files != 4 || rows != 4 {
		t.Errorf("%d files, %d rows are left of one upload of three parts", files, rows)
	}
	if _, err := l.PutPart(t.Context(), old, 4, bytes.NewReader(nil), 0, nil, nil); !errors.Is(err, backend.ErrNoUpload) {
		t.Errorf("a part of one that has expired: %v", err)
	}
	if _, err := l.CompleteUpload(t.Context(), young, named, nil); err != nil {
		t.Error(err)
	}
	now = now.Add(30 * day)
	if err := b.Expire(t.Context(), uid); err != nil {
		t.Fatal(err)
	}
	if files, rows := parts(); files != 0 || rows != 0 {
		t.Errorf("%d files, %d rows are left", files, rows)
	}
	if e, err := l.Stat(t.Context(), "photos/young"); err != nil || e.Size != 3*object.MinPart {
		t.Errorf("%v, %v", e, err)
	}
}
