package sim

import (
	"maps"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

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
	if o.kind == "copy" && at.dir && !o.shallow {
		var size, files int64
		at.walk("", func(_ string, n *node) {
			if !n.dir && !n.junk() {
				size, files = size+int64(len(n.body)), files+1
			}
		})
		if err := o.roomFor(size, files); err != nil {
			return nil, err
		}
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
	if !made.dir && !made.junk() {
		left := *o
		if o.quota != nil && there != nil && !there.dir && !there.stored() && len(there.versions) == 0 && !there.junk() {
			q := *o.quota // what was there is kept nowhere
			q.Bytes, q.Files, left.quota = q.Bytes-int64(len(there.body)), q.Files-1, &q
		}
		if err := left.roomFor(int64(len(made.body)), 1); err != nil {
			return nil, err
		}
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

// bringBack makes what o.tree was, of the past, o.dst.
func (s *state) bringBack(o *op) {
	above, name := split(o.dst)
	at := s.root
	if above != "" {
		for part := range strings.SplitSeq(above, "/") {
			next := at.kids[nfc(part)]
			if next == nil {
				next = &node{id: mix(mix(o.id, 2), at.id), name: part, dir: true, kids: map[string]*node{}}
				at.add(next)
			}
			at = next
		}
	}
	at.bringBack(name, o.tree, o.id)
}

func (n *node) bringBack(name string, then *node, id int) {
	to := n.kids[nfc(name)]
	if to != nil && !then.dir && !to.dir && then.sameContent(to) {
		return
	}
	if to == nil || !to.dir || !then.dir {
		name = n.freeName(name, then.dir)
		to = copyOf(then, mix(id, then.id))
		to.name, to.kids, to.inline = name, map[string]*node{}, to.inline && backend.Junk(name)
		n.add(to)
	}
	for _, m := range then.members() {
		if !m.junk() {
			to.bringBack(m.name, m, id)
		}
	}
}

// sameContent says whether two files are known to have the same.
func (n *node) sameContent(m *node) bool {
	return len(n.body) == len(m.body) && (!n.stored() && !m.stored() || n.rev == m.rev || n.body == m.body && n.tag == "" && m.tag == "" && !n.inline && !m.inline)
}
