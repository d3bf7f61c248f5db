package dav

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	traceBody = 64 << 10 // bytes of a body that are written
	traceLine = 4 << 10  // bytes of a header
)

// A Trace writes down what clients ask and what they are told: methods, paths, headers
// and XML bodies, so that somebody whose client fails can send it to us. It leaves out
// what gives access: credentials, cookies and most of a lock token. It does hold the
// names of files, which people should know before they send it.
//
// It falls silent after Max bytes. It is safe for concurrent use.
type Trace struct {
	Now func() time.Time // nil means time.Now
	Max int64            // bytes; 0 means 64 MiB

	mu sync.Mutex
	w  io.Writer
	n  int64
}

// NewTrace returns a Trace that writes to w, one call a request.
func NewTrace(w io.Writer) *Trace { return &Trace{w: w} }

// Handler returns next, traced. It belongs before authentication. A nil Trace returns
// next itself.
func (t *Trace) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	now := t.Now
	if now == nil {
		now = time.Now
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := now()
		in := &tracedBody{ReadCloser: r.Body, keep: isXML(r.Header) || r.Header.Get("Content-Type") == "" && r.Method != "PUT"}
		out := &tracedAnswer{ResponseWriter: w}
		asked := r.Header.Clone()
		if r.Body != nil && r.Body != http.NoBody {
			r2 := *r
			r2.Body = in
			r = &r2
		}
		defer func() {
			var b bytes.Buffer
			fmt.Fprintf(&b, "=== %s, %v\n%s %s %s\n", start.UTC().Format("2006-01-02T15:04:05.000Z"), now().Sub(start).Round(time.Microsecond), traceMethod(r.Method), hideIn(shownURL(r.URL)), r.Proto)
			fmt.Fprintf(&b, "Host: %s\n", hideIn(r.Host))
			writeHeader(&b, asked)
			writeBody(&b, in.n, in.buf.Bytes())
			if out.code == 0 && out.n == 0 {
				out.code = http.StatusOK
			}
			fmt.Fprintf(&b, "--- %d\n", out.code)
			writeHeader(&b, w.Header())
			writeBody(&b, out.n, out.buf.Bytes())
			t.write(b.Bytes())
		}()
		next.ServeHTTP(out, r)
	})
}

func (t *Trace) write(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := t.Max
	if most == 0 {
		most = 64 << 20
	}
	if t.n > most {
		return
	}
	t.n += int64(len(p))
	t.w.Write(p)
	if t.n > most {
		io.WriteString(t.w, "=== that is enough: start anew to trace more\n")
	}
}

// traceMethod keeps line ends and the like out.
func traceMethod(m string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, m[:min(len(m), 40)])
}

// shownURL is the request's path, as sent; a query may hold anything, so only that there
// is one is told.
func shownURL(u *url.URL) string {
	s := u.EscapedPath()
	if u.RawQuery != "" {
		s += "?…"
	}
	return s
}

func isXML(h http.Header) bool {
	t, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return (t == "text/xml" || t == "application/xml" || strings.HasSuffix(t, "+xml")) && h.Get("Content-Encoding") == ""
}

var (
	// secretNames are headers whose values give access, in whatever words.
	secretNames = regexp.MustCompile(`(?i)auth|cookie|token|secret|passw|credential|signature|session|api-?key`)
	secrets     = []struct {
		find *regexp.Regexp
		put  string
	}{
		{regexp.MustCompile(`(?i)\b(basic|bearer|digest|negotiate|ntlm)\s+[^\s,<"]+`), "$1 (left out)"},
		{regexp.MustCompile(`\bsb_[A-Za-z0-9]{8,}_[A-Za-z0-9]+`), "sb_(left out)"},
		{regexp.MustCompile(`(?i)(://)[^/@\s<>"]+@`), "$1(left out)@"},
		{regexp.MustCompile(`(?i)(opaquelocktoken:|urn:uuid:)([0-9a-f]{4})[0-9a-f-]{8,}`), "$1$2…"},
	}
)

// hideIn takes out of any text what gives access.
func hideIn(s string) string {
	for _, x := range secrets {
		s = x.find.ReplaceAllString(s, x.put)
	}
	return s
}

func writeHeader(b *bytes.Buffer, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			if secretNames.MatchString(name) && name != "Lock-Token" && name != "Www-Authenticate" {
				v = "(left out)"
			}
			fmt.Fprintf(b, "%s: %s\n", name, hideIn(strings.Map(oneLine, v[:min(len(v), traceLine)])))
		}
	}
}

func oneLine(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

func writeBody(b *bytes.Buffer, n int64, text []byte) {
	switch {
	case n == 0:
	case len(text) == 0:
		fmt.Fprintf(b, "\n(%d bytes)\n", n)
	default:
		fmt.Fprintf(b, "\n%s\n", strings.TrimRight(hideIn(strings.ToValidUTF8(string(text), "�")), "\n"))
		if n > int64(len(text)) {
			fmt.Fprintf(b, "(%d bytes in all)\n", n)
		}
	}
}

type tracedBody struct {
	io.ReadCloser
	keep bool
	buf  bytes.Buffer
	n    int64
}

func (t *tracedBody) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.n += int64(n)
	if t.keep {
		t.buf.Write(p[:min(n, max(traceBody-t.buf.Len(), 0))])
	}
	return n, err
}

type tracedAnswer struct {
	http.ResponseWriter
	code int
	buf  bytes.Buffer
	n    int64
	keep bool
}

func (t *tracedAnswer) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *tracedAnswer) WriteHeader(code int) {
	if t.code == 0 && code >= 200 {
		t.code = code
		t.keep = isXML(t.Header()) || code >= 400 && t.Header().Get("Content-Encoding") == ""
	}
	t.ResponseWriter.WriteHeader(code)
}

func (t *tracedAnswer) Write(p []byte) (int, error) {
	if t.code == 0 {
		t.code = http.StatusOK
		t.keep = isXML(t.Header())
	}
	n, err := t.ResponseWriter.Write(p)
	t.n += int64(n)
	if t.keep {
		t.buf.Write(p[:min(n, max(traceBody-t.buf.Len(), 0))])
	}
	return n, err
}
