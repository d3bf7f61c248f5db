package backend

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// rows is what a key is resolved against: the index as it is, or a plan's view of it
// (*journal.Tx).
type rows interface {
	Get(kv.Key) (kv.Row, error)
	Gets(...kv.Key) ([]kv.Row, error)
	Scan(p, from, to string, rev bool, n int) ([]kv.Row, bool, error)
}

// live is the index as it is.
type live struct {
	ctx context.Context // of one call
	x   kv.Store
}

func (l live) Get(k kv.Key) (kv.Row, error) {
	r, err := l.Gets(k)
	if err != nil {
		return kv.Row{}, err
	}
	return r[0], nil
}

func (l live) Gets(k ...kv.Key) ([]kv.Row, error) {
	r, err := l.x.Get(l.ctx, k...)
	if err != nil {
		err = fault(fmt.Errorf("read index: %w", err))
	}
	return r, err
}

func (l live) Scan(p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	r, more, err := l.x.Scan(l.ctx, p, from, to, rev, n)
	if err != nil {
		err = fault(fmt.Errorf("read index: %w", err))
	}
	return r, more, err
}

func (l *Library) live(ctx context.Context) live { return live{ctx, l.b.x} }

// root is the entry of key "".
func root() *Entry { return &Entry{Ino: RootIno, Dir: true, ETag: "root"} }

// lookup is the member of dir called name, nil if there is none.
func (t *tree) lookup(r rows, dir *Entry, name string) (*Entry, error) {
	s := nfc(name)
	both, err := r.Gets(entryKey(t.uid, dir.Ino, s+"/"), entryKey(t.uid, dir.Ino, s))
	if err != nil {
		return nil, err
	}
	for _, row := range both {
		if row.V != 0 {
			return decodeEntry(dir.Key, row.S, row.D)
		}
	}
	return nil, nil
}

// resolve is the entry at key; ErrNotExist, or ErrNotCollection if a file stands where
// a collection should.
func (t *tree) resolve(r rows, key Key) (*Entry, error) {
	e := root()
	for _, name := range key.segments() {
		if !e.Dir {
			return nil, ErrNotCollection
		}
		next, err := t.lookup(r, e, name)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return nil, ErrNotExist
		}
		e = next
	}
	return e, nil
}

// way is what there is on the way to key, from the root on, by ino, and the entry at its end,
// nil if there is none.
func (t *tree) way(r rows, key Key) (way map[Ino]*Entry, at *Entry, err error) {
	at = root()
	way = map[Ino]*Entry{at.Ino: at}
	for _, name := range key.segments() {
		if !at.Dir {
			return way, nil, nil
		}
		if at, err = t.lookup(r, at, name); err != nil || at == nil {
			return way, nil, err
		}
		way[at.Ino] = at
	}
	return way, at, nil
}

// place is where an entry is or could be: its collection, and it, or nil.
type place struct {
	dir *Entry
	e   *Entry
}

// locate finds the place of key. ErrParent if its collection does not exist.
func (t *tree) locate(r rows, key Key) (place, error) {
	dirKey, name := key.Split()
	if name == "" {
		return place{}, fmt.Errorf("%w: it is the root", ErrKey)
	}
	dir, err := t.resolve(r, dirKey)
	switch {
	case err == ErrNotExist:
		return place{}, ErrParent
	case err != nil:
		return place{}, err
	case !dir.Dir:
		return place{}, ErrNotCollection
	}
	e, err := t.lookup(r, dir, name)
	return place{dir, e}, err
}

// pointerOf says which row an entry is in now.
func (t *tree) pointerOf(r rows, ino Ino) (pointer, bool, error) {
	row, err := t.pointerRow(r, ino)
	if err != nil || row.V == 0 {
		return pointer{}, false, err
	}
	var p pointer
	if err := json.Unmarshal(row.D, &p); err != nil {
		return p, false, fmt.Errorf("back pointer: %w", err)
	}
	return p, true, nil
}

// pointerRow is the row of ino's back pointer, with V 0 if there is none.
func (t *tree) pointerRow(r rows, ino Ino) (kv.Row, error) {
	k := pointerKey(t.uid, ino)
	if kv.CheckKey(k) != nil { // addresses may have anything for an ino
		return kv.Row{}, nil
	}
	return r.Get(k)
}

