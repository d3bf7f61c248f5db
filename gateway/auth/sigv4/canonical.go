package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A pair is a parameter of the query, decoded.
type pair struct{ name, value string }

// parseQuery decodes a raw query. Unlike url.ParseQuery it keeps the order and
// knows no other separator than "&".
func parseQuery(raw string) ([]pair, error) {
	var query []pair
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, refuse("InvalidURI", "The query is not validly escaped.")
		}
		query = append(query, pair{n, v})
	}
	return query, nil
}

// canonicalQuery is the query sorted and escaped, without the signature.
func canonicalQuery(query []pair) string {
	escaped := make([]pair, 0, len(query))
	for _, p := range query {
		if p.name != "X-Amz-Signature" {
			escaped = append(escaped, pair{escape(p.name, false), escape(p.value, false)})
		}
	}
	slices.SortFunc(escaped, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range escaped {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name)
		b.WriteByte('=')
		b.WriteString(p.value)
	}
	return b.String()
}

// canonicalHeaders is the block of the signed headers and the list of their
// names. net/http keeps some headers outside of r.Header.
func canonicalHeaders(r *http.Request, signed []string) string {
	var b strings.Builder
	for _, name := range signed {
		b.WriteString(name)
		b.WriteByte(':')
		values := r.Header[http.CanonicalHeaderKey(name)]
		switch {
		case name == "host":
			values = []string{r.Host}
		case name == "content-length" && len(values) == 0 && r.ContentLength >= 0:
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		case name == "transfer-encoding" && len(values) == 0:
			values = r.TransferEncoding
		}
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(squeeze(v))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(signed, ";"))
	return b.String()
}

// squeeze trims s and makes one blank of each run of blanks.
func squeeze(s string) string {
	s = strings.Trim(s, " \t")
	if !strings.Contains(s, "  ") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if s[i] != ' ' || s[i-1] != ' ' {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// escape percent-encodes every byte but the unreserved ones of RFC 3986 §2.3
// and, in a path, the slash.
func escape(s string, path bool) string {
	const hexDigits = "0123456789ABCDEF"
	plain := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '.' || c == '_' || c == '~' || path && c == '/'
	}
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}
