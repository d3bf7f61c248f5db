package sim

import (
	"crypto/md5"
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
	rev      int       // the operation that wrote body; copies have it too
	tag      string    // its ETag, if it came in parts
	plain    bool      // its first part is not that of number 1: nobody looked what it is
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
	node int // 0: aborted, or expired
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
	return !n.dir && !n.inline && !n.plain && strings.HasPrefix(n.body, jpeg)
}

// junk says whether it is kept in the index alone, and so may be lost with it.
func (n *node) junk() bool {
	return !n.dir && backend.Junk(n.name) && !n.stored() && !n.logged
}

// stored says whether it has an object in the bucket, which is worth keeping.
func (n *node) stored() bool { return !n.dir && !n.inline && (n.body != "" || n.tag != "") }

func (n *node) etag() string {
	if n.tag != "" {
		return n.tag
	}
	return hexMD5(n.body)
}

// tagOf is the ETag of what came in parts.
func tagOf(parts []string) string {
	all := md5.New()
	for _, p := range parts {
		sum := md5.Sum([]byte(p))
		all.Write(sum[:])
	}
	return fmt.Sprintf("%x-%d", all.Sum(nil), len(parts))
}

// short is a body to be printed, or to tell it from others: what is long is all alike but
// for its end.
func short(body string) string {
	if n := len(body); n > 1000 {
		return fmt.Sprintf("%d bytes, …%s", n, body[n-60:])
	}
	return body
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
	for id := range s.uploads {
		s.uploads[id] = ended{}
	}
}

// loseJunk forgets what was in the index alone.
func (s *state) loseJunk() {
	var drop func(n *node)
	drop = func(n *node) {
		for name, m := range n.kids {
			if m.junk() {
				delete(n.kids, name)
			}
			drop(m)
		}
	}
	drop(s.root)
	for _, t := range s.trash {
		drop(t.node)
	}
}

// remove takes n from dir into the trash, or away if there is nothing to keep.
func (s *state) remove(dir, n *node, key string) {
	dir.drop(n)
	if !n.dir && !n.stored() && len(n.versions) == 0 {
		return
	}
	s.trash = append([]trashed{{n, key, dir.id}}, s.trash...)
}

// freeName is name, or what a member of n is called that comes back when there is another.
func (n *node) freeName(name string, isDir bool) string {
	ext := path.Ext(name)
	if isDir {
		ext = ""
	}
	stem := strings.TrimSuffix(name, ext)
	if !isDir && backend.Junk(name) {
		stem, ext = "._"+strings.TrimPrefix(name, "._"), ""
	}
	for i := 1; n.kids[nfc(name)] != nil; i++ {
		if name = stem + " (restored)" + ext; i > 1 {
			name = fmt.Sprintf("%s (restored %d)%s", stem, i, ext)
		}
	}
	return name
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
		if _, size, _ := o.reader(); err == nil {
			err = o.roomFor(max(size, 0), one64(at == nil))
		}
		if err == nil {
			err = o.bad
		}
		if err == nil && (!backend.Junk(pathBase(o.dst)) || at != nil && !at.junk()) {
			grown := int64(len(o.body))
			if at != nil && !at.stored() && !at.junk() {
				grown -= int64(len(at.body)) // that is kept nowhere
			}
			err = o.roomFor(max(grown, 0), one64(at == nil))
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
			dir.add(&node{id: o.id, name: name, dir: true, kids: map[string]*node{}, modified: o.modified, header: o.header})
		case !o.existing || !at.dir:
			return nil, backend.ErrExist
		default:
			at.implicit = false
			if o.header != "" && o.access != backend.UploadOnly {
				at.header = o.header
				if !o.modified.IsZero() {
					at.modified = o.modified
				}
			}
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
		t.name = dir.freeName(t.name, t.dir)
		dir.add(t.node)
	case "purge":
		i := slices.IndexFunc(s.trash, func(t trashed) bool { return t.id == o.target })
		if i < 0 {
			return nil, backend.ErrNotExist
		}
		s.trash = slices.Delete(s.trash, i, i+1)
	case "empty":
		s.trash = nil
	case "past":
		s.bringBack(o)
	case "revert":
		at := s.root.find(o.target)
		if at == nil {
			return nil, backend.ErrNotExist
		}
		i := slices.IndexFunc(at.versions, func(v *node) bool { return v.rev == o.rev })
		if i < 0 {
			return nil, backend.ErrNotExist
		}
		old, v := *at, at.versions[i]
		at.body, at.rev, at.tag, at.plain, at.inline, at.logged = v.body, v.rev, v.tag, v.plain, v.inline, v.logged
		at.header, at.modified = v.header, v.modified
		at.versions = slices.Delete(slices.Clone(at.versions), i, i+1)
		if old.stored() {
			old.versions, old.locks, old.props = nil, nil, nil
			at.versions = append([]*node{&old}, at.versions...)
		}
	case "complete", "finish":
		if e, ok := s.uploads[o.upload]; ok {
			at := s.root.find(e.node)
			if e.node == 0 || at == nil || at.etag() != e.etag {
				return nil, backend.ErrNoUpload
			}
			if o.kind == "finish" {
				if there, _ := s.resolve(o.dst); there != at {
					return nil, backend.ErrNoUpload
				}
			}
			return one, nil
		}
		if o.bad != nil {
			return nil, o.bad
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
			err = o.late
		}
		if err == nil {
			err = o.roomFor(int64(len(o.body)), one64(at == nil))
		}
		if err == nil {
			dir, at, err = s.place(o, o.parents, nil)
		}
		if err != nil {
			return nil, err
		}
		n := s.write(o, dir, at)
		if o.kind == "finish" && o.tag == "" { // a file like any other: two commits
			one = []*state{s.clone(), s}
		}
		s.uploads[o.upload] = ended{node: n.id, etag: n.etag()}
	case "abort", "drop":
		if _, ok := s.uploads[o.upload]; ok {
			return nil, backend.ErrNoUpload
		}
		s.uploads[o.upload] = ended{}
	default:
		panic(o.kind)
	}
	return one, nil
}

