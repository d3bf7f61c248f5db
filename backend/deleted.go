package backend

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A DeletedPage is one page of ListDeleted.
type DeletedPage struct {
	Objects  []Deleted // by key, in byte order
	Prefixes []string
	More     bool
	Next     string // last key or common prefix of the page, to go on after
}

// MaxDeletedAs is how many files in the trash that had one key are told: those that were
// deleted last. Trash lists them all.
const MaxDeletedAs = 1000

// A Deleted is a key, below the library, with the files in the trash that had it.
type Deleted struct {
	Key   string
	Files []Trashed // the one deleted last comes first; see DeletedAs
}

// ListDeleted is ListObjects for the files in the trash that were in a library, those in
// deleted collections too. Max counts keys and common prefixes; a page ends, too, with the
// key with which it has as many files. Its cost grows with the page, not with the trash. As with Trash, who
// may only read sees none of it: what was deleted is not to be shown on a picture frame. Whose
// Access ends at a collection sees what was deleted from that one, and nothing of another that
// was called so before.
func (l *Library) ListDeleted(ctx context.Context, o ListOptions) (*DeletedPage, error) {
	page, files := new(DeletedPage), 0
	w, err := l.walkDeleted(ctx, Key(o.Library))
	if err != nil || w == nil || o.Max <= 0 {
		return page, err
	}
	prefix, after := nfc(o.Prefix), nfc(o.After)
	from := max(prefix, w.within)
	if after >= from {
		from = after + "\x00"
	}
	if err := w.seek(from); err != nil {
		return nil, err
	}
	for {
		path, ok := w.path()
		if !ok || !strings.HasPrefix(path, prefix) || !strings.HasPrefix(path, w.within) {
			return page, nil
		}
		if i := strings.Index(path[len(prefix):], o.Delimiter); o.Delimiter != "" && i >= 0 {
			common := path[:len(prefix)+i+len(o.Delimiter)]
			if common > after {
				if len(page.Objects)+len(page.Prefixes) == o.Max {
					page.More = true
					return page, nil
				}
				page.Next = spelled(o.Prefix, prefix, common)
				page.Prefixes = append(page.Prefixes, page.Next)
			}
			if err := w.seek(beyond(common)); err != nil {
				return nil, err
			}
			continue
		}
		if len(page.Objects)+len(page.Prefixes) == o.Max || files >= o.Max {
			page.More = true
			return page, nil
		}
		had, err := w.take(path)
		if err != nil {
			return nil, err
		}
		files += len(had)
		_, key := had[0].Entry.Key.Library()
		key = spelled(o.Prefix, prefix, key)
		page.Objects = append(page.Objects, Deleted{Key: key, Files: had})
		page.Next = key
	}
}

// DeletedAs are the files in the trash, MaxDeletedAs at most, that had a key when they, or a
// collection above them, were deleted; the one deleted last comes first. A Cursor of "" says that a file went
// with a collection, and can not be restored but with that.
func (l *Library) DeletedAs(ctx context.Context, key Key) ([]Trashed, error) {
	library, below := key.Library()
	w, err := l.walkDeleted(ctx, Key(library))
	if err != nil || w == nil {
		return nil, err
	}
	path := nfc(below)
	if !strings.HasPrefix(path, w.within) {
		return nil, nil
	}
	if err := w.seek(path); err != nil {
		return nil, err
	}
	return w.take(path)
}

// beyond is the least string that is greater than all that begin with prefix.
func beyond(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return "\xff\xff"
}

// A deletedWalk goes through the files in the trash that were in one library, in the order
// of their paths: keys below the library, in NFC. It merges the rows of files that were
// deleted with the trees of collections that were.
type deletedWalk struct {
	l       *Library
	r       rows
	library Key
	within  string // what the Access ends at, as the beginning of a path
	scope   *scope // nil if the Access sees the whole tree

	to    string // where the last seek went
	files []walked
	from  string // S from which there may be more of them, if more
	more  bool
	trees []*treeWalk
}

// walked is a trash row's entry, by its path.
type walked struct {
	path string
	Trashed
}

// walkDeleted is a walk that has no place yet: seek comes first. It is nil if the Access
// shows nothing of the trash.
func (l *Library) walkDeleted(ctx context.Context, library Key) (*deletedWalk, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayList, library); err != nil {
		return nil, err
	}
	if l.acc.Mode != ReadWrite || library == "" {
		return nil, nil
	}
	top, err := l.top(r)
	if err != nil {
		return nil, err
	}
	w := &deletedWalk{l: l, r: r, library: library}
	if _, below := top.Library(); below != "" {
		w.within = nfc(below) + "/"
	}
	if top != "" {
		w.scope, err = l.newScope(r, top)
	}
	return w, err
}

