package backend

import (
	"context"
	"iter"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// scanPage is how many rows a listing reads at once.
const scanPage = 1000

func (l *Library) stat(ctx context.Context, key Key) (*Entry, error) {
	r := l.live(ctx)
	if err := l.allow(r, mayLook, key); err != nil {
		return nil, err
	}
	e, err := l.t.resolve(r, key)
	if err == ErrNotCollection { // a file where a collection would be: nothing is there
		err = ErrNotExist
	}
	if err == nil && !e.Dir && l.acc.Mode == UploadOnly {
		return nil, ErrForbidden
	}
	return e, err
}

func (l *Library) statIno(ctx context.Context, ino Ino) (*Entry, error) {
	r := l.live(ctx)
	e, err := l.t.byIno(r, ino)
	if err != nil {
		return nil, err
	}
	if err := l.allow(r, mayRead, e.Key); err != nil {
		return nil, err
	}
	return e, nil
}

func (l *Library) members(ctx context.Context, dir Key) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		r := l.live(ctx)
		if err := l.allow(r, mayList, dir); err != nil {
			yield(nil, err)
			return
		}
		e, err := l.t.resolve(r, dir)
		if err == nil && !e.Dir {
			err = ErrNotCollection
		}
		top, topErr := l.top(r)
		if err == nil {
			err = topErr
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for m, err := range l.t.membersOf(r, e) {
			if err == nil && !l.visible(top, m.Key) {
				continue
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// membersOf yields the members of dir in the order of their rows.
func (t *tree) membersOf(r rows, dir *Entry) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		var d decoder
		for from, more := "", true; more; {
			rows, m, err := r.Scan(entryKey(t.uid, dir.Ino, "").P, from, "", false, scanPage)
			if err != nil {
				yield(nil, err)
				return
			}
			d.expect(len(rows))
			for _, row := range rows {
				e, err := d.entry(dir.Key, row.S, row.D)
				if !yield(e, err) || err != nil {
					return
				}
			}
			if more = m; more {
				from = rows[len(rows)-1].S + "\x00"
			}
		}
	}
}

func (l *Library) listObjects(ctx context.Context, o ListOptions) (*ListPage, error) {
	r := l.live(ctx)
	lib := Key(o.Library)
	if err := l.allow(r, mayList, lib); err != nil {
		return nil, err
	}
	e, err := l.t.resolve(r, lib)
	if err != nil {
		return nil, err
	}
	if !e.Dir || lib == "" {
		return nil, ErrNotExist
	}
	top, err := l.top(r)
	if err != nil {
		return nil, err
	}
	w := &lister{l: l, r: r, ListOptions: o, top: top, asked: o.Prefix, page: new(ListPage)}
	w.Prefix, w.After = nfc(o.Prefix), nfc(o.After)
	if o.Max <= 0 {
		return w.page, nil
	}
	_, err = w.walk(e, "")
	return w.page, err
}

// A lister walks a library in S3's order and stops when the page is full. Rows of a
// collection are ordered by name and name/, so a depth-first walk meets full keys in
// byte order; sub-trees that can hold nothing wanted are never entered.
type lister struct {
	ListOptions
	l    *Library
	r    rows
	top  Key
	page *ListPage

	asked string // the prefix as the client spelled it
	last  string // common prefix emitted last
}

// room is how many entries the page still takes.
func (w *lister) room() int { return w.Max - len(w.page.Objects) - len(w.page.Prefixes) }

// walk lists what is in dir, whose key below the library is path ("" or ending in a
// slash). It says whether to go on.
func (w *lister) walk(dir *Entry, path string) (bool, error) {
	from := w.seek(path)
	var d decoder
	for more := true; more; {
		rows, m, err := w.r.Scan(entryKey(w.l.t.uid, dir.Ino, "").P, from, "", false, min(scanPage, w.room()+2))
		if err != nil {
			return false, err
		}
		more = m
		d.expect(len(rows))
		for _, row := range rows {
			from = row.S + "\x00"
			full := path + row.S
			if !strings.HasPrefix(full, w.Prefix) && !strings.HasPrefix(w.Prefix, full) {
				if full > w.Prefix {
					return false, nil // beyond all that has the prefix
				}
				continue
			}
			e, err := d.entry(dir.Key, row.S, row.D)
			if err != nil {
				return false, err
			}
			if !w.l.visible(w.top, e.Key) {
				continue
			}
			on, err := w.one(e, full)
			if !on || err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// seek is the S from which rows of the collection at path can matter.
func (w *lister) seek(path string) string {
	from := ""
	for i, bound := range [...]string{w.Prefix, w.After} {
		rest, below := strings.CutPrefix(bound, path)
		if !below {
			continue
		}
		if j := strings.IndexByte(rest, '/'); j >= 0 {
			rest = rest[:j+1]
		} else if i == 1 && rest != "" {
			rest += "\x00" // greater than After
		}
		from = max(from, rest)
	}
	return from
}

// one deals with a row; full is its key, with a slash at the end for a collection.
func (w *lister) one(e *Entry, full string) (bool, error) {
	shown := full
	if below := toldName(e); below != full || w.asked != w.Prefix {
		shown = spelled(w.asked, w.Prefix, below)
	}
	if prefix, ok := w.common(full); ok {
		if prefix == w.last || prefix <= w.After {
			return true, nil
		}
		if w.room() == 0 {
			w.page.More = true
			return false, nil
		}
		w.last = prefix
		if i := begins(shown, prefix); i >= 0 {
			prefix = shown[:i]
		}
		w.page.Prefixes = append(w.page.Prefixes, prefix)
		w.page.Next = prefix
		return true, nil
	}
	if e.Dir {
		// Whole sub-tree before After: nothing in it is wanted.
		if full < w.After && !strings.HasPrefix(w.After, full) {
			return true, nil
		}
		members, _, err := w.r.Scan(entryKey(w.l.t.uid, e.Ino, "").P, "", "", false, 1)
		if err != nil {
			return false, err
		}
		if len(members) > 0 {
			return w.walk(e, full)
		}
	}
	if full <= w.After || !strings.HasPrefix(full, w.Prefix) {
		return true, nil
	}
	if w.room() == 0 {
		w.page.More = true
		return false, nil
	}
	w.page.Objects = append(w.page.Objects, Listed{Key: shown, Entry: e})
	w.page.Next = shown
	return true, nil
}

// common is the common prefix that full is rolled up into.
func (w *lister) common(full string) (string, bool) {
	if w.Delimiter == "" || len(full) <= len(w.Prefix) || !strings.HasPrefix(full, w.Prefix) {
		return "", false
	}
	i := strings.Index(full[len(w.Prefix):], w.Delimiter)
	if i < 0 {
		return "", false
	}
	return full[:len(w.Prefix)+i+len(w.Delimiter)], true
}

// toldName is the key of e below its library, as it was first spelled, with a slash at its end
// for a collection.
func toldName(e *Entry) string {
	_, below := e.Key.Library()
	if e.Dir {
		below += "/"
	}
	return below
}

// spelled is how a listing of what begins with asked tells key: with the beginning that was
// asked for, as it is spelled in that, for clients pass over what does not begin so, and may
// take their own copy of it for deleted; and with the rest as it was first spelled. composed is
// asked in NFC.
func spelled(asked, composed, key string) string {
	if i := begins(key, composed); i >= 0 {
		return asked + key[i:]
	}
	return key
}

// begins is the length of the beginning of s that is composed when it is made NFC, < 0 if s
// does not begin so.
func begins(s, composed string) int {
	if strings.HasPrefix(s, composed) {
		return len(composed)
	}
	n := 0 // bytes of composed that were met
	for i := 0; i < len(s); {
		if n == len(composed) {
			return i
		}
		end := i + norm.NFC.NextBoundaryInString(s[i:], true)
		part := nfc(s[i:end])
		if !strings.HasPrefix(composed[n:], part) {
			return -1
		}
		n, i = n+len(part), end
	}
	if n == len(composed) {
		return len(s)
	}
	return -1
}
