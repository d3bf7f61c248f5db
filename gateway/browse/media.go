package browse

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// variantTypes are the images we make; nothing else is shown in the page.
var variantTypes = map[string]string{".webp": "image/webp", ".jpg": "image/jpeg", ".png": "image/png"}

// variant answers GET /i/{ino}/{variant}?v=tag. With the tag of now, which is in
// every address we hand out, the browser may keep the image for good.
func (h *handler) variant(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, e, err := h.file(r, p)
	if err != nil {
		return err
	}
	return sendVariant(w, r, lib, e, r.PathValue("variant"))
}

// sendVariant answers with a variant of e.
func sendVariant(w http.ResponseWriter, r *http.Request, lib *backend.Library, e *backend.Entry, variant string) error {
	file := variantFile(e, variant)
	mediaType := variantTypes[path.Ext(file)]
	if mediaType == "" {
		return fmt.Errorf("variant: %w", backend.ErrNotExist)
	}
	tag := variantTag(e, file)
	etag := `"` + tag + `"`
	hd := w.Header()
	cache := "private, no-cache"
	if r.URL.Query().Get("v") == tag {
		cache = "private, max-age=31536000, immutable"
	}
	if etagMatches(r, etag) {
		hd.Set("Cache-Control", cache)
		hd.Set("ETag", etag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	body, _, err := lib.OpenVariant(r.Context(), e, variant)
	if err != nil {
		return err
	}
	defer body.Close()
	// The bucket may only be asked when the body is read; an error then must still
	// be answered as one.
	first := make([]byte, 32<<10)
	n, err := io.ReadFull(body, first)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read variant: %w", err)
	}
	hd.Set("Cache-Control", cache)
	hd.Set("ETag", etag)
	hd.Set("Content-Type", mediaType)
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := w.Write(first[:n]); err != nil {
		return nil // the client went away
	}
	if n == len(first) {
		if _, err := io.Copy(w, body); err != nil {
			panic(http.ErrAbortHandler) // cuts the answer, so that it is not kept as whole
		}
	}
	return nil
}

// original answers GET /o/{ino} with what was stored, as a download. Whatever it
// is, it never runs: it is an attachment, and sandboxed should it be opened.
func (h *handler) original(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, e, err := h.file(r, p)
	if err != nil {
		return err
	}
	content, err := lib.Open(r.Context(), e)
	if err != nil {
		return err
	}
	defer content.Close()
	if strings.Contains(r.Header.Get("Range"), ",") {
		// Several ranges would be read by a goroutine that http.ServeContent does not wait
		// for, while content is closed. RFC 9110 §14.2: may be ignored.
		whole := *r
		whole.Header = r.Header.Clone()
		whole.Header.Del("Range")
		r = &whole
	}
	if r.Header.Get("Range") == "" {
		content.Expect(0, e.Size) // one request of the bucket for all
	}
	mediaType := e.Type
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	hd := w.Header()
	hd.Set("Content-Type", mediaType)
	hd.Set("Content-Disposition", attachment(e.Name))
	hd.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	hd.Set("ETag", `"`+e.ETag+`"`)
	out := &lateWriter{ResponseWriter: w}
	in := &watchedReader{ReadSeeker: content}
	http.ServeContent(out, r, "", e.Modified, in)
	switch {
	case in.err == nil:
		out.flush()
	case !out.wrote:
		return fmt.Errorf("read original: %w", in.err)
	default:
		h.opt.Logger.WarnContext(r.Context(), "download cut short", slog.Any("err", in.err))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// attachment is the Content-Disposition that saves a file as name (RFC 6266),
// whatever name is made of.
func attachment(name string) string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}

// A lateWriter holds the status back until there is a first byte to go with it, so
// that a bucket that cannot be read is still answered with an error:
// http.ServeContent says 200 before it reads.
type lateWriter struct {
	http.ResponseWriter
	code  int
	wrote bool
}

func (w *lateWriter) WriteHeader(code int) { w.code = code }

func (w *lateWriter) Write(b []byte) (int, error) {
	w.flush()
	return w.ResponseWriter.Write(b)
}

func (w *lateWriter) flush() {
	if !w.wrote {
		w.wrote = true
		if w.code != 0 {
			w.ResponseWriter.WriteHeader(w.code)
		}
	}
}

// A watchedReader remembers the error that http.ServeContent drops.
type watchedReader struct {
	io.ReadSeeker
	err error
}

func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.ReadSeeker.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
