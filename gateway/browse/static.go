package browse

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var staticFiles embed.FS

var staticTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".svg":         "image/svg+xml",
	".webmanifest": "application/manifest+json",
}

// assets are the embedded files, compressed once. They are served under a hash of
// them all, /static/<hash>/<file>, so that scripts can import each other by plain
// relative names and every browser may keep them for ever.
type assets struct {
	hash  string
	files map[string]asset
}

type asset struct {
	mediaType   string
	plain, gzip []byte
	etag        string // quoted
}

func newAssets() *assets {
	a := &assets{files: make(map[string]asset)}
	names, err := fs.Glob(staticFiles, "static/*")
	if err != nil {
		panic("browse: internal error: " + err.Error())
	}
	all := sha256.New()
	for _, name := range names {
		body, err := staticFiles.ReadFile(name)
		if err != nil {
			panic("browse: internal error: " + err.Error())
		}
		all.Write([]byte(name + "\x00"))
		all.Write(body)
		sum := sha256.Sum256(body)
		var z bytes.Buffer
		gz, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
		gz.Write(body)
		gz.Close()
		a.files[path.Base(name)] = asset{
			mediaType: staticTypes[path.Ext(name)], plain: body, gzip: z.Bytes(),
			etag: `"` + hex.EncodeToString(sum[:8]) + `"`,
		}
	}
	a.hash = hex.EncodeToString(all.Sum(nil)[:6])
	return a
}

// url is the address of the embedded file called name.
func (a *assets) url(name string) string { return "/static/" + a.hash + "/" + name }

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	// A page loaded before an upgrade asks with the old hash; it gets the files of
	// now, which it must not keep under that name.
	a.send(w, r, r.PathValue("file"), r.PathValue("hash") == a.hash)
}

func (a *assets) icon(w http.ResponseWriter, r *http.Request) { a.send(w, r, "icon.svg", false) }

func (a *assets) manifest(w http.ResponseWriter, r *http.Request) {
	a.send(w, r, "manifest.webmanifest", false)
}

func (a *assets) send(w http.ResponseWriter, r *http.Request, name string, forever bool) {
	f, ok := a.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	hd := w.Header()
	hd.Set("Content-Type", f.mediaType)
	hd.Set("ETag", f.etag)
	hd.Set("Vary", "Accept-Encoding")
	hd.Set("Cache-Control", "no-cache")
	if forever {
		hd.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if etagMatches(r, f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if acceptsGzip(r) {
		hd.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	hd.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// etagMatches says whether the client has what etag names (RFC 9110 §13.1.2,
// compared weakly).
func etagMatches(r *http.Request, etag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for have := range strings.SplitSeq(line, ",") {
			have = strings.TrimPrefix(strings.TrimSpace(have), "W/")
			if have == "*" || have == strings.TrimPrefix(etag, "W/") {
				return true
			}
		}
	}
	return false
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3).
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, err := strconv.ParseFloat(strings.TrimPrefix(strings.ReplaceAll(weight, " ", ""), "q="), 64)
				return weight == "" || err == nil && q > 0
			}
		}
	}
	return false
}
