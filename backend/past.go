package backend

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// RestoreOptions says what RestoreAt is to bring back.
type RestoreOptions struct {
	At   time.Time // as of when; not before Options.CollectAfter ago, or originals may be gone
	From Key       // the collection or file, as it was called then
	// To is where it is to be; "" means beside From, with "-restored" at the end of its
	// name. If it is a collection that exists, what is missing in it is added; a file
	// whose name is taken by other content gets " (restored)" before its suffix.
	To     Key
	DryRun bool // only count
	// Scratch is an empty store, which must be a kv.Dumper: the past is replayed into it.
	Scratch  kv.Store
	Replayed func(journal.Progress) // is told how far that is; may be nil
	Progress func(Restored)         // is told now and then what has been restored; may be nil
}

// Restored is what RestoreAt brought back, or with DryRun would have.
type Restored struct {
	To          Key
	Collections int64
	Files       int64
	Bytes       int64 // of the files; none were moved
	Same        int64 // files that To had already, with this content
	Gone        int64 // files whose content is not in the bucket any more
	Names       []Key // of the first of these
}

// RestoreAt brings a collection of a user, or one file, back as it was at an earlier time,
// as new entries that refer to the same originals: with names, times, properties and all
// that is known of the pictures. No entry there is now is changed. What has been restored
// when an error ends it stays.
func (b *Backend) RestoreAt(ctx context.Context, uid string, opt RestoreOptions) (*Restored, error) {
	if opt.From == "" {
		return nil, fmt.Errorf("%w: say which collection or file is to be restored", ErrKey)
	}
	if now := b.opt.Now(); opt.At.After(now) {
		return nil, fmt.Errorf("%s is in the future", opt.At.Format(time.RFC3339))
	}
	l, err := b.Library(ctx, uid, Access{})
	if err != nil {
		return nil, err
	}
	past := b.opt
	past.Queue, past.Spool = nil, nil
	past.Journal.Until, past.Journal.Progress = opt.At, opt.Replayed
	then, err := New(b.bucket, opt.Scratch, &past).tree(ctx, uid)
	if err != nil {
		return nil, fmt.Errorf("replay the log: %w", err)
	}
	p := &pastRestore{l: l, opt: opt, then: then, r: live{ctx, opt.Scratch}, now: b.opt.Now()}
	e, err := then.resolve(p.r, opt.From)
	if err != nil {
		return nil, fmt.Errorf("as of %s: %w", opt.At.Format(time.RFC3339), err)
	}
	if err := p.begin(ctx, e); err != nil {
		return &p.Restored, fault(err)
	}
	return &p.Restored, nil
}

type pastRestore struct {
	Restored
	l    *Library
	opt  RestoreOptions
	then *tree
	r    live // of the past
	now  time.Time
	own  string // the object that was made of junk, of which no row tells yet
}

// begin finds the place for e, an entry of the past, and restores it there.
func (p *pastRestore) begin(ctx context.Context, e *Entry) error {
	now := p.l.live(ctx)
	if p.To = p.opt.To; p.To == "" {
		var err error
		if p.To, err = p.beside(now, e); err != nil {
			return err
		}
	}
	library, below := p.To.Library()
	if below == "" {
		if !e.Dir {
			return fmt.Errorf("%w: %q would be a file there", ErrTopLevel, library)
		}
		if err := CheckLibraryName(library); err != nil {
			return err
		}
	}
	above, name := p.To.Split()
	e = clone(e)
	e.Name = name
	if p.opt.DryRun {
		// Where it would go may not be there yet: then all of it is new.
		there, err := p.l.t.resolve(now, p.To)
		if err == ErrNotExist || err == ErrNotCollection {
			there, err = nil, nil
		}
		if err != nil {
			return err
		}
		return p.count(ctx, e, there)
	}
	dir, err := p.makeAbove(ctx, above)
	if err != nil {
		return err
	}
	if len(e.Inline) > 0 && !Junk(name) {
		own, err := p.l.ownObject(ctx, e, p.To)
		if err == nil {
			err = makeOwn(e, own)
			p.own = own.Object
		}
		if err != nil {
			return err
		}
	}
	return p.members(ctx, dir, []*Entry{e})
}

func clone(e *Entry) *Entry { c := *e; return &c }

