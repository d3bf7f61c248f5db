package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// mediaOf is what the worker finds in a body: it follows from nothing else.
func mediaOf(body string) backend.Media {
	h := fnv.New32a()
	h.Write([]byte(body))
	m := backend.Media{Processed: true, Width: int(h.Sum32()%1000) + 1, Height: 7, Variants: []string{"thumb-r1.webp"}}
	if h.Sum32()%3 > 0 {
		m.Taken = time.Date(1999, 1, 1, 0, int(h.Sum32()%100_000), 0, 0, time.UTC)
		m.TakenFrom = "exif"
	}
	return m
}

// text is a state as one text, to tell it from others.
func (s *state) text() string {
	var b strings.Builder
	line := func(key string, n *node) {
		fmt.Fprintf(&b, "%s %d %v %v %v %v %q %v %s %v", key, n.id, n.dir, n.implicit, n.inline, n.logged, short(n.body), n.props, n.header, n.modified.UnixMilli())
		for _, v := range n.versions {
			fmt.Fprintf(&b, " %d", v.rev)
		}
		b.WriteByte('\n')
	}
	s.root.walk("", line)
	for _, t := range s.trash {
		fmt.Fprintf(&b, "trashed from %d:\n", t.parent)
		t.walk(t.key, line)
	}
	fmt.Fprint(&b, s.uploads)
	return b.String()
}

// heldLocks are the locks that cover key at t, by token and on which node.
func (s *state) heldLocks(key string, t time.Time) (map[string]*node, []string) {
	held := map[string]*node{}
	s.root.walk("", func(k string, n *node) {
		for token, l := range n.locks {
			over := nfc(k) == nfc(key) || l.infinite && (k == "" || strings.HasPrefix(nfc(key), nfc(k)+"/"))
			if over && l.expires.After(t) {
				held[token] = n
			}
		}
	})
	return held, slices.Sorted(maps.Keys(held))
}

// heldBelow are those on what lies below key.
func (s *state) heldBelow(key string, t time.Time) (map[string]*node, []string) {
	held := map[string]*node{}
	s.root.walk("", func(k string, n *node) {
		for token, l := range n.locks {
			if (key == "" && k != "" || strings.HasPrefix(nfc(k), nfc(key)+"/")) && l.expires.After(t) {
				held[token] = n
			}
		}
	})
	return held, slices.Sorted(maps.Keys(held))
}

// readTrash is the client's part of the trash.
func (c *client) readTrash(ctx context.Context) (out []backend.Trashed, err error) {
	l, err := c.open(ctx, backend.Access{})
	if err != nil {
		return nil, err
	}
	for cursor := ""; ; {
		page, err := l.Trash(ctx, cursor, 4)
		if err != nil || len(page) == 0 {
			return out, err
		}
		for _, t := range page {
			if strings.HasPrefix(string(t.Entry.Key), c.lib+"/") {
				out = append(out, t)
			}
		}
		cursor = page[len(page)-1].Cursor
	}
}

func (t trashed) is(found backend.Trashed) bool {
	_, below := found.Entry.Key.Library()
	return nfc(below) == nfc(t.key)
}

// sameTrash compares what the trash lists. The clock says in which order that is.
func (s *state) sameTrash(found []backend.Trashed) error {
	var have []string
	for i, t := range found {
		have = append(have, string(t.Entry.Key))
		if i > 0 && t.Deleted.After(found[i-1].Deleted) {
			return fmt.Errorf("in the trash %s stands after what was deleted earlier", t.Entry.Key)
		}
	}
	if len(found) != len(s.trash) {
		return fmt.Errorf("the trash has %q, want %d", have, len(s.trash))
	}
	var order []trashed
	left := slices.Clone(s.trash)
	for _, t := range found {
		var why error
		i := slices.IndexFunc(left, func(want trashed) bool { return want.ino == t.Entry.Ino })
		if i < 0 { // one that was never seen
			i = slices.IndexFunc(left, func(want trashed) bool { return want.ino == "" && want.is(t) })
		}
		if i >= 0 {
			if why = adopt(left[i].node, t.Entry); why != nil || !left[i].is(t) {
				i = -1
			}
		}
		if i < 0 {
			return fmt.Errorf("in the trash is %s, which is none that was deleted: %v", t.Entry.Key, why)
		}
		order = append(order, left[i])
		left = slices.Delete(left, i, i+1)
	}
	s.trash = order
	return nil
}

