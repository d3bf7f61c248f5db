package s3api

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
)

// A copySource is the object that CopyObject and UploadPartCopy read.
type copySource struct {
	bucket, key string
	entry       *backend.Entry
	old         bool // not the current version
}

// openSource finds the object in x-amz-copy-source, "bucket/key" percent-encoded,
// and checks the conditions on it.
func (q *request) openSource() (*copySource, error) {
	name, query, _ := strings.Cut(q.r.Header.Get("X-Amz-Copy-Source"), "?")
	id := ""
	if query != "" {
		values, err := url.ParseQuery(query)
		if err != nil || !values.Has("versionId") || len(values) != 1 {
			return nil, refuse("InvalidArgument", "The query of x-amz-copy-source is not valid.")
		}
		id = values.Get("versionId")
	}
	decoded, err := url.PathUnescape(name)
	if err != nil {
		return nil, refuse("InvalidArgument", "x-amz-copy-source is not validly escaped.")
	}
	s := &copySource{}
	s.bucket, s.key, _ = strings.Cut(strings.TrimPrefix(decoded, "/"), "/")
	if s.bucket == "" || s.key == "" {
		return nil, refuse("InvalidArgument", "x-amz-copy-source must be a bucket and a key, with a slash between them.")
	}
	v, err := q.findVersion(s.bucket, s.key, id)
	if err != nil {
		return nil, err
	}
	if s.entry, s.old = v.entry, !v.current; v.deleted != nil {
		return nil, refuse("InvalidRequest", "The source of a copy is a delete marker.")
	}
	if holds(s.entry, func(name string) string { return q.r.Header.Get("X-Amz-Copy-Source-" + name) }) != http.StatusOK {
		return nil, backend.ErrPrecondition
	}
	return s, nil
}

func (q *request) copyObject() error {
	var err error
	if q.source, err = q.openSource(); err != nil {
		return err
	}
	directive := q.r.Header.Get("X-Amz-Metadata-Directive")
	switch directive {
	case "", "COPY", "REPLACE":
	default:
		return refuse("InvalidArgument", "x-amz-metadata-directive must be COPY or REPLACE.")
	}
	switch q.r.Header.Get("X-Amz-Tagging-Directive") {
	case "", "COPY", "REPLACE":
	default:
		return refuse("InvalidArgument", "x-amz-tagging-directive must be COPY or REPLACE.")
	}
	if q.source.entry.Dir != marker(q.key) {
		return refuse("InvalidArgument", "A key that ends in a slash is a collection: only one can be copied to another.")
	}
	if q.source.bucket == q.bucket && q.source.key == q.key && directive != "REPLACE" && !q.source.old {
		return refuse("InvalidRequest", "A copy of an object onto itself must replace its metadata.")
	}
	// gofakes3 reads the source once more, but asks us for the object.
	h := http.Header{"X-Amz-Copy-Source": {"/source/object"}}
	return q.serveInner(nil, h, 0)
}

// copyEntry is CopyObject once gofakes3 has called.
func (q *request) copyEntry() (*backend.Entry, error) {
	from, err := path(q.source.bucket, q.source.key)
	if err != nil {
		return nil, err
	}
	to, err := q.newPath()
	if err != nil {
		return nil, err
	}
	put, err := q.putOptions()
	if err != nil {
		return nil, err
	}
	if q.source.entry.Dir {
		// To S3 a collection is its marker alone.
		header := q.source.entry.Header
		if q.r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
			header = put.Header
		} else if put.Modified = q.source.entry.Modified; header == nil {
			header = map[string]string{}
		}
		e, err := q.lib.Mkdir(q.ctx(), to, &backend.MkdirOptions{Conditions: put.Conditions, Modified: put.Modified, Header: header, MakeParents: true, Existing: true})
		if err != nil {
			return nil, writeFault(err, nil)
		}
		c := *e
		c.ETag = etagOf(e)
		return &c, nil
	}
	opt := &backend.MoveOptions{
		Conditions:  put.Conditions,
		Source:      backend.Conditions{IfMatch: []string{q.source.entry.ETag}},
		Overwrite:   true,
		MakeParents: true,
	}
	newMeta := q.r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE"
	newTags := q.r.Header.Get("X-Amz-Tagging-Directive") == "REPLACE"
	if newMeta || newTags {
		opt.Replace = true
		opt.Header = replaced(q.source.entry, put.Header, newMeta, newTags)
	}
	if newMeta {
		opt.Type, opt.Modified = put.Type, put.Modified
	}
	if q.source.old {
		if put.Header = q.source.entry.Header; opt.Replace {
			put.Header = opt.Header
		}
		return q.putAgain(to, put)
	}
	e, _, err := q.lib.Copy(q.ctx(), from, to, opt)
	if err != nil {
		return nil, writeFault(err, nil)
	}
	return e, nil
}

// putAgain is a copy of an earlier version: its content is put once more, for only the
// current one can be shared.
func (q *request) putAgain(to backend.Key, put *backend.PutOptions) (*backend.Entry, error) {
	c, err := q.lib.Open(q.ctx(), q.source.entry)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.Expect(0, c.Size())
	if put.Type == "" {
		put.Type = q.source.entry.Type
	}
	put.Header = maps.Clone(put.Header)
	delete(put.Header, checksumParts)            // it comes whole
	if put.Header[checksumType] == "COMPOSITE" { // of parts that it will not have
		maps.DeleteFunc(put.Header, func(name, _ string) bool { return strings.HasPrefix(name, "x-amz-checksum-") })
	}
	e, _, err := q.lib.Put(q.ctx(), to, c, c.Size(), put)
	return e, writeFault(err, nil)
}

// replaced are the stored headers of a copy: each kind from the request or from the
// source. Checksums are the content's, which stays.
func replaced(source *backend.Entry, sent map[string]string, newMeta, newTags bool) map[string]string {
	h := map[string]string{}
	take := func(from map[string]string, meta, tags, sums bool) {
		for name, v := range from {
			isTags, isSum := name == tagging, strings.HasPrefix(name, "x-amz-checksum-")
			if isTags && tags || isSum && sums || !isTags && !isSum && meta {
				h[name] = v
			}
		}
	}
	take(source.Header, !newMeta, !newTags, true)
	take(sent, newMeta, newTags, false)
	return h
}
