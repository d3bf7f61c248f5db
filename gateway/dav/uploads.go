package dav

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// Uploads in chunks, version 2 of Nextcloud's: the client makes a collection of a name it
// chooses, puts chunks into it, and moves its member ".file" to where the file belongs.
// That is a multipart upload by other names. Clients differ in what they call chunks:
//
//	1 … 10000             Nextcloud's: its number
//	0, 1, …               with zeros before it, of the first version
//	<offset>              of ownCloud's desktop
//	<offset>-<end>        of rclone
//
// In all of them the number at the beginning says the order.

// minPart is the size in bytes from which a chunk can be a part of the bucket's upload.
const minPart = 5 << 20

// chunkFile is the member that is moved.
const chunkFile = ".file"

type uploads struct {
	*handler        // of the share the files go to
	prefix   string // without a slash at its end; may have {login}
}

// NewUploads returns the handler of uploads in chunks below prefix, which may have
// "{login}" as Options.Prefix has. Options.Prefix is the share the files go to.
func NewUploads(b *backend.Backend, prefix string, opt *Options) http.Handler {
	return &uploads{handler: New(b, opt).(*handler), prefix: strings.TrimRight(prefix, "/")}
}

// ServeHTTP implements http.Handler.
func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{handler: u.handler, ctx: r.Context(), r: r, principal: auth.From(r.Context())}
	q.w = &answer{ResponseWriter: w, control: http.NewResponseController(w), idle: u.opt.Idle}
	if err := u.serve(q); err != nil {
		q.fail(err)
	}
	q.w.done()
}

func (u *uploads) serve(q *request) (err error) {
	if q.principal == nil {
		return refuse(http.StatusUnauthorized, "Log in with an app password.")
	}
	if q.r.Method == "OPTIONS" {
		return q.options()
	}
	root := strings.Replace(u.prefix, "{login}", q.principal.Login, 1)
	rest, ok := strings.CutPrefix(q.r.URL.Path+"/", root+"/")
	if !ok {
		return errElsewhere
	}
	dir, name, _ := strings.Cut(strings.TrimRight(rest, "/"), "/")
	if len(dir) > backend.MaxName || strings.Contains(name, "/") || len(name) > backend.MaxName {
		return backend.ErrNotExist
	}
	if q.lib, err = q.b.Library(q.ctx, q.principal.UID, q.principal.Access); err != nil {
		return err
	}
	c := &chunked{request: q, href: root + "/" + dir + "/", id: uploadID(dir)}
	switch m := q.r.Method; {
	case dir == "":
		c.href = root + "/"
		if m == "PROPFIND" {
			return c.send(nil) // which uploads there are is nobody's business
		}
	case m == "MKCOL" && name == "":
		return c.begin()
	case m == "DELETE" && name == "":
		return c.abort()
	case m == "PUT" && name != "" && name != chunkFile:
		return c.put(name)
	case m == "MOVE" && name == chunkFile:
		return c.finish()
	case m == "PROPFIND" && (name == "" || name == chunkFile):
		return c.list()
	case (m == "HEAD" || m == "GET") && name == "":
		if _, err := q.lib.Chunks(q.ctx, c.id); err != nil {
			return c.gone(err)
		}
		q.w.Header().Set("Content-Length", "0")
		q.w.WriteHeader(http.StatusOK)
		return nil
	}
	q.w.Header().Set("Allow", "OPTIONS, MKCOL, PUT, PROPFIND, MOVE, DELETE")
	return refuse(http.StatusMethodNotAllowed, "This is where files arrive in chunks; there is nothing else to do here.")
}

// uploadID is the id of an upload whose client calls it name. It may be anything a path
// segment may be, so the hash is used.
func uploadID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "nc-" + hex.EncodeToString(sum[:20])
}

// A chunked is one request about an upload in chunks.
type chunked struct {
	*request
	href string // of the upload, not escaped
	id   string
}

// gone: an upload that is not there is 404 to these clients, who then begin anew.
func (c *chunked) gone(err error) error {
	if errors.Is(err, backend.ErrNoUpload) {
		return backend.ErrNotExist
	}
	return err
}

