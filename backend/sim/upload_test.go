package sim

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// big is a part that the bucket takes before the last. It is of no picture, so that nobody
// reads it more often than it must be.
var big = "text " + strings.Repeat("\x00", object.MinPart)

// anyPart is a body. In a few histories it is sometimes a large one: that takes the time
// of several others.
func (c *client) anyPart() string {
	if c.large && c.chance(400) {
		return big
	}
	return c.anyBody()
}

func hexMD5(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// An upload is what the client knows of one.
type upload struct {
	id, key string
	parents bool
	parts   map[int]string
	loose   bool // its parts may be lost, or other than the client thinks
}

// multipart does something about uploads.
func (c *client) multipart() {
	if len(c.uploads) == 0 || c.chance(200) {
		c.beginUpload()
		return
	}
	u := pick(c, c.uploads)
	switch n := c.rng.IntN(12); {
	case n < 3 || len(u.parts) == 0:
		c.sendPart(u)
	case n < 4:
		c.listParts(u)
	case n < 11:
		c.completeParts(u)
	default:
		u.loose = true
		c.do(&op{kind: "abort", id: c.id(), dst: u.key, upload: u.id})
	}
}

func (c *client) beginUpload() {
	u := &upload{key: pick(c, dirs) + "/" + pick(c, names), parents: c.chance(700), parts: map[int]string{}}
	u.key = strings.TrimPrefix(u.key, "/")
	c.began = true
	l, err := c.open(c.ctx(), backend.Access{})
	var made *backend.Upload
	if err == nil {
		made, err = l.CreateUpload(c.ctx(), c.key(u.key), &backend.PutOptions{MakeParents: u.parents, Modified: c.w.start})
	}
	c.w.log(c.name, "upload to %s: %s", u.key, outcome(err))
	switch c.verdict(err) {
	case nil:
		u.id = made.ID
		c.uploads = append(c.uploads, u)
		for range 1 + c.rng.IntN(2) {
			c.sendPart(u)
		}
	case errUnknown:
		c.leaked++
	}
}

// part is a body as it is sent: seldom as it should not be, or where there is no room.
func (c *client) part(body string) *op {
	o := &op{kind: "part", body: body}
	switch n := c.rng.IntN(20); {
	case n == 0:
		o.broken, o.bad = "wrong", backend.ErrChecksum
	case n == 1:
		o.broken, o.bad = "short", backend.ErrIncomplete
	case n == 2:
		o.tight()
		if o.quota != nil {
			o.bad = backend.ErrQuota
		}
	}
	return o
}

// instead makes o take the place of a part that was sent before, whose room it has.
func (o *op) instead(before string, known bool) {
	if o.quota != nil && (!known || len(o.body) <= len(before)) {
		o.quota, o.bad = nil, nil
	}
}

func (o *op) room() backend.Access {
	if o.quota == nil {
		return backend.Access{}
	}
	return backend.Access{Quota: o.quota.Quota}
}

func (c *client) sendPart(u *upload) {
	c.notice()
	o, number := c.part(c.anyPart()), 1+c.rng.IntN(3)
	o.instead(u.parts[number], !u.loose)
	l, err := c.open(c.ctx(), o.room())
	var p backend.Part
	if err == nil {
		r, size, sums := o.reader()
		p, err = l.PutPart(c.ctx(), u.id, number, r, size, sums, nil)
	}
	c.w.log(c.name, "part %d of %.6s %q %s: %s", number, u.id, short(o.body), o.broken, outcome(err))
	switch v := c.verdict(err); v {
	case nil:
		if p.ETag != hexMD5(o.body) || o.bad != nil {
			c.w.fail(c.name, "part has the etag of something else, or should give %v", o.bad)
		}
		u.parts[number] = o.body
	case errUnknown:
		u.loose = true
	case backend.ErrNoUpload:
		c.ended(u.id, u.loose)
		c.uploads = slices.DeleteFunc(c.uploads, func(o *upload) bool { return o == u })
	default:
		if v != o.bad {
			c.w.fail(c.name, "part: %v, want %v", err, o.bad)
		}
	}
}

// ended notes that an upload is not under way any more.
func (c *client) ended(id string, loose bool) {
	c.keep("the upload is gone", func(g guess) (guess, error) {
		if _, ended := g.uploads[id]; !ended && !loose {
			return g, fmt.Errorf("it is under way")
		}
		return g, nil
	})
}

func (c *client) listParts(u *upload) {
	l, err := c.open(c.ctx(), backend.Access{})
	var have []string
	for after, more := 0, true; more && err == nil; {
		var page []backend.Part
		page, more, err = l.Parts(c.ctx(), u.id, after, 1)
		for _, p := range page {
			have = append(have, fmt.Sprint(p.Number, p.Size, p.ETag))
			after = p.Number
		}
		more = more && len(page) > 0
	}
	v := c.verdict(err)
	if v == backend.ErrNoUpload {
		c.ended(u.id, u.loose)
		return
	}
	var want []string
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		want = append(want, fmt.Sprint(n, int64(len(u.parts[n])), hexMD5(u.parts[n])))
	}
	if !u.loose && v == nil && !slices.Equal(have, want) && !c.mayHaveEnded(u.id) {
		c.w.fail(c.name, "parts of %.6s are %q, want %q", u.id, have, want)
	}
}

