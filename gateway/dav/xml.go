package dav

import (
	"bytes"
	"encoding/xml"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	xmlType   = "application/xml; charset=utf-8"
	xmlHeader = `<?xml version="1.0" encoding="utf-8"?>` + "\n"

	nsDAV       = "DAV:"
	nsOwnCloud  = "http://owncloud.org/ns"
	nsNextcloud = "http://nextcloud.org/ns"
	nsMicrosoft = "urn:schemas-microsoft-com:"
	nsXML       = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS     = "http://www.w3.org/2000/xmlns/"

	maxXMLDepth = 32
	maxXMLAttrs = 32 // of one element
)

// An element of a request's body, with its namespaces resolved.
type element struct {
	name  xml.Name
	attrs []xml.Attr // without namespace declarations
	lang  string     // xml:lang that holds here, inherited or its own
	nodes []node
}

// A node is an element, or text if that is nil.
type node struct {
	*element
	text string
}

var errXML = refuse(http.StatusBadRequest, "The body is not well-formed XML, or is more than a client has reason to send.")

// readXML reads a request's body; nil if it is empty. What it takes is bounded in
// length, depth and attributes, has no DTD, and is namespace-well-formed (Namespaces
// in XML 1.0, §7). encoding/xml would let pass what is not, and recurses; and a dead
// property that is not would make every listing with it one that no client can read.
func (q *request) readXML() (*element, error) {
	limit := q.opt.MaxXML
	data, err := io.ReadAll(io.LimitReader(&body{rc: q.r.Body, w: q.w}, limit+1))
	switch {
	case err != nil:
		return nil, errXML
	case int64(len(data)) > limit:
		return nil, refuse(http.StatusRequestEntityTooLarge, "The body is longer than is allowed here.")
	case len(bytes.TrimSpace(data)) == 0:
		return nil, nil
	}
	if t := q.r.Header.Get("Content-Type"); t != "" {
		if _, p, err := mime.ParseMediaType(t); err == nil && p["charset"] != "" && !strings.EqualFold(p["charset"], "utf-8") && !strings.EqualFold(p["charset"], "us-ascii") {
			return nil, refuse(http.StatusUnsupportedMediaType, "Send XML in UTF-8.")
		}
	}
	return parseXML(data)
}

type binding struct{ prefix, space string }

func parseXML(data []byte) (*element, error) {
	type open struct {
		*element
		raw      xml.Name
		bindings int
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	bound := []binding{{"xml", nsXML}, {"", ""}}
	resolve := func(prefix string, isAttr bool) (string, bool) {
		if isAttr && prefix == "" {
			return "", true // the default namespace is not an attribute's
		}
		for i := len(bound) - 1; i >= 0; i-- {
			if bound[i].prefix == prefix {
				return bound[i].space, true
			}
		}
		return "", false
	}
	var root *element
	var stack []open
	for {
		t, err := d.RawToken()
		if err == io.EOF && root != nil && len(stack) == 0 {
			return root, nil
		}
		if err != nil {
			return nil, errXML
		}
		switch t := t.(type) {
		case xml.Directive:
			return nil, errXML // <!DOCTYPE …>
		case xml.CharData:
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.nodes = append(top.nodes, node{text: string(t)})
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, errXML
			}
		case xml.StartElement:
			if len(stack) == maxXMLDepth || len(t.Attr) > maxXMLAttrs || len(stack) == 0 && root != nil || !wellNamed(&t) {
				return nil, errXML
			}
			o := open{element: new(element), raw: t.Name, bindings: len(bound)}
			if len(stack) > 0 {
				o.lang = stack[len(stack)-1].lang
			}
			for _, a := range t.Attr {
				switch {
				case a.Name.Space == "xmlns":
					if a.Value == "" || a.Name.Local == "xmlns" || a.Value == nsXMLNS || (a.Name.Local == "xml") != (a.Value == nsXML) {
						return nil, errXML
					}
					bound = append(bound, binding{a.Name.Local, a.Value})
				case a.Name.Space == "" && a.Name.Local == "xmlns":
					if a.Value == nsXML || a.Value == nsXMLNS {
						return nil, errXML
					}
					bound = append(bound, binding{"", a.Value})
				}
			}
			var ok bool
			if o.name.Space, ok = resolve(t.Name.Space, false); !ok || o.name.Space == nsXML {
				return nil, errXML // xml: has attributes only
			}
			o.name.Local = t.Name.Local
			for _, a := range t.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					continue
				}
				if a.Name.Space, ok = resolve(a.Name.Space, true); !ok || hasAttr(o.attrs, a.Name) {
					return nil, errXML
				}
				if a.Name.Space == nsXML && a.Name.Local == "lang" {
					o.lang = a.Value
				}
				o.attrs = append(o.attrs, a)
			}
			if len(stack) == 0 {
				root = o.element
			} else {
				top := stack[len(stack)-1]
				top.nodes = append(top.nodes, node{element: o.element})
			}
			stack = append(stack, o)
		case xml.EndElement:
			if len(stack) == 0 || stack[len(stack)-1].raw != t.Name {
				return nil, errXML
			}
			bound = bound[:stack[len(stack)-1].bindings]
			stack = stack[:len(stack)-1]
		}
	}
}

