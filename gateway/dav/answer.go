package dav

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/status"
)

// A refusal is an answer that only WebDAV gives. What the Library's errors mean
// is told by gateway/status.
type refusal struct {
	code      int
	text      string // a sentence for a person
	condition string // precondition code (RFC 4918 §16), as XML; may be ""
}

func (e *refusal) Error() string { return e.text }

func refuse(code int, text string) error { return &refusal{code: code, text: text} }

// A lockedError names the lock roots whose tokens are needed.
type lockedError struct {
	roots    []string // hrefs
	conflict bool     // a LOCK met another lock, rather than a write without its token
}

func (e *lockedError) Error() string { return backend.ErrLocked.Error() }
func (e *lockedError) Unwrap() error { return backend.ErrLocked }

// condition is RFC 4918 §16: lock-token-submitted, no-conflicting-lock.
func (e *lockedError) condition() string {
	name := "lock-token-submitted"
	if e.conflict {
		name = "no-conflicting-lock"
	}
	b := []byte("<D:" + name + ">")
	for _, href := range e.roots {
		b = append(b, "<D:href>"...)
		b = appendText(b, href)
		b = append(b, "</D:href>"...)
	}
	return string(append(b, "</D:"+name+">"...))
}

// answerTo is what the client is told of err.
func (q *request) answerTo(err error) (code int, text, condition string) {
	var r *refusal
	var l *lockedError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &r):
		return r.code, r.text, r.condition
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge, "The body is longer than is allowed here.", ""
	case errors.As(err, &l):
		a := status.Of(err)
		return a.Code, a.Text, l.condition()
	}
	a := status.Of(err)
	code = a.Code
	switch {
	case errors.Is(err, backend.ErrExist) && q.r.Method == "MKCOL":
		code = http.StatusMethodNotAllowed // RFC 4918 §9.3.1
	case errors.Is(err, backend.ErrNoLock) && q.r.Method == "LOCK":
		code = http.StatusPreconditionFailed // RFC 4918 §9.10.2
		condition = "<D:lock-token-matches-request-uri/>"
	case errors.Is(err, backend.ErrNoLock):
		condition = "<D:lock-token-matches-request-uri/>" // RFC 4918 §9.11.1
	case errors.Is(err, backend.ErrQuota):
		condition = "<D:quota-not-exceeded/>" // RFC 4331 §6
	case errors.Is(err, backend.ErrNoSpace):
		condition = "<D:sufficient-disk-space/>"
	}
	return code, a.Text, condition
}

// fail answers with err. If the answer has already begun, its end is cut off, so
// that no client takes it for whole.
func (q *request) fail(err error) {
	code, text, condition := q.answerTo(err)
	level := q.log.DebugContext
	switch {
	case code == http.StatusInternalServerError:
		level = q.log.ErrorContext
	case code == http.StatusServiceUnavailable || code == http.StatusInsufficientStorage:
		level = q.log.WarnContext
	}
	level(q.ctx, "webdav request refused", "op", q.r.Method, "principal", q.uid(), "key", q.key, "status", code, "err", err)
	if q.w.begun {
		panic(http.ErrAbortHandler)
	}
	q.w.code = 0 // of what would have been
	h := q.w.Header()
	for _, name := range []string{"ETag", "Last-Modified", "Content-Length", "Content-Range", "Accept-Ranges", "Content-Encoding"} {
		h.Del(name)
	}
	if code == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	if code == 499 {
		code = http.StatusRequestTimeout // nobody reads it
	}
	b := []byte(xmlHeader + `<D:error xmlns:D="DAV:" xmlns:s="http://sabredav.org/ns">` + condition + `<s:message>`)
	b = appendText(b, text)
	b = append(b, "</s:message></D:error>\n"...)
	h.Set("Content-Type", xmlType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	q.w.WriteHeader(code)
	if q.r.Method != "HEAD" {
		q.w.Write(b)
	}
}

func (q *request) uid() string {
	if q.principal == nil {
		return ""
	}
	return q.principal.UID
}

// answer is the ResponseWriter of a request. It sends the header no sooner than
// the first byte of the body is there: http.ServeContent writes the header before
// it reads, and a bucket that cannot be reached must be 503, not 200 with nothing.
// It also gives a client that stops reading only so long.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration

	code  int // that WriteHeader was given, 0 if none
	begun bool
	timed time.Time // when the write deadline was last moved
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
}

func (a *answer) begin() {
	if !a.begun {
		a.begun = true
		if a.code == 0 {
			a.code = http.StatusOK
		}
		a.ResponseWriter.WriteHeader(a.code)
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	if now := time.Now(); now.Sub(a.timed) > a.idle/8 {
		a.timed = now
		a.control.SetWriteDeadline(now.Add(a.idle)) // not every ResponseWriter can
	}
	return a.ResponseWriter.Write(p)
}

var copyBuffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// ReadFrom lets io.Copy send r in large pieces.
func (a *answer) ReadFrom(r io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[128 << 10]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{a}, struct{ io.Reader }{r}, buf[:])
}

// done sends what there is, and takes the deadline back, for the connection goes
// on to serve others.
func (a *answer) done() {
	if a.code != 0 {
		a.begin()
	}
	if !a.timed.IsZero() {
		a.control.SetWriteDeadline(time.Time{})
	}
}

// A body is a request's body with a deadline that moves on as bytes come in. It
// has no WriteTo, so that io.Copy asks our File's ReadFrom even if it is empty.
type body struct {
	rc    io.ReadCloser
	w     *answer
	timed time.Time
}

func (b *body) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.timed) > b.w.idle/8 {
		b.timed = now
		b.w.control.SetReadDeadline(now.Add(b.w.idle))
	}
	n, err := b.rc.Read(p)
	if err != nil {
		// While we commit, net/http reads ahead to see whether the client is still
		// there; a deadline that strikes then would look like its hanging up.
		b.w.control.SetReadDeadline(time.Time{})
		b.timed = time.Time{}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: %w", errSlow, err)
	}
	return n, err
}

var errSlow = refuse(http.StatusRequestTimeout, "The body came too slowly, or not at all for a while. Nothing was stored; send it again.")

func (b *body) Close() error { return b.rc.Close() }
