package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
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
		ctx, principal := auth.Watch(withRequestID(r.Context(), id))
		r = r.WithContext(ctx)

		h := w.Header()
		h.Set("X-Request-Id", id) // faces that tell it to the client read it here
		h.Set("X-Content-Type-Options", "nosniff")
		if g.opt.IsSecure(r) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		out := &response{ResponseWriter: w, ctl: http.NewResponseController(w), stall: g.opt.WriteStall}
		in := &body{ReadCloser: r.Body, ctl: out.ctl, window: 60 * g.opt.MinRate}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = in
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
		next.ServeHTTP(out, r)
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
}

func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) Flush() { w.ctl.Flush() }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.ctl.SetWriteDeadline(time.Now().Add(w.stall)) // not every writer can; then there is no limit
}

func (w *response) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

// ReadFrom keeps the way open on which the kernel copies a file to the connection,
// a stretch at a time so that each has its own deadline.
func (w *response) ReadFrom(src io.Reader) (total int64, err error) {
	const stretch = 4 << 20
	for {
		w.begin()
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

// A body is a request's, with a limit from below on how fast it comes: in every
// minute there must be window bytes, or the rest of the body.
type body struct {
	io.ReadCloser
	ctl    *http.ResponseController
	window int64
	n      atomic.Int64
	got    int64     // in this window
	ends   time.Time // of this window; zero before the first and after the last
}

func (b *body) Read(p []byte) (int, error) {
	now := time.Now()
	if b.ends.IsZero() || b.got >= b.window {
		b.got, b.ends = 0, now.Add(time.Minute)
		b.ctl.SetReadDeadline(b.ends)
	} else if now.After(b.ends) { // a face has set a deadline of its own
		b.end()
		return 0, os.ErrDeadlineExceeded
	}
	n, err := b.ReadCloser.Read(p)
	b.got += int64(n)
	b.n.Add(int64(n))
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *body) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// end lifts the deadline: the server goes on reading, to see the client hang up.
func (b *body) end() {
	if !b.ends.IsZero() {
		b.ends, b.got = time.Time{}, 0
		b.ctl.SetReadDeadline(time.Time{})
	}
}