// sameDeleted compares the files in the trash, also those in deleted collections, and their
// versions.
func (c *client) sameDeleted(ctx context.Context, l *backend.Library, s *state) error {
	want := map[string]*node{}
	var keys []string
	for _, t := range s.trash {
		t.walk(t.key, func(key string, n *node) {
			if !n.dir {
				id := nfc(key) + " " + n.etag()
				want[id] = n
				keys = append(keys, id)
			}
		})
	}
	var have []string
	o := backend.ListOptions{Library: c.lib, Max: 3}
	for more := true; more; {
		page, err := l.ListDeleted(ctx, o)
		if err != nil {
			return fmt.Errorf("deleted files: %w", err)
		}
		for _, d := range page.Objects {
			if nfc(d.Key) <= nfc(o.After) {
				return fmt.Errorf("among the deleted files %s stands after %s", d.Key, o.After)
			}
			o.After = d.Key
			for _, f := range d.Files {
				id := nfc(d.Key) + " " + f.Entry.ETag
				have = append(have, id)
				n := want[id]
				if n == nil {
					return fmt.Errorf("among the deleted files is %q", id)
				}
				if body, err := content(ctx, l, f.Entry); err != nil || body != n.body {
					return fmt.Errorf("the deleted %q is %q, want %q (%v)", id, short(body), short(n.body), err)
				}
			}
		}
		if more = page.More; more && page.Next != o.After {
			return fmt.Errorf("deleted files go on after %q, want %q", page.Next, o.After)
		}
	}
	slices.Sort(have)
	slices.Sort(keys)
	if !slices.Equal(have, keys) {
		return fmt.Errorf("the deleted files are %q, want %q", have, keys)
	}
	return nil
}

// timeline pages through the timeline. While the worker puts entries elsewhere on it
// there is little to be said.
func (c *client) timeline() {
	if !c.settled() {
		return
	}
	ctx := c.ctx()
	undisturbed := c.w.undisturbed()
	seen, err := c.readTimeline(ctx)
	if err != nil {
		if v := c.verdict(err); v != errUnknown {
			c.w.fail(c.name, "timeline: %v", err)
		}
		return
	}
	if !undisturbed() {
		return
	}
	if err := c.guesses[0].sameTimeline(seen); err != nil {
		c.w.fail(c.name, "%v", err)
	}
}

// undisturbed begins to watch, and then says whether no results of processing were being
// recorded since.
func (w *world) undisturbed() func() bool {
	began := w.finishes.Load()
	calm := w.finishing.Load() == 0
	return func() bool { return calm && w.finishes.Load() == began }
}

func (c *client) readTimeline(ctx context.Context) (seen map[string]*backend.Entry, err error) {
	l, err := c.open(ctx, backend.Access{})
	if err != nil {
		return nil, err
	}
	seen = map[string]*backend.Entry{}
	undisturbed := c.w.undisturbed()
	var last time.Time
	for cursor := ""; ; {
		page, err := l.Timeline(ctx, cursor, 3)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Items {
			key, ok := strings.CutPrefix(string(e.Key), c.lib+"/")
			if !ok {
				continue
			}
			if at, _ := e.CaptureTime(); !last.IsZero() && at.After(last) {
				return nil, fmt.Errorf("%s stands after what is older", key)
			} else {
				last = at
			}
			if seen[key] != nil && undisturbed() {
				return nil, fmt.Errorf("%s stands on the timeline twice", key)
			}
			seen[key] = e
		}
		if cursor = page.Next; cursor == "" {
			return seen, nil
		}
	}
}

func (s *state) sameTimeline(seen map[string]*backend.Entry) (err error) {
	n := 0
	s.root.walk("", func(key string, f *node) {
		if !f.showable() || err != nil {
			return
		}
		n++
		if seen[key] == nil {
			err = fmt.Errorf("%s is missing from the timeline", key)
		} else {
			err = adopt(f, seen[key])
		}
	})
	if err == nil && n != len(seen) {
		err = fmt.Errorf("the timeline has %d of %s, want %d", len(seen), "this client", n)
	}
	return err
}

// compare reads all that the client can see, when nothing else goes on, and compares it
// with the model. One world must be it.
func (c *client) compare() {
	calm := &actor{name: c.name, calm: true}
	ctx := calm.ctx()
	matches := map[string]*state{}
	var why []string
	for _, g := range c.guesses {
		for _, e := range g.expand() {
			s := e.state.clone()
			if err := c.same(ctx, s); err != nil {
				why = append(why, err.Error())
				continue
			}
			matches[s.text()] = s
		}
	}
	if len(matches) == 0 {
		c.w.fail(c.name, "what is there is no state the model allows:\n\t%s", strings.Join(why, "\n\tor "))
		return
	}
	// More than one differ in what can not be seen: what is in a trashed collection.
	c.guesses, c.rest = nil, false
	for _, id := range slices.Sorted(maps.Keys(matches)) {
		c.guesses = append(c.guesses, guess{matches[id], nil})
	}
	if err := c.findLocks(ctx, c.guesses[0].state); err != nil {
		c.w.fail(c.name, "%v", err)
	}
}

