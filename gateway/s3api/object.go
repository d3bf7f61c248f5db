package s3api

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// checkVersion allows the one version that an unversioned bucket has.
func checkVersion(id string) error {
	if id != "" && id != "null" {
		return refuse("NoSuchVersion", "There is no version of that id: buckets are not versioned here.")
	}
	return nil
}

// getObject is GetObject and HeadObject.
func (q *request) getObject() error {
	if err := checkVersion(q.query.Get("versionId")); err != nil {
		return err
	}
	e, err := q.stat(q.bucket, q.key)
	if err != nil {
		return err
	}
	q.objectHeaders(e)
	switch holds(e, q.r.Header.Get) {
	case http.StatusPreconditionFailed:
		return backend.ErrPrecondition
	case http.StatusNotModified:
		q.head.Del("Content-Type")
		return q.replyEmpty(http.StatusNotModified)
	}

	rng, ranged, err := q.span(e)
	if err != nil {
		return err
	}
	if a, sum := checksumOf(e); a != "" && !ranged && strings.EqualFold(q.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") {
		q.head.Set(a.Header(), sum)
		q.head.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
	for param := range strings.FieldsSeq(overrides) {
		if v := q.query.Get(param); v != "" {
			if strings.ContainsAny(v, "\r\n\x00") {
				return refuse("InvalidArgument", "The value of "+param+" is not valid.")
			}
			q.head.Set(strings.TrimPrefix(param, "response-"), v)
		}
	}
	h := http.Header{}
	if ranged {
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", rng.off, rng.off+rng.n-1))
	}
	q.entry = e
	return q.serveInner(nil, h, 0)
}

// span is the part of e that is asked for, by Range or partNumber.
func (q *request) span(e *backend.Entry) (rng span, ranged bool, err error) {
	header := q.r.Header.Get("Range")
	if part := q.query.Get("partNumber"); part != "" {
		if header != "" {
			return rng, false, refuse("InvalidRequest", "Range and partNumber exclude each other.")
		}
		// The sizes of an upload's parts are not kept; an object that came whole is
		// its own part 1.
		if strings.Contains(e.ETag, "-") {
			return rng, false, refuse("NotImplemented", "GetObject by partNumber is not implemented for objects that came in parts.")
		}
		if part != "1" {
			return rng, false, refuse("InvalidPartNumber", "The object has no such part.")
		}
		return span{0, e.Size}, e.Size > 0, nil
	}
	if header == "" {
		return rng, false, nil
	}
	// RFC 9110 §13.1.5: a Range for content that has changed gets the whole.
	if cond := q.r.Header.Get("If-Range"); cond != "" {
		t, err := http.ParseTime(cond)
		if err != nil && strings.Trim(cond, `"`) != etagOf(e) || err == nil && !t.Equal(e.Modified.Truncate(1e9)) {
			return rng, false, nil
		}
	}
	return parseRange(header, e.Size)
}

// putObject is PutObject, and CopyObject if there is a source.
func (q *request) putObject() error {
	if q.r.Header.Get("X-Amz-Copy-Source") != "" {
		return q.copyObject()
	}
	if _, err := q.path(); err != nil {
		return err
	}
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	var err error
	// The Library hashes: it is told what MD5 and SHA-256 must come to.
	if q.body, err = q.openBody(&sigv4.BodyOptions{NoMD5: true, NoSHA256: true}); err != nil {
		return err
	}
	if q.body.Size() > 0 && marker(q.key) {
		return refuse("InvalidArgument", "A key that ends in a slash is a collection; its body must be empty.")
	}
	if q.put, err = q.putOptions(); err != nil {
		return err
	}
	q.put.Expect = expected(q.body)
	return q.serveInner(nil, nil, q.body.Size())
}

// expected are the sums that a body must come to and that it leaves to its reader.
func expected(b *sigv4.Body) (sums []backend.Checksum) {
	if sum := b.ContentMD5(); sum != nil {
		sums = append(sums, backend.Checksum{Algorithm: "md5", Sum: sum})
	}
	if sum := b.ContentSHA256(); sum != nil {
		sums = append(sums, backend.Checksum{Algorithm: "sha256", Sum: sum})
	}
	return sums
}

// storeObject is PutObject once gofakes3 has called.
func (q *request) storeObject() error {
	k, err := q.path()
	if err != nil {
		return err
	}
	if marker(q.key) {
		if err := emptyBody(q.body); err != nil {
			return err
		}
		return q.makeCollection(k)
	}
	e, _, err := q.lib.Put(q.ctx(), k, &noting{q.body, q.put.Header}, q.body.Size(), q.put)
	if err != nil {
		return writeFault(err, q.body)
	}
	q.head["ETag"] = []string{quote(e.ETag)}
	q.echoChecksum()
	return nil
}

// A noting body puts its checksum into the headers to be stored as soon as it is
// known; for one that follows in the trailer that is with the last byte.
type noting struct {
	*sigv4.Body
	header map[string]string
}

func (n *noting) Read(p []byte) (int, error) {
	got, err := n.Body.Read(p)
	if a, sum := n.Checksum(); sum != "" {
		n.header[a.Header()] = sum
	}
	return got, err
}

// emptyBody verifies a body without a byte.
func emptyBody(b *sigv4.Body) error {
	if err := b.Finish(); err != nil {
		return err
	}
	for _, c := range expected(b) {
		if h := backend.NewHash(c.Algorithm); string(h.Sum(nil)) != string(c.Sum) {
			return writeFault(backend.ErrChecksum, b)
		}
	}
	return nil
}

// writeFault gives an error of a write its S3 code where the table of errors,
// which does not know what was asked for, has another.
func writeFault(err error, b *sigv4.Body) error {
	switch {
	case errors.Is(err, backend.ErrParent): // parents are made, so it is the library
		return noBucket()
	case errors.Is(err, backend.ErrChecksum) && b != nil && b.ContentMD5() == nil && b.ContentSHA256() != nil:
		return refuse("XAmzContentSHA256Mismatch", "The body does not have the SHA-256 that x-amz-content-sha256 says.")
	}
	return err
}

func (q *request) echoChecksum() {
	if a, sum := q.body.Checksum(); sum != "" {
		q.head.Set(a.Header(), sum)
		q.head.Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
}

// makeCollection is a PutObject of "dir/".
func (q *request) makeCollection(k backend.Key) error {
	e, err := q.lib.Mkdir(q.ctx(), k, &backend.MkdirOptions{
		Conditions: q.put.Conditions, Modified: q.put.Modified, MakeParents: true, Existing: true,
	})
	if err != nil {
		return writeFault(err, nil)
	}
	q.head["ETag"] = []string{quote(etagOf(e))}
	return nil
}

func (q *request) deleteObject() error {
	if err := checkVersion(q.query.Get("versionId")); err != nil {
		return err
	}
	return q.serveInner(nil, nil, 0)
}

// errOther says that an entry is not of the kind the key names.
var errOther = errors.New("another kind of entry")

// removeObject deletes a file, or a collection by its marker "dir/" if it is
// empty. That there is nothing of the key is no error (API reference,
// DeleteObject), unless a condition asks for it.
func (q *request) removeObject(key string, c backend.Conditions) error {
	k, err := path(q.bucket, key)
	if err != nil {
		return err
	}
	unconditional := len(c.IfMatch) == 0 && len(c.IfNoneMatch) == 0
	c.Confirm = func(e *backend.Entry) error {
		if e != nil && e.Dir != marker(key) {
			return errOther
		}
		return nil
	}
	err = q.lib.Delete(q.ctx(), k, &backend.DeleteOptions{Conditions: c, Prune: true, EmptyOnly: true})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errOther), errors.Is(err, backend.ErrNotExist), errors.Is(err, backend.ErrParent), errors.Is(err, backend.ErrNotCollection):
		if err := q.checkBucket(q.bucket); err != nil {
			return err
		}
		if unconditional {
			return nil
		}
		return refuse("NoSuchKey", "There is no object of that key.")
	case errors.Is(err, backend.ErrNotEmpty):
		return nil // the marker is not an object while the collection has members
	}
	return err
}