// wellNamed says whether an element's name and those of its attributes are qualified names,
// and none of the latter stands there twice.
func wellNamed(e *xml.StartElement) bool {
	if !isQName(e.Name) {
		return false
	}
	for i, a := range e.Attr {
		if !isQName(a.Name) || hasAttr(e.Attr[:i], a.Name) {
			return false
		}
	}
	return true
}

func hasAttr(attrs []xml.Attr, name xml.Name) bool {
	for i := range attrs {
		if attrs[i].Name == name {
			return true
		}
	}
	return false
}

// isQName says whether a name that encoding/xml has split at its colon is one of a prefix,
// if it has any, and a local part: it only looks whether the whole may be a name.
func isQName(n xml.Name) bool {
	begins := func(s string) bool {
		r, _ := utf8.DecodeRuneInString(s)
		return !strings.Contains(s, ":") && (r == '_' || unicode.IsLetter(r) && !unicode.Is(unicode.Lm, r))
	}
	return begins(n.Local) && (n.Space == "" || begins(n.Space))
}

func dav(local string) xml.Name { return xml.Name{Space: nsDAV, Local: local} }

// child is the first element within e called name, or nil.
func (e *element) child(name xml.Name) *element {
	for _, n := range e.nodes {
		if n.element != nil && n.name == name {
			return n.element
		}
	}
	return nil
}

// elements are the elements within e.
func (e *element) elements() (all []*element) {
	for _, n := range e.nodes {
		if n.element != nil {
			all = append(all, n.element)
		}
	}
	return all
}

// text is all text within e, without its elements.
func (e *element) text() string {
	var b strings.Builder
	for _, n := range e.nodes {
		if n.element == nil {
			b.WriteString(n.text)
		}
	}
	return strings.TrimSpace(b.String())
}

// appendInner encodes what is within e so that it means the same wherever no
// default namespace holds: every element says its own. Those of DAV: get a prefix,
// for Windows is deaf to a default namespace.
func (e *element) appendInner(dst []byte) []byte { return e.appendNodes(dst, "", false) }

// appendNodes is appendInner where space is the default namespace, and the prefix D
// is bound or not.
func (e *element) appendNodes(dst []byte, space string, bound bool) []byte {
	for _, n := range e.nodes {
		if n.element == nil {
			dst = appendText(dst, n.text)
			continue
		}
		inner, isDAV, name := space, n.name.Space == nsDAV, n.name.Local
		if isDAV {
			name = "D:" + name
		}
		dst = append(dst, '<')
		dst = append(dst, name...)
		switch {
		case isDAV && !bound:
			dst = append(dst, ` xmlns:D="DAV:"`...)
		case !isDAV && n.name.Space != space:
			inner = n.name.Space
			dst = append(dst, ` xmlns="`...)
			dst = appendAttr(dst, inner)
			dst = append(dst, '"')
		}
		for i, a := range n.attrs {
			dst = append(dst, ' ')
			switch a.Name.Space {
			case "":
			case nsXML:
				dst = append(dst, "xml:"...)
			default:
				prefix := "a" + strconv.Itoa(i)
				dst = append(dst, "xmlns:"+prefix+`="`...)
				dst = appendAttr(dst, a.Name.Space)
				dst = append(dst, `" `+prefix+":"...)
			}
			dst = append(dst, a.Name.Local...)
			dst = append(dst, `="`...)
			dst = appendAttr(dst, a.Value)
			dst = append(dst, '"')
		}
		if len(n.nodes) == 0 {
			dst = append(dst, "/>"...)
			continue
		}
		dst = append(dst, '>')
		dst = n.appendNodes(dst, inner, bound || isDAV)
		dst = append(dst, "</"...)
		dst = append(dst, name...)
		dst = append(dst, '>')
	}
	return dst
}

// appendText appends s as character data. What XML 1.0 cannot carry (§2.2)
// becomes U+FFFD; the href has it still.
func appendText(dst []byte, s string) []byte { return appendEscaped(dst, s, false) }

// appendAttr appends s as the value of an attribute in double quotes.
func appendAttr(dst []byte, s string) []byte { return appendEscaped(dst, s, true) }

func appendEscaped(dst []byte, s string, attr bool) []byte {
	last := 0
	for i := 0; i < len(s); {
		c := s[i]
		esc, n := "", 1
		switch {
		case c == '&':
			esc = "&amp;"
		case c == '<':
			esc = "&lt;"
		case c == '>':
			esc = "&gt;"
		case c == '"' && attr:
			esc = "&quot;"
		case c == '\n' && attr:
			esc = "&#xA;"
		case c == '\t' && attr:
			esc = "&#x9;"
		case c == '\r':
			esc = "&#xD;"
		case c < ' ' && c != '\n' && c != '\t':
			esc = "\uFFFD"
		case c >= utf8.RuneSelf:
			var r rune
			r, n = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 || r == 0xFFFE || r == 0xFFFF {
				esc = "\uFFFD"
			}
		}
		if esc != "" {
			dst = append(dst, s[last:i]...)
			dst = append(dst, esc...)
			last = i + n
		}
		i += n
	}
	return append(dst, s[last:]...)
}
