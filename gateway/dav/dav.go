// Package dav is the WebDAV face of a Library (RFC 4918).
//
// golang.org/x/net/webdav serves it, unforked and never bare. Every request is
// vetted first: its path is made canonical, its conditions and locks are
// evaluated, and what the package gets wrong is refused or answered here. What
// is left goes to one webdav.Handler made for that request, whose FileSystem and
// LockSystem carry the request's record, so that they know who asks, for what,
// and with which conditions; and whose answer is corrected by what the record
// noted. The package serves GET, HEAD, PUT, MKCOL, DELETE, COPY, MOVE and UNLOCK.
// PROPFIND, PROPPATCH, LOCK and OPTIONS are answered by us: see propfind.go,
// proppatch.go and lock.go for why.
//
//	path.go       the canonical path, and the Destination header
//	record.go     the request's record, and the way through the package
//	guard.go      If (ifheader.go), If-Match and the rest, locks
//	fs.go         the FileSystem and LockSystem for the package
//	put.go …      what is vetted for each method
//	uploads.go    uploads in chunks, as Nextcloud's clients send large files
//	answer.go     errors as WebDAV clients read them
package dav

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// Options adjusts a handler. The zero value, and nil, are ready for use.
type Options struct {
	// Prefix is the path below which the libraries are; "" means "/dav". In it,
	// "{login}" stands for the login of who asks ("/remote.php/dav/files/{login}").
	Prefix string
	// Alias gives names at the top that no library can have, and where they are: the
	// folder "InstantUpload", which Nextcloud's app fills unless told otherwise.
	Alias  map[string]backend.Key
	Logger *slog.Logger     // nil means slog.DiscardHandler
	Now    func() time.Time // nil means time.Now
	// Hosts are further names this server is known by, for the Destination header.
	// Without any, every host is taken for ours, since a proxy in front may rename
	// us; the path decides.
	Hosts []string
	// MaxXML is the longest XML body, in bytes; 0 means 64 KiB.
	MaxXML int64
	// DepthInfinityLimit is how many entries a PROPFIND with Depth: infinity may
	// list; 0 means 50,000, < 0 means none.
	DepthInfinityLimit int
	// Idle is how long a client may pause in the middle of a body, either way;
	// 0 means one minute.
	Idle time.Duration
	// Free says how many bytes the storage can still take, for users without a
	// quota; nil means a pebibyte, for S3 has no end.
	Free func() (uint64, error)
}

type handler struct {
	b      *backend.Backend
	opt    Options
	prefix string // without a slash at its end
	log    *slog.Logger
}

// New returns the WebDAV face of b. It stands behind authentication: a request
// without a Principal in its context is refused. It must be reached with the
// path as the client sent it, not by way of http.ServeMux, which would clean it.
func New(b *backend.Backend, opt *Options) http.Handler {
	h := &handler{b: b}
	if opt != nil {
		h.opt = *opt
	}
	o := &h.opt
	if o.Prefix == "" {
		o.Prefix = "/dav"
	}
	h.prefix = strings.TrimRight(o.Prefix, "/")
	if h.log = o.Logger; h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxXML == 0 {
		o.MaxXML = 64 << 10
	}
	if o.DepthInfinityLimit == 0 {
		o.DepthInfinityLimit = 50_000
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{handler: h, ctx: r.Context(), r: r, principal: auth.From(r.Context())}
	q.w = &answer{ResponseWriter: w, control: http.NewResponseController(w), idle: h.opt.Idle}
	if err := q.serve(); err != nil {
		q.fail(err)
	}
	q.w.done()
}

const allow = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"

// methods says how each is answered.
var methods = map[string]func(*request) error{
	"GET":       (*request).get,
	"HEAD":      (*request).get,
	"PUT":       (*request).put,
	"PATCH":     (*request).patch,
	"DELETE":    (*request).delete,
	"MKCOL":     (*request).mkcol,
	"COPY":      (*request).copyOrMove,
	"MOVE":      (*request).copyOrMove,
	"PROPFIND":  (*request).propfind,
	"PROPPATCH": (*request).proppatch,
	"LOCK":      (*request).lock,
	"UNLOCK":    (*request).unlock,
}
