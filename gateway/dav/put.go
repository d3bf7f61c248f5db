package dav

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

// put stores a file. Everything that can be refused is refused before the body is
// read: net/http sends 100 Continue only on the first read.
func (q *request) put() error {
	h := q.r.Header
	if len(h.Values("Content-Range")) > 0 {
		// RFC 9110 §14.5: else the part would replace the whole.
		return refuse(http.StatusBadRequest, "Parts of files are not taken. Send it whole.")
	}
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return refuse(http.StatusUnsupportedMediaType, "Send the content without a Content-Encoding.")
	}
	dir, name := q.key.Split()
	switch {
	case q.key == "":
		return backend.ErrIsCollection
	case dir == "":
		return backend.ErrTopLevel
	}
	q.putSize = q.r.ContentLength
	// Finder sends chunks, and tells the length in a header of its own.
	if n, err := strconv.ParseInt(h.Get("X-Expected-Entity-Length"), 10, 64); err == nil && n >= 0 && q.putSize < 0 {
		q.putSize = n
	}
	if err := q.watch(protected{key: q.key, member: true, ifNew: true}); err != nil {
		return err
	}
	sums, err := checksums(h)
	if err != nil {
		return err
	}
	q.modified = parseMtime(h.Get("X-OC-Mtime"))
	q.putOpt = backend.PutOptions{
		Conditions: q.confirm(q.cond),
		Modified:   q.modified,
		Created:    parseMtime(h.Get("X-OC-CTime")),
		Type:       mediaType(h.Get("Content-Type"), name),
		Expect:     sums,
		// Clients of the ownCloud kind compare it (rclone: oc:checksums).
		NeedSHA1: h.Get("OC-Checksum") != "" || h.Get("X-OC-Mtime") != "",
	}
	if err := q.run(); err != nil {
		return err
	}
	return q.succeed()
}

// patch answers the one PATCH there is: rclone asks for the checksum of a file that it has
// sent in chunks, as Nextcloud has it.
func (q *request) patch() error {
	algorithm := strings.ToLower(q.r.Header.Get("X-Recalculate-Hash"))
	if algorithm == "" {
		q.w.Header().Set("Allow", allow)
		return refuse(http.StatusMethodNotAllowed, "This method is not one of a network drive's.")
	}
	e, err := q.lib.Rehash(q.ctx, q.key)
	if err != nil {
		return err
	}
	var sum string
	switch algorithm {
	case "sha1":
		sum = e.SHA1
	case "md5":
		sum = e.MD5
	case "sha256":
		sum = e.SHA256
	}
	if sum == "" {
		return refuse(http.StatusBadRequest, "X-Recalculate-Hash is sha1, md5 or sha256.")
	}
	h := q.w.Header()
	h.Set("OC-Checksum", strings.ToUpper(algorithm)+":"+sum)
	h.Set("ETag", quote(e.ETag))
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// store is the commit of a PUT.
func (q *request) store(r io.Reader) error {
	e, created, err := q.lib.Put(q.ctx, q.key, r, q.putSize, &q.putOpt)
	if err != nil {
		q.note(err)
		return err
	}
	q.entry, q.created = e, created
	return nil
}

var errChecksumHeader = refuse(http.StatusBadRequest, "A checksum header cannot be read.")

// checksums are all that the client has sent along: OC-Checksum (of the ownCloud
// clients and rclone), Content-MD5, Digest (RFC 3230) and Content-Digest,
// Repr-Digest (RFC 9530), each of which may stand there several times. Algorithms we
// do not know are passed over.
func checksums(h http.Header) (sums []backend.Checksum, err error) {
	add := func(algorithm, text string, decode func(string) ([]byte, error)) error {
		algorithm = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(algorithm)), "-", "")
		size, known := sumSizes[algorithm]
		if !known {
			return nil
		}
		sum, err := decode(text)
		if err != nil || len(sum) != size {
			return errChecksumHeader
		}
		sums = append(sums, backend.Checksum{Algorithm: algorithm, Sum: sum})
		return nil
	}
	for _, v := range strings.FieldsFunc(strings.Join(h.Values("OC-Checksum"), ","), func(c rune) bool { return c == ' ' || c == ',' }) {
		algorithm, text, ok := strings.Cut(v, ":")
		if !ok {
			return nil, errChecksumHeader
		}
		if err := add(algorithm, text, hex.DecodeString); err != nil {
			return nil, err
		}
	}
	for _, v := range h.Values("Content-MD5") {
		if err := add("md5", v, base64.StdEncoding.DecodeString); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"Digest", "Content-Digest", "Repr-Digest"} {
		for v := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
			v, _, _ = strings.Cut(v, ";") // parameters (RFC 8941 §3.1.2)
			algorithm, text, ok := strings.Cut(v, "=")
			if !ok {
				continue
			}
			decode := base64.StdEncoding.DecodeString
			if a := strings.TrimSpace(algorithm); strings.EqualFold(a, "sha") {
				algorithm = "sha1" // RFC 3230 §4.1.1
			} else if strings.EqualFold(a, "adler32") {
				decode = hex.DecodeString
			}
			if err := add(algorithm, strings.Trim(strings.TrimSpace(text), ":"), decode); err != nil {
				return nil, err
			}
		}
	}
	return sums, nil
}

var sumSizes = map[string]int{"md5": 16, "sha1": 20, "sha256": 32, "adler32": 4}

// mediaType is what to take a file for if its content does not tell: what the
// client said, if it is more than a default of its own, else what its suffix says.
func mediaType(said, name string) string {
	t, _, err := mime.ParseMediaType(said)
	switch {
	case err != nil, len(said) > 255, t == "application/octet-stream", t == "binary/octet-stream", t == "application/x-www-form-urlencoded", strings.HasPrefix(t, "multipart/"):
		return suffixTypes[strings.ToLower(path.Ext(name))]
	}
	return said
}

// shownType is the media type that clients are told. The Library goes by content
// alone; what it knows nothing of may still open in the right program.
func shownType(e *backend.Entry) string {
	if e.Type != "" && e.Type != "application/octet-stream" {
		return e.Type
	}
	if t := suffixTypes[strings.ToLower(path.Ext(e.Name))]; t != "" {
		return t
	}
	return "application/octet-stream"
}

// suffixTypes does not depend on what the system has in its mime.types.
var suffixTypes = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp",
	".heic": "image/heic", ".heif": "image/heif", ".avif": "image/avif", ".tif": "image/tiff", ".tiff": "image/tiff",
	".dng": "image/x-adobe-dng", ".cr2": "image/x-canon-cr2", ".cr3": "image/x-canon-cr3", ".nef": "image/x-nikon-nef",
	".arw": "image/x-sony-arw", ".raf": "image/x-fuji-raf", ".orf": "image/x-olympus-orf", ".rw2": "image/x-panasonic-rw2",
	".bmp": "image/bmp", ".svg": "image/svg+xml", ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime",
	".avi": "video/x-msvideo", ".mkv": "video/x-matroska", ".webm": "video/webm", ".3gp": "video/3gpp", ".mts": "video/mp2t",
	".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".txt": "text/plain; charset=utf-8", ".xmp": "application/rdf+xml",
	".xml": "application/xml", ".json": "application/json", ".pdf": "application/pdf", ".zip": "application/zip",
	".html": "text/html; charset=utf-8",
}
