package s3api

import (
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// How S3's versions map onto what a Library keeps:
//
//   - Every bucket says that it is not versioned, for it does not promise what versioning
//     does. (Of one that says enabled, or suspended, rclone purge deletes all versions one by
//     one.) What is kept can be listed and read all the same, by those who ask for it, as
//     rclone does with --s3-versions and --s3-version-at.
//   - A version's id is the entry and the object of its content. It stays the same when
//     the content is overwritten, renamed, or deleted, and until retention ends it. New
//     metadata for the same content, or the same content once more, is no new version. An
//     empty file is not kept when it is overwritten.
//   - What is in the trash is listed as a delete marker with, below it, the content.
//   - A DELETE without a version moves to the trash; so does one that names the current
//     version. One that names the delete marker of a file brings it back, if its key is
//     free. Nothing else can be deleted by its version: what is kept is there for those
//     who lost a password to a stranger, too. It goes by retention, or on the page.
//   - Versions follow a rename: they are listed at the new key.
const versioning = `<VersioningConfiguration xmlns="` + xmlns + `"></VersioningConfiguration>`

// versionID is that of the content of e.
func versionID(e *backend.Entry) string {
	id := e.ContentID()
	if id == "" {
		id = "0"
	}
	return string(e.Ino) + "." + id
}

// markerID is that of the delete marker above a file in the trash.
func markerID(d *backend.Trashed) string {
	return string(d.Entry.Ino) + ".d" + strconv.FormatInt(d.Deleted.UnixMilli(), 36)
}

func (q *request) versionHead(e *backend.Entry) { q.head.Set("X-Amz-Version-Id", versionID(e)) }

// A version is what an id names.
type version struct {
	entry   *backend.Entry
	deleted *backend.Trashed // it is this delete marker
	current bool
}

// findVersion is the version of a key that id names; "" and "null" are the current one.
func (q *request) findVersion(bucket, key, id string) (*version, error) {
	e, err := q.stat(bucket, key)
	gone, isRefusal := errors.AsType[*refusal](err)
	switch {
	case id == "" || id == "null":
		return &version{entry: e, current: true}, err
	case isRefusal && gone.code == "NoSuchKey":
	case err != nil:
		return nil, err
	case versionID(e) == id:
		return &version{entry: e, current: true}, nil
	}
	ino, _, ok := strings.Cut(id, ".")
	if !ok || len(ino) != len(backend.RootIno) {
		return nil, refuse("InvalidArgument", "The version id is not valid.")
	}
	if err == nil && string(e.Ino) == ino {
		return q.earlier(e, id)
	}
	k, err := path(bucket, key)
	if err != nil {
		return nil, err
	}
	if marker(key) {
		return nil, noVersion()
	}
	for d, err := range q.lib.DeletedFiles(q.ctx(), backend.Key(bucket)) {
		if err != nil {
			return nil, err
		}
		if string(d.Entry.Ino) != ino || !d.Entry.Key.Same(k) {
			continue
		}
		switch id {
		case markerID(&d):
			return &version{deleted: &d}, nil
		case versionID(d.Entry):
			return &version{entry: d.Entry}, nil
		}
		return q.earlier(d.Entry, id)
	}
	return nil, noVersion()
}

func noVersion() error { return refuse("NoSuchVersion", "There is no version of that id.") }

// earlier looks for id among what e was before.
func (q *request) earlier(e *backend.Entry, id string) (*version, error) {
	versions, err := q.lib.VersionsOf(q.ctx(), e)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if versionID(v.Entry) == id {
			return &version{entry: v.Entry}, nil
		}
	}
	return nil, noVersion()
}

// read is the entry that the request reads: the version it names, or the current one.
func (q *request) read() (*backend.Entry, error) {
	v, err := q.findVersion(q.bucket, q.key, q.query.Get("versionId"))
	if err != nil {
		return nil, err
	}
	if v.deleted != nil {
		e := refuse("MethodNotAllowed", "This version is a delete marker.")
		e.head = map[string]string{"X-Amz-Delete-Marker": "true", "Allow": "DELETE",
			"Last-Modified": v.deleted.Deleted.Format(http.TimeFormat), "X-Amz-Version-Id": markerID(v.deleted)}
		return nil, e
	}
	return v.entry, nil
}

