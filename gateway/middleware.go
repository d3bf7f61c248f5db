package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// wrap puts around a face what every request passes.
func (g *Gateway) wrap(face string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := rand.Text()[:16]
		ctx, cancel := context.WithCancelCause(withRequestID(r.Context(), id))
		defer cancel(nil)
		out := &response{ResponseWriter: w, ctl: http.NewResponseController(w), stall: g.opt.WriteStall, revoked: http.StatusUnauthorized}
		if face == "s3" {
			out.revoked = http.StatusForbidden // as AccessDenied
		}
		stop := func() {}
		defer func() { stop(); out.done() }()
		ctx, principal := auth.Watch(ctx, func(p *auth.Principal) {
			if g.opt.Follow != nil {
				stop = g.opt.Follow(ctx, p, func(why error) {
					cancel(why)
					out.cut(why)
				})
			}
		})
		r = r.WithContext(ctx)

		h := w.Header()
		h.Set("X-Request-Id", id) // faces that tell it to the client read it here
		h.Set("X-Content-Type-Options", "nosniff")
		if g.opt.IsSecure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			// net/http goes by the chunks where a length is given too, and does not tell. A
			// proxy in front that went by the length would take what follows for the next
			// request of somebody else: RFC 9112 §6.1 asks to hang up after such a request.
			h.Set("Connection", "close")
		}
		in := &body{ReadCloser: r.Body, out: out, window: 60 * g.opt.MinRate, stream: r.ProtoMajor > 1}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body, out.in = in, in
		}
		defer func() {
			fault := recover()
			if fault != nil && fault != http.ErrAbortHandler {
				g.log.ErrorContext(ctx, "request panicked", "op", face+" "+r.Method, "err", fault, "stack", string(debug.Stack()))
				if out.status == 0 {
					http.Error(out, "Something went wrong here. The log tells what, under the id "+id+".", http.StatusInternalServerError)
					fault = nil
				} else {
					fault = http.ErrAbortHandler // the client must not take it for a whole answer
				}
			}
			g.access(ctx, face, r, principal(), out, in, time.Since(start))
			if fault != nil {
				panic(fault)
			}
		}()
		out.serve(next, r, in)
		if r.Method != http.MethodGet && r.Method != "PROPFIND" {
			fail.Point("W7.answered")
		}
	})
}

// access writes the one line of a request. It has neither keys, nor the query, nor
// any header: those may hold what is private or secret.
func (g *Gateway) access(ctx context.Context, face string, r *http.Request, p *auth.Principal, out *response, in *body, dur time.Duration) {
	level := slog.LevelInfo
	if face == "health" {
		level = slog.LevelDebug
	}
	if !g.log.Enabled(ctx, level) {
		return
	}
	who := "-"
	if p != nil {
		who = p.Login + "/" + p.By()
	}
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	g.log.LogAttrs(context.WithoutCancel(ctx), level, "request",
		slog.String("op", face+" "+method(r.Method)),
		slog.String("principal", who),
		slog.String("addr", g.opt.ClientAddr(r).String()),
		slog.Int("status", status),
		slog.Int64("bytes", out.n),
		slog.Int64("in", in.n.Load()),
		slog.Duration("dur", dur.Round(10*time.Microsecond)))
}

// method keeps what a stranger may send as one out of the log.
func method(m string) string {
	if len(m) > 20 {
		return "?"
	}
	for i := range len(m) {
		if (m[i] < 'A' || m[i] > 'Z') && m[i] != '-' {
			return "?"
		}
	}
	return m
}

// A response counts what is sent, and gives up on a client that takes nothing.
type response struct {
	http.ResponseWriter
	ctl    *http.ResponseController
	stall  time.Duration
	status int
	n      int64

	in      *body // of the request, nil if it has none
	revoked int   // status if the credential was revoked before there was an answer
	mu      sync.Mutex
	why     error // set once the request is cut off
	begun   bool  // something is sent
	mute    bool  // it was answered in the face's place
	over    bool  // the connection belongs to the next request
	stalled bool  // the body came too slowly: nothing more of it is waited for
}

// long ago; a deadline at it ends reads and writes at once, those under way too.
var past = time.Unix(1, 0)

// cut ends the request, whatever it is doing, because of why.
func (w *response) cut(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.why = why
	w.ctl.SetReadDeadline(past)
	if w.begun {
		w.ctl.SetWriteDeadline(past) // half an answer must not be taken for a whole one
	}
}

// giveUp ends the wait for the request's body. net/http reads what is left of a short one
// before it answers; without a deadline that would be for ever.
func (w *response) giveUp() {
	w.mu.Lock()
	w.stalled = true
	w.mu.Unlock()
	w.SetReadDeadline(past)
	if w.status == 0 {
		w.Header().Set("Connection", "close")
	}
}

