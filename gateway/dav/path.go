package dav

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

// root is the prefix for who asks, without a slash at its end.
func (q *request) root() string {
	if q.principal == nil {
		return q.prefix
	}
	return strings.Replace(q.prefix, "{login}", q.principal.Login, 1)
}

// parsePath makes a path, decoded once, a key. It is refused rather than
// cleaned: what is authorised must be what is done. One slash at the end is
// tolerated, on files too.
func (q *request) parsePath(path string) (backend.Key, error) {
	root := q.root()
	if path == root {
		return "", nil
	}
	rest, ok := strings.CutPrefix(path, root+"/")
	switch {
	case !ok:
		return "", errElsewhere
	case strings.HasPrefix(rest, "/"):
		return "", fmt.Errorf("%w: it has an empty segment (//)", backend.ErrKey)
	}
	key, err := backend.ParseKey(rest)
	if err != nil || len(q.opt.Alias) == 0 {
		return key, err
	}
	name, below := key.Library()
	if at, ok := q.opt.Alias[name]; ok {
		q.alias, key = name, at
		if below != "" {
			key = at + "/" + backend.Key(below)
		}
	}
	return key, nil
}

var errElsewhere = fmt.Errorf("%w: the path is not below this share", backend.ErrNotExist)

// parseDestination reads the Destination header (RFC 4918 §10.3): an absolute
// URI, or an absolute path.
func (q *request) parseDestination(header string) (backend.Key, error) {
	if header == "" {
		return "", refuse(http.StatusBadRequest, "There is no Destination header.")
	}
	u, err := url.Parse(header)
	if err != nil || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" || !strings.HasPrefix(u.Path, "/") {
		return "", refuse(http.StatusBadRequest, "The Destination header is not a URL, or has unescaped characters in it.")
	}
	if u.Host != "" && !q.isOurs(u.Host) {
		// RFC 4918 §9.8.5: 502 for a destination on another server.
		return "", refuse(http.StatusBadGateway, "The destination is on another server.")
	}
	key, err := q.parsePath(u.Path)
	if err == errElsewhere {
		return "", refuse(http.StatusBadGateway, "The destination is not on this share.")
	}
	return key, err
}

// isOurs says whether host may be a name of this server.
func (q *request) isOurs(host string) bool {
	return len(q.opt.Hosts) == 0 || strings.EqualFold(host, q.r.Host) ||
		strings.EqualFold(host, q.r.Header.Get("X-Forwarded-Host")) ||
		slices.ContainsFunc(q.opt.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// href is the URL path of an entry.
func (q *request) href(key backend.Key, dir bool) string {
	b := appendPath(nil, q.root())
	b = append(b, '/')
	if at := q.opt.Alias[q.alias]; q.alias != "" && (key == at || at.Contains(key)) {
		key = backend.Key(q.alias) + key[len(at):] // called back as the client called it
	}
	b = appendPath(b, string(key))
	if dir && key != "" {
		b = append(b, '/')
	}
	return string(b)
}

// pathSafe has the bytes that stand for themselves in a href: RFC 3986 pchar and
// the slash, without those that XML would have escaped again.
var pathSafe = func() (t [256]bool) {
	for c := range 256 {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c < 128 && strings.IndexByte("-._~!$()*+,;=:@/", byte(c)) >= 0
	}
	return t
}()

// appendPath appends s percent-encoded.
func appendPath(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; pathSafe[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}
