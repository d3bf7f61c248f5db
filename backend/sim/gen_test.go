package sim

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// jpeg is what a body that is to be a picture begins with.
const jpeg = "\xff\xd8\xff"

var (
	names = []string{"a.jpg", "b.jpg", "c.txt", "caf\u00e9.jpg", "cafe\u0301.jpg", "d", "e", "d.x", "d"}
	junks = []string{"._a.jpg", ".DS_Store"}
	dirs  = []string{"", "", "d", "e", "d/e", "d/d"}
)

func pick[T any](c *client, from []T) T { return from[c.rng.IntN(len(from))] }

func (c *client) anyKey() string {
	name := pick(c, names)
	if !c.torn && c.chance(120) {
		name = pick(c, junks)
	}
	if dir := pick(c, dirs); dir != "" {
		return dir + "/" + name
	}
	return name
}

// someKey is more often than not a key that is there.
func (c *client) someKey() string {
	if c.chance(300) {
		return c.anyKey()
	}
	var all []string
	c.guesses[0].root.walk("", func(key string, n *node) {
		if key != "" && (!c.torn || !n.junk()) {
			all = append(all, key)
		}
	})
	if len(all) == 0 {
		return c.anyKey()
	}
	return pick(c, all)
}

func (c *client) anyBody() string {
	switch c.rng.IntN(10) {
	case 0:
		return ""
	case 1, 2:
		return fmt.Sprintf("text %d", c.rng.IntN(3)) // sometimes the same again
	case 3, 4:
		return fmt.Sprintf("%s%d", jpeg, c.rng.IntN(3))
	case 5:
		return fmt.Sprintf("text %s %d", c.name, c.rng.Int())
	}
	return fmt.Sprintf("%s%s %d", jpeg, c.name, c.rng.Int())
}

func (c *client) anyTime() time.Time {
	if c.chance(400) {
		return time.Time{}
	}
	return c.w.start.Add(-time.Duration(c.rng.IntN(1000)) * time.Hour).UTC()
}

func (c *client) id() int {
	c.nextID++
	return c.nextID
}

// anyCond is a condition on what is at key, which holds more often than not.
func (c *client) anyCond(key string) (cond backend.Conditions) {
	if !c.chance(150) {
		return cond
	}
	tag := "*"
	if _, at, err := c.guesses[0].locate(key); err == nil && at != nil && !at.dir && c.chance(700) {
		tag = at.etag()
	}
	if c.chance(100) {
		tag = "nosuchtag"
	}
	if c.chance(600) {
		cond.IfMatch = []string{tag}
	} else {
		cond.IfNoneMatch = []string{tag}
	}
	return cond
}

// notice is what a client makes of another process: its parts may be lost with the index.
func (c *client) notice() {
	gen := c.node().gen
	if gen == c.gen {
		return
	}
	c.gen = gen
	for _, u := range c.uploads {
		u.loose = u.loose || c.lossy
	}
	if c.chunked != nil {
		c.chunked.loose = c.chunked.loose || c.lossy
	}
}

// step does one random thing.
func (c *client) step() {
	c.notice()
	switch n := c.rng.IntN(100); {
	case n < 45:
		c.do(c.anyOp())
	case n < 59:
		c.read()
	case n < 65:
		c.listing()
	case n < 69:
		c.memberList()
	case n < 73:
		c.timeline()
	case n < 80:
		c.multipart()
	case n < 86:
		c.chunks()
	case n < 89:
		c.undelete()
	case n < 91:
		c.revert()
	case n < 94 && !c.lossy && !c.w.wanders:
		c.locking()
	default:
		c.do(c.anyOp())
	}
}

func (c *client) anyOp() *op {
	o := &op{id: c.id(), modified: c.anyTime(), header: fmt.Sprint(c.rng.IntN(3))}
	switch n := c.rng.IntN(100); {
	case n < 40:
		o.kind, o.dst, o.body, o.parents = "put", c.anyKey(), c.anyBody(), c.chance(700)
		switch c.rng.IntN(12) {
		case 0:
			o.broken, o.bad = "cut", backend.ErrIncomplete
		case 1:
			o.broken, o.bad = "short", backend.ErrIncomplete
		case 2:
			o.broken, o.bad = "wrong", backend.ErrChecksum
		case 3:
			o.broken = "summed"
		case 4:
			o.broken = "open"
		}
	case n < 50:
		o.kind, o.dst, o.parents, o.existing = "mkdir", c.anyKey(), c.chance(300), c.chance(300)
		if backend.Junk(pathBase(o.dst)) {
			o.dst = "d"
		}
		if c.chance(600) {
			o.header = ""
		}
	case n < 64:
		o.kind, o.dst, o.parents, o.emptyOnly = "delete", c.someKey(), c.chance(500), c.chance(200)
	case n < 80:
		o.kind, o.src, o.dst, o.parents, o.overwrite = "move", c.someKey(), c.anyKey(), c.chance(300), c.chance(600)
		if c.torn && backend.Junk(pathBase(o.dst)) {
			o.dst = "e"
		}
	case n < 93:
		o.kind, o.src, o.dst, o.parents, o.overwrite = "copy", c.someKey(), c.anyKey(), c.chance(300), c.chance(600)
		o.shallow, o.replace = c.chance(200), c.chance(300)
		if c.chance(100) {
			o.dst = o.src
		}
	default:
		o.kind, o.dst, o.name, o.body = "props", c.someKey(), fmt.Sprint("p", c.rng.IntN(3)), fmt.Sprint(c.rng.IntN(100))
	}
	o.cond = c.anyCond(o.dst)
	if o.kind == "put" && c.chance(60) {
		o.tight()
	}
	if c.chance(60) {
		o.access = pick(c, []backend.Mode{backend.ReadOnly, backend.UploadOnly})
	} else if c.chance(60) {
		c.guesses[0].root.walk("", func(key string, n *node) {
			if n.dir && n.ino != "" && key != "" && len(c.guesses) == 1 && (o.root == 0 || c.chance(500)) {
				o.root, o.rootIno = n.id, n.ino
			}
		})
	}
	return o
}

