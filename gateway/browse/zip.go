package browse

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// maxZip is how many files an archive has at most.
const maxZip = 5000

// zip answers POST /zip, a form whose ino is a,b,…, with an archive of those originals,
// as they are: photographs do not get smaller. What is gone by now is left out.
func (h *handler) zip(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	inos := strings.Split(r.PostFormValue("ino"), ",")
	if len(inos) > maxZip {
		return newProblem(http.StatusBadRequest, fmt.Sprintf("At most %s files can be downloaded at once. Choose fewer, or take them from the network drive.", humanCount(maxZip)))
	}
	lib, err := h.library(r, p)
	if err != nil {
		return err
	}
	var entries []*backend.Entry
	for _, ino := range inos {
		e, err := lib.StatIno(r.Context(), backend.Ino(ino))
		switch {
		case errors.Is(err, backend.ErrNotExist):
		case err != nil:
			return err
		case !e.Dir:
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 {
		return fmt.Errorf("files of an archive: %w", backend.ErrNotExist)
	}
	hd := w.Header()
	hd.Set("Content-Type", "application/zip")
	hd.Set("Content-Disposition", attachment(fmt.Sprintf("shoebox-%s.zip", h.opt.Now().Format("2006-01-02-150405"))))
	out := &lateWriter{ResponseWriter: w}
	switch err := archive(r, out, lib, entries); {
	case err == nil:
		return nil
	case !out.wrote:
		return err
	default:
		h.opt.Logger.WarnContext(r.Context(), "download cut short", slog.Any("err", err))
		panic(http.ErrAbortHandler)
	}
}

// archive writes entries to w, each under its name alone. It has written nothing if the
// first of them cannot be read.
func archive(r *http.Request, w io.Writer, lib *backend.Library, entries []*backend.Entry) error {
	z := zip.NewWriter(w)
	taken := make(map[string]int) // folded name: how many numbers of it were given or tried
	for _, e := range entries {
		content, err := lib.Open(r.Context(), e)
		if err != nil {
			return err
		}
		content.Expect(0, e.Size)
		f, err := z.CreateHeader(&zip.FileHeader{Name: nameInZip(e.Name, taken), Method: zip.Store, Modified: e.Modified})
		if err == nil {
			_, err = io.Copy(f, content)
		}
		content.Close()
		if err != nil {
			return fmt.Errorf("archive original: %w", err)
		}
	}
	return z.Close()
}

// nameInZip is name, or the first of "name (2)" and so on that is not taken: programs that
// unpack may not tell upper from lower case, nor decomposed letters from composed ones, and
// may take a backslash for a slash.
func nameInZip(name string, taken map[string]int) string {
	name = strings.ReplaceAll(name, `\`, "_")
	fold := func(s string) string { return norm.NFC.String(strings.ToLower(s)) }
	first := fold(name)
	for try := taken[first] + 1; ; try++ {
		n := numberedName(name, try)
		if folded := fold(n); taken[folded] == 0 {
			taken[folded] = 1
			taken[first] = try
			return n
		}
	}
}
