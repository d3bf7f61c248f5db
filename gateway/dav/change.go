package dav

import (
	"io"
	"net/http"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

// mkcol makes a collection; below the root, a library.
func (q *request) mkcol() error {
	if q.key == "" {
		return backend.ErrExist
	}
	// RFC 4918 §9.3: a body that is not understood is refused. One sent in chunks has
	// no length.
	if n, _ := io.ReadFull(&body{rc: q.r.Body, w: q.w}, make([]byte, 1)); n > 0 || q.r.ContentLength > 0 {
		return refuse(http.StatusUnsupportedMediaType, "MKCOL takes no body here.")
	}
	if err := q.watch(protected{key: q.key, member: true, ifNew: true}); err != nil {
		return err
	}
	q.modified = parseMtime(q.r.Header.Get("X-OC-Mtime"))
	if err := q.run(); err != nil {
		return err
	}
	return q.succeed()
}

// delete moves an entry to the trash.
func (q *request) delete() error {
	if q.key == "" {
		return refuse(http.StatusForbidden, "The share itself cannot be deleted.")
	}
	e, err := q.lookup()
	if err != nil {
		return err
	}
	if d := q.r.Header.Get("Depth"); d != "" && e.Dir && !strings.EqualFold(d, "infinity") {
		return refuse(http.StatusBadRequest, "A collection is deleted with all that is in it: Depth: infinity.") // RFC 4918 §9.6.1
	}
	if err := q.watch(protected{key: q.key, below: true, member: true}); err != nil {
		return err
	}
	if err := q.run(); err != nil {
		return err
	}
	return q.succeed()
}

// unlock ends the lock that the Lock-Token header names.
func (q *request) unlock() error {
	if err := q.run(); err != nil {
		return err
	}
	return q.succeed()
}

// copyOrMove vets what the package would begin by deleting the destination for.
func (q *request) copyOrMove() (err error) {
	h := q.r.Header
	if q.dst, err = q.parseDestination(h.Get("Destination")); err != nil {
		return err
	}
	switch v := h.Get("Overwrite"); {
	case v == "" || strings.EqualFold(v, "T"):
		q.overwrite = true // RFC 4918 §10.6
	case !strings.EqualFold(v, "F"):
		return refuse(http.StatusBadRequest, "Overwrite is T or F.")
	}
	src, err := q.lookup()
	if err != nil {
		return err // a MOVE that is repeated because its answer was lost ends here
	}
	move := q.r.Method == "MOVE"
	if q.key == "" || q.dst == "" || q.key.Contains(q.dst) || q.dst.Contains(q.key) {
		return backend.ErrSameResource
	}
	switch d := strings.ToLower(h.Get("Depth")); {
	case !src.Dir || d == "" || d == "infinity":
	case d == "0" && !move:
		q.shallow = true // RFC 4918 §9.8.3
	default:
		return refuse(http.StatusBadRequest, "That Depth is not one for this method.")
	}
	if dir, _ := q.dst.Split(); dir == "" && !src.Dir {
		return backend.ErrTopLevel
	}
	change := []protected{{key: q.dst, below: true, member: true, ifNew: true}}
	if move {
		change = append(change, protected{key: q.key, below: true, member: true})
	}
	if err := q.watch(change...); err != nil {
		return err
	}
	q.modified = parseMtime(h.Get("X-OC-Mtime"))
	if err := q.run(); err != nil {
		return err
	}
	return q.succeed()
}