// usage is what this client may be keeping, in each of its worlds.
func (c *client) usage() (all []backend.Usage) {
	for _, g := range c.guesses {
		var u backend.Usage
		less := []int64{0} // what may not be kept, in the trash, where it can not be seen
		add := func(n *node) {
			b, f := n.usage()
			u.Bytes, u.Files = u.Bytes+b, u.Files+f
			n.walk("", func(_ string, n *node) {
				for _, v := range n.versions {
					for _, l := range less {
						if v.maybe {
							less = append(less, l+int64(len(v.body)))
						}
					}
				}
			})
		}
		add(g.root)
		for _, t := range g.trash {
			add(t.node)
		}
		for _, l := range less {
			all = append(all, backend.Usage{Bytes: u.Bytes - l, Files: u.Files})
		}
	}
	return all
}

// findLocks takes the locks from what is there, and if they are known, compares them.
func (c *client) findLocks(ctx context.Context, s *state) error {
	l, err := c.open(ctx, backend.Access{})
	if err != nil {
		return err
	}
	found, err := l.Locks(ctx, c.key(""), true)
	if err != nil {
		return err
	}
	now := c.w.now()
	if c.w.wanders {
		return nil
	}
	_, below := s.heldBelow("", now)
	_, at := s.heldLocks("", now)
	var have []string
	for _, k := range found {
		have = append(have, k.Token)
	}
	slices.Sort(have)
	want := slices.Sorted(slices.Values(append(below, at...)))
	if c.locks && !slices.Equal(have, want) {
		return fmt.Errorf("the locks are %q, want %q", have, want)
	}
	c.locks = true
	s.root.walk("", func(_ string, n *node) {
		for token, l := range n.locks {
			if l.expires.After(now) {
				delete(n.locks, token)
			}
		}
	})
	for _, k := range found {
		_, below := k.Key.Library()
		n, err := s.resolve(below)
		if err != nil {
			return fmt.Errorf("a lock is on %s: %w", below, err)
		}
		if n.locks == nil {
			n.locks = map[string]lock{}
		}
		n.locks[k.Token] = lock{k.Expires, k.Infinite}
	}
	return nil
}

// same compares everything with s, and takes from it what the model can not know.
func (c *client) same(ctx context.Context, s *state) error {
	l, err := c.open(ctx, backend.Access{})
	if err != nil {
		return err
	}
	if err := c.sameTree(ctx, l, "", s.root); err != nil {
		return err
	}
	found, err := c.readTrash(ctx)
	if err != nil {
		return err
	}
	if err := s.sameTrash(found); err != nil {
		return err
	}
	for i, t := range found {
		if !t.Entry.Dir {
			if body, err := content(ctx, l, t.Entry); err != nil || body != s.trash[i].body {
				return fmt.Errorf("in the trash, %s is %q, want %q (%v)", t.Entry.Key, body, s.trash[i].body, err)
			}
		}
	}
	if err := c.sameDeleted(ctx, l, s); err != nil {
		return err
	}
	seen, err := c.readTimeline(ctx)
	if err != nil {
		return err
	}
	if err := s.sameTimeline(seen); err != nil {
		return err
	}
	uploads, err := l.Uploads(ctx, c.lib)
	if err != nil {
		return err
	}
	for _, u := range uploads {
		if _, ended := s.uploads[u.ID]; ended {
			return fmt.Errorf("upload %s is under way", u.ID)
		}
	}
	if n := len(uploads); n > len(c.uploads)+c.leaked+2 {
		return fmt.Errorf("%d uploads, want about %d", n, len(c.uploads))
	}
	for _, u := range c.uploads {
		_, ended := s.uploads[u.id]
		if !ended && !slices.ContainsFunc(uploads, func(v backend.Upload) bool { return v.ID == u.id }) {
			return fmt.Errorf("upload %s is gone", u.id)
		}
	}
	return nil
}

// adoptVersions drops versions that may have been kept and were not.
func (n *node) adoptVersions(vs []backend.Version) {
	extra := len(n.versions) - len(vs)
	n.versions = slices.DeleteFunc(slices.Clone(n.versions), func(v *node) bool {
		if v.maybe && extra > 0 {
			extra--
			return true
		}
		return false
	})
	for i, v := range n.versions {
		c := *v
		c.maybe = false
		n.versions[i] = &c
	}
}