// read looks at one key and reads what is there.
func (c *client) read() {
	ctx, key := c.ctx(), c.someKey()
	l, err := c.open(ctx, backend.Access{})
	if err != nil {
		c.verdict(err)
		return
	}
	e, err := l.Stat(ctx, c.key(key))
	var body string
	whole := false
	if err == nil && !e.Dir {
		var content *backend.Content
		if content, err = l.Open(ctx, e); err == nil {
			var d []byte
			d, rerr := io.ReadAll(content)
			body, whole = string(d), rerr == nil
			if v := c.verdict(rerr); v != nil && v != errUnknown {
				c.w.fail(c.name, "reading %s gave %v", key, rerr)
			}
		}
	}
	c.w.log(c.name, "read %s: %q %s", key, body, outcome(err))
	switch v := c.verdict(err); v {
	case nil:
		c.keep(fmt.Sprintf("%s is read as %q", key, body), func(g guess) (guess, error) {
			at, err := g.resolve(key)
			if err != nil {
				return g, err
			}
			if !e.Dir && (whole && at.body != body || !strings.HasPrefix(at.body, body)) {
				return g, fmt.Errorf("it has %q", at.body)
			}
			return g, adopt(at, e)
		})
	case errUnknown, errFenced:
	default:
		c.keep(fmt.Sprintf("%s gave %v", key, v), func(g guess) (guess, error) {
			if at, err := g.resolve(key); err == nil {
				return g, fmt.Errorf("there is %q", at.body)
			}
			if v != backend.ErrNotExist {
				return g, fmt.Errorf("it must not exist")
			}
			return g, nil
		})
	}
}

// settled says whether nothing can come to light in the middle of a reading of many rows.
func (c *client) settled() bool { return len(c.guesses) == 1 && len(c.guesses[0].late) == 0 }

// listing pages through what S3 lists, and compares it with a sorted list.
func (c *client) listing() {
	if !c.settled() {
		return
	}
	o := backend.ListOptions{
		Library:   c.lib,
		Prefix:    pick(c, []string{"", "", "", "d", "d/", "d/e", "c", "a.jpg", "e/x", "caf"}),
		Delimiter: pick(c, []string{"", "", "/", "/", "e", "."}),
		After:     pick(c, []string{"", "", "", "a", "d", "d/", "d/e", "d.x", "z", "b.jpg", "d/cafe\u0301.jpg"}),
		Max:       1 + c.rng.IntN(6),
	}
	ctx := c.ctx()
	l, err := c.open(ctx, backend.Access{})
	first := o
	var keys, prefixes []string
	for n := 0; err == nil; n++ {
		var page *backend.ListPage
		if page, err = l.ListObjects(ctx, o); err != nil {
			break
		}
		for _, e := range page.Objects {
			keys = append(keys, e.Key)
		}
		prefixes = append(prefixes, page.Prefixes...)
		if got := len(page.Objects) + len(page.Prefixes); got > o.Max || page.More && got == 0 || n > 100 {
			c.w.fail(c.name, "a page of %d has %d, more %v", o.Max, got, page.More)
			return
		}
		if !page.More {
			break
		}
		o.After = page.Next
	}
	if err != nil {
		if v := c.verdict(err); v != errUnknown {
			c.w.fail(c.name, "list: %v", err)
		}
		return
	}
	wantKeys, wantPrefixes := c.guesses[0].list(first.Prefix, first.Delimiter, first.After)
	if !slices.Equal(keys, wantKeys) || !slices.Equal(prefixes, wantPrefixes) {
		c.w.fail(c.name, "list %+v gave %q %q, want %q %q", first, keys, prefixes, wantKeys, wantPrefixes)
	}
}

