package dav

import (
	"net/url"
	"strings"
)

// An ifList is one list of an If header (RFC 4918 §10.4): it holds when all its
// conditions hold of the resource it is about. The header holds when one of its
// lists does.
type ifList struct {
	tag        string // path of the resource it is about, decoded; "" means the request's
	conditions []ifCondition
}

// An ifCondition asks for a state token (of a lock) or an ETag.
type ifCondition struct {
	not   bool
	token string // "" if it asks for an ETag
	etag  string // bare
}

const (
	maxIfLists      = 64
	maxIfConditions = 64 // in one list
)

// parseIf reads an If header. Tagged lists are told apart by path only: a proxy
// may have renamed the host. The header is wrong if ok is false.
func parseIf(s string) (lists []ifList, ok bool) {
	p := ifParser{s}
	tagged := false
	for first := true; ; first = false {
		p.space()
		if p.s == "" {
			return lists, len(lists) > 0
		}
		tag := ""
		if p.s[0] == '<' {
			if !first && !tagged {
				return nil, false // RFC 4918 §10.4.2: no mix of both
			}
			tagged = true
			uri, ok := p.between('<', '>')
			if !ok {
				return nil, false
			}
			u, err := url.Parse(uri)
			if err != nil || !strings.HasPrefix(u.Path, "/") {
				return nil, false
			}
			tag = u.Path
			p.space()
			if !strings.HasPrefix(p.s, "(") {
				return nil, false
			}
		} else if tagged {
			return nil, false
		}
		for strings.HasPrefix(p.s, "(") {
			l, ok := p.list()
			if !ok || len(lists) == maxIfLists {
				return nil, false
			}
			l.tag = tag
			lists = append(lists, l)
			p.space()
			if tag == "" {
				break
			}
		}
		if p.s != "" && p.s[0] != '<' && p.s[0] != '(' {
			return nil, false
		}
	}
}

type ifParser struct{ s string }

func (p *ifParser) space() { p.s = strings.TrimLeft(p.s, " \t\r\n") }

func (p *ifParser) between(open, end byte) (string, bool) {
	if p.s == "" || p.s[0] != open {
		return "", false
	}
	in, rest, ok := strings.Cut(p.s[1:], string(end))
	p.s = rest
	return in, ok && in != ""
}

func (p *ifParser) list() (l ifList, ok bool) {
	p.s = p.s[1:] // (
	for {
		p.space()
		var c ifCondition
		if len(p.s) >= 3 && strings.EqualFold(p.s[:3], "not") {
			c.not = true
			p.s = p.s[3:]
			p.space()
		}
		switch {
		case p.s == "" || len(l.conditions) == maxIfConditions:
			return l, false
		case p.s[0] == ')' && !c.not:
			p.s = p.s[1:]
			return l, len(l.conditions) > 0
		case p.s[0] == '<':
			if c.token, ok = p.between('<', '>'); !ok {
				return l, false
			}
		case p.s[0] == '[':
			if c.etag, ok = p.entityTag(); !ok {
				return l, false
			}
		default:
			return l, false
		}
		l.conditions = append(l.conditions, c)
	}
}

// entityTag reads ["tag"]; a weak one is compared by its tag.
func (p *ifParser) entityTag() (string, bool) {
	s := strings.TrimLeft(p.s[1:], " \t")
	s = strings.TrimPrefix(s, "W/")
	if !strings.HasPrefix(s, `"`) {
		return "", false
	}
	tag, rest, ok := strings.Cut(s[1:], `"`)
	rest = strings.TrimLeft(rest, " \t")
	if !ok || !strings.HasPrefix(rest, "]") {
		return "", false
	}
	p.s = rest[1:]
	return tag, true
}
