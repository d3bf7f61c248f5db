package s3api

import (
	"net/http"
	"slices"
)

// allowOrigin sets the headers by which a browser lets scripts of another origin
// read the answer (Fetch standard, "CORS protocol"), if that origin is configured.
// The signature decides what they may do; cookies play no part.
func (s *server) allowOrigin(w http.ResponseWriter, r *http.Request) (allowed bool) {
	if len(s.opt.Origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
		return false
	case slices.Contains(s.opt.Origins, "*"):
		origin = "*"
	case !slices.Contains(s.opt.Origins, origin):
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "ETag, Content-Range, Location, x-amz-request-id, x-amz-version-id, x-amz-delete-marker, x-amz-checksum-crc32, x-amz-checksum-crc32c, x-amz-checksum-crc64nvme, x-amz-checksum-sha1, x-amz-checksum-sha256, x-amz-meta-mtime")
	return true
}

// preflight answers the request by which a browser asks before it sends one; it is
// never signed.
func (q *request) preflight(allowed bool) error {
	if !allowed || q.r.Header.Get("Access-Control-Request-Method") == "" {
		return refuse("AccessForbidden", "This endpoint is not open to scripts of that origin (CORS).")
	}
	h := q.w.Header()
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT, POST, DELETE")
	if names := q.r.Header.Get("Access-Control-Request-Headers"); names != "" {
		h.Set("Access-Control-Allow-Headers", names) // each is looked at when it comes
	}
	h.Set("Access-Control-Max-Age", "3600")
	q.w.WriteHeader(http.StatusOK)
	return nil
}