// mayHaveEnded says whether the rows of an upload's parts may be gone.
func (c *client) mayHaveEnded(id string) bool {
	for _, g := range c.guesses {
		for _, e := range g.expand() {
			if _, ended := e.uploads[id]; ended {
				return true
			}
		}
	}
	return false
}

// completeParts makes a file of one part, or of several: seldom of such as can not be.
func (c *client) completeParts(u *upload) {
	o := &op{kind: "complete", id: c.id(), dst: u.key, upload: u.id, parents: u.parents, modified: c.w.start}
	numbers := slices.Sorted(maps.Keys(u.parts))
	if c.chance(700) && u.parts[numbers[0]] != big {
		i := c.rng.IntN(len(numbers))
		numbers = numbers[i : i+1]
	}
	switch c.rng.IntN(12) {
	case 0:
		slices.Reverse(numbers)
	case 1:
		numbers = append(numbers, 4) // there is none
	}
	o.plain = numbers[0] != 1
	var parts []string
	for i, n := range numbers {
		body, sent := u.parts[n]
		tag := hexMD5(body)
		if o.bad == nil && i > 0 && n < numbers[i-1] {
			o.bad = backend.ErrPartOrder
		}
		if !sent || c.chance(30) {
			tag = "00112233445566778899aabbccddeeff"
		}
		o.named = append(o.named, backend.CompletePart{Number: n, ETag: tag})
		parts = append(parts, body)
	}
	for i, n := range o.named {
		switch {
		case o.bad != nil:
		case n.ETag != hexMD5(parts[i]) || n.Number > 3:
			o.bad = backend.ErrPart
		case i < len(parts)-1 && len(parts[i]) < object.MinPart:
			o.bad = backend.ErrPartTooSmall
		}
	}
	o.body, o.tag = strings.Join(parts, ""), tagOf(parts)
	if c.chance(50) {
		o.tight()
	}
	c.complete(u, o)
}

// complete is do, for an upload that may have lost its parts on the way.
func (c *client) complete(u *upload, o *op) {
	ctx, begin := c.ctx(), c.w.now()
	e, _, err := c.send(ctx, o)
	c.w.log(c.name, "%v: %s", o, outcome(err))
	v := c.verdict(err)
	if u.loose && (v == backend.ErrPart || v == backend.ErrNoUpload) {
		return
	}
	switch v {
	case nil:
		c.w.done(o.what())
		c.keep(fmt.Sprintf("%v succeeded", o), func(g guess) (guess, error) {
			steps, err := g.apply(o)
			if err != nil {
				return g, fmt.Errorf("it must give: %v", err)
			}
			return guess{steps[0], g.late}, c.learn(g.state, steps[0], o, e, false, begin, c.w.now())
		})
	case errFenced:
		u.loose = true // its parts are one object already
	case errUnknown:
		u.loose = true
		c.locks = false
		for i := range c.guesses {
			g := &c.guesses[i]
			if g.late = append(slices.Clip(g.late), o); len(g.late) >= maxLate {
				c.rest = true
			}
		}
	default:
		u.loose = u.loose || v != o.bad // the same, if only the commit was refused
		c.keep(fmt.Sprintf("%v gave %v", o, v), func(g guess) (guess, error) {
			if _, want := g.apply(o); want != v {
				return g, fmt.Errorf("it must give: %v", want)
			}
			return g, nil
		})
	}
}

// A chunked is an upload in chunks, as Nextcloud's clients make them.
type chunked struct {
	id, key string
	opened  bool           // for certain
	chunks  map[int]string // by order
	unsure  map[int]bool   // these, or what was there before
	loose   bool           // may have been lost
}

// chunks does something about the upload in chunks, or begins one.
func (c *client) chunks() {
	u := c.chunked
	if u == nil {
		key := pick(c, dirs) + "/" + pick(c, names)
		c.chunked = &chunked{id: fmt.Sprint("nc-", c.id()), key: strings.TrimPrefix(key, "/"), chunks: map[int]string{}, unsure: map[int]bool{}}
		c.began = true
		c.openChunks()
		for range c.rng.IntN(4) {
			if u := c.chunked; u != nil && u.opened {
				c.sendChunk()
			}
		}
		return
	}
	switch n := c.rng.IntN(14); {
	case u.loose || n == 0:
		// Its clients give one up, and begin anew.
		if u.opened && c.chance(700) {
			c.do(&op{kind: "drop", id: c.id(), dst: u.key, upload: u.id})
		} else {
			c.leaked++
		}
		c.chunked = nil
	case !u.opened, n == 1 && !c.mayHaveEnded(u.id):
		c.openChunks()
	case n < 5 || len(u.unsure) > 0:
		c.sendChunk()
	case n < 6:
		c.listChunks()
	default:
		c.finishChunks()
	}
}

