package dav

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/shoebox-photos/shoebox/backend"
)

// PROPFIND is answered here, not by the package. That opens every member up to
// three times and marshals by reflection; this makes one pass over Members,
// appending to a buffer, with the functions of the requested properties found
// once. The answer is streamed, so its length costs no memory.

const (
	multistatus = xmlHeader + `<D:multistatus xmlns:D="DAV:" xmlns:oc="` + nsOwnCloud + `" xmlns:nc="` + nsNextcloud + `">`
	maxColumns  = 256 // properties one PROPFIND may name
	flushAt     = 32 << 10
	gzipFrom    = 16 << 10 // bytes; smaller answers are sent as they are
)

// A tag is the name of a property, ready to be appended.
type tag struct{ open, close, empty string }

func newTag(n xml.Name) tag {
	name, attr := n.Local, ""
	switch n.Space {
	case "":
	case nsDAV:
		name = "D:" + name // Windows is deaf to a default namespace
	case nsOwnCloud:
		name = "oc:" + name
	case nsNextcloud:
		name = "nc:" + name
	default:
		name = "x:" + name
		attr = ` xmlns:x="` + string(appendAttr(nil, n.Space)) + `"`
	}
	return tag{"<" + name + attr + ">", "</" + name + ">", "<" + name + attr + "/>"}
}

// A column is one property of a listing.
type column struct {
	tag
	name  xml.Name
	value propFunc // nil if it can only be a dead property
}

// A listing is one PROPFIND under way.
type listing struct {
	*request
	out stream

	columns   []column
	namesOnly bool // propname
	allDead   bool // allprop, propname: dead properties too
	dead      bool // dead properties must be looked up
	minimal   bool // leave out what is not there (RFC 8144 §2.1, Brief)

	readOnly bool
	locks    []backend.Lock // on, above and below the request's path, if asked for
	usage    *backend.Usage
	free     int64

	missing []int // scratch: columns the entry has not
	href    []byte
	left    int // entries that Depth: infinity may still list
}

// parseDepth reads the Depth header of a PROPFIND; < 0 is infinity, which is also
// the default (RFC 4918 §9.1). "1,noroot" is of Microsoft's clients.
func parseDepth(s string) (int, error) {
	s, _, _ = strings.Cut(strings.ToLower(s), ",")
	switch strings.TrimSpace(s) {
	case "0":
		return 0, nil
	case "1":
		return 1, nil
	case "", "infinity":
		return -1, nil
	}
	return 0, refuse(http.StatusBadRequest, "Depth is 0, 1 or infinity.")
}

func (q *request) propfind() error {
	depth, err := parseDepth(q.r.Header.Get("Depth"))
	if err != nil {
		return err
	}
	asked, err := q.readXML()
	if err != nil {
		return err
	}
	l := &listing{request: q, readOnly: q.principal.Access.Mode == backend.ReadOnly}
	if err := l.choose(asked); err != nil {
		return err
	}
	e, err := q.lookup()
	if err != nil {
		return err
	}
	if l.wants(dav("lockdiscovery")) {
		if l.locks, err = q.lib.Locks(q.ctx, q.key, depth != 0 && e.Dir); err != nil {
			return err
		}
	}
	if l.wants(dav("quota-available-bytes")) || l.wants(dav("quota-used-bytes")) || l.wants(xml.Name{Space: nsOwnCloud, Local: "size"}) {
		if err := l.quota(); err != nil {
			return err
		}
	}
	if depth < 0 && e.Dir && q.opt.DepthInfinityLimit >= 0 {
		l.left = q.opt.DepthInfinityLimit
		if err := l.count(q.key); err != nil {
			return err
		}
	}
	return l.send(e, depth)
}

var errTooDeep = &refusal{
	code: http.StatusForbidden, text: "That is too much for one answer. Ask with Depth: 1.",
	condition: "<D:propfind-finite-depth/>", // RFC 4918 §9.1.1
}

// count refuses, before anything is sent, what Depth: infinity may not list.
func (l *listing) count(dir backend.Key) error {
	for e, err := range l.lib.Members(l.ctx, dir) {
		if err != nil {
			return err
		}
		if l.left--; l.left < 0 {
			return errTooDeep
		}
		if e.Dir {
			if err := l.count(dir.Join(e.Name)); err != nil && !missing(err) {
				return err
			}
		}
	}
	return nil
}