// memberList compares the members of one collection.
func (c *client) memberList() {
	key := pick(c, dirs)
	ctx := c.ctx()
	l, err := c.open(ctx, backend.Access{})
	var got []string
	if err == nil {
		for e, e2 := range l.Members(ctx, c.key(key)) {
			if err = e2; err == nil {
				got = append(got, e.Name)
			}
		}
	}
	v := c.verdict(err)
	if v == errUnknown || v == errFenced {
		return
	}
	c.keep(fmt.Sprintf("members of %s are %q, %v", key, got, v), func(g guess) (guess, error) {
		at, err := g.resolve(key)
		if err == nil && !at.dir {
			err = backend.ErrNotCollection
		}
		if err != v {
			return g, fmt.Errorf("it must give: %v", err)
		}
		var want []string
		if err == nil {
			for _, m := range at.members() {
				want = append(want, m.name)
			}
		}
		if !slices.Equal(got, want) {
			return g, fmt.Errorf("they are %q", want)
		}
		return g, nil
	})
}

// undelete looks into the trash and brings something back.
func (c *client) undelete() {
	if !c.settled() {
		return
	}
	found, err := c.readTrash(c.ctx())
	if v := c.verdict(err); err != nil {
		if v != errUnknown {
			c.w.fail(c.name, "trash: %v", err)
		}
		return
	}
	s := c.guesses[0].state
	if err := s.sameTrash(found); err != nil {
		c.w.fail(c.name, "%v", err)
		return
	}
	if len(s.trash) == 0 {
		return
	}
	t := pick(c, s.trash)
	kind := "restore"
	if c.chance(300) {
		kind = "purge"
	}
	c.do(&op{kind: kind, id: c.id(), target: t.id, ino: t.ino})
}

// locking takes, or gives back, a lock; it knows what it must see only when all is
// settled.
func (c *client) locking() {
	key := c.someKey()
	if !c.settled() || !c.locks {
		return
	}
	ctx := c.ctx()
	l, err := c.open(ctx, backend.Access{})
	if err != nil {
		c.verdict(err)
		return
	}
	s := c.guesses[0].state
	at, _ := s.resolve(key)
	begin := c.w.now()
	held, want := s.heldLocks(key, begin)
	_, later := s.heldLocks(key, begin.Add(time.Minute))
	infinite := c.chance(500)
	if len(want) > 0 && c.chance(500) {
		token := want[c.rng.IntN(len(want))]
		err := l.Unlock(ctx, c.key(key), token)
		c.w.log(c.name, "unlock %s: %s", key, outcome(err))
		switch v := c.verdict(err); {
		case v == nil:
			delete(held[token].locks, token)
		case v == backend.ErrNoLock && !slices.Contains(later, token): // it has just ended
		case v == errUnknown, v == errFenced:
			c.locks = false
		default:
			c.w.fail(c.name, "unlock: %v", err)
		}
		return
	}
	_, below := s.heldBelow(key, begin)
	_, belowLater := s.heldBelow(key, begin.Add(time.Minute))
	k, err := l.Lock(ctx, c.key(key), infinite, "", c.name, time.Duration(1+c.rng.IntN(60))*time.Second)
	c.w.log(c.name, "lock %s: %s", key, outcome(err))
	switch v := c.verdict(err); {
	case v == errUnknown, v == errFenced:
		c.locks = false
	case at == nil:
		if v != backend.ErrNotExist && v != backend.ErrNotCollection {
			c.w.fail(c.name, "lock of nothing: %v", err)
		}
	case v == backend.ErrLocked:
		if len(want) == 0 && !(infinite && len(below) > 0) {
			c.w.fail(c.name, "%s is not locked: %v", key, err)
		}
	case v == nil:
		if len(later) > 0 || infinite && len(belowLater) > 0 {
			c.w.fail(c.name, "%s is locked twice", key)
		}
		if at.locks == nil {
			at.locks = map[string]lock{}
		}
		at.locks[k.Token] = lock{k.Expires, infinite}
	default:
		c.w.fail(c.name, "lock: %v", err)
	}
}

// revert makes an earlier content of a file its content again.
func (c *client) revert() {
	if !c.settled() {
		return
	}
	var keys []string
	s := c.guesses[0].state
	s.root.walk("", func(key string, n *node) {
		if len(n.versions) > 0 && n.ino != "" {
			keys = append(keys, key)
		}
	})
	if len(keys) == 0 {
		return
	}
	key := pick(c, keys)
	at, _ := s.resolve(key)
	l, err := c.open(c.ctx(), backend.Access{})
	var found []backend.Version
	if err == nil {
		found, err = l.Versions(c.ctx(), at.ino)
	}
	if v := c.verdict(err); v != nil {
		if v != errUnknown {
			c.w.fail(c.name, "versions of %s: %v", key, err)
		}
		return
	}
	at.adoptVersions(found)
	if len(found) != len(at.versions) {
		c.w.fail(c.name, "%s has %d versions, want %d", key, len(found), len(at.versions))
		return
	}
	if len(found) == 0 {
		return
	}
	i := c.rng.IntN(len(found))
	c.do(&op{kind: "revert", id: c.id(), dst: key, target: at.id, ino: at.ino, rev: at.versions[i].rev, replaced: found[i].Replaced})
}

// tight gives o a quota in which it has no room.
func (o *op) tight() {
	if len(o.body) > 1 && o.broken != "cut" && o.broken != "open" { // these tell no size
		o.quota = &backend.Usage{Bytes: 1, Quota: 1}
	}
}
