package sim

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/shoebox-photos/shoebox/backend"
)

// A node is a file or a collection of the model.
type node struct {
	id       int    // its identity in every world
	name     string // as first spelled
	ino      backend.Ino
	dir      bool
	implicit bool
	kids     map[string]*node // by name in NFC

	body     string
	parts    bool      // put as a multipart upload of one part
	inline   bool      // came to be as junk: its content is in the index
	logged   bool      // has a junk name, but was something else before
	modified time.Time // zero: not seen yet
	header   string
	props    map[string]string
	versions []*node // newest first
	maybe    bool    // a version with the content of the next: kept if the bucket did not say that it has that
	locks    map[string]lock
}

type lock struct {
	expires  time.Time
	infinite bool
}

// A trashed is what was deleted.
type trashed struct {
	*node
	key    string
	parent int // id of the collection it was in
}

// A state is what one client should see of its own: its library, its part of the
// trash, and what became of its uploads.
type state struct {
	root    *node
	trash   []trashed // newest first
	uploads map[string]ended
}

type ended struct {
	node int // 0: aborted
	etag string
}

func nfc(s string) string { return norm.NFC.String(s) }

func (n *node) clone() *node {
	c := *n
	c.kids = make(map[string]*node, len(n.kids))
	for k, m := range n.kids {
		c.kids[k] = m.clone()
	}
	c.props, c.locks = maps.Clone(n.props), maps.Clone(n.locks)
	c.versions = slices.Clone(n.versions)
	return &c
}

func (s *state) clone() *state {
	c := &state{root: s.root.clone(), uploads: maps.Clone(s.uploads)}
	for _, t := range s.trash {
		c.trash = append(c.trash, trashed{t.node.clone(), t.key, t.parent})
	}
	return c
}

// showable says whether it belongs on the timeline.
func (n *node) showable() bool {
	return !n.dir && !n.inline && n.body != "" && strings.HasPrefix(n.body, jpeg)
}

// junk says whether it is kept in the index alone, and so may be lost with it.
func (n *node) junk() bool {
	return !n.dir && backend.Junk(n.name) && !n.stored() && !n.logged
}

// stored says whether it has an object in the bucket, which is worth keeping.
func (n *node) stored() bool { return !n.dir && !n.inline && (n.body != "" || n.parts) }

func (n *node) etag() string {
	sum := md5.Sum([]byte(n.body))
	if n.parts {
		sum = md5.Sum(sum[:])
		return hex.EncodeToString(sum[:]) + "-1"
	}
	return hex.EncodeToString(sum[:])
}

// walk calls f for n and all below it, in the order of S3's keys.
func (n *node) walk(key string, f func(key string, n *node)) {
	f(key, n)
	for _, m := range n.members() {
		m.walk(path.Join(key, m.name), f)
	}
}

func (n *node) members() []*node {
	all := slices.Collect(maps.Values(n.kids))
	sort.Slice(all, func(i, j int) bool { return all[i].sortName() < all[j].sortName() })
	return all
}

func (n *node) sortName() string {
	if n.dir {
		return nfc(n.name) + "/"
	}
	return nfc(n.name)
}

func (n *node) find(id int) *node {
	if n.id == id {
		return n
	}
	for _, m := range n.kids {
		if f := m.find(id); f != nil {
			return f
		}
	}
	return nil
}

// bytes and files are what usage counts.
func (n *node) usage() (bytes, files int64) {
	n.walk("", func(_ string, n *node) {
		if n.dir || n.junk() {
			return
		}
		files++
		bytes += int64(len(n.body))
		for _, v := range n.versions {
			bytes += int64(len(v.body))
		}
	})
	return bytes, files
}

// split parts a key, below the library, into its collection and name.
func split(key string) (dir, name string) {
	dir, name = path.Split(key)
	return strings.TrimSuffix(dir, "/"), name
}

// resolve is the node at key, "" being the library.
func (s *state) resolve(key string) (*node, error) {
	at := s.root
	if key == "" {
		return at, nil
	}
	for name := range strings.SplitSeq(key, "/") {
		if !at.dir {
			return nil, backend.ErrNotCollection
		}
		if at = at.kids[nfc(name)]; at == nil {
			return nil, backend.ErrNotExist
		}
	}
	return at, nil
}

// locate is where key is or would be.
func (s *state) locate(key string) (dir, at *node, err error) {
	above, name := split(key)
	dir, err = s.resolve(above)
	switch {
	case err == backend.ErrNotExist:
		return nil, nil, backend.ErrParent
	case err != nil:
		return nil, nil, err
	case !dir.dir:
		return nil, nil, backend.ErrNotCollection
	}
	return dir, dir.kids[nfc(name)], nil
}

