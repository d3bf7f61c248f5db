package dav

import (
	"io"
	"net/http"
	"strconv"
)

// get sends a file, or says that a collection is one.
func (q *request) get() error {
	e, err := q.lookup()
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Cache-Control", "private, no-cache")
	// What a client put here must not run as a page of this site.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; sandbox")
	h.Set("OC-ETag", quote(q.etag(e)))
	h.Set("OC-FileId", string(e.Ino))
	if e.Dir {
		// Not 405: Nextcloud's app, Cyberduck and WinSCP ask HEAD to see whether it is there.
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(len(page)))
		q.w.WriteHeader(http.StatusOK)
		if q.r.Method != "HEAD" {
			io.WriteString(q.w, page)
		}
		return nil
	}
	h.Set("Content-Type", shownType(e))
	if e.SHA1 != "" {
		h.Set("OC-Checksum", "SHA1:"+e.SHA1)
	} else if e.MD5 != "" {
		h.Set("OC-Checksum", "MD5:"+e.MD5)
	}
	q.pass(q.w)
	// The package answers, or has begun to, whatever became of the content.
	return q.err
}

const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Shoebox</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;margin:3rem auto;max-width:34rem;padding:0 1rem}</style>
<h1>This is a network drive</h1>
<p>Open this address with a WebDAV client: the file manager of your computer, a phone app, or rclone.
Your photographs as a timeline are on the <a href="/">start page</a>.</p>
`
