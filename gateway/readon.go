package gateway

import (
	"io"
	"net/http"
	"time"
)

const (
	readOnBytes = 64 << 20
	readOnTime  = 30 * time.Second
)

// readOn sends a refusal and then reads on for a while (RFC 9112 §9.6). If the
// connection were closed with the body half-read it would be reset, and a proxy in
// front would tell the client 502, not what was wrong. net/http does that for small
// bodies, and not where the proxy asked for Connection: close, as nginx does.
func (w *response) readOn(r *http.Request, in *body) {
	switch {
	case w.status < 400, r.ProtoMajor != 1, r.ContentLength == 0, in.ReadCloser == nil:
		return
	case r.Header.Get("Expect") != "" && in.n.Load() == 0:
		return // it waits to be told, and sends nothing
	}
	w.Flush()
	ctl := http.NewResponseController(w)
	ctl.SetReadDeadline(time.Now().Add(readOnTime))
	io.CopyN(io.Discard, in.ReadCloser, readOnBytes)
	ctl.SetReadDeadline(time.Time{})
}
