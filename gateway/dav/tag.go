package dav

import (
	"slices"
	"strconv"

	"github.com/shoebox-photos/shoebox/backend"
)

// etag is the ETag of an entry, bare. That of a collection changes with everything below
// it: clients of the Nextcloud kind descend only where it has changed. The Library's
// own tag of a collection tells of its row alone, so ours is its name and the number of
// the last change in the whole tree, which costs one look at the index a request.
func (q *request) etag(e *backend.Entry) string {
	if !e.Dir {
		return e.ETag
	}
	if !q.numbered {
		// Without the number it is a tag that never changes; better none than that.
		n, err := q.lib.Seq(q.ctx)
		if err != nil {
			q.note(err)
		}
		q.seq, q.numbered = n, true
	}
	return string(e.Ino) + "-" + strconv.FormatUint(q.seq, 16)
}

// ofSource is c as the Library understands it, for conditions on the request's URL.
func (q *request) ofSource(c backend.Conditions) backend.Conditions {
	if len(c.IfMatch)+len(c.IfNoneMatch) == 0 {
		return c
	}
	e, err := q.lookup()
	if err != nil || !e.Dir {
		return c
	}
	for _, tags := range []*[]string{&c.IfMatch, &c.IfNoneMatch} {
		if i := slices.Index(*tags, q.etag(e)); i >= 0 {
			*tags = slices.Clone(*tags)
			(*tags)[i] = e.ETag
		}
	}
	return c
}
