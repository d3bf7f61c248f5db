package browse

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// uploadLibrary is where the page puts what is dropped on it.
const uploadLibrary = "photos"

// maxDrain is how much of a body that is not wanted is still read, in bytes.
const maxDrain = 64 << 20

// apiUpload answers PUT /api/upload?name=a.jpg&modified=2024-10-12T14:03:00+02:00
// with the item that the body has become. It is stored in photos/<yyyy>/<yyyy-mm>
// by the month that modified names where the user is.
//
// Nothing is ever replaced: a name that is taken gets " (2)". The very same content
// under a name it would get is not stored again, if the client sends its SHA-256 (in hex) as
// ?sha256=; the answer is then 200 with the item that was there, instead of 201. A body that
// does not have that checksum is refused.
func (h *handler) apiUpload(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	q := r.URL.Query()
	// A browser sees the answer only if its body was taken, so what is left of one
	// that is not wanted is read before it is answered.
	drain := func() { io.CopyN(io.Discard, r.Body, maxDrain) }
	defer drain()
	name := cleanName(q.Get("name"))
	if name == "" {
		return newProblem(http.StatusBadRequest, "name must be the file's name.")
	}
	if backend.Junk(name) {
		return newProblem(http.StatusBadRequest, "Files of that name are made by desktops and are not kept.")
	}
	modified := h.opt.Now()
	if s := q.Get("modified"); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return newProblem(http.StatusBadRequest, "modified must be a time such as 2024-10-12T14:03:00+02:00.")
		}
		modified = t
	}
	var expect []backend.Checksum
	if s := q.Get("sha256"); s != "" {
		sum, err := hex.DecodeString(s)
		if err != nil || len(sum) != 32 {
			return newProblem(http.StatusBadRequest, "sha256 must be 64 hexadecimal digits.")
		}
		expect = []backend.Checksum{{Algorithm: "sha256", Sum: sum}}
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	if err := ensureLibrary(r, lib); err != nil {
		return err
	}
	dir := backend.Key(uploadLibrary).Join(modified.Format("2006")).Join(modified.Format("2006-01"))
	body := &countedReader{Reader: r.Body}
	for try := 1; try <= 1000; try++ {
		key, err := backend.ParseKey(string(dir.Join(numberedName(name, try))))
		if err != nil {
			return err
		}
		// Asking first keeps the body, which can be read only once, for a free name.
		old, err := lib.Stat(r.Context(), key)
		switch {
		case err == nil:
			if len(expect) > 0 && old.SHA256 == hex.EncodeToString(expect[0].Sum) {
				drain()
				return h.json(w, r, http.StatusOK, newItem(old))
			}
			continue
		case !errors.Is(err, backend.ErrNotExist):
			return err
		}
		e, _, err := lib.Put(r.Context(), key, body, r.ContentLength, &backend.PutOptions{
			Conditions: backend.Conditions{IfNoneMatch: []string{"*"}},
			Modified:   modified, Type: r.Header.Get("Content-Type"), Expect: expect, MakeParents: true,
		})
		if errors.Is(err, backend.ErrPrecondition) && body.n == 0 {
			continue // taken since we asked
		}
		if err != nil {
			return err
		}
		w.Header().Set("Location", "/api/item/"+string(e.Ino))
		return h.json(w, r, http.StatusCreated, newItem(e))
	}
	return newProblem(http.StatusConflict, "Too many files of that name are there already. Rename it and try again.")
}

// ensureLibrary makes the library for uploads if somebody has removed it.
func ensureLibrary(r *http.Request, lib *backend.Library) error {
	_, err := lib.Stat(r.Context(), uploadLibrary)
	if errors.Is(err, backend.ErrNotExist) {
		_, err = lib.Mkdir(r.Context(), uploadLibrary, &backend.MkdirOptions{Existing: true})
	}
	if err != nil {
		return fmt.Errorf("library for uploads: %w", err)
	}
	return nil
}

// cleanName is the last segment of what a browser calls the file, which may be a
// path in either spelling; "" if nothing is left, or it is not UTF-8.
func cleanName(name string) string {
	if !utf8.ValidString(name) {
		return ""
	}
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name)
	if name == "." || name == ".." {
		return ""
	}
	return name
}

// numberedName is the try-th name for a file: "a.jpg", "a (2).jpg", "a (3).jpg". A
// name near the limit loses the end of its stem.
func numberedName(name string, try int) string {
	if try == 1 {
		return name
	}
	ext := path.Ext(name)
	stem, tail := strings.TrimSuffix(name, ext), fmt.Sprintf(" (%d)%s", try, ext)
	for len(stem) > 1 && len(stem)+len(tail) > backend.MaxName {
		_, n := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-n]
	}
	return stem + tail
}

// A countedReader counts what has been read of a body.
type countedReader struct {
	io.Reader
	n int64
}

func (r *countedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.n += int64(n)
	return n, err
}