// leave is called before the answer begins. Before a refusal net/http reads what is left of a
// short body that was not read: for that there is leaveIn. (An answer that is none may be long,
// and a deadline that strikes after the body would end it.)
func (w *response) leave() {
	if w.in != nil && !w.in.over.Load() && w.status >= 400 {
		w.SetReadDeadline(time.Now().Add(leaveIn))
	}
}

const leaveIn = 10 * time.Second

// done is called at the end of the request.
func (w *response) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
}

// cutOff is why the request was cut off, nil if it was not.
func (w *response) cutOff() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// SetReadDeadline is for http.ResponseController. It does not bring back to life what
// was cut off.
func (w *response) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why != nil || w.stalled {
		t = past
	}
	return w.ctl.SetReadDeadline(t)
}

// SetWriteDeadline is for http.ResponseController, as SetReadDeadline.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why != nil && w.status < 400 && w.begun {
		t = past
	}
	return w.ctl.SetWriteDeadline(t)
}

func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) Flush() { w.ctl.Flush() }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		if status >= 400 && w.cutOff() != nil {
			// Whatever the face makes of it: this is why. What was done is told as it is.
			w.tellCut()
			return
		}
		w.status = status
		w.leave()
	}
	w.ResponseWriter.WriteHeader(status)
}

// tellCut answers that the request was cut off, in place of what the face says.
func (w *response) tellCut() {
	const text = "The app password or session was revoked while this was under way. What was not finished was not done."
	h := w.Header()
	clear(h)
	h.Set("Connection", "close")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	out := text
	if w.revoked == http.StatusForbidden {
		h.Set("Content-Type", "application/xml")
		out = xml.Header + "<Error><Code>AccessDenied</Code><Message>" + text + "</Message></Error>"
	}
	w.status, w.mute = w.revoked, true
	w.ResponseWriter.WriteHeader(w.revoked)
	n, _ := io.WriteString(w.ResponseWriter, out)
	w.n += int64(n)
}

// begin is called before something is sent. Nothing is sent to who was cut off but that
// they were.
func (w *response) begin() error {
	w.mu.Lock()
	w.begun = true
	w.mu.Unlock()
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if err := w.cutOff(); err != nil && w.status < 400 || w.mute {
		return cmp.Or(err, context.Canceled)
	}
	w.SetWriteDeadline(time.Now().Add(w.stall)) // not every writer can; then there is no limit
	return nil
}

func (w *response) Write(p []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

// ReadFrom keeps the way open on which the kernel copies a file to the connection,
// a stretch at a time so that each has its own deadline.
func (w *response) ReadFrom(src io.Reader) (total int64, err error) {
	const stretch = 4 << 20
	for {
		if err := w.begin(); err != nil {
			return total, err
		}
		n, err := io.CopyN(w.ResponseWriter, src, stretch)
		total += n
		w.n += n
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// A body is a request's, with a limit from below on how fast it comes: in every minute that is
// spent waiting for it there must be window bytes, or the rest of the body. What a face does
// between two reads does not count: a bucket behind a slow line may keep it waiting for long.
type body struct {
	io.ReadCloser
	out    *response
	window int64
	stream bool // of HTTP/2, where a deadline ends the body also while nobody reads
	n      atomic.Int64
	over   atomic.Bool   // it was read to its end, or can not be
	timed  bool          // between the first read and the last
	got    int64         // in this window
	left   time.Duration // of this window
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.out.cutOff(); err != nil {
		return 0, fmt.Errorf("%w: %w", context.Canceled, err)
	}
	if !b.timed || b.got >= b.window {
		b.timed, b.got, b.left = true, 0, time.Minute
	} else if b.left <= 0 {
		b.end()
		b.out.giveUp()
		return 0, os.ErrDeadlineExceeded
	}
	began := time.Now()
	b.out.SetReadDeadline(began.Add(b.left)) // in the place of one that the face has set
	n, err := b.ReadCloser.Read(p)
	b.left -= time.Since(began)
	b.got += int64(n)
	b.n.Add(int64(n))
	if err != nil {
		b.over.Store(true)
		b.end()
	} else if b.stream {
		b.out.SetReadDeadline(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.out.giveUp()
	}
	return n, ofClient(err)
}

// ofClient makes what net/http says of chunks that are none, or of a stream that its client
// has reset, something that faces know: the body is not whole. Else it would look like a
// fault of ours.
func ofClient(err error) error {
	var of net.Error
	switch {
	case err == nil, err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, http.ErrBodyReadAfterClose), errors.Is(err, context.Canceled), errors.As(err, &of):
		return err
	}
	return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
}

func (b *body) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// end lifts the deadline: the server goes on reading, to see the client hang up.
func (b *body) end() {
	if b.timed {
		b.timed = false
		b.out.SetReadDeadline(time.Time{})
	}
}
