package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Two rows of each user that are not logged: losing them costs work, nothing else.
//
//	what      P          S         D
//	content   cs#<uid>   SHA-256   ino of an entry with that content and variants
//	sweep     cv#<uid>   -         the program that looked through all entries last: see Sweep
func contentKey(uid, sha256 string) kv.Key { return kv.Key{P: "cs#" + uid, S: sha256} }
func sweptKey(uid string) kv.Key           { return kv.Key{P: "cv#" + uid, S: "-"} }

// A Known is what is known of an entry's content before it is looked at.
type Known struct {
	ID     string // the same for equal content of one user
	Looked bool   // the entry has been looked at before, if in another way
	// Same is what was found in the same content before, if another entry has it, and its
	// variants are as they are made now; they lie beside the object From. Else it is nil.
	Same *Media
	From string
}

// Known says whether the content of an entry was looked at before, for another entry:
// it need not be again. by is the program that looks now, in the sense of Media.By.
// ErrNotExist if the entry is gone or has another object by now.
func (b *Backend) Known(ctx context.Context, uid string, ino Ino, obj, by string) (c Known, err error) {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return c, err
	}
	r := live{ctx, b.x}
	e, err := t.entryAnywhere(r, ino)
	if err != nil {
		return c, err
	}
	if e == nil || e.Object != obj {
		return c, ErrNotExist
	}
	c.ID, c.Looked = e.SHA256, e.Media.Processed
	if c.ID == "" {
		c.ID = object.ULIDOf(obj)
	}
	var others []Ino
	refs, _, err := r.Scan(refPartition(uid, object.ULIDOf(obj)), "", "", false, kv.MaxGet)
	if err != nil {
		return c, err
	}
	for _, row := range refs {
		if !strings.Contains(row.S, "@") {
			others = append(others, Ino(row.S))
		}
	}
	if e.SHA256 != "" {
		row, err := r.Get(contentKey(uid, e.SHA256))
		if err != nil {
			return c, err
		}
		if row.V != 0 {
			others = append(others, Ino(row.D))
		}
	}
	for _, other := range others {
		if other == ino {
			continue
		}
		o, err := t.entryAnywhere(r, other)
		if err != nil {
			return c, err
		}
		if o == nil || o.Object != obj && (o.SHA256 == "" || o.SHA256 != e.SHA256 || o.Size != e.Size) {
			continue
		}
		if m := o.Media; m.Processed && !b.outdated(&m, by) {
			c.Same, c.From = &m, o.Object
			return c, nil
		}
	}
	return c, nil
}

// entryAnywhere is the entry called ino, also in the trash; nil if there is none. Its key
// is not set.
func (t *tree) entryAnywhere(r rows, ino Ino) (*Entry, error) {
	at, ok, err := t.pointerOf(r, ino)
	if err != nil || !ok {
		return nil, err
	}
	row, err := r.Get(entryKey(t.uid, at.Dir, at.S))
	if err != nil || row.V == 0 {
		return nil, err
	}
	return decodeEntry("", at.S, row.D)
}

// outdated says whether what is known of a picture that was looked at would be better if
// it were looked at again by the program called by.
func (b *Backend) outdated(m *Media, by string) bool {
	if m.NoPreview != "" || m.By != "" { // it tried
		return m.By != by
	}
	if len(b.opt.Variants) == 0 || len(m.Variants) == 0 {
		return false
	}
	for _, v := range b.opt.Variants {
		if !slices.Contains(m.Variants, v) {
			return true
		}
	}
	return false
}

// lookAgain queues, with the plan that brings e back to the timeline, what there may be to
// do for it: no sweep looked at it in the trash, or among the earlier versions. What lies
// in a collection is looked through by a job of its own. The caller rings.
func (l *Library) lookAgain(tx *journal.Tx, e *Entry) {
	if l.b.opt.Queue == nil {
		return
	}
	var ops []kv.Op
	m := &e.Media
	switch {
	case e.Dir:
		ops = l.b.opt.Queue.Ops(job.Job{Kind: JobSweep, UID: l.t.uid, Ino: string(e.Ino), Object: string(e.Ino)})
	case showable(e) && (!m.Processed || m.NoPreview != "" || m.By != "" || l.b.outdated(m, "")):
		ops = l.b.jobOps(l.t.uid, e)
	}
	for _, op := range ops {
		tx.Local(op)
	}
}

