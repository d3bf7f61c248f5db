package s3api

import (
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

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
//   - A DELETE without a version moves to the trash, and its answer names the delete marker
//     if there is one now; so does one that names the current version. One that names the
//     delete marker of a file brings it back, if its key is free. Nothing else can be
//     deleted by its version: what is kept is there for those who lost a password to a
//     stranger, too. It goes by retention, or on the page.
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
	deleted, err := q.lib.DeletedAs(q.ctx(), k)
	if err != nil {
		return nil, err
	}
	for _, d := range deleted {
		if string(d.Entry.Ino) != ino {
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
		return nil, q.tellMarker(err)
	}
	if v.deleted != nil {
		e := refuse("MethodNotAllowed", "This version is a delete marker.")
		e.head = map[string]string{"X-Amz-Delete-Marker": "true", "Allow": "DELETE",
			"Last-Modified": v.deleted.Deleted.Format(http.TimeFormat), "X-Amz-Version-Id": markerID(v.deleted)}
		return nil, e
	}
	return v.entry, nil
}

// tellMarker adds to a NoSuchKey that the object is in the trash, if it is: its delete marker
// (API reference, GetObject: "x-amz-delete-marker").
func (q *request) tellMarker(err error) error {
	gone, ok := errors.AsType[*refusal](err)
	if !ok || gone.code != "NoSuchKey" || marker(q.key) {
		return err
	}
	k, e := q.path()
	if e != nil {
		return err
	}
	deleted, e := q.lib.DeletedAs(q.ctx(), k)
	if e != nil || len(deleted) == 0 {
		return err
	}
	gone.head = map[string]string{"X-Amz-Delete-Marker": "true", "X-Amz-Version-Id": markerID(&deleted[0])}
	return gone
}

// removed is what there is to tell of a deletion.
type removed struct {
	marker  bool   // a delete marker was made, or it was one that went
	version string // of the marker that was made, or of the version that went; "" for none
}

// removeVersion is removeObject for a version.
func (q *request) removeVersion(key, id string, c backend.Conditions) (removed, error) {
	if id == "" || id == "null" {
		return q.removeObject(key, c)
	}
	v, err := q.findVersion(q.bucket, key, id)
	if err != nil {
		return removed{}, err
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
		_, err := q.removeObject(key, c)
		return removed{version: id}, err
	case v.deleted == nil:
		return removed{}, refuse("AccessDenied", "Earlier versions are kept for a while. They can not be deleted by S3.")
	case v.deleted.Cursor == "":
		return removed{}, refuse("AccessDenied", "The object went with a collection above it. Restore that one on the page.")
	}
	if _, err := q.stat(q.bucket, key); err == nil {
		return removed{}, refuse("AccessDenied", "There is another object of that key. Delete it first, then this marker, to bring back what was there.")
	}
	_, err = q.lib.Restore(q.ctx(), v.deleted.Entry.Ino)
	return removed{marker: true, version: id}, err
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

// unitsOf merges a page of the objects there are with one of those in the trash, from after
// on; with inclusive, the key after is wanted too. more says that there are others.
func (l *lister) unitsOf(after string, inclusive bool) (units []*unit, more bool, err error) {
	live, err := l.page(after)
	if err != nil {
		return nil, false, err
	}
	deleted, err := l.q.lib.ListDeleted(l.q.ctx(), l.options(after))
	if err != nil {
		return nil, false, err
	}
	// Beyond the last of a full page there may be others that were not seen.
	last, cut := "", false
	for _, p := range []struct {
		more bool
		next string
	}{{live.More, live.Next}, {deleted.More, deleted.Next}} {
		if next := ordered(p.next); p.more && (!cut || next < last) {
			last, cut = next, true
		}
	}
	all := map[string]*unit{}
	at := func(name string, prefix bool) *unit {
		k := ordered(name)
		u := all[k]
		if u == nil {
			u = &unit{name: name, prefix: prefix}
			if cut && k > last {
				return u // on the next page
			}
			all[k] = u
		}
		return u
	}
	for _, e := range live.Objects {
		at(e.Key, false).live = e.Entry
	}
	for _, d := range deleted.Objects {
		at(d.Key, false).deleted = d.Files
	}
	for _, s := range append(live.Prefixes, deleted.Prefixes...) {
		at(s, true)
	}
	if inclusive && strings.HasPrefix(after, l.prefix) {
		u, err := l.unitOf(after)
		if err != nil {
			return nil, false, err
		}
		if u.live != nil || u.deleted != nil {
			all[ordered(after)] = u
		}
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		units = append(units, all[k])
	}
	return units, cut, nil
}

// unitOf is what there is of one key.
func (l *lister) unitOf(key string) (*unit, error) {
	u := &unit{name: key}
	k, err := path(l.q.bucket, key)
	if err != nil {
		return u, nil // a marker may be any string
	}
	e, err := l.q.stat(l.q.bucket, key)
	if _, isRefusal := errors.AsType[*refusal](err); err != nil && !isRefusal {
		return nil, err
	}
	u.live = e
	if !marker(key) {
		u.deleted, err = l.q.lib.DeletedAs(l.q.ctx(), k)
		return u, err
	}
	return u, nil
}

// ordered is what a key is ordered by: two spellings of a name are one.
func ordered(key string) string { return norm.NFC.String(key) }

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
