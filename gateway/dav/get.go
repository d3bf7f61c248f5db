package dav

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
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

// settledRange is a Range header as http.ServeContent takes it for what it is; "" if it is
// to be passed over (RFC 9110 §14.2): one of another unit, one that is malformed, for which
// that would answer 416, and several at once. They would be several requests to the bucket,
// made by a goroutine that http.ServeContent does not wait for.
func settledRange(v string) string {
	unit, spec, _ := strings.Cut(v, "=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return math.MaxInt64 // beyond any file
		}
		return n
	}
	switch {
	case !strings.EqualFold(strings.TrimSpace(unit), "bytes") || !dash:
		return ""
	case first == "" && digits(last):
		if number(last) == 0 {
			return fmt.Sprintf("bytes=%d-", int64(math.MaxInt64)) // RFC 9110 §14.1.2: it can not be had
		}
		return fmt.Sprintf("bytes=-%d", number(last))
	case digits(first) && last == "":
		return fmt.Sprintf("bytes=%d-", number(first))
	case digits(first) && digits(last) && number(first) <= number(last):
		return fmt.Sprintf("bytes=%d-%d", number(first), number(last))
	}
	return ""
}

const page = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Shoebox</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;margin:3rem auto;max-width:34rem;padding:0 1rem}</style>
<h1>This is a network drive</h1>
<p>Open this address with a WebDAV client: the file manager of your computer, a phone app, or rclone.
Your photographs as a timeline are on the <a href="/">start page</a>.</p>
`