// begin answers MKCOL. The destination is in a header, or comes with MOVE.
func (c *chunked) begin() error {
	var key backend.Key
	if d := c.r.Header.Get("Destination"); d != "" {
		var err error
		if key, err = c.parseDestination(d); err != nil {
			return err
		}
		if dir, _ := key.Split(); dir == "" {
			return backend.ErrTopLevel
		}
	}
	if n, err := c.total(); err != nil {
		return err
	} else if err := c.room(n); err != nil {
		return err
	}
	_, name := key.Split()
	opt := &backend.PutOptions{Modified: parseMtime(c.r.Header.Get("X-OC-Mtime")), Type: mediaType("", name)}
	if _, err := c.lib.OpenChunked(c.ctx, c.id, key, opt); err != nil {
		return err
	}
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// total is OC-Total-Length, < 0 if there is none.
func (c *chunked) total() (int64, error) {
	v := c.r.Header.Get("OC-Total-Length")
	if v == "" {
		return -1, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, refuse(http.StatusBadRequest, "OC-Total-Length is not a number of bytes.")
	}
	return n, nil
}

// room says, before the first chunk of a file, that it will not fit.
func (c *chunked) room(n int64) error {
	if n <= 0 || c.principal.Access.Quota <= 0 {
		return nil
	}
	u, err := c.lib.Usage(c.ctx)
	if err == nil && u.Bytes+n > u.Quota {
		err = backend.ErrQuota
	}
	return err
}

// put stores a chunk. Its number, offset and length decide where it belongs.
func (c *chunked) put(name string) error {
	if len(c.r.Header.Values("Content-Range")) > 0 {
		return refuse(http.StatusBadRequest, "Parts of chunks are not taken. Send it whole.")
	}
	at, ok := placeOf(name)
	if !ok {
		return refuse(http.StatusBadRequest, fmt.Sprintf("A chunk is called by its number, or by its offset; not %q.", name))
	}
	sums, err := checksums(c.r.Header)
	if err != nil {
		return err
	}
	p, err := c.lib.PutChunk(c.ctx, c.id, at, &body{rc: c.r.Body, w: c.w}, c.r.ContentLength, sums)
	if err != nil {
		return c.gone(err)
	}
	h := c.w.Header()
	h.Set("ETag", quote(p.ETag))
	h.Set("OC-ETag", quote(p.ETag))
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// placeOf reads a chunk's name. A part number is given only where it is certain to grow
// with the order, whatever other chunks will be called.
func placeOf(name string) (at backend.ChunkPlace, ok bool) {
	at.Name = name
	first, end, isRange := strings.Cut(name, "-")
	number := func(s string) (int64, bool) {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil && s[0] != '+' && s[0] != '-' && len(s) <= 18 && n < 1e15
	}
	if at.Order, ok = number(first); !ok {
		return at, false
	}
	const most = 10_000
	switch {
	case isRange:
		last, ok := number(end)
		if !ok || last < at.Order {
			return at, false
		}
		if n := 1 + at.Order/minPart; n <= most {
			at.Part = int(n)
		}
	case at.Order > most: // an offset; the one before it is 0
		if n := 1 + at.Order/minPart; at.Order >= minPart && n <= most {
			at.Part = int(n)
		}
	case at.Order < most:
		at.Part = int(at.Order) + 1 // leaves room before it for small ones that are joined
	}
	return at, true
}

// list answers PROPFIND: which chunks have arrived, so that the client goes on there.
func (c *chunked) list() error {
	if depth, err := parseDepth(c.r.Header.Get("Depth")); err != nil {
		return err
	} else if depth == 0 {
		if _, err := c.lib.Chunks(c.ctx, c.id); err != nil {
			return c.gone(err)
		}
		return c.send(nil)
	}
	parts, err := c.lib.Chunks(c.ctx, c.id)
	if err != nil {
		return c.gone(err)
	}
	return c.send(parts)
}

func (c *chunked) send(parts []backend.Part) error {
	if _, err := c.readXML(); err != nil {
		return err // whatever is asked, this is what there is
	}
	const ok = "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>\n"
	b := append([]byte(multistatus), "<D:response><D:href>"...)
	b = appendPath(b, c.href)
	b = append(b, "</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype>"+ok...)
	for _, p := range parts {
		b = append(b, "<D:response><D:href>"...)
		b = appendPath(b, c.href+p.Name)
		b = append(b, "</D:href><D:propstat><D:prop><D:resourcetype/><D:displayname>"...)
		b = appendText(b, p.Name)
		b = append(b, "</D:displayname><D:getcontentlength>"...)
		b = strconv.AppendInt(b, p.Size, 10)
		b = append(b, "</D:getcontentlength><oc:size>"...)
		b = strconv.AppendInt(b, p.Size, 10)
		b = append(b, "</oc:size><D:getlastmodified>"...)
		b = appendHTTPTime(b, p.Modified)
		b = append(b, `</D:getlastmodified><D:getetag>"`...)
		b = appendText(b, p.ETag)
		b = append(b, `"</D:getetag>`+ok...)
	}
	b = append(b, "</D:multistatus>\n"...)
	h := c.w.Header()
	h.Set("Content-Type", xmlType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	c.w.WriteHeader(http.StatusMultiStatus)
	c.w.Write(b)
	return nil
}

// finish answers MOVE: it is a PUT of the destination, and guarded as that.
func (c *chunked) finish() (err error) {
	h := c.r.Header
	if c.key, err = c.parseDestination(h.Get("Destination")); err != nil {
		return err
	}
	if dir, _ := c.key.Split(); dir == "" {
		return backend.ErrTopLevel
	}
	switch v := h.Get("Overwrite"); {
	case strings.EqualFold(v, "F"):
		h.Set("If-None-Match", "*")
	case v != "" && !strings.EqualFold(v, "T"):
		return refuse(http.StatusBadRequest, "Overwrite is T or F.")
	}
	if err := c.watch(protected{key: c.key, member: true, ifNew: true}); err != nil {
		return err
	}
	opt := backend.FinishOptions{Conditions: c.confirm(c.cond), NeedSHA1: true}
	if opt.Size, err = c.total(); err != nil {
		return err
	}
	if opt.Expect, err = checksums(h); err != nil {
		return err
	}
	c.modified = parseMtime(h.Get("X-OC-Mtime"))
	opt.Modified, opt.Created = c.modified, parseMtime(h.Get("X-OC-CTime"))
	if c.entry, c.created, err = c.lib.FinishChunked(c.ctx, c.id, c.key, opt); err != nil {
		return c.gone(err)
	}
	return c.succeed()
}

// abort answers DELETE.
func (c *chunked) abort() error {
	if err := c.lib.AbortChunked(c.ctx, c.id); err != nil {
		return c.gone(err)
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