// check is what conditions say of what is there.
func check(c backend.Conditions, at *node) error {
	match := func(tags []string) bool {
		return slices.ContainsFunc(tags, func(t string) bool { return at != nil && (t == "*" || !at.dir && t == at.etag()) })
	}
	if len(c.IfMatch) > 0 && !match(c.IfMatch) || match(c.IfNoneMatch) {
		return backend.ErrPrecondition
	}
	return nil
}

func (n *node) add(m *node) { n.kids[nfc(m.name)] = m }
func (n *node) drop(m *node) {
	if n.kids[nfc(m.name)] == m {
		delete(n.kids, nfc(m.name))
	}
}

// makeParents makes what is missing above key; ids are those of the operation.
func (s *state) makeParents(key string, id int) error {
	at := s.root
	dir, _ := split(key)
	if dir == "" {
		return nil
	}
	for name := range strings.SplitSeq(dir, "/") {
		if !at.dir {
			return backend.ErrNotCollection
		}
		next := at.kids[nfc(name)]
		if next == nil {
			id = mix(id, 1)
			next = &node{id: id, name: name, dir: true, implicit: true, kids: map[string]*node{}}
			at.add(next)
		}
		at = next
	}
	if !at.dir {
		return backend.ErrNotCollection
	}
	return nil
}

// withoutJunk is s as it comes about if its segment is applied by replay: what that did to
// junk, which is in the index alone, is not done. It is nil if there is no difference.
func (s *state) withoutJunk(before *state) *state {
	c := s.clone()
	differs := false
	had := map[int]string{} // where junk was
	before.root.walk("", func(key string, n *node) {
		if n.junk() {
			had[n.id] = key + n.etag()
		}
	})
	var drop func(dir *node, key string)
	drop = func(dir *node, key string) {
		for name, n := range dir.kids {
			k := path.Join(key, n.name)
			if n.junk() && had[n.id] != k+n.etag() {
				delete(dir.kids, name)
				differs = true
			}
			drop(n, k)
		}
	}
	drop(c.root, "")
	before.root.walk("", func(key string, n *node) {
		if !n.junk() || c.root.find(n.id) != nil {
			return
		}
		if dir, at, err := c.locate(key); err == nil && at == nil {
			dir.add(n.clone())
			differs = true
		}
	})
	if !differs {
		return nil
	}
	return c
}

// age forgets what is not kept for ever.
func (s *state) age() {
	s.trash = nil
	s.root.walk("", func(_ string, n *node) { n.versions, n.locks = nil, nil })
}

// remove takes n from dir into the trash, or away if there is nothing to keep.
func (s *state) remove(dir, n *node, key string) {
	dir.drop(n)
	if !n.dir && !n.stored() && len(n.versions) == 0 {
		return
	}
	s.trash = append([]trashed{{n, key, dir.id}}, s.trash...)
}

// unlock ends the locks on n and below it.
func unlock(n *node) { n.walk("", func(_ string, n *node) { n.locks = nil }) }

// place does what Put, Move and Copy have in common at their destination.
func (s *state) place(o *op, parents bool, src *node) (dir, at *node, err error) {
	if parents {
		if err := s.makeParents(o.dst, o.id); err != nil {
			return nil, nil, err
		}
	}
	if dir, at, err = s.locate(o.dst); err != nil {
		return nil, nil, err
	}
	return dir, at, check(o.cond, at)
}