// choose finds out what is asked for (RFC 4918 §14.20).
func (l *listing) choose(asked *element) error {
	prefer := strings.ToLower(l.r.Header.Get("Prefer"))
	l.minimal = strings.Contains(prefer, "return=minimal") || strings.EqualFold(l.r.Header.Get("Brief"), "t")
	if asked == nil {
		asked = &element{name: dav("propfind"), nodes: []node{{element: &element{name: dav("allprop")}}}}
	}
	if asked.name != dav("propfind") {
		return errXML
	}
	var names []*element
	prop, all, propname := asked.child(dav("prop")), asked.child(dav("allprop")), asked.child(dav("propname"))
	switch {
	case propname != nil && prop == nil && all == nil:
		l.namesOnly, l.allDead = true, true
		for _, p := range liveProps {
			l.add(p.name)
		}
	case all != nil && prop == nil && propname == nil:
		l.allDead, l.minimal = true, true
		windows := strings.HasPrefix(l.r.UserAgent(), "Microsoft-WebDAV")
		for _, p := range liveProps {
			// Windows takes a listing of up to 1,000,000 bytes; these two are half of it.
			if p.all && !(windows && (p.name.Local == "supportedlock" || p.name.Local == "lockdiscovery")) {
				l.add(p.name)
			}
		}
		if include := asked.child(dav("include")); include != nil {
			names = include.elements()
		}
	case prop != nil && all == nil && propname == nil:
		names = prop.elements()
	default:
		return errXML
	}
	for _, n := range names {
		if len(l.columns) >= maxColumns {
			return refuse(http.StatusBadRequest, fmt.Sprintf("At most %d properties can be asked for at once.", maxColumns))
		}
		l.add(n.name)
	}
	l.dead = l.dead || l.allDead
	return nil
}

func (l *listing) wants(name xml.Name) bool {
	for i := range l.columns {
		if l.columns[i].name == name {
			return !l.namesOnly
		}
	}
	return false
}

func (l *listing) add(name xml.Name) {
	for i := range l.columns {
		if l.columns[i].name == name {
			return
		}
	}
	c, live := liveColumns[name]
	if !live {
		c = column{tag: newTag(name), name: name}
		l.dead = true
	}
	l.columns = append(l.columns, c)
}

// quota looks up what the user has (RFC 4331).
func (l *listing) quota() error {
	u, err := l.lib.Usage(l.ctx)
	if err != nil {
		return err
	}
	l.usage, l.free = &u, 1<<50
	switch {
	case u.Quota > 0:
		l.free = max(u.Quota-u.Bytes, 0)
	case l.opt.Free != nil:
		if n, err := l.opt.Free(); err == nil {
			l.free = int64(min(n, 1<<62))
		}
	}
	return nil
}

// send writes the answer. An error after its beginning makes fail cut it off: an
// answer that ends well is whole.
func (l *listing) send(e *backend.Entry, depth int) error {
	l.out.open(l.request)
	defer l.out.close()
	l.out.buf = append(l.out.buf, multistatus...)
	l.href = append(l.href, l.request.href(l.key, e.Dir)...)
	if err := l.row(e); err != nil {
		return err
	}
	if e.Dir && depth != 0 {
		if err := l.members(l.key, depth); err != nil {
			return err
		}
	}
	l.out.buf = append(l.out.buf, "</D:multistatus>\n"...)
	return l.out.finish()
}

// members writes the members of dir, whose href is in l.href.
func (l *listing) members(dir backend.Key, depth int) error {
	base := len(l.href)
	for e, err := range l.lib.Members(l.ctx, dir) {
		if err != nil {
			return err
		}
		l.href = appendPath(l.href[:base], e.Name)
		if e.Dir {
			l.href = append(l.href, '/')
		}
		if err := l.row(e); err != nil {
			return err
		}
		if e.Dir && depth < 0 {
			// It may have been moved away meanwhile; then it is just not there.
			if err := l.members(dir.Join(e.Name), depth); err != nil && !missing(err) {
				return err
			}
		}
	}
	l.href = l.href[:base]
	if dir == "" && depth > 0 {
		return l.aliases()
	}
	return nil
}

// aliases writes what the root has under other names too. They are left out of
// Depth: infinity, where they have been already.
func (l *listing) aliases() error {
	base := len(l.href)
	for _, name := range slices.Sorted(maps.Keys(l.opt.Alias)) {
		e, err := l.lib.Stat(l.ctx, l.opt.Alias[name])
		if missing(err) || errors.Is(err, backend.ErrForbidden) {
			continue
		}
		if err != nil {
			return err
		}
		l.href = append(appendPath(l.href[:base], name), '/')
		if err := l.row(e); err != nil {
			return err
		}
	}
	l.href = l.href[:base]
	return nil
}

