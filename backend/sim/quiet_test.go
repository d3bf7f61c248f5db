package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// What is done while nobody else does anything, since it concerns what all clients keep, or
// a moment at which it is known exactly what there was.

// A past is what a client had at a time.
type past struct {
	at    time.Time
	state *state
}

func (h *history) quiet(a *actor) {
	if a.chance(200) {
		h.emptyTrash(a)
	}
	for _, c := range h.clients {
		if h.failed() || h.isRival(c) || len(c.guesses) != 1 {
			continue
		}
		c.calm = true
		if a.chance(300) {
			h.quota(c)
		}
		if len(c.past) > 0 && a.chance(300) {
			h.restoreAt(c)
		}
		if len(c.guesses) == 1 && !h.wanders {
			c.past = append(c.past, past{h.now(), c.guesses[0].state.clone()})
		}
		c.calm = false
	}
	time.Sleep(10 * time.Millisecond) // what comes now is later
}

// emptyTrash removes what is in everybody's trash.
func (h *history) emptyTrash(a *actor) {
	total, known := 0, true
	for _, c := range h.clients {
		total += len(c.guesses[0].trash)
		known = known && c.settled()
	}
	rate := h.rate
	if a.chance(500) {
		h.set(h.faulty)
	}
	n := 0
	l, err := h.current.Load().b.Library(a.ctx(), uid, backend.Access{})
	if err == nil {
		err = h.keepingHouse(func() error { n, err = l.EmptyTrash(a.ctx()); return err })
	}
	h.set(rate)
	h.log(a.name, "emptied the trash: %d, %s", n, outcome(err))
	o := &op{kind: "empty"}
	if err == nil {
		h.done(o.kind)
	}
	v := h.clients[0].verdict(err)
	if v == nil && known && n != total {
		h.fail(a.name, "there were %d in the trash, want %d", n, total)
	}
	for _, c := range h.clients {
		switch v {
		case nil:
			c.keep("the trash was emptied", func(g guess) (guess, error) {
				steps, err := g.apply(o)
				return guess{steps[0], g.late}, err
			})
		case errUnknown, errFenced: // that may be of what comes after it was out of sight
			for i := range c.guesses {
				c.guesses[i].late = append(c.guesses[i].late[:len(c.guesses[i].late):len(c.guesses[i].late)], o)
			}
		default:
			h.fail(a.name, "empty trash: %v", err)
		}
	}
	if v != nil {
		time.Sleep(30 * time.Second)
		h.silence()
	} else {
		h.settle() // another process learns of it only when it appends
	}
}

// quota does something with room for about as much: what is refused changes nothing.
func (h *history) quota(c *client) {
	l, err := c.open(c.ctx(), backend.Access{})
	var u backend.Usage
	if err == nil {
		u, err = l.Usage(c.ctx())
	}
	if err != nil {
		h.fail(c.name, "usage: %v", err)
		return
	}
	for range 3 {
		o := c.anyOp()
		if o.kind != "put" && o.kind != "copy" || o.kind == "put" && o.body == "" {
			continue
		}
		o.access, o.root, o.rootIno = 0, 0, ""
		size := int64(len(o.body))
		if o.kind == "put" { // not what is there already
			o.body += fmt.Sprint(" ", o.id)
			size = int64(len(o.body))
		} else if at, err := c.guesses[0].resolve(o.src); err == nil {
			size, _ = at.usage()
		}
		q := u
		q.Quota = max(u.Bytes+pick(c, []int64{0, 1, size - 1, size, size + 1, 1000}), 1)
		q.QuotaFiles = pick(c, []int64{0, u.Files, u.Files + 1, u.Files + 2})
		if h.uploading() { // that counts too: plenty, or less than there is
			q.Quota = pick(c, []int64{0, u.Bytes + 1<<30})
			if u.Bytes > 100 { // what is replaced may be kept nowhere, and is less
				q.Quota = pick(c, []int64{0, 1, u.Bytes + 1<<30})
			}
			q.QuotaFiles = pick(c, []int64{0, u.Files + 1000})
			if u.Files > 1 { // one less: what is replaced may be kept nowhere
				q.QuotaFiles = pick(c, []int64{0, u.Files - 1, u.Files + 1000})
			}
		}
		o.quota = &q
		c.do(o)
		return
	}
}

// uploading says whether uploads may be under way.
func (h *history) uploading() bool {
	for _, c := range h.clients {
		if c.began {
			return true
		}
	}
	return false
}

// restoreAt brings something back as it was at an earlier time.
func (h *history) restoreAt(c *client) {
	then := pick(c, c.past)
	from := ""
	then.state.root.walk("", func(key string, n *node) {
		if !n.junk() && c.chance(200) {
			from = key
		}
	})
	what, err := then.state.resolve(from)
	if err != nil {
		panic(err)
	}
	o := &op{kind: "past", id: c.id(), src: from, tree: what}
	switch n := c.rng.IntN(3); {
	case n == 0 && from != "":
		o.dst = from
	case n == 1:
		o.dst = fmt.Sprint("back/", o.id)
	default:
		o.dst = fmt.Sprint("back", o.id)
	}
	ctx := c.ctx()
	opt := backend.RestoreOptions{At: then.at, From: c.key(from), To: c.key(o.dst), DryRun: true, Scratch: memkv.New()}
	b := c.node().b
	would, err := b.RestoreAt(ctx, uid, opt)
	if errors.Is(err, journal.ErrHistory) && h.lossy {
		return
	}
	var made *backend.Restored
	fits := c.guesses[0].mayBringBack(o.dst)
	if err == nil {
		opt.DryRun, opt.Scratch = false, memkv.New()
		made, err = b.RestoreAt(ctx, uid, opt)
	}
	h.log(c.name, "as of %v: %v: %+v, %s", then.at.Sub(h.start), o, made, outcome(err))
	if fits != nil {
		if !errors.Is(err, fits) {
			h.fail(c.name, "restore at gave %v, want %v", err, fits)
		}
		return
	}
	if err != nil {
		h.fail(c.name, "restore at: %v", err)
		return
	}
	if w, m := *would, *made; w.Files != m.Files || w.Bytes != m.Bytes || w.Same != m.Same || w.Collections != m.Collections || w.Gone+m.Gone > 0 {
		h.fail(c.name, "restore at made %+v, and would have made %+v", m, w)
	}
	h.done("past")
	c.keep(fmt.Sprintf("%v succeeded", o), func(g guess) (guess, error) {
		steps, err := g.apply(o)
		if err != nil {
			return g, err
		}
		return guess{steps[0], nil}, nil
	})
	c.compare()
}

// mayBringBack says why bringBack can not make key, if it can not.
func (s *state) mayBringBack(key string) error {
	above, _ := split(key)
	for at := s.root; above != ""; {
		var part string
		part, above, _ = strings.Cut(above, "/")
		if at = at.kids[nfc(part)]; at == nil {
			return nil // it is made
		}
		if !at.dir {
			return backend.ErrNotCollection
		}
	}
	return nil
}