// maxVariant is the most bytes of a variant that is copied.
const maxVariant = 32 << 20

// CopyVariants makes the variants called names of one original those of another with the
// same content. If both are one, it only makes sure that they are there. The error wraps
// ErrNotExist if one is not.
func (b *Backend) CopyVariants(ctx context.Context, uid, from, to string, names []string) error {
	for _, name := range names {
		source := object.VariantName(uid, from, name)
		info, err := b.bucket.Head(ctx, source)
		switch {
		case errors.Is(err, object.ErrNotExist):
			return fmt.Errorf("copy variant: %w", ErrNotExist)
		case err != nil:
			return fault(fmt.Errorf("copy variant: %w", err))
		case from == to:
			continue
		case info.Size > maxVariant:
			return fmt.Errorf("copy variant: %w: %d bytes", ErrNotExist, info.Size)
		}
		body, err := b.bucket.Get(ctx, source, 0, -1)
		if errors.Is(err, object.ErrNotExist) {
			return fmt.Errorf("copy variant: %w", ErrNotExist)
		}
		if err != nil {
			return fault(fmt.Errorf("copy variant: %w", err))
		}
		data, err := io.ReadAll(io.LimitReader(body, info.Size))
		body.Close()
		if err == nil && int64(len(data)) < info.Size {
			err = object.ErrUnavailable
		}
		if err != nil {
			return fault(fmt.Errorf("copy variant: %w", err))
		}
		_, err = b.bucket.Put(ctx, object.VariantName(uid, to, name), bytes.NewReader(data), info.Size,
			&object.PutOptions{Type: info.Type, Meta: map[string]string{"sb-v": "1"}})
		if err != nil {
			return fault(fmt.Errorf("copy variant: %w", err))
		}
	}
	return nil
}

// ReadOriginal reads n bytes of an original from off, from the bucket.
func (b *Backend) ReadOriginal(ctx context.Context, uid, name string, off, n int64) (io.ReadCloser, error) {
	if !strings.HasPrefix(name, object.OriginalPrefix(uid)) {
		return nil, fmt.Errorf("backend: internal error: original %q is not of %s", name, uid)
	}
	r, err := b.bucket.Get(ctx, name, off, n)
	if err != nil {
		return nil, fault(fmt.Errorf("read original: %w", err))
	}
	return r, nil
}

// dropStale deletes variants of an original that no entry and no version lists any more.
// What cannot be deleted now goes with the original.
func (b *Backend) dropStale(ctx context.Context, t *tree, obj string, names []string) error {
	r := live{ctx, b.x}
	refs, more, err := r.Scan(refPartition(t.uid, object.ULIDOf(obj)), "", "", false, kv.MaxGet)
	if err != nil || more {
		return err
	}
	for _, ref := range refs {
		var e *Entry
		if ino, at, ok := strings.Cut(ref.S, "@"); ok {
			row, err2 := r.Get(kv.Key{P: versionPartition(t.uid, Ino(ino)), S: at})
			if err = err2; err == nil && row.V != 0 {
				e, err = decodeEntry("", ino, row.D)
			}
		} else {
			e, err = t.entryAnywhere(r, Ino(ref.S))
		}
		if err != nil {
			return err
		}
		if e != nil {
			names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(e.Media.Variants, name) })
		}
	}
	for _, name := range names {
		if err := b.bucket.Delete(ctx, object.VariantName(t.uid, obj, name)); err != nil {
			return fmt.Errorf("delete variant: %w", err)
		}
	}
	return nil
}

// JobSweep is the kind of job that looks through one user's entries for those of which
// variants are to be made anew: all, or those below the collection that is its Ino.
const JobSweep = "sweep"

// SweepJob is the job that looks through a user's entries for the program called by.
func SweepJob(uid, by string) job.Job {
	return job.Job{Kind: JobSweep, UID: uid, Object: uid, Recipe: by}
}

