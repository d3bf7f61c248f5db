package dav

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/webdav"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// A request is the record of one request: what it asks, what was found out, and
// what came of it. It is used by one goroutine; ctx lives in it because neither
// webdav.File nor webdav.LockSystem is given one.
type request struct {
	*handler
	ctx       context.Context
	r         *http.Request
	w         *answer
	principal *auth.Principal
	lib       *backend.Library
	guard     guard

	key    backend.Key // of the request's URL, as the client spelled it
	alias  string      // of Options.Alias, by which the client called it; "" if it did not
	source *backend.Entry
	seen   bool // source was looked up; nil then means that there is none

	seq      uint64 // for ETags of collections
	numbered bool   // seq was looked up

	dst       backend.Key // COPY, MOVE
	overwrite bool
	shallow   bool
	putSize   int64              // PUT; < 0 means unknown
	putOpt    backend.PutOptions // PUT
	modified  time.Time          // X-OC-Mtime; zero if there is none
	cond      backend.Conditions // of the request's URL

	// What came of it.
	entry   *backend.Entry // that was made, or changed
	created bool
	err     error // the first that the package may have covered up
}

func (q *request) serve() error {
	if q.principal == nil {
		return refuse(http.StatusUnauthorized, "Log in with an app password.")
	}
	if q.r.Method == "OPTIONS" {
		return q.options() // Windows asks of any path, whether it is there or not
	}
	serve := methods[q.r.Method]
	if serve == nil {
		q.w.Header().Set("Allow", allow)
		return refuse(http.StatusMethodNotAllowed, "This method is not one of a network drive's.")
	}
	var err error
	if q.key, err = q.parsePath(q.r.URL.Path); err != nil {
		return err
	}
	if q.lib, err = q.b.Library(q.ctx, q.principal.UID, q.principal.Access); err != nil {
		return err
	}
	return serve(q)
}

// options answers without a look at the index: clients ask it before they have
// anything there.
func (q *request) options() error {
	h := q.w.Header()
	h.Set("Allow", allow)
	h.Set("DAV", "1, 2, 3")
	h.Set("MS-Author-Via", "DAV") // Windows and Office want it
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", "0")
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// lookup is the entry at the request's URL. The error wraps ErrNotExist if there
// is none.
func (q *request) lookup() (*backend.Entry, error) {
	if !q.seen {
		e, err := q.lib.Stat(q.ctx, q.key)
		if err != nil && !missing(err) {
			return nil, err
		}
		q.seen = true
		if err == nil {
			q.source = e
		}
	}
	if q.source == nil {
		return nil, backend.ErrNotExist
	}
	return q.source, nil
}

// missing says whether err means that there is nothing of that name.
func missing(err error) bool {
	return errors.Is(err, backend.ErrNotExist) || errors.Is(err, backend.ErrParent) || errors.Is(err, backend.ErrNotCollection)
}

// note keeps an error for the answer: the package turns most of them into 404,
// 405 or 403.
func (q *request) note(err error) {
	if q.err == nil {
		q.err = err
	}
}

// pass lets the package serve the request, writing to w. What it is given has a
// canonical path without prefix, no If header (guard has seen to it), and the
// Overwrite and Depth that we understood.
func (q *request) pass(w http.ResponseWriter) {
	r := *q.r
	r.URL = &url.URL{Path: "/" + string(q.key)}
	r.Body = &body{rc: q.r.Body, w: q.w}
	r.Header = q.r.Header.Clone()
	r.Header.Del("If")
	if v := r.Header.Get("Range"); v != "" {
		if v = settledRange(v); v != "" {
			r.Header.Set("Range", v)
		} else {
			r.Header.Del("Range")
		}
	}
	switch r.Method {
	case "COPY", "MOVE":
		r.Header.Set("Destination", "/"+string(appendPath(nil, string(q.dst))))
		r.Header.Set("Overwrite", "T") // that it may be F is the Library's to see
		r.Header.Del("Depth")
	}
	h := webdav.Handler{FileSystem: fileSystem{q}, LockSystem: lockSystem{q}}
	h.ServeHTTP(w, &r)
}

// run is pass for the methods whose answer has no body: it is made of what the
// record has noted.
func (q *request) run() error {
	s := silent{header: q.w.Header()}
	q.pass(&s)
	switch {
	case s.code < 400:
		return nil
	case q.err != nil:
		return q.err
	case s.code == http.StatusNotFound:
		return backend.ErrNotExist
	}
	return refuse(s.code, webdav.StatusText(s.code)+".")
}

// succeed answers a request that has changed something: 201 if that made the
// entry, else 204 (RFC 4918 §9.7.1, §9.8.5, §9.9.4).
func (q *request) succeed() error {
	h := q.w.Header()
	if e := q.entry; e != nil {
		if !e.Dir {
			h.Set("ETag", quote(e.ETag))
		}
		q.numbered = false // it has changed
		h.Set("OC-ETag", quote(q.etag(e)))
		h.Set("OC-FileId", string(e.Ino))
		if !q.modified.IsZero() {
			h.Set("X-OC-Mtime", "accepted")
		}
	}
	h.Del("Content-Type")
	if q.created {
		h.Set("Content-Length", "0")
		q.w.WriteHeader(http.StatusCreated)
		return nil
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

func quote(etag string) string { return `"` + etag + `"` }

// silent is a ResponseWriter that keeps only headers and status.
type silent struct {
	header http.Header
	code   int
}

func (s *silent) Header() http.Header         { return s.header }
func (s *silent) Write(p []byte) (int, error) { return len(p), nil }
func (s *silent) WriteHeader(code int) {
	if s.code == 0 {
		s.code = code
	}
}