// beside is a key beside From that is free.
func (p *pastRestore) beside(r rows, e *Entry) (Key, error) {
	dir, name := p.opt.From.Split()
	ext := path.Ext(name)
	if e.Dir {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	for i := 1; ; i++ {
		try := dir.Join(stem + "-restored" + ext)
		if i > 1 {
			try = dir.Join(fmt.Sprintf("%s-restored-%d%s", stem, i, ext))
		}
		_, err := p.l.t.resolve(r, try)
		if err == ErrNotExist {
			return try, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// makeAbove is the collection at key, made with those above it where they are missing.
func (p *pastRestore) makeAbove(ctx context.Context, key Key) (*Entry, error) {
	at := root()
	for _, name := range key.segments() {
		next, err := p.l.t.lookup(p.l.live(ctx), at, name)
		if err != nil {
			return nil, err
		}
		if next == nil {
			next, err = p.l.mkdir(ctx, at.Key.Join(name), &MkdirOptions{Existing: true})
			if err != nil {
				return nil, err
			}
		}
		if !next.Dir {
			return nil, ErrNotCollection
		}
		at = next
	}
	return at, nil
}

// placed is an entry of the past and where it is now; now is nil if it is not.
type placed struct{ then, now *Entry }

// members restores entries of the past as members of dir, and what was in them.
func (p *pastRestore) members(ctx context.Context, dir *Entry, batch []*Entry) error {
	here := batch[:0:0]
	for _, e := range batch {
		ok, err := p.available(ctx, e)
		if err != nil {
			return err
		}
		if !ok {
			p.gone(e)
			continue
		}
		here = append(here, e)
	}
	for len(here) > 0 {
		var done []placed
		var same, gone map[*Entry]bool
		err := p.l.t.log.Update(ctx, "restore at", func(tx *journal.Tx) error {
			done, same, gone = nil, map[*Entry]bool{}, map[*Entry]bool{}
			w := p.l.t.writer(tx)
			for _, e := range here {
				props, _, err := p.r.Scan(propPartition(p.l.t.uid, e.Ino), "", "", false, 0)
				if err != nil {
					return err
				}
				const rowsEach = 10 // entry, back pointer, reference, timeline, usage, job, tombstone
				if tx.Len() > 0 && tx.Len()+rowsEach+len(props) > journal.MaxPlanRows {
					break
				}
				made, err := p.place(w, dir, e, props, same, gone)
				if err != nil {
					return err
				}
				done = append(done, placed{e, made})
			}
			return w.err
		})
		if err != nil {
			return err
		}
		here = here[len(done):]
		for _, d := range done {
			switch e := d.then; {
			case gone[e]:
				p.gone(e)
			case same[e] && !e.Dir:
				p.Same++
			case !e.Dir:
				p.Files++
				p.Bytes += e.Size
			case !same[e]:
				p.Collections++
			}
		}
		if p.opt.Progress != nil {
			p.opt.Progress(p.Restored)
		}
		for _, d := range done {
			if d.then.Dir {
				if err := p.below(ctx, d.then, d.now); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// below restores what was in a collection of the past, a few entries in a plan.
func (p *pastRestore) below(ctx context.Context, then, now *Entry) error {
	var batch []*Entry
	for e, err := range p.then.membersOf(p.r, then) {
		if err != nil {
			return err
		}
		if junkRow(e) {
			continue
		}
		if batch = append(batch, e); len(batch) == copiesAtOnce {
			if err := p.members(ctx, now, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return p.members(ctx, now, batch)
}

// place makes e a member of dir in a plan, if it is not already.
func (p *pastRestore) place(w *writer, dir, e *Entry, props []kv.Row, same, gone map[*Entry]bool) (*Entry, error) {
	t := p.l.t
	there, err := t.lookup(w.tx, dir, e.Name)
	if err != nil {
		return nil, err
	}
	name := e.Name
	if there != nil {
		if sameContent(e, there) {
			same[e] = true
			return there, nil
		}
		if name, err = t.freeName(w.tx, dir, name, e.Dir); err != nil {
			return nil, err
		}
	}
	if e.Object != "" && e.Object != p.own {
		if ok, err := w.recall(e.Object); !ok || err != nil {
			gone[e] = true
			return nil, err
		}
	}
	made := clone(e)
	made.Ino, made.Name, made.Key = newIno(), name, dir.Key.Join(name)
	made.Changed, made.Implicit, made.ByLock = p.now, false, false
	w.put(dir, made)
	for _, row := range props {
		w.tx.Put(kv.Key{P: propPartition(t.uid, made.Ino), S: row.S}, row.D)
	}
	w.grow(grownBy(made), boolInt(!made.Dir && !junkRow(made)))
	if !made.Dir { // its members are made one by one
		p.l.lookAgain(w.tx, made)
	}
	return made, nil
}

// sameContent says whether an entry of now is as good as one of the past.
func sameContent(then, now *Entry) bool {
	if then.Dir || now.Dir {
		return then.Dir && now.Dir
	}
	return then.Size == now.Size && (then.Object == now.Object || then.SHA256 != "" && then.SHA256 == now.SHA256)
}

// available says whether the content of e is in the bucket. What something refers to
// is; for the rest the bucket is asked.
func (p *pastRestore) available(ctx context.Context, e *Entry) (bool, error) {
	if e.Object == "" {
		return true, nil
	}
	unused, err := p.l.t.unused(p.l.live(ctx), object.ULIDOf(e.Object))
	if err != nil || !unused {
		return err == nil, err
	}
	_, err = p.l.b.bucket.Head(ctx, e.Object)
	if errors.Is(err, object.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (p *pastRestore) gone(e *Entry) {
	if p.Gone++; len(p.Names) < maxFindings {
		p.Names = append(p.Names, e.Key)
	}
}

// count is members and below for a dry run; there is what is at e's place, or nil.
func (p *pastRestore) count(ctx context.Context, e, there *Entry) error {
	if !e.Dir {
		ok, err := p.available(ctx, e)
		switch {
		case err != nil:
			return err
		case !ok:
			p.gone(e)
		case there != nil && sameContent(e, there):
			p.Same++
		default:
			p.Files++
			p.Bytes += e.Size
		}
		return nil
	}
	if there != nil && !there.Dir {
		there = nil
	}
	if there == nil {
		p.Collections++
	}
	for m, err := range p.then.membersOf(p.r, e) {
		if err != nil {
			return err
		}
		if junkRow(m) {
			continue
		}
		var at *Entry
		if there != nil {
			if at, err = p.l.t.lookup(p.l.live(ctx), there, m.Name); err != nil {
				return err
			}
		}
		if err := p.count(ctx, m, at); err != nil {
			return err
		}
	}
	return nil
}