func (q *request) deleteObjects() error {
	var in struct {
		Objects []struct {
			Key       string
			VersionID string `xml:"VersionId"`
			ETag      string
		} `xml:"Object"`
		Quiet bool
	}
	checksum, err := q.readXML(&in)
	switch {
	case err != nil:
		return err
	case !checksum:
		return refuse("InvalidRequest", "DeleteObjects needs a Content-MD5 or an x-amz-checksum- header.")
	case len(in.Objects) == 0 || len(in.Objects) > 1000:
		return refuse("MalformedXML", "Between 1 and 1,000 objects can be deleted at once.")
	}
	if err := q.checkBucket(q.bucket); err != nil {
		return err
	}
	type deleted struct{ Key string }
	type failed struct{ Key, Code, Message string }
	out := struct {
		XMLName xml.Name  `xml:"DeleteResult"`
		Xmlns   string    `xml:"xmlns,attr"`
		Deleted []deleted `xml:"Deleted"`
		Errors  []failed  `xml:"Error"`
	}{Xmlns: xmlns}
	for _, o := range in.Objects {
		err := checkVersion(o.VersionID)
		if err == nil && o.Key == "" {
			err = refuse("InvalidArgument", "A key is missing.")
		}
		if err == nil {
			err = q.removeObject(o.Key, backend.Conditions{IfMatch: etags(o.ETag)})
		}
		if err := q.ctx().Err(); err != nil {
			return err
		}
		if err != nil {
			e := explain(err)
			if e.status >= 500 {
				q.s.log.ErrorContext(q.ctx(), "delete failed", "op", "s3 DeleteObjects", "err", err)
			}
			out.Errors = append(out.Errors, failed{o.Key, e.code, e.message})
		} else if !in.Quiet {
			out.Deleted = append(out.Deleted, deleted{o.Key})
		}
	}
	return q.reply(&out)
}