// row writes the response for one entry.
func (l *listing) row(e *backend.Entry) error {
	var dead []backend.Prop
	if l.dead && e.Props {
		var err error
		if dead, err = l.lib.Props(l.ctx, e); err != nil {
			return err
		}
	}
	b := append(l.out.buf, "<D:response><D:href>"...)
	b = append(b, l.href...)
	b = append(b, "</D:href><D:propstat><D:prop>"...)
	begin := len(b)
	l.missing = l.missing[:0]
	for i := range l.columns {
		c := &l.columns[i]
		if c.value == nil {
			if p := findProp(dead, c.name); p != nil {
				b = appendProp(b, c.tag, p)
			} else {
				l.missing = append(l.missing, i)
			}
			continue
		}
		mark := len(b)
		b = append(b, c.open...)
		inner := len(b)
		var ok bool
		switch b, ok = c.value(b, l, e); {
		case !ok:
			b = b[:mark]
			l.missing = append(l.missing, i)
		case l.namesOnly || len(b) == inner:
			b = append(b[:mark], c.empty...)
		default:
			b = append(b, c.close...)
		}
	}
	if l.allDead {
		for i := range dead {
			p := &dead[i]
			if l.has(p.Name) {
				continue
			}
			if t := newTag(p.Name); l.namesOnly {
				b = append(b, t.empty...)
			} else {
				b = appendProp(b, t, p)
			}
		}
	}
	const ok, notFound = "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>", "</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>"
	omit := l.minimal || l.namesOnly || len(l.missing) == 0
	if len(b) > begin || omit {
		b = append(b, ok...)
		if !omit {
			b = append(b, "<D:propstat><D:prop>"...)
		}
	}
	if !omit {
		for _, i := range l.missing {
			b = append(b, l.columns[i].empty...)
		}
		b = append(b, notFound...)
	}
	l.out.buf = append(b, "</D:response>\n"...)
	return l.out.room()
}

func (l *listing) has(name xml.Name) bool {
	for i := range l.columns {
		if l.columns[i].name == name {
			return true
		}
	}
	return false
}

func findProp(all []backend.Prop, name xml.Name) *backend.Prop {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

func appendProp(b []byte, t tag, p *backend.Prop) []byte {
	open := t.open
	if p.Lang != "" {
		open = open[:len(open)-1] + ` xml:lang="` + string(appendAttr(nil, p.Lang)) + `">`
	}
	b = append(b, open...)
	b = append(b, p.Inner...)
	return append(b, t.close...)
}

// A stream sends an answer of unknown length from a buffer of bounded length,
// compressed if it is long and the client takes that.
type stream struct {
	q   *request
	buf []byte
	box *[]byte
	gz  *gzip.Writer
	zip bool // the client takes gzip
}

var (
	buffers = sync.Pool{New: func() any { b := make([]byte, 0, flushAt+8<<10); return &b }}
	zippers = sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed); return z }}
)

func (s *stream) open(q *request) {
	s.q = q
	s.box = buffers.Get().(*[]byte)
	s.buf = (*s.box)[:0]
	for v := range strings.SplitSeq(strings.Join(q.r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(v, ";")
		weight = strings.ReplaceAll(weight, " ", "")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") && weight != "q=0" && weight != "q=0.0" {
			s.zip = true
		}
	}
}

// room sends the buffer once there is enough in it.
func (s *stream) room() error {
	if len(s.buf) < flushAt {
		return nil
	}
	return s.flush()
}

func (s *stream) flush() (err error) {
	if !s.q.w.begun {
		h := s.q.w.Header()
		h.Set("Content-Type", xmlType)
		h.Set("Vary", "Accept-Encoding")
		h.Set("Cache-Control", "private, no-cache")
		if s.zip && len(s.buf) >= gzipFrom {
			h.Set("Content-Encoding", "gzip")
			s.gz = zippers.Get().(*gzip.Writer)
			s.gz.Reset(s.q.w)
		}
		s.q.w.WriteHeader(http.StatusMultiStatus)
		s.q.w.begin()
	}
	if s.gz != nil {
		_, err = s.gz.Write(s.buf)
	} else {
		_, err = s.q.w.Write(s.buf)
	}
	s.buf = s.buf[:0]
	return err
}

// finish sends the rest, and the end.
func (s *stream) finish() error {
	err := s.flush()
	if err == nil && s.gz != nil {
		err = s.gz.Close()
	}
	return err
}

func (s *stream) close() {
	if s.gz != nil {
		s.gz.Reset(io.Discard)
		zippers.Put(s.gz)
	}
	if cap(s.buf) <= 4*flushAt {
		*s.box = s.buf
	}
	buffers.Put(s.box)
}