func (c *client) openChunks() {
	u := c.chunked
	l, err := c.open(c.ctx(), backend.Access{})
	if err == nil {
		key := backend.Key("")
		if c.chance(500) {
			key = c.key(u.key)
		}
		_, err = l.OpenChunked(c.ctx(), u.id, key, nil)
	}
	c.w.log(c.name, "open %s: %s", u.id, outcome(err))
	switch v := c.verdict(err); {
	case v == nil:
		if u.opened && !c.mayHaveEnded(u.id) {
			c.w.fail(c.name, "%s is opened twice", u.id)
		}
		if u.opened { // it is another
			c.chunked = nil
			c.leaked++
		}
		u.opened = true
	case v == backend.ErrExist:
		u.opened = true
	case v != errUnknown && v != errFenced:
		c.w.fail(c.name, "open: %v", err)
	}
}

func (c *client) sendChunk() {
	c.notice()
	u, order := c.chunked, c.rng.IntN(4)
	for n := range u.unsure {
		order = min(order, n)
	}
	o := c.part(c.anyPart())
	o.instead(u.chunks[order], !u.unsure[order])
	l, err := c.open(c.ctx(), o.room())
	var p backend.Part
	if err == nil {
		r, size, sums := o.reader()
		at := backend.ChunkPlace{Order: int64(order), Part: order + 1, Name: fmt.Sprint("chunk ", order)}
		p, err = l.PutChunk(c.ctx(), u.id, at, r, size, sums)
	}
	c.w.log(c.name, "chunk %d of %s %q %s: %s", order, u.id, short(o.body), o.broken, outcome(err))
	switch v := c.verdict(err); v {
	case nil:
		if p.ETag != hexMD5(o.body) || o.bad != nil {
			c.w.fail(c.name, "chunk has the etag of something else, or should give %v", o.bad)
		}
		u.chunks[order] = o.body
		delete(u.unsure, order)
	case errUnknown:
		u.unsure[order] = true
		u.loose = u.loose || o.body == big // it may come late
	case backend.ErrNoUpload:
		c.ended(u.id, u.loose)
		c.chunked = nil
	default:
		if v != o.bad {
			c.w.fail(c.name, "chunk: %v, want %v", err, o.bad)
		}
	}
}

// inOrder are the chunks, and what parts the bucket makes a file of: small ones that
// follow each other are one. whole says that all are small, and it is a file like others.
func (u *chunked) inOrder() (all, parts []string, whole bool) {
	joins := false
	whole = true
	for _, n := range slices.Sorted(maps.Keys(u.chunks)) {
		body := u.chunks[n]
		all = append(all, body)
		if joins && body != big {
			parts[len(parts)-1] += body
			continue
		}
		parts = append(parts, body)
		joins = body != big
		whole = whole && joins
	}
	return all, parts, whole
}

func (c *client) listChunks() {
	u := c.chunked
	l, err := c.open(c.ctx(), backend.Access{})
	var found []backend.Part
	if err == nil {
		found, err = l.Chunks(c.ctx(), u.id)
	}
	v := c.verdict(err)
	if v == backend.ErrNoUpload {
		c.ended(u.id, u.loose)
		return
	}
	if v != nil || c.mayHaveEnded(u.id) {
		return
	}
	var have []string
	for _, p := range found {
		have = append(have, p.ETag)
	}
	all, _, _ := u.inOrder()
	for i := range all {
		all[i] = hexMD5(all[i])
	}
	if !slices.Equal(have, all) {
		c.w.fail(c.name, "chunks of %s are %q, want %q", u.id, have, all)
	}
}

func (c *client) finishChunks() {
	u := c.chunked
	o := &op{kind: "finish", id: c.id(), dst: u.key, upload: u.id, modified: c.anyTime(), size: -1}
	all, parts, whole := u.inOrder()
	o.body = strings.Join(all, "")
	if !whole {
		o.tag = tagOf(parts)
	}
	switch n := c.rng.IntN(10); {
	case n < 6:
		o.size = int64(len(o.body))
	case n < 7:
		o.size = int64(len(o.body)) + 1
	}
	switch {
	case len(all) == 0 && o.size != 0:
		o.bad = backend.ErrPart
	case o.size > int64(len(o.body)):
		o.bad = backend.ErrIncomplete
	}
	for i, p := range parts {
		if len(p) < object.MinPart && i < len(parts)-1 && !whole {
			o.late = backend.ErrPartTooSmall
		}
	}
	o.cond = c.anyCond(o.dst)
	if c.chance(50) {
		o.tight()
	}
	c.do(o)
	if _, ended := c.guesses[0].uploads[u.id]; !whole && !ended {
		c.chunked = nil // its parts may be one object already
		c.leaked++
	}
}