// apply does o to a copy of s. It returns the states o goes through, the last being
// that after it, or the error it must give.
func (s *state) apply(o *op) ([]*state, error) {
	s = s.clone()
	one := []*state{s}
	switch o.kind {
	case "put":
		_, at, err := s.locate(o.dst)
		if err == backend.ErrParent && o.parents {
			err = nil
		}
		if err == nil && at != nil && at.dir {
			err = backend.ErrIsCollection
		}
		if err == nil && at != nil && o.access == backend.UploadOnly {
			err = backend.ErrForbidden
		}
		if err == nil {
			err = check(o.cond, at)
		}
		if err == nil {
			err = o.bad
		}
		if err != nil {
			return nil, err
		}
		dir, at, err := s.place(o, o.parents, nil)
		if err != nil {
			return nil, err
		}
		s.write(o, dir, at)
	case "mkdir":
		dir, at, err := s.place(o, o.parents, nil)
		switch {
		case err != nil:
			return nil, err
		case at == nil:
			_, name := split(o.dst)
			dir.add(&node{id: o.id, name: name, dir: true, kids: map[string]*node{}, modified: o.modified})
		case !o.existing || !at.dir:
			return nil, backend.ErrExist
		default:
			at.implicit = false
		}
	case "delete":
		dir, at, err := s.locate(o.dst)
		if err == backend.ErrParent || err == nil && at == nil {
			if err := check(o.cond, nil); err != nil {
				return nil, err
			}
			return nil, backend.ErrNotExist
		}
		if err == nil {
			err = check(o.cond, at)
		}
		if err != nil {
			return nil, err
		}
		if o.emptyOnly && at.dir && len(at.kids) > 0 {
			return nil, backend.ErrNotEmpty
		}
		unlock(at)
		s.remove(dir, at, o.dst)
		if above, _ := split(o.dst); o.parents { // prune
			for dir != s.root && dir.implicit && len(dir.kids) == 0 {
				up, _ := split(above)
				parent, err := s.resolve(up)
				if err != nil {
					return nil, err
				}
				parent.drop(dir)
				dir, above = parent, up
			}
		}
	case "move", "copy":
		return s.transfer(o)
	case "props":
		_, at, err := s.locate(o.dst)
		if err == backend.ErrParent || err == nil && at == nil {
			err = backend.ErrNotExist
		}
		if err != nil {
			return nil, err
		}
		if err := check(o.cond, at); err != nil {
			return nil, err
		}
		if at.props == nil {
			at.props = map[string]string{}
		}
		at.props[o.name] = o.body
		if !o.modified.IsZero() {
			at.modified = o.modified
		}
	case "restore":
		i := slices.IndexFunc(s.trash, func(t trashed) bool { return t.id == o.target })
		if i < 0 {
			return nil, backend.ErrNotExist
		}
		t := s.trash[i]
		dir := s.root.find(t.parent)
		if dir == nil {
			if err := s.makeParents(t.key, o.id); err != nil {
				return nil, err
			}
			above, _ := split(t.key)
			dir, _ = s.resolve(above)
		}
		s.trash = slices.Delete(s.trash, i, i+1)
		ext := path.Ext(t.name)
		if t.dir {
			ext = ""
		}
		stem := strings.TrimSuffix(t.name, ext)
		for i := 1; dir.kids[nfc(t.name)] != nil; i++ {
			if t.name = stem + " (restored)" + ext; i > 1 {
				t.name = fmt.Sprintf("%s (restored %d)%s", stem, i, ext)
			}
		}
		dir.add(t.node)
	case "purge":
		i := slices.IndexFunc(s.trash, func(t trashed) bool { return t.id == o.target })
		if i < 0 {
			return nil, backend.ErrNotExist
		}
		s.trash = slices.Delete(s.trash, i, i+1)
	case "complete":
		if e, ok := s.uploads[o.upload]; ok {
			at := s.root.find(e.node)
			if e.node == 0 || at == nil || at.etag() != e.etag {
				return nil, backend.ErrNoUpload
			}
			return one, nil
		}
		dir, at, err := s.locate(o.dst)
		if err == backend.ErrParent && o.parents {
			err = nil
		}
		if err == nil && at != nil && at.dir {
			err = backend.ErrIsCollection
		}
		if err == nil {
			err = check(o.cond, at)
		}
		if err == nil {
			dir, at, err = s.place(o, o.parents, nil)
		}
		if err != nil {
			return nil, err
		}
		n := s.write(o, dir, at)
		s.uploads[o.upload] = ended{n.id, n.etag()}
	case "abort":
		if _, ok := s.uploads[o.upload]; ok {
			return nil, backend.ErrNoUpload
		}
		s.uploads[o.upload] = ended{}
	default:
		panic(o.kind)
	}
	return one, nil
}

// write makes o's content that of at, or of a new file in dir.
func (s *state) write(o *op, dir, at *node) *node {
	_, name := split(o.dst)
	n := &node{id: o.id, name: name, body: o.body, parts: o.kind == "complete", modified: o.modified, header: o.header}
	n.inline = n.body != "" && !n.parts && backend.Junk(name)
	if at == nil {
		dir.add(n)
		return n
	}
	old := *at
	n.id, n.ino, n.name, n.props, n.locks, n.versions = at.id, at.ino, at.name, at.props, at.locks, at.versions
	n.logged = backend.Junk(old.name) && !old.junk()
	same := old.body == n.body && !old.parts && !n.parts
	if old.stored() {
		old.maybe = same
		old.versions, old.locks, old.props = nil, nil, nil
		n.versions = append([]*node{&old}, at.versions...)
	}
	dir.add(n)
	return n
}

