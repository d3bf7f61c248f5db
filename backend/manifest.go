package backend

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// A ManifestLine is one line of m/<uid>/manifest.jsonl, from which people and other
// tools can find every file without this program (DESIGN §3).
type ManifestLine struct {
	Path     string    `json:"path"`
	Object   string    `json:"object,omitempty"` // missing for an empty file
	Size     int64     `json:"size"`
	SHA256   string    `json:"sha256,omitempty"`
	MD5      string    `json:"md5,omitempty"`
	Type     string    `json:"type,omitempty"`
	Modified time.Time `json:"modified"`
}

// Files yields every file of the tree, collection by collection, in the order of their
// keys. An error comes alone and last. It holds one page of each collection above it in
// memory.
func (l *Library) Files(ctx context.Context) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		r := l.live(ctx)
		top, err := l.top(r)
		if err == nil {
			err = l.allow(r, mayRead, top)
		}
		var e *Entry
		if err == nil {
			e, err = l.t.resolve(r, top)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		l.t.files(r, e, yield)
	}
}

// files walks what is below dir; it says whether to go on.
func (t *tree) files(r rows, dir *Entry, yield func(*Entry, error) bool) bool {
	for e, err := range t.membersOf(r, dir) {
		switch {
		case err != nil:
			yield(nil, err)
			return false
		case e.Dir:
			if !t.files(r, e, yield) {
				return false
			}
		case junkRow(e):
		case !yield(e, nil):
			return false
		}
	}
	return true
}

// WriteManifest puts the user's manifest into the bucket.
func (b *Backend) WriteManifest(ctx context.Context, uid string) error {
	l, err := b.Library(ctx, uid, Access{})
	if err != nil {
		return err
	}
	pr, pw := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(pw, 64<<10)
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		var err error
		for e, ferr := range l.Files(ctx) {
			if err = ferr; err != nil {
				break
			}
			err = enc.Encode(ManifestLine{string(e.Key), e.Object, e.Size, e.SHA256, e.MD5, e.Type, e.Modified})
			if err != nil {
				break
			}
		}
		if err == nil {
			err = out.Flush()
		}
		pw.CloseWithError(err)
	}()
	_, err = b.bucket.Put(ctx, object.ManifestName(uid), pr, -1, &object.PutOptions{Type: "application/jsonl"})
	pr.CloseWithError(err)
	if err != nil {
		return fault(fmt.Errorf("write manifest: %w", err))
	}
	return nil
}
