package dav

import (
	"net/http"
	"strings"
)

// Above returns a handler for the paths above a share. Windows asks OPTIONS and
// PROPFIND of every level from the top down, without credentials, before it
// believes that there is a drive; these are answered with as little as it takes.
// All other requests go to next.
func Above(prefix string, next http.Handler) http.Handler {
	prefix = strings.TrimRight(prefix, "/") + "/"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimRight(r.URL.Path, "/") + "/"
		if !strings.HasPrefix(prefix, path) || path == prefix || r.Method != "OPTIONS" && r.Method != "PROPFIND" {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Allow", "OPTIONS, GET, HEAD, PROPFIND")
		h.Set("DAV", "1, 2, 3")
		h.Set("MS-Author-Via", "DAV")
		if r.Method == "OPTIONS" {
			h.Set("Content-Length", "0")
			return
		}
		h.Set("Content-Type", xmlType)
		w.WriteHeader(http.StatusMultiStatus)
		b := []byte(xmlHeader + `<D:multistatus xmlns:D="DAV:"><D:response><D:href>`)
		b = appendPath(b, path)
		b = append(b, "</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>\n"...)
		w.Write(b)
	})
}