// keyOf is the key of a collection by its ino, and whether it can be reached from the
// root (not when it is in the trash). memo may be nil.
func (t *tree) keyOf(r rows, dir Ino, memo map[Ino]*Key) (Key, bool, error) {
	if dir == RootIno {
		return "", true, nil
	}
	if dir == TrashIno {
		return "", false, nil
	}
	if k, ok := memo[dir]; ok {
		if k == nil {
			return "", false, nil
		}
		return *k, true, nil
	}
	p, ok, err := t.pointerOf(r, dir)
	if err != nil {
		return "", false, err
	}
	var key Key
	if ok {
		var above Key
		if above, ok, err = t.keyOf(r, p.Dir, memo); err != nil {
			return "", false, err
		}
		if ok {
			row, err := r.Get(entryKey(t.uid, p.Dir, p.S))
			if err != nil {
				return "", false, err
			}
			if ok = row.V != 0; ok {
				e, err := decodeEntry(above, p.S, row.D)
				if err != nil {
					return "", false, err
				}
				key = e.Key
			}
		}
	}
	if memo != nil {
		memo[dir] = nil
		if ok {
			memo[dir] = &key
		}
	}
	return key, ok, nil
}

// byIno is the entry called ino, ErrNotExist if it is nowhere or in the trash.
func (t *tree) byIno(r rows, ino Ino) (*Entry, error) { return t.byInoVia(r, ino, nil) }

// byInoVia is byIno for one of many: memo has the keys of the collections they lie in.
func (t *tree) byInoVia(r rows, ino Ino, memo map[Ino]*Key) (*Entry, error) {
	if ino == RootIno {
		return root(), nil
	}
	p, ok, err := t.pointerOf(r, ino)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNotExist
	}
	dir, ok, err := t.keyOf(r, p.Dir, memo)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNotExist
	}
	row, err := r.Get(entryKey(t.uid, p.Dir, p.S))
	if err != nil {
		return nil, err
	}
	if row.V == 0 {
		return nil, ErrNotExist
	}
	return decodeEntry(dir, p.S, row.D)
}

// A verb is what an operation does to one key, for Access.
type verb uint8

const (
	mayLook   verb = iota // see that it is there
	mayList               // see a collection's members
	mayRead               // read its content
	mayCreate             // make what is not there
	mayChange             // replace, move, delete, set properties, lock
)

// allow says whether the Library's Access lets v be done to key.
func (l *Library) allow(r rows, v verb, key Key) error {
	switch l.acc.Mode {
	case ReadOnly:
		if v >= mayCreate {
			return fmt.Errorf("%w: it may only read", ErrForbidden)
		}
	case UploadOnly:
		if v != mayCreate && v != mayLook {
			return fmt.Errorf("%w: it may only upload new files", ErrForbidden)
		}
	}
	if l.acc.Root == "" || l.acc.Root == RootIno {
		return nil
	}
	top, ok, err := l.t.keyOf(r, l.acc.Root, nil)
	if err != nil {
		return err
	}
	if ok && (top.Contains(key) || v <= mayList && key.Contains(top)) {
		if v >= mayCreate && top.Same(key) {
			return fmt.Errorf("%w: it ends at this collection", ErrForbidden)
		}
		return nil
	}
	return fmt.Errorf("%w: it is for another collection", ErrForbidden)
}

// visible says whether a member of a collection above the Access's root is shown.
func (l *Library) visible(top, key Key) bool {
	return top == "" || top.Contains(key) || key.Contains(top)
}

// top is the key of the Access's root, "" for the whole tree.
func (l *Library) top(r rows) (Key, error) {
	if l.acc.Root == "" || l.acc.Root == RootIno {
		return "", nil
	}
	k, ok, err := l.t.keyOf(r, l.acc.Root, nil)
	if err == nil && !ok {
		err = fmt.Errorf("%w: its collection is gone", ErrForbidden)
	}
	return k, err
}

// check evaluates conditions against the entry of now, nil if there is none.
func (c *Conditions) check(e *Entry) error {
	match := func(tags []string) bool {
		return slices.ContainsFunc(tags, func(tag string) bool { return e != nil && (tag == "*" || tag == e.ETag) })
	}
	if len(c.IfMatch) > 0 && !match(c.IfMatch) {
		return fmt.Errorf("%w: If-Match", ErrPrecondition)
	}
	if len(c.IfNoneMatch) > 0 && match(c.IfNoneMatch) {
		return fmt.Errorf("%w: If-None-Match", ErrPrecondition)
	}
	if c.Confirm != nil {
		return c.Confirm(e)
	}
	return nil
}

var inoAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newIno is 80 random bits.
func newIno() Ino {
	var b [10]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return Ino(inoAlphabet.EncodeToString(b[:]))
}

// ParseIno checks what a client sent as an ino.
func ParseIno(s string) (Ino, error) {
	if len(s) != 16 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", ErrNotExist
	}
	return Ino(s), nil
}