// A scope tells what was in a collection when it was deleted. The key does not: another
// collection may have had the same before.
type scope struct {
	top   Key
	since time.Time // nothing was called top but this collection since then
	memo  map[Ino]*Key
}

func (l *Library) newScope(r rows, top Key) (*scope, error) {
	s := &scope{top: top, memo: make(map[Ino]*Key)}
	for key := top; key != ""; key, _ = key.Split() {
		e, err := l.t.resolve(r, key)
		if err != nil {
			return nil, err
		}
		if e.Changed.After(s.since) {
			s.since = e.Changed
		}
	}
	return s, nil
}

// has says whether what is in the trash was in the collection: it was deleted from a
// collection that is there now or, if that is gone, at a time that leaves no doubt.
func (s *scope) has(t *tree, r rows, was trashed) (bool, error) {
	if s == nil {
		return true, nil
	}
	dir, ok, err := t.keyOf(r, was.Dir, s.memo)
	if err != nil {
		return false, err
	}
	if ok {
		return s.top.Contains(dir), nil
	}
	return time.UnixMilli(was.T).After(s.since), nil
}

// seek goes to the first file whose path is to or greater.
func (w *deletedWalk) seek(to string) error {
	w.to, w.files, w.trees = to, nil, nil
	// Collections that were deleted and to lies in: their rows come before it.
	for i := -1; i < len(to); i++ {
		if i >= 0 && to[i] != '/' || i == len(to)-1 {
			continue
		}
		above := to[:i+1]
		at := cutKey(above) + "\x00"
		rows, _, err := w.r.Scan(deletedPartition(w.l.t.uid, w.library), at, beyond(at), false, MaxDeletedAs)
		if err != nil {
			return err
		}
		found, err := w.read(rows)
		if err != nil {
			return err
		}
		for _, f := range found {
			if f.Entry.Dir && f.path == above {
				if err := w.grow(f); err != nil {
					return err
				}
			}
		}
	}
	w.from, w.more = cutKey(to), true
	return w.settle()
}

// grow makes the files of a deleted collection part of the walk, unless it has enough that
// had the same key.
func (w *deletedWalk) grow(f walked) error {
	same := 0
	for _, t := range w.trees {
		if t.root.path == f.path {
			same++
		}
	}
	if same >= MaxDeletedAs {
		return nil
	}
	t := &treeWalk{l: w.l, r: w.r, root: f}
	if err := t.seek(w.to); err != nil {
		return err
	}
	if t.at != nil {
		w.trees = append(w.trees, t)
	}
	return nil
}

// settle reads on until the next of the rows is that of a file, or there are none.
func (w *deletedWalk) settle() error {
	for {
		if len(w.files) == 0 {
			if !w.more {
				return nil
			}
			if err := w.fill(); err != nil {
				return err
			}
			continue
		}
		f := w.files[0]
		if f.path >= w.to {
			if !f.Entry.Dir {
				return nil
			}
			if err := w.grow(f); err != nil {
				return err
			}
		}
		w.files = w.files[1:]
	}
}

// fill reads the next few rows.
func (w *deletedWalk) fill() error {
	p := deletedPartition(w.l.t.uid, w.library)
	rows, more, err := w.r.Scan(p, w.from, "", false, 50)
	if err != nil {
		return err
	}
	if w.more = more; more {
		last := rows[len(rows)-1].S
		w.from = last + "\x00"
		// Paths that were cut to the same are in no order.
		if part, _, _ := strings.Cut(last, "\x00"); len(part) > maxDeletedKey-4 {
			rest, _, err := w.r.Scan(p, w.from, beyond(part+"\x00"), false, 0)
			if err != nil {
				return err
			}
			rows, w.from = append(rows, rest...), part+"\x01"
		}
	}
	w.files, err = w.read(rows)
	slices.SortStableFunc(w.files, func(a, b walked) int { return cmp.Compare(a.path, b.path) })
	return err
}

