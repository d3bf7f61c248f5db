package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	readOnBytes = 64 << 20
	readOnTime  = 30 * time.Second
)

// serve lets a face answer r, and sees to it that a client which is refused while it is
// still sending hears of that.
func (w *response) serve(face http.Handler, r *http.Request, in *body) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 || in.ReadCloser == nil {
		face.ServeHTTP(w, r)
		return
	}
	f := &refusing{ResponseWriter: w}
	face.ServeHTTP(f, r)
	f.release()
	w.readOn(r, in)
}

// readOn sends a refusal and then reads on for a while (RFC 9112 §9.6). If the
// connection were closed with the body half-read it would be reset, and a proxy in
// front would tell the client 502, not what was wrong. net/http does that for small
// bodies, and not where the proxy asked for Connection: close, as nginx does.
func (w *response) readOn(r *http.Request, in *body) {
	if w.status < 400 || r.Header.Get("Expect") != "" && in.n.Load() == 0 { // it waits to be told
		return
	}
	w.Flush()
	ctl := http.NewResponseController(w)
	ctl.SetReadDeadline(time.Now().Add(readOnTime))
	if _, err := io.CopyN(io.Discard, in.ReadCloser, readOnBytes); errors.Is(err, os.ErrDeadlineExceeded) {
		w.giveUp() // or net/http would read on where we stopped, without a deadline
		return
	}
	ctl.SetReadDeadline(time.Time{})
}

// A refusing holds back the body of a refusal whose length is not known, to tell it: the
// client must know where the answer ends before the connection does.
type refusing struct {
	http.ResponseWriter
	held []byte
	code int // of what is held, 0 if nothing is
	open bool
}

const maxHeld = 64 << 10

func (f *refusing) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func (f *refusing) WriteHeader(code int) {
	switch {
	case f.open || f.code != 0:
	case code >= 400 && f.Header().Get("Content-Length") == "":
		f.code = code
		return
	case code >= 200:
		f.open = true
	}
	if f.code == 0 {
		f.ResponseWriter.WriteHeader(code)
	}
}

func (f *refusing) Write(p []byte) (int, error) {
	if f.code != 0 {
		if len(f.held)+len(p) <= maxHeld {
			f.held = append(f.held, p...)
			return len(p), nil
		}
		if err := f.send(); err != nil {
			return 0, err
		}
	}
	f.open = true
	return f.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (f *refusing) Flush() {
	f.send()
	f.open = true
	http.NewResponseController(f.ResponseWriter).Flush()
}

// release sends what is held, with its length.
func (f *refusing) release() {
	if f.code != 0 {
		f.Header().Set("Content-Length", strconv.Itoa(len(f.held)))
		f.send()
	}
}

func (f *refusing) send() (err error) {
	if code := f.code; code != 0 {
		f.code, f.open = 0, true
		f.ResponseWriter.WriteHeader(code)
		if len(f.held) > 0 {
			_, err = f.ResponseWriter.Write(f.held)
		}
		f.held = nil
	}
	return err
}
