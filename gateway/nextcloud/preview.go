package nextcloud

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/status"
)

// Previews. Apps ask for them by path or by number, with the size they want:
//
//	GET /index.php/apps/files/api/v1/thumbnail/<width>/<height>/<path>
//	GET /index.php/core/preview.png?file=<path>&x=<width>&y=<height>
//	GET /index.php/core/preview?fileId=<number>&x=<width>&y=<height>
//
// They get the variant that is nearest, whatever its size: they scale. Nothing is rendered
// for them, and a file without variants has no preview (404), which the property
// has-preview told them.

const thumbnails = "/apps/files/api/v1/thumbnail/"

// thumbUpTo is the longest side, in pixels, for which the small variant is good enough.
const thumbUpTo = 512

func isPreview(login string) bool {
	return login == "/core/preview" || login == "/core/preview.png" || strings.HasPrefix(login, thumbnails)
}

func (h *handler) servePreview(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "A preview can only be read.", http.StatusMethodNotAllowed)
		return
	}
	if err := h.preview(w, r); err != nil {
		a := status.Of(err)
		if a.Code >= 500 {
			h.log.WarnContext(r.Context(), "a preview could not be given", "op", "preview", "err", err)
		}
		http.Error(w, a.Text, a.Code)
	}
}

func (h *handler) preview(w http.ResponseWriter, r *http.Request) error {
	p := auth.From(r.Context())
	lib, err := h.b.Library(r.Context(), p.UID, p.Access)
	if err != nil {
		return err
	}
	e, side, err := h.previewed(r, lib)
	if err != nil {
		return err
	}
	order := []string{"view", "thumb"}
	if side <= thumbUpTo {
		order = []string{"thumb", "view"}
	}
	variant, file := variantOf(e, order)
	if file == "" {
		return backend.ErrNotExist
	}
	hd := w.Header()
	// The content's name and the recipe's: another picture has another.
	etag := fmt.Sprintf(`"%s-%s"`, e.ContentID(), file)
	if r.Header.Get("If-None-Match") == etag {
		hd.Set("ETag", etag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	body, name, err := lib.OpenVariant(r.Context(), e, variant)
	if err != nil {
		return err
	}
	defer body.Close()
	image, err := io.ReadAll(body) // small; so an error is still answered as one
	if err != nil {
		return fmt.Errorf("read preview: %w", err)
	}
	hd.Set("ETag", etag)
	hd.Set("Cache-Control", "private, max-age=86400")
	hd.Set("Content-Type", "image/"+strings.TrimPrefix(path.Ext(name), "."))
	hd.Set("Content-Length", strconv.Itoa(len(image)))
	hd.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodGet {
		w.Write(image)
	}
	return nil
}

// previewed is the entry that a preview is asked of, and its longer side.
func (h *handler) previewed(r *http.Request, lib *backend.Library) (e *backend.Entry, side int, err error) {
	q := r.URL.Query()
	x, y, at := q.Get("x"), q.Get("y"), q.Get("file")
	if rest, ok := strings.CutPrefix(r.URL.Path, "/index.php"+thumbnails); ok {
		x, rest, _ = strings.Cut(rest, "/")
		y, at, _ = strings.Cut(rest, "/")
	}
	for _, n := range []string{x, y} {
		v, _ := strconv.Atoi(n) // 0 is whatever there is
		side = max(side, v)
	}
	if id := q.Get("fileId"); id != "" {
		n, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			return nil, 0, backend.ErrNotExist
		}
		e, err = lib.StatNumber(r.Context(), n)
		return e, side, err
	}
	key, err := backend.ParseKey(at)
	if err != nil {
		return nil, 0, err
	}
	if name, below := key.Library(); name == InstantUpload {
		key = h.instantUpload()
		if below != "" {
			key = key.Join(below)
		}
	}
	e, err = lib.Stat(r.Context(), key)
	return e, side, err
}

// variantOf is the first variant of e in order of preference, and its file.
func variantOf(e *backend.Entry, order []string) (variant, file string) {
	for _, v := range order {
		for _, name := range e.Media.Variants {
			if strings.HasPrefix(name, v+"-") {
				return v, name
			}
		}
	}
	return "", ""
}