// A Swept is how far a Sweep came.
type Swept struct {
	Looked int    // at so many entries
	Queued int    // and so many have a job now
	Next   string // where to go on; "" at the end
}

// Sweep looks through what stands on a user's timeline, newest first, from the Next of
// the call before or from "", and queues jobs for what the program called by would make
// better: variants by an old recipe, and what had no preview by another program. It stops
// after looks entries, or when it has queued most jobs.
func (b *Backend) Sweep(ctx context.Context, uid, by, after string, looks, most int) (s Swept, err error) {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return s, err
	}
	if b.opt.Queue == nil { // nobody makes anything
		return s, nil
	}
	l := &Library{b: b, t: t}
	r := l.live(ctx)
	memo := make(map[Ino]*Key)
	for s.Next = after; s.Looked < looks && s.Queued < most; {
		from := ""
		if s.Next != "" {
			from = s.Next + "\x00"
		}
		n := min(looks-s.Looked, most-s.Queued, kv.MaxGet)
		rows, more, err := r.Scan("t#"+uid, from, "", false, n)
		if err != nil {
			return s, err
		}
		if len(rows) == 0 {
			s.Next = ""
			return s, nil
		}
		entries, err := l.timelineEntries(ctx, r, rows, memo)
		if err != nil {
			return s, err
		}
		for _, e := range entries {
			if err := b.remake(ctx, uid, e, by, &s); err != nil {
				return s, err
			}
		}
		s.Looked += len(rows)
		s.Next = rows[len(rows)-1].S
		if !more {
			s.Next = ""
			return s, nil
		}
	}
	return s, nil
}

// SweepBelow is Sweep for what lies below a collection, in the order of keys. If that is
// gone there is nothing.
func (b *Backend) SweepBelow(ctx context.Context, uid string, dir Ino, by, after string, looks, most int) (s Swept, err error) {
	t, err := b.tree(ctx, uid)
	if err != nil || b.opt.Queue == nil {
		return s, err
	}
	l := &Library{b: b, t: t}
	at, err := t.byIno(l.live(ctx), dir)
	if errors.Is(err, ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	library, below := at.Key.Library()
	prefix := nfc(below) // as listings tell keys
	if prefix != "" {
		prefix += "/"
	}
	for s.Next = after; s.Looked < looks && s.Queued < most; {
		o := ListOptions{Library: library, Prefix: prefix, Max: min(looks-s.Looked, most-s.Queued)}
		if s.Next != "" { // it is told from the collection on, which may be moved meanwhile
			o.After = prefix + s.Next
		}
		page, err := l.listObjects(ctx, o)
		if err != nil {
			return s, err
		}
		for _, e := range page.Objects {
			if err := b.remake(ctx, uid, e.Entry, by, &s); err != nil {
				return s, err
			}
		}
		s.Looked += len(page.Objects)
		if s.Next = strings.TrimPrefix(nfc(page.Next), prefix); !page.More {
			s.Next = ""
			return s, nil
		}
	}
	return s, nil
}

// remake queues the job of an entry of which the program called by would make more.
func (b *Backend) remake(ctx context.Context, uid string, e *Entry, by string, s *Swept) error {
	if !showable(e) || e.Media.Processed && !b.outdated(&e.Media, by) {
		return nil
	}
	queued, err := b.opt.Queue.Again(ctx, jobOf(uid, e.Ino, e.Object))
	if queued {
		s.Queued++
	}
	return err
}

// SweptBy is the program that has looked through all of a user's entries last; "" if none
// has.
func (b *Backend) SweptBy(ctx context.Context, uid string) (by string, err error) {
	row, err := live{ctx, b.x}.Get(sweptKey(uid))
	return string(row.D), err
}

// SetSwept records that the program called by has, after its Sweep came to the end.
func (b *Backend) SetSwept(ctx context.Context, uid, by string) error {
	return fault(b.x.Commit(ctx, []kv.Op{{Key: sweptKey(uid), D: []byte(by)}}))
}