// removeVersion is removeObject for a version.
func (q *request) removeVersion(key, id string, c backend.Conditions) error {
	if id == "" || id == "null" {
		return q.removeObject(key, c)
	}
	v, err := q.findVersion(q.bucket, key, id)
	if err != nil {
		return err
	}
	switch {
	case v.current:
		// As long as it is: what is put meanwhile stays.
		c.Confirm = func(e *backend.Entry) error {
			if e == nil || versionID(e) != id {
				return refuse("OperationAborted", "The object has changed. Try again.")
			}
			return nil
		}
		return q.removeObject(key, c)
	case v.deleted == nil:
		return refuse("AccessDenied", "Earlier versions are kept for a while. They can not be deleted by S3.")
	case v.deleted.Cursor == "":
		return refuse("AccessDenied", "The object went with a collection above it. Restore that one on the page.")
	}
	if _, err := q.stat(q.bucket, key); err == nil {
		return refuse("AccessDenied", "There is another object of that key. Delete it first, then this marker, to bring back what was there.")
	}
	_, err = q.lib.Restore(q.ctx(), v.deleted.Entry.Ino)
	return err
}

// A versionRow is a version or a delete marker, as listed.
type versionRow struct {
	listed
	marker bool
}

// versionsOf are the rows of a key, newest first.
func (l *lister) versionsOf(key string, live *backend.Entry, deleted []backend.Trashed, o *owner) ([]versionRow, error) {
	var rows []versionRow
	add := func(id string, e *backend.Entry, at time.Time, marker bool) {
		latest := len(rows) == 0
		r := versionRow{listed{Key: l.encode(key), VersionID: id, IsLatest: &latest, LastModified: stamp(at), Owner: o}, marker}
		if !marker {
			r.ETag, r.Size, r.StorageClass = quote(etagOf(e)), e.Size, "STANDARD"
		}
		rows = append(rows, r)
	}
	content := func(e *backend.Entry) error {
		add(versionID(e), e, e.Modified, false)
		if e.Dir {
			return nil
		}
		earlier, err := l.q.lib.VersionsOf(l.q.ctx(), e)
		for _, v := range earlier {
			add(versionID(v.Entry), v.Entry, v.Modified, false)
		}
		return err
	}
	if live != nil {
		if err := content(live); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(deleted, func(a, b backend.Trashed) int { return b.Deleted.Compare(a.Deleted) })
	for i := range deleted {
		add(markerID(&deleted[i]), nil, deleted[i].Deleted, true)
		if err := content(deleted[i].Entry); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// A unit is what a listing of versions has at one place: a common prefix, or a key.
type unit struct {
	name    string
	prefix  bool
	live    *backend.Entry
	deleted []backend.Trashed
}

// unitsOf merges the objects there are with those in the trash, from after on; with
// inclusive, the key after is wanted too. No more than a page of them is kept, but the
// whole trash is looked through.
func (l *lister) unitsOf(after string, inclusive bool) (units []*unit, more bool, err error) {
	p, err := l.page(after)
	if err != nil {
		return nil, false, err
	}
	all := map[string]*unit{}
	at := func(name string, prefix bool) *unit {
		u := all[name]
		if u == nil {
			u = &unit{name: name, prefix: prefix}
			all[name] = u
		}
		return u
	}
	for _, e := range p.Objects {
		at(e.Key, false).live = e.Entry
	}
	for _, s := range p.Prefixes {
		at(s, true)
	}
	if inclusive && strings.HasPrefix(after, l.prefix) {
		e, err := l.q.stat(l.q.bucket, after)
		if _, isRefusal := errors.AsType[*refusal](err); err != nil && !isRefusal {
			return nil, false, err
		}
		if err == nil {
			at(after, false).live = e
		}
	}
	// Beyond the last of a full page there may be objects that were not seen.
	last := ""
	if p.More {
		last = p.Next
	}
	dropped := false
	trim := func(n int) {
		if len(all) <= n {
			return
		}
		dropped = true
		for i, u := range sorted(all) {
			if i >= n {
				delete(all, u.name)
				continue
			}
			last = u.name
		}
	}
	for d, err := range l.q.lib.DeletedFiles(l.q.ctx(), backend.Key(l.q.bucket)) {
		if err != nil {
			return nil, false, err
		}
		_, key := d.Entry.Key.Library()
		if !strings.HasPrefix(key, l.prefix) || key < after || key == after && !inclusive {
			continue
		}
		name, prefix := key, false
		if i := strings.Index(key[len(l.prefix):], l.delimiter); l.delimiter != "" && i >= 0 {
			if name, prefix = key[:len(l.prefix)+i+len(l.delimiter)], true; name <= after {
				continue
			}
		}
		if last != "" && name > last {
			dropped = true
			continue
		}
		if u := at(name, prefix); !prefix {
			u.deleted = append(u.deleted, d)
		}
		if len(all) > 4*l.max {
			trim(l.max + 1)
		}
	}
	trim(l.max + 1)
	return sorted(all), p.More || dropped, nil
}

func sorted(all map[string]*unit) []*unit {
	units := make([]*unit, 0, len(all))
	for _, u := range all {
		units = append(units, u)
	}
	slices.SortFunc(units, func(a, b *unit) int { return strings.Compare(a.name, b.name) })
	return units
}

// listVersions is ListObjectVersions.
func (q *request) listVersions() error {
	l, err := q.newLister("max-keys")
	if err != nil {
		return err
	}
	keyMarker, idMarker := q.query.Get("key-marker"), q.query.Get("version-id-marker")
	if idMarker != "" && keyMarker == "" {
		return refuse("InvalidArgument", "A version-id-marker needs a key-marker.")
	}
	out := struct {
		XMLName             xml.Name `xml:"ListVersionsResult"`
		Xmlns               string   `xml:"xmlns,attr"`
		Name                string
		Prefix              string
		KeyMarker           string
		VersionIDMarker     string `xml:"VersionIdMarker"`
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
		MaxKeys             int
		Delimiter           string `xml:",omitempty"`
		EncodingType        string `xml:",omitempty"`
		IsTruncated         bool
		Rows                []any
		CommonPrefixes      []commonPrefix `xml:"CommonPrefixes"`
	}{
		Xmlns: xmlns, Name: q.bucket, Prefix: l.encode(l.prefix), KeyMarker: l.encode(keyMarker), VersionIDMarker: idMarker,
		MaxKeys: l.max, Delimiter: l.encode(l.delimiter), EncodingType: l.encoding,
	}
	if l.max == 0 {
		return q.reply(&out)
	}
	units, more, err := l.unitsOf(keyMarker, idMarker != "")
	if err != nil {
		return err
	}
	n, lastKey, lastID := 0, "", ""
	for i, u := range units {
		if n == l.max {
			more = true
			break
		}
		if u.prefix {
			out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{l.encode(u.name)})
			n, lastKey, lastID = n+1, u.name, ""
			continue
		}
		rows, err := l.versionsOf(u.name, u.live, u.deleted, q.owner())
		if err != nil {
			return err
		}
		if i == 0 && idMarker != "" && u.name == keyMarker {
			// Those after the marker; all are before it if it is not known any more.
			at := slices.IndexFunc(rows, func(r versionRow) bool { return r.VersionID == idMarker || idMarker == "null" && *r.IsLatest })
			if at < 0 {
				at = len(rows) - 1
			}
			rows = rows[at+1:]
		}
		if room := l.max - n; len(rows) > room {
			rows, more = rows[:room], true
		}
		for _, r := range rows {
			if r.marker {
				out.Rows = append(out.Rows, deleteMarker{Key: r.Key, VersionID: r.VersionID, IsLatest: *r.IsLatest, LastModified: r.LastModified, Owner: r.Owner})
			} else {
				out.Rows = append(out.Rows, objectVersion{listed: r.listed})
			}
			n, lastKey, lastID = n+1, u.name, r.VersionID
		}
	}
	if out.IsTruncated = more && n > 0; out.IsTruncated {
		out.NextKeyMarker, out.NextVersionIDMarker = l.encode(lastKey), lastID
	}
	return q.reply(&out)
}

type objectVersion struct {
	XMLName xml.Name `xml:"Version"`
	listed
}

type deleteMarker struct {
	XMLName      xml.Name `xml:"DeleteMarker"`
	Key          string
	VersionID    string `xml:"VersionId"`
	IsLatest     bool
	LastModified string
	Owner        *owner
}
