package browse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
)

// An item is a file as the page and the API tell of it.
type item struct {
	Ino      backend.Ino `json:"ino"`
	Key      backend.Key `json:"key"`  // where it is, library first
	Name     string      `json:"name"` // last segment of key
	Size     int64       `json:"size"` // bytes of the original
	Type     string      `json:"type"` // media type of the original
	ETag     string      `json:"etag"` // bare
	Modified time.Time   `json:"modified"`

	Taken     time.Time `json:"taken"`               // with the offset of the place it was taken at
	Day       string    `json:"day"`                 // local day it was taken on, yyyy-mm-dd
	Offset    int       `json:"offset"`              // minutes east of UTC
	TakenFrom string    `json:"takenFrom,omitempty"` // "exif", "xmp", …; absent: the time it was modified
	Camera    string    `json:"camera,omitempty"`

	Ready       bool   `json:"ready"`               // it has been looked at, and is not just being again: the rest is final
	NoPreview   string `json:"noPreview,omitempty"` // why there are no variants
	Width       int    `json:"width,omitempty"`     // pixels, as displayed
	Height      int    `json:"height,omitempty"`
	Placeholder string `json:"placeholder,omitempty"` // blurhash
	Thumb       string `json:"thumb,omitempty"`       // address of the small variant
	View        string `json:"view,omitempty"`        // address of the one for a screen
	Original    string `json:"original"`              // address of the download

	// In the answer to a question for one item only.
	Details *details `json:"details,omitempty"`
	Info    []fact   `json:"info,omitempty"` // what the panel beside the photograph says
}

func newItem(e *backend.Entry) *item {
	taken, offset := e.CaptureTime()
	taken = taken.In(time.FixedZone("", offset*60))
	return &item{
		Ino: e.Ino, Key: e.Key, Name: e.Name, Size: e.Size, Type: e.Type, ETag: e.ETag, Modified: e.Modified,
		Taken: taken, Day: taken.Format(time.DateOnly), Offset: offset, TakenFrom: e.Media.TakenFrom, Camera: e.Media.Camera,
		Ready: e.Media.Processed, NoPreview: e.Media.NoPreview,
		Width: e.Media.Width, Height: e.Media.Height, Placeholder: e.Media.Placeholder,
		Thumb: variantURL(e, "thumb"), View: variantURL(e, "view"), Original: "/o/" + string(e.Ino),
	}
}

// variantFile is the file of a variant that e lists, "" if there is none.
func variantFile(e *backend.Entry, variant string) string {
	for _, name := range e.Media.Variants {
		if strings.HasPrefix(name, variant+"-") {
			return name
		}
	}
	return ""
}

// variantTag changes when the variant's content does: with the original and with
// the recipe.
func variantTag(e *backend.Entry, file string) string {
	sum := sha256.Sum256([]byte(e.Object + "\x00" + file))
	return hex.EncodeToString(sum[:8])
}

func variantURL(e *backend.Entry, variant string) string {
	file := variantFile(e, variant)
	if file == "" {
		return ""
	}
	return fmt.Sprintf("/i/%s/%s?v=%s", e.Ino, variant, variantTag(e, file))
}

// items tells of files of lib. One without a preview whose preview is being tried again is
// not ready.
func items(ctx context.Context, lib *backend.Library, entries ...*backend.Entry) ([]*item, error) {
	list := make([]*item, len(entries))
	for i, e := range entries {
		list[i] = newItem(e)
		if e.Media.NoPreview == "" {
			continue
		}
		again, err := lib.Remaking(ctx, e)
		if err != nil {
			return nil, err
		}
		list[i].Ready = !again
	}
	return list, nil
}

// When is the moment of capture in words, in local time.
func (i *item) When() string { return i.Taken.Format("Monday, 2 January 2006, 15:04") }

// At is the moment of capture in milliseconds, by which tiles are ordered.
func (i *item) At() int64 { return i.Taken.UnixMilli() }

// Kind is "photo", "video" or "file".
func (i *item) Kind() string {
	switch top, _, _ := strings.Cut(i.Type, "/"); top {
	case "image":
		return "photo"
	case "video":
		return "video"
	}
	return "file"
}

// Label is the kind of file in a few letters: "HEIC", "MP4".
func (i *item) Label() string {
	if ext := strings.ToUpper(strings.TrimPrefix(path.Ext(i.Name), ".")); ext != "" && len(ext) <= 5 {
		return ext
	}
	return strings.ToUpper(i.Kind())
}

// A day is what was taken on one local day.
type day struct {
	Date  string // yyyy-mm-dd
	Title string // "Saturday, 12 October 2024"
	Items []*item
}

// days groups a stretch of the timeline. The timeline is ordered by instant, so
// where offsets differ the local days of neighbours can alternate; each day still
// appears once.
func days(items []*item) []*day {
	var list []*day
	byDate := make(map[string]*day)
	for _, it := range items {
		d := byDate[it.Day]
		if d == nil {
			d = &day{Date: it.Day, Title: it.Taken.Format("Monday, 2 January 2006")}
			byDate[it.Day] = d
			list = append(list, d)
		}
		d.Items = append(d.Items, it)
	}
	return list
}

// file is the file called by the request's {ino}; a collection is not one.
func (h *handler) file(r *http.Request, p *auth.Principal) (*backend.Library, *backend.Entry, error) {
	lib, err := h.library(r, p)
	if err != nil {
		return nil, nil, err
	}
	e, err := lib.StatIno(r.Context(), backend.Ino(r.PathValue("ino")))
	if err != nil {
		return nil, nil, err
	}
	if e.Dir {
		return nil, nil, fmt.Errorf("file of the page: %w", backend.ErrNotExist)
	}
	return lib, e, nil
}

// apiItem answers GET /api/item/{ino}.
func (h *handler) apiItem(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, e, err := h.file(r, p)
	if err != nil {
		return err
	}
	list, err := items(r.Context(), lib, e)
	if err != nil {
		return err
	}
	list[0].describe(e)
	return h.json(w, r, http.StatusOK, list[0])
}

// apiDelete answers DELETE /api/item/{ino}: the file goes to the trash.
func (h *handler) apiDelete(w http.ResponseWriter, r *http.Request, p *auth.Principal) error {
	lib, e, err := h.file(r, p)
	if err != nil {
		return err
	}
	// By the time of the commit, another file may have that key.
	same := func(now *backend.Entry) error {
		if now == nil || now.Ino != e.Ino {
			return fmt.Errorf("delete from the page: %w", backend.ErrNotExist)
		}
		return nil
	}
	if err := lib.Delete(r.Context(), e.Key, &backend.DeleteOptions{Conditions: backend.Conditions{Confirm: same}}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
