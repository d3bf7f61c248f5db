package dav

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// A guard is what the If header and locks ask before a request may change
// anything. It is asked before the body is read, and once more in the commit, by
// way of backend.Conditions: a lock or another write may have come between.
type guard struct {
	lists   []ifList
	tokens  []string // submitted, in whichever list (RFC 4918 §10.4.1)
	protect []protected
}

// protected is a part of the tree that the request changes.
type protected struct {
	key   backend.Key
	below bool // with all that lies below
	// member: it becomes, or ceases to be, a member of its collection, which a lock
	// on that collection protects too (RFC 4918 §7.4) …
	member bool
	// … but only if there is no such entry yet.
	ifNew bool
}

// watch reads the request's conditions, arms the guard with what the request is
// going to change, and asks it a first time.
func (q *request) watch(protect ...protected) error {
	for _, header := range q.r.Header.Values("If") {
		lists, ok := parseIf(header)
		if !ok {
			return refuse(http.StatusBadRequest, "The If header is not one (RFC 4918 §10.4).")
		}
		q.guard.lists = append(q.guard.lists, lists...)
	}
	for _, l := range q.guard.lists {
		for _, c := range l.conditions {
			if c.token != "" {
				q.guard.tokens = append(q.guard.tokens, c.token)
			}
		}
	}
	q.guard.protect = protect
	q.cond = q.ofSource(conditions(q.r.Header))
	return q.allowed(q.ctx)
}

// confirm makes the guard part of c, for the commit.
func (q *request) confirm(c backend.Conditions) backend.Conditions {
	since := c.Confirm
	c.Confirm = func(e *backend.Entry) error {
		if since != nil {
			if err := since(e); err != nil {
				return err
			}
		}
		return q.allowed(q.commitContext())
	}
	return c
}

// allowed asks the guard.
func (q *request) allowed(ctx context.Context) error {
	g := &q.guard
	if len(g.lists) > 0 {
		holds := false
		for _, l := range g.lists {
			var err error
			if holds, err = q.holds(ctx, l); err != nil {
				return err
			}
			if holds {
				break
			}
		}
		if !holds {
			return backend.ErrPrecondition
		}
	}
	var roots []string
	for _, p := range g.protect {
		locks, err := q.locksOn(ctx, p)
		if err != nil {
			return err
		}
		for _, l := range locks {
			if href := q.href(l.Key, false); !g.has(l, locks) && !slices.Contains(roots, href) {
				roots = append(roots, href)
			}
		}
	}
	if roots != nil {
		return &lockedError{roots: roots}
	}
	return nil
}

// has says whether l is no hindrance: its token was submitted or, of shared locks with
// the same root, that of one (RFC 4918 §6.2).
func (g *guard) has(l backend.Lock, all []backend.Lock) bool {
	return slices.ContainsFunc(all, func(o backend.Lock) bool {
		return (o.Token == l.Token || o.Shared && l.Shared && o.Ino == l.Ino) && slices.Contains(g.tokens, o.Token)
	})
}

// locksOn are the locks whose tokens it takes to change p.
func (q *request) locksOn(ctx context.Context, p protected) ([]backend.Lock, error) {
	locks, err := q.lib.Locks(ctx, p.key, p.below)
	if err != nil || !p.member || p.key == "" {
		return locks, err
	}
	dir, _ := p.key.Split()
	above, err := q.lib.Locks(ctx, dir, false)
	if err != nil {
		return nil, err
	}
	above = slices.DeleteFunc(above, func(l backend.Lock) bool { return l.Infinite || !l.Key.Same(dir) })
	if len(above) > 0 && p.ifNew {
		if _, err := q.lib.Stat(ctx, p.key); err == nil {
			return locks, nil
		} else if !missing(err) {
			return nil, err
		}
	}
	return append(locks, above...), nil
}

// holds evaluates one list of the If header (RFC 4918 §10.4.3, §10.4.4).
func (q *request) holds(ctx context.Context, l ifList) (bool, error) {
	key := q.key
	if l.tag != "" {
		var err error
		if key, err = q.parsePath(l.tag); err != nil {
			return false, nil // not a resource of ours: nothing is true of it
		}
	}
	var locks []backend.Lock
	var entry *backend.Entry
	var asked, stated bool
	for _, c := range l.conditions {
		match := false
		if c.token != "" {
			if !asked {
				var err error
				if locks, err = q.lib.Locks(ctx, key, false); err != nil {
					return false, err
				}
				asked = true
			}
			match = slices.ContainsFunc(locks, func(k backend.Lock) bool { return k.Token == c.token })
		} else {
			if !stated {
				e, err := q.lib.Stat(ctx, key)
				if err != nil && !missing(err) {
					return false, err
				} else if err == nil {
					entry = e
				}
				stated = true
			}
			match = entry != nil && q.etag(entry) == c.etag
		}
		if match == c.not {
			return false, nil
		}
	}
	return true, nil
}

// neverETag is in IfMatch what no entry's ETag equals.
const neverETag = "\x00"

// conditions reads the conditional headers of a request that changes something
// (RFC 9110 §13.1).
func conditions(h http.Header) (c backend.Conditions) {
	if v := h.Values("If-Match"); len(v) > 0 {
		// Strong comparison; a malformed or weak tag matches nothing.
		if c.IfMatch = parseETags(strings.Join(v, ","), false); len(c.IfMatch) == 0 {
			c.IfMatch = []string{neverETag}
		}
	} else if t, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil {
		c.Confirm = func(e *backend.Entry) error {
			if e != nil && e.Modified.Truncate(time.Second).After(t) {
				return backend.ErrPrecondition
			}
			return nil
		}
	}
	if v := h.Values("If-None-Match"); len(v) > 0 {
		// Joplin sends "If-None-Match: JoplinIgnore-1234" with everything: no tag of ours.
		c.IfNoneMatch = parseETags(strings.Join(v, ","), true)
	}
	return c
}

// parseETags reads a list of entity tags, "*" among them, leaving out what is
// malformed, and what is weak unless weak tags count.
func parseETags(s string, weak bool) (tags []string) {
	for len(tags) < 100 {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			break
		}
		if s[0] == '*' {
			tags = append(tags, "*")
			s = s[1:]
			continue
		}
		isWeak := strings.HasPrefix(s, "W/")
		if q := strings.TrimPrefix(s, "W/"); strings.HasPrefix(q, `"`) {
			if tag, rest, ok := strings.Cut(q[1:], `"`); ok {
				if weak || !isWeak {
					tags = append(tags, tag)
				}
				s = rest
				continue
			}
		}
		_, s, _ = strings.Cut(s, ",")
	}
	return tags
}

// check holds c against an entry (nil if there is none), for the requests that
// have no commit.
func check(c backend.Conditions, e *backend.Entry) error {
	match := func(tags []string) bool {
		return e != nil && (slices.Contains(tags, "*") || slices.Contains(tags, e.ETag))
	}
	if len(c.IfMatch) > 0 && !match(c.IfMatch) || match(c.IfNoneMatch) {
		return backend.ErrPrecondition
	}
	if c.Confirm != nil {
		return c.Confirm(e)
	}
	return nil
}

// commitContext is for what must be seen in a commit even if the client has gone.
func (q *request) commitContext() context.Context { return context.WithoutCancel(q.ctx) }