// getAttributes is GetObjectAttributes.
func (q *request) getAttributes() error {
	if err := checkVersion(q.query.Get("versionId")); err != nil {
		return err
	}
	e, err := q.stat(q.bucket, q.key)
	if err != nil {
		return err
	}
	type checksum struct {
		CRC32        string `xml:"ChecksumCRC32,omitempty"`
		CRC32C       string `xml:"ChecksumCRC32C,omitempty"`
		CRC64NVME    string `xml:"ChecksumCRC64NVME,omitempty"`
		SHA1         string `xml:"ChecksumSHA1,omitempty"`
		SHA256       string `xml:"ChecksumSHA256,omitempty"`
		ChecksumType string
	}
	out := struct {
		XMLName      xml.Name  `xml:"GetObjectAttributesResponse"`
		Xmlns        string    `xml:"xmlns,attr"`
		ETag         string    `xml:",omitempty"`
		Checksum     *checksum `xml:",omitempty"`
		ObjectSize   *int64    `xml:",omitempty"`
		StorageClass string    `xml:",omitempty"`
	}{Xmlns: xmlns}
	known := false
	for _, list := range q.r.Header.Values("X-Amz-Object-Attributes") {
		for a := range strings.SplitSeq(list, ",") {
			known = true
			switch strings.TrimSpace(a) {
			case "ETag":
				out.ETag = etagOf(e)
			case "ObjectSize":
				out.ObjectSize = &e.Size
			case "StorageClass":
				out.StorageClass = "STANDARD"
			case "Checksum":
				if a, sum := checksumOf(e); a != "" {
					out.Checksum = &checksum{ChecksumType: "FULL_OBJECT"}
					*map[sigv4.Algorithm]*string{sigv4.CRC32: &out.Checksum.CRC32, sigv4.CRC32C: &out.Checksum.CRC32C,
						sigv4.CRC64NVME: &out.Checksum.CRC64NVME, sigv4.SHA1: &out.Checksum.SHA1, sigv4.SHA256: &out.Checksum.SHA256}[a] = sum
				}
			case "ObjectParts": // not kept
			default:
				return refuse("InvalidArgument", "x-amz-object-attributes has an unknown name.")
			}
		}
	}
	if !known {
		return refuse("InvalidArgument", "The x-amz-object-attributes header is required.")
	}
	q.head.Set("Last-Modified", e.Modified.UTC().Format(http.TimeFormat))
	return q.reply(&out)
}

// A copySource is the object that CopyObject and UploadPartCopy read.
type copySource struct {
	bucket, key string
	entry       *backend.Entry
}

// openSource finds the object in x-amz-copy-source, "bucket/key" percent-encoded,
// and checks the conditions on it.
func (q *request) openSource() (*copySource, error) {
	name, query, _ := strings.Cut(q.r.Header.Get("X-Amz-Copy-Source"), "?")
	if query != "" {
		values, err := url.ParseQuery(query)
		if err != nil || !values.Has("versionId") || len(values) != 1 {
			return nil, refuse("InvalidArgument", "The query of x-amz-copy-source is not valid.")
		}
		if err := checkVersion(values.Get("versionId")); err != nil {
			return nil, err
		}
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
	if s.entry, err = q.stat(s.bucket, s.key); err != nil {
		return nil, err
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
	if q.source.bucket == q.bucket && q.source.key == q.key && directive != "REPLACE" {
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
	to, err := q.path()
	if err != nil {
		return nil, err
	}
	put, err := q.putOptions()
	if err != nil {
		return nil, err
	}
	if q.source.entry.Dir {
		// To S3 a collection is its marker alone.
		e, err := q.lib.Mkdir(q.ctx(), to, &backend.MkdirOptions{Conditions: put.Conditions, Modified: put.Modified, MakeParents: true, Existing: true})
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
	e, _, err := q.lib.Copy(q.ctx(), from, to, opt)
	if err != nil {
		return nil, writeFault(err, nil)
	}
	return e, nil
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