// read is what rows of deletedKey lead to; what was restored meanwhile is left out.
func (w *deletedWalk) read(found []kv.Row) (out []walked, err error) {
	t := w.l.t
	for part := range slices.Chunk(found, kv.MaxGet) {
		keys := make([]kv.Key, 0, 2*len(part))
		for _, row := range part {
			_, s, _ := strings.Cut(row.S, "\x00")
			keys = append(keys, kv.Key{P: "r#" + t.uid, S: s})
		}
		rows, err := w.r.Gets(keys...)
		if err != nil {
			return nil, err
		}
		var told []trashed
		keys = keys[:0]
		for _, row := range rows {
			var was trashed
			if row.V == 0 {
				continue
			}
			if err := json.Unmarshal(row.D, &was); err != nil {
				return nil, fmt.Errorf("trash row: %w", err)
			}
			if was.Purge {
				continue
			}
			if ok, err := w.scope.has(t, w.r, was); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
			_, ino, _ := strings.Cut(row.S, "#")
			told = append(told, was)
			keys = append(keys, entryKey(t.uid, TrashIno, sortName(ino, was.Collection)))
		}
		if len(keys) == 0 {
			continue
		}
		entries, err := w.r.Gets(keys...)
		if err != nil {
			return nil, err
		}
		for i, row := range entries {
			if row.V == 0 {
				continue
			}
			e, err := decodeEntry("", row.S, row.D)
			if err != nil {
				return nil, err
			}
			was := told[i]
			e.Name, e.Key = was.Name, Key(was.Key)
			at := time.UnixMilli(was.T).UTC()
			out = append(out, walked{was.path(), Trashed{Entry: e, Deleted: at, By: was.By, Cursor: trashKey(t.uid, at, e.Ino).S}})
		}
	}
	return out, nil
}

// path is where the walk is, false at its end.
func (w *deletedWalk) path() (least string, ok bool) {
	if len(w.files) > 0 {
		least, ok = w.files[0].path, true
	}
	for _, t := range w.trees {
		if !ok || t.path < least {
			least, ok = t.path, true
		}
	}
	return least, ok
}

// take are the files of a path; the walk goes on behind them.
func (w *deletedWalk) take(path string) (out []Trashed, err error) {
	skip := false
	for len(w.files) > 0 && w.files[0].path == path {
		if skip = len(out) == MaxDeletedAs; skip {
			break
		}
		out = append(out, w.files[0].Trashed)
		w.files = w.files[1:]
		if err := w.settle(); err != nil {
			return nil, err
		}
	}
	trees := w.trees[:0]
	for _, t := range w.trees {
		if t.path == path {
			out = append(out, Trashed{Entry: t.at, Deleted: t.root.Deleted, By: t.root.By})
			if err := t.next(); err != nil {
				return nil, err
			}
		}
		if t.at != nil {
			trees = append(trees, t)
		}
	}
	w.trees = trees
	slices.SortStableFunc(out, func(a, b Trashed) int { return b.Deleted.Compare(a.Deleted) })
	if skip {
		err = w.seek(path + "\x01") // no path comes before it
	}
	return out[:min(len(out), MaxDeletedAs)], err
}

// A treeWalk goes through the files below a deleted collection, in the order of their
// paths.
type treeWalk struct {
	l     *Library
	r     rows
	root  walked
	to    string
	stack []treeFrame

	at   *Entry // the file it is at, nil at its end
	path string
}

// A treeFrame is a collection that is being walked through.
type treeFrame struct {
	dir  *Entry
	path string // of it, with a slash at its end; "" for a library
	from string // S of the next row, if more
	more bool
	rows []kv.Row
}

func (t *treeWalk) seek(to string) error {
	t.to, t.stack = to, nil
	t.enter(t.root.Entry, t.root.path)
	return t.next()
}

// enter begins a collection where paths of t.to or greater can be.
func (t *treeWalk) enter(dir *Entry, path string) {
	from, below := strings.CutPrefix(t.to, path)
	if !below {
		from = ""
	}
	if i := strings.IndexByte(from, '/'); i >= 0 {
		from = from[:i+1]
	}
	t.stack = append(t.stack, treeFrame{dir: dir, path: path, from: from, more: true})
}

// next goes to the next file.
func (t *treeWalk) next() error {
	for len(t.stack) > 0 {
		f := &t.stack[len(t.stack)-1]
		if len(f.rows) == 0 {
			if !f.more {
				t.stack = t.stack[:len(t.stack)-1]
				continue
			}
			rows, more, err := t.r.Scan(entryKey(t.l.t.uid, f.dir.Ino, "").P, f.from, "", false, 50)
			if err != nil {
				return err
			}
			if f.rows, f.more = rows, more; more {
				f.from = rows[len(rows)-1].S + "\x00"
			}
			continue
		}
		row := f.rows[0]
		f.rows = f.rows[1:]
		e, err := decodeEntry(f.dir.Key, row.S, row.D)
		if err != nil {
			return err
		}
		if path := f.path + row.S; e.Dir {
			t.enter(e, path)
		} else if path >= t.to {
			t.at, t.path = e, path
			return nil
		}
	}
	t.at = nil
	return nil
}