// roomFor is what the quota says of so many more bytes and files.
func (o *op) roomFor(bytes, files int64) error {
	q := o.quota
	switch {
	case q == nil || bytes == 0 && files == 0:
		return nil
	case q.QuotaFiles > 0 && files > 0 && q.Files+files > q.QuotaFiles, q.Quota > 0 && bytes > 0 && q.Bytes+bytes > q.Quota:
		return backend.ErrQuota
	}
	return nil
}

func one64(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// write makes o's content that of at, or of a new file in dir.
func (s *state) write(o *op, dir, at *node) *node {
	_, name := split(o.dst)
	n := &node{id: o.id, name: name, body: o.body, rev: o.id, tag: o.tag, plain: o.plain, modified: o.modified, header: o.header}
	n.inline = n.body != "" && n.tag == "" && backend.Junk(name)
	if at == nil {
		dir.add(n)
		return n
	}
	old := *at
	n.id, n.ino, n.name, n.props, n.locks, n.versions = at.id, at.ino, at.name, at.props, at.locks, at.versions
	n.logged = backend.Junk(old.name) && !old.junk()
	same := old.body == n.body && old.tag == "" && n.tag == ""
	if old.stored() {
		old.maybe = same
		old.versions, old.locks, old.props = nil, nil, nil
		n.versions = append([]*node{&old}, at.versions...)
	}
	dir.add(n)
	return n
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
	asked := prefix
	prefix, after = nfc(prefix), nfc(after)
	seen := make(map[string]bool)
	for _, it := range all {
		rest, ok := strings.CutPrefix(it.full, prefix)
		if !ok {
			continue
		}
		shown := asked + it.shown[composedBy(it.shown, prefix):]
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			if p := prefix + rest[:i+len(delimiter)]; p > after && !seen[p] {
				seen[p] = true
				prefixes = append(prefixes, shown[:composedBy(shown, p)])
			}
		} else if it.full > after {
			keys = append(keys, shown)
		}
	}
	return keys, prefixes
}

// composedBy is how long the beginning of s is that is composed as a NFC text.
func composedBy(s, composed string) int {
	for i := range len(s) {
		if nfc(s[:i]) == composed {
			return i
		}
	}
	return len(s)
}
