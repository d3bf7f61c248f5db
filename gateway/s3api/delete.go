package s3api

import (
	"encoding/xml"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/shoebox-photos/shoebox/backend"
)

func (q *request) deleteObject() error {
	return q.serveInner(nil, nil, 0)
}

// errOther says that an entry is not of the kind the key names.
var errOther = errors.New("another kind of entry")

// removeObject deletes a file, or a collection by its marker "dir/" if it is
// empty. That there is nothing of the key is no error (API reference,
// DeleteObject), unless a condition asks for it.
func (q *request) removeObject(key string, c backend.Conditions) (removed, error) {
	k, err := path(q.bucket, key)
	if err != nil {
		return removed{}, err
	}
	unconditional := len(c.IfMatch) == 0 && len(c.IfNoneMatch) == 0
	confirm := c.Confirm
	c.Confirm = func(e *backend.Entry) error {
		if e != nil && e.Dir != marker(key) {
			return errOther
		}
		if confirm != nil {
			return confirm(e)
		}
		return nil
	}
	trashed, err := q.lib.Remove(q.ctx(), k, &backend.DeleteOptions{Conditions: c, Prune: true, EmptyOnly: true})
	switch {
	case err == nil && trashed != nil && !trashed.Entry.Dir:
		return removed{marker: true, version: markerID(trashed)}, nil
	case err == nil:
		return removed{}, nil // it was not worth keeping; a collection has no marker
	case errors.Is(err, errOther), errors.Is(err, backend.ErrNotExist), errors.Is(err, backend.ErrParent), errors.Is(err, backend.ErrNotCollection):
		if err := q.checkBucket(q.bucket); err != nil {
			return removed{}, err
		}
		if unconditional {
			return removed{}, nil
		}
		return removed{}, refuse("NoSuchKey", "There is no object of that key.")
	case errors.Is(err, backend.ErrNotEmpty):
		return removed{}, nil // the marker is not an object while the collection has members
	}
	return removed{}, err
}

// A doomed is an object that DeleteObjects names, and then what became of it.
type doomed struct {
	Key       string
	VersionID string `xml:"VersionId"`
	ETag      string

	gone removed
	err  error
}

func (q *request) deleteObjects() error {
	var in struct {
		Objects doomedList `xml:"Object"`
		Quiet   bool
	}
	checksum, err := q.readXML(&in, maxXML)
	switch {
	case err != nil:
		return err
	case !checksum:
		return refuse("InvalidRequest", "DeleteObjects needs a Content-MD5 or an x-amz-checksum- header.")
	case len(in.Objects) == 0:
		return errDeleted
	}
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	q.removeAll(in.Objects)
	if err := q.ctx().Err(); err != nil {
		return err
	}
	type deleted struct {
		Key             string
		VersionID       string `xml:"VersionId,omitempty"`
		DeleteMarker    bool   `xml:",omitempty"`
		MarkerVersionID string `xml:"DeleteMarkerVersionId,omitempty"`
	}
	type failed struct {
		Key       string
		VersionID string `xml:"VersionId,omitempty"`
		Code      string
		Message   string
	}
	out := struct {
		XMLName xml.Name  `xml:"DeleteResult"`
		Xmlns   string    `xml:"xmlns,attr"`
		Deleted []deleted `xml:"Deleted"`
		Errors  []failed  `xml:"Error"`
	}{Xmlns: xmlns}
	for _, o := range in.Objects {
		if o.err != nil {
			e := explain(o.err)
			if e.status >= 500 {
				q.s.log.ErrorContext(q.ctx(), "delete failed", "op", "s3 DeleteObjects", "err", o.err)
			}
			out.Errors = append(out.Errors, failed{o.Key, o.VersionID, e.code, e.message})
		} else if !in.Quiet {
			d := deleted{Key: o.Key, VersionID: o.VersionID, DeleteMarker: o.gone.marker}
			if o.gone.marker {
				d.MarkerVersionID = o.gone.version
			}
			out.Deleted = append(out.Deleted, d)
		}
	}
	return q.reply(&out)
}

// deletesAtOnce is how many objects of one DeleteObjects are deleted at a time. What comes
// at once shares a commit, and it is the commit that takes the time.
const deletesAtOnce = 64

// removeAll deletes objects and notes with each what became of it: collections after all
// else, the deepest first, so that one goes whose last member goes with it, as S3 has it.
func (q *request) removeAll(objects []doomed) {
	remove := func(o *doomed) {
		if o.err = q.ctx().Err(); o.err != nil {
			return
		}
		if o.Key == "" {
			o.err = refuse("InvalidArgument", "A key is missing.")
			return
		}
		o.gone, o.err = q.removeVersion(o.Key, o.VersionID, backend.Conditions{IfMatch: etags(o.ETag)})
	}
	var collections []*doomed
	var files errgroup.Group
	files.SetLimit(deletesAtOnce)
	for i := range objects {
		if o := &objects[i]; marker(o.Key) {
			collections = append(collections, o)
		} else {
			files.Go(func() error {
				remove(o)
				return nil
			})
		}
	}
	files.Wait()
	slices.SortFunc(collections, func(a, b *doomed) int { return strings.Compare(b.Key, a.Key) })
	for _, o := range collections {
		remove(o)
	}
}
