// Package gateway is what stands between the network and the faces: listeners with
// limits, routes, and the middleware that every request passes (id, access
// line, panics, slow clients, security headers).
//
//	web listener   /dav/…      the WebDAV face
//	               /healthz    says whether we can serve
//	               /remote.php, /ocs, /index.php, /login/v2, /status.php
//	                           what Nextcloud's clients look for
//	               else        the page and its JSON API
//	S3 listener    everything  the S3 face
//
// The S3 face can be on the web listener too, under a host name of its own.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// Faces are the handlers behind the listeners. They authenticate for themselves.
type Faces struct {
	DAV  http.Handler // required; gets the whole path, from /dav on
	Page http.Handler // required
	S3   http.Handler // required
	// Nextcloud gets what that server's clients ask, with the whole path; nil means that
	// they find nothing.
	Nextcloud http.Handler
	// Health says why requests can not be served at the moment; nil means they
	// always can. It is asked by /healthz, which anybody can call, so it must be
	// cheap and its error is only logged.
	Health func(context.Context) error
}

// Options adjusts a Gateway. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger // nil means slog.DiscardHandler
	// ClientAddr is the address of a request's client, and IsSecure says whether the
	// client came by HTTPS: auth.Auth knows which proxies may say so. nil means as
	// the connection tells.
	ClientAddr func(*http.Request) netip.Addr
	IsSecure   func(*http.Request) bool
	// Follow calls end when the credential of p stops being good, so that what is under
	// way with it is cut off: auth.Auth does. nil means that it may go on to its end.
	Follow func(ctx context.Context, p *auth.Principal, end func(error)) (stop func())
	// S3Host, if not "", is the host name (lower case, without port) under which the web listener
	// serves S3, and below which each bucket has a name of its own.
	S3Host string
	// MinRate is how many bytes of body a second, as the mean of a minute, a client
	// must send to keep its request; 0 means 1,024.
	MinRate int64
	// WriteStall is how long a client may take nothing of an answer; 0 means 10 minutes.
	WriteStall time.Duration
	// Drain is how long requests under way may go on after Serve was told to stop; 0 means 10 seconds.
	Drain time.Duration
	// MaxConns is how many connections a listener serves at once; more wait to be
	// accepted. 0 means 16,384.
	MaxConns int
}

// A Gateway routes requests to the faces. It is safe for concurrent use.
type Gateway struct {
	faces Faces
	opt   Options
	log   *slog.Logger
}

// New returns a Gateway. It starts nothing: see Serve.
func New(f Faces, opt *Options) *Gateway {
	g := &Gateway{faces: f}
	if opt != nil {
		g.opt = *opt
	}
	if g.log = g.opt.Logger; g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.opt.ClientAddr == nil {
		g.opt.ClientAddr = func(r *http.Request) netip.Addr {
			peer, _ := netip.ParseAddrPort(r.RemoteAddr)
			return peer.Addr().Unmap()
		}
	}
	if g.opt.IsSecure == nil {
		g.opt.IsSecure = func(r *http.Request) bool { return r.TLS != nil }
	}
	if g.opt.MinRate == 0 {
		g.opt.MinRate = 1024
	}
	if g.opt.WriteStall == 0 {
		g.opt.WriteStall = 10 * time.Minute
	}
	if g.opt.Drain == 0 {
		g.opt.Drain = 10 * time.Second
	}
	if g.opt.MaxConns == 0 {
		g.opt.MaxConns = 16384
	}
	return g
}

// Web is the handler of the web listener.
func (g *Gateway) Web() http.Handler {
	dav := g.wrap("dav", g.faces.DAV)
	page := g.wrap("web", webHeaders(smallBodies(g.faces.Page)))
	var cloud, cloudDAV http.Handler
	if h := g.faces.Nextcloud; h != nil {
		cloud, cloudDAV = g.wrap("nextcloud", webHeaders(smallBodies(h))), g.wrap("dav", h)
	}
	health := g.wrap("health", http.HandlerFunc(g.health))
	s3 := g.S3()
	// Not a ServeMux: it answers a path with "//" or ".." in it by a redirect, and
	// WebDAV has to refuse it.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case g.opt.S3Host != "" && strings.HasSuffix("."+hostname(r.Host), "."+g.opt.S3Host):
			s3.ServeHTTP(w, r)
		case path == "/dav" || strings.HasPrefix(path, "/dav/"):
			dav.ServeHTTP(w, r)
		case cloud != nil && strings.HasPrefix(path, "/remote.php/"):
			cloudDAV.ServeHTTP(w, r)
		case cloud != nil && ofNextcloud(path):
			cloud.ServeHTTP(w, r)
		case path == "/healthz":
			health.ServeHTTP(w, r)
		default:
			page.ServeHTTP(w, r)
		}
	})
}

// ofNextcloud says whether a path is one of that server's, apart from its WebDAV.
func ofNextcloud(path string) bool {
	return path == "/status.php" || path == "/login/v2" || path == "/remote.php" || strings.HasPrefix(path, "/login/v2/") ||
		strings.HasPrefix(path, "/ocs/") || strings.HasPrefix(path, "/index.php/")
}

// S3 is the handler of the S3 listener.
func (g *Gateway) S3() http.Handler { return g.wrap("s3", g.faces.S3) }

func (g *Gateway) health(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if g.faces.Health != nil {
		if err := g.faces.Health(r.Context()); err != nil {
			g.log.WarnContext(r.Context(), "not healthy", "err", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte("not ready\n"))
			return
		}
	}
	w.Write([]byte("ok\n"))
}

// hostname is a Host header's name in lower case, without its port.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(host)
}

// webHeaders are set for everything in the page's origin; the page adds its own
// Content-Security-Policy.
func webHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// Not "no-referrer": with that a browser sends the page's own forms with
		// "Origin: null" over plain HTTP, and they would be refused as another site's.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		next.ServeHTTP(w, r)
	})
}

// maxBody is how much of a request's body the page's handlers can read, in bytes. They
// have limits of their own, which are smaller; one that forgot has this.
const maxBody = 1 << 20

// smallBodies limits the bodies of all requests but uploads.
func smallBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/upload" && r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}