func content(ctx context.Context, l *backend.Library, e *backend.Entry) (string, error) {
	r, err := l.Open(ctx, e)
	if err != nil {
		return "", err
	}
	defer r.Close()
	d, err := io.ReadAll(r)
	return string(d), err
}

func (c *client) sameTree(ctx context.Context, l *backend.Library, key string, n *node) error {
	var entries []*backend.Entry
	for e, err := range l.Members(ctx, c.key(key)) {
		if err != nil {
			return fmt.Errorf("members of %q: %w", key, err)
		}
		entries = append(entries, e)
	}
	members := n.members()
	for i := range max(len(members), len(entries)) {
		switch {
		case i >= len(members):
			return fmt.Errorf("in %q there is %q", key, entries[i].Name)
		case i >= len(entries), nfc(entries[i].Name) != nfc(members[i].name):
			return fmt.Errorf("in %q, %q is not there", key, members[i].name)
		}
		if err := c.sameNode(ctx, l, entries[i], members[i]); err != nil {
			return fmt.Errorf("in %q: %w", key, err)
		}
	}
	return nil
}

func (c *client) sameNode(ctx context.Context, l *backend.Library, e *backend.Entry, n *node) error {
	if err := adopt(n, e); err != nil {
		return err
	}
	props, err := l.Props(ctx, e)
	if err != nil {
		return err
	}
	for _, p := range props {
		if n.props[p.Name.Local] != string(p.Inner) {
			return fmt.Errorf("%q: property %s is %q, want %q", n.name, p.Name.Local, p.Inner, n.props[p.Name.Local])
		}
	}
	if len(props) != len(n.props) {
		return fmt.Errorf("%q has %d properties, want %d", n.name, len(props), len(n.props))
	}
	_, below := e.Key.Library()
	if n.dir {
		return c.sameTree(ctx, l, below, n)
	}
	if body, err := content(ctx, l, e); err != nil || body != n.body {
		return fmt.Errorf("%q is %q, want %q (%v)", n.name, body, n.body, err)
	}
	vs, err := l.Versions(ctx, e.Ino)
	if err == nil {
		n.adoptVersions(vs)
	}
	if err != nil || len(vs) != len(n.versions) {
		return fmt.Errorf("%q has %d versions, want %d (%v)", n.name, len(vs), len(n.versions), err)
	}
	for i, v := range vs {
		if body, err := content(ctx, l, v.Entry); err != nil || body != n.versions[i].body {
			return fmt.Errorf("%q: version %d is %q, want %q (%v)", n.name, i, body, n.versions[i].body, err)
		}
	}
	return nil
}

// checkAll is what must hold of a whole process when all is quiet.
func (w *world) checkAll(who string, n *proc, clients []*client) {
	ctx := (&actor{name: who, calm: true}).ctx()
	for _, u := range []string{uid, sharedUID} {
		rep, err := n.b.Check(ctx, u, 3, memkv.New())
		if err != nil {
			w.fail(who, "check: %v", err)
			return
		}
		if rep.Wrong > 0 {
			w.fail(who, "check of %s: %q", u, rep.Findings)
		}
	}
	want := []backend.Usage{{}}
	for _, c := range clients {
		var sums []backend.Usage
		for _, a := range want {
			for _, b := range c.usage() {
				sums = append(sums, backend.Usage{Bytes: a.Bytes + b.Bytes, Files: a.Files + b.Files})
			}
		}
		want = sums
	}
	l, err := n.b.Library(ctx, uid, backend.Access{})
	if err != nil {
		w.fail(who, "open: %v", err)
		return
	}
	u, err := l.Usage(ctx)
	if err != nil || !slices.Contains(want, u) {
		w.fail(who, "usage is %+v, want %+v (%v)", u, want, err)
	}
}

// barrier appends to both logs, so that whatever came before it is settled, and the
// service must be there again.
func (w *world) barrier(who string, n *proc) {
	ctx := (&actor{name: who, calm: true}).ctx()
	for _, u := range []string{uid, sharedUID} {
		var err error
		for range 3 {
			var l *backend.Library
			if l, err = n.b.Library(ctx, u, backend.Access{}); err != nil {
				break
			}
			now := n.w.now()
			if _, err = l.SetProps(ctx, "barrier", backend.PropPatch{Modified: &now}, backend.Conditions{}); errors.Is(err, backend.ErrNotExist) {
				_, err = l.Mkdir(ctx, "barrier", nil)
			}
			if err == nil {
				break
			}
		}
		if err != nil {
			w.fail(who, "the service does not come back: %v", err)
		}
	}
}