// transfer is a move or a copy.
func (s *state) transfer(o *op) ([]*state, error) {
	one := []*state{s}
	src, dst := nfc(o.src), nfc(o.dst)
	overlap := src == dst || strings.HasPrefix(dst, src+"/") || strings.HasPrefix(src, dst+"/")
	if overlap && !(o.kind == "copy" && src == dst) {
		return nil, backend.ErrSameResource
	}
	if src == dst {
		if !o.replace {
			return nil, backend.ErrSameResource
		}
		_, at, err := s.locate(o.src)
		switch {
		case err == backend.ErrParent || err == nil && at == nil:
			return nil, backend.ErrNotExist
		case err != nil:
			return nil, err
		case at.dir:
			return nil, backend.ErrIsCollection
		}
		if err := check(o.cond, at); err != nil {
			return nil, err
		}
		s.replace(o, at)
		return one, nil
	}
	if _, err := s.resolve(o.src); err != nil {
		return nil, err
	}
	from, at, err := s.locate(o.src)
	if err != nil {
		return nil, err
	}
	_, name := split(o.dst)
	dir, there, err := s.place(o, o.parents, at)
	if err != nil {
		return nil, err
	}
	if there != nil && !o.overwrite {
		return nil, backend.ErrExist
	}
	logged := there != nil && !there.dir && backend.Junk(there.name) && !there.junk()
	if o.kind == "move" {
		from.drop(at)
		if there != nil {
			unlock(there)
			s.remove(dir, there, o.dst)
		}
		unlock(at)
		now := *at
		now.logged = now.logged || logged
		now.inline = now.inline && backend.Junk(name) // else it gets an object
		if now.name = name; now.junk() != at.junk() { // the one is logged, the other is not
			s.remove(from, at, o.src)
			now.id, now.ino, now.props, now.versions = o.id, "", maps.Clone(at.props), nil
			at = &now
		}
		at.name, at.implicit, at.inline, at.logged = name, false, now.inline, now.logged
		if !o.modified.IsZero() {
			at.modified = o.modified
		}
		dir.add(at)
		return one, nil
	}
	if there != nil {
		unlock(there)
		s.remove(dir, there, o.dst)
	}
	made := copyOf(at, o.id)
	made.name, made.kids = name, map[string]*node{}
	made.inline, made.logged = made.inline && backend.Junk(name), logged
	if !o.modified.IsZero() {
		made.modified = o.modified
	}
	if o.replace && !made.dir {
		s.replace(o, made)
	}
	dir.add(made)
	if !at.dir || o.shallow {
		return one, nil
	}
	s.copyMembers(at, made, o.id)
	return one, nil
}

// replace gives n the metadata that o tells.
func (s *state) replace(o *op, n *node) {
	n.header = o.header
	if !o.modified.IsZero() {
		n.modified = o.modified
	}
}

func copyOf(n *node, id int) *node {
	c := *n
	c.id, c.ino, c.implicit, c.versions, c.props, c.locks = id, "", false, nil, maps.Clone(n.props), nil
	return &c
}

// copyMembers copies all that is below a collection.
func (s *state) copyMembers(from, to *node, id int) {
	for _, m := range from.members() {
		c := copyOf(m, mix(id, m.id))
		c.kids = map[string]*node{}
		to.add(c)
		if m.dir {
			s.copyMembers(m, c, id)
		}
	}
}

// mix makes one id of two.
func mix(a, b int) int {
	return int((uint64(a)*0x9e3779b97f4a7c15 ^ uint64(b)*0xbf58476d1ce4e5b9) >> 1)
}

// list is what S3 lists: every key and common prefix there is to see, in order.
func (s *state) list(prefix, delimiter, after string) (keys, prefixes []string) {
	type item struct{ full, shown string }
	var all []item
	s.root.walk("", func(key string, n *node) {
		switch {
		case n == s.root || n.dir && len(n.kids) > 0:
		case n.dir:
			all = append(all, item{nfc(key) + "/", key + "/"})
		default:
			all = append(all, item{nfc(key), key})
		}
	})
	sort.Slice(all, func(i, j int) bool { return all[i].full < all[j].full })
	prefix, after = nfc(prefix), nfc(after)
	for _, it := range all {
		rest, ok := strings.CutPrefix(it.full, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			if p := prefix + rest[:i+len(delimiter)]; p > after && !slices.Contains(prefixes, p) {
				prefixes = append(prefixes, p)
			}
		} else if it.full > after {
			keys = append(keys, it.shown)
		}
	}
	return keys, prefixes
}
