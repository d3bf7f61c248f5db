package s3api

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/johannesboyne/gofakes3"

	"github.com/shoebox-photos/shoebox/backend"
)

// serveInner hands the request to a gofakes3 of its own: the method and the place,
// and besides only what is given here. The answer's headers are those in q.head;
// of gofakes3's own only the ones that frame the body get through.
//
// Making one costs about a microsecond. In return every call of its Backend is
// bound to this request: its context, its principal, what was parsed and checked.
func (q *request) serveInner(query url.Values, header http.Header, size int64) error {
	if header == nil {
		header = http.Header{}
	}
	// gofakes3 reads both.
	header.Set("Content-Length", strconv.FormatInt(size, 10))
	u := &url.URL{Path: "/", RawQuery: query.Encode()}
	if q.bucket != "" {
		u.Path += q.bucket + "/" + q.key
	}
	r := (&http.Request{
		Method: q.r.Method, URL: u, Host: q.r.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, ContentLength: size,
	}).WithContext(q.ctx())
	w := &innerWriter{q: q, head: http.Header{}}
	gofakes3.New(inner{q}, q.s.inner...).Server().ServeHTTP(w, r)
	return w.finish()
}

// An innerWriter is the http.ResponseWriter that gofakes3 writes to. It lets good
// answers through, with our headers, and keeps errors back for us to tell.
type innerWriter struct {
	q         *request
	head      http.Header // what gofakes3 sets
	status    int
	failed    []byte // gofakes3's own error document, its beginning
	discarded bool   // the answer is an error: it goes nowhere
	gone      bool   // so did the client
}

func (w *innerWriter) Header() http.Header { return w.head }

func (w *innerWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.q.err != nil || status >= 400 {
		w.discarded = true
		return
	}
	w.q.flushHead()
	h := w.q.w.Header()
	for _, name := range []string{"Content-Length", "Content-Range", "Location"} {
		if v := w.head.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	w.q.w.WriteHeader(status)
}

func (w *innerWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		if len(p) > 0 && w.q.head.Get("Content-Type") == "" {
			w.q.head.Set("Content-Type", "application/xml")
		}
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.q.err != nil, w.gone: // in the middle of an object: an error document must not follow
		return len(p), nil
	case w.discarded:
		w.failed = append(w.failed, p[:min(len(p), 4096-min(len(w.failed), 4096))]...)
		return len(p), nil
	}
	n, err := w.q.w.Write(p)
	w.gone = err != nil
	return n, err
}

// ReadFrom keeps the way open on which the server below copies.
func (w *innerWriter) ReadFrom(src io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.discarded {
		return 0, errors.New("the answer is an error")
	}
	n, err := io.Copy(w.q.w, src)
	w.gone = err != nil
	return n, err
}

// finish is called when gofakes3 is through.
func (w *innerWriter) finish() error {
	switch {
	case w.q.err != nil && w.status != 0 && !w.discarded:
		// The beginning of the object is on its way: the client must not take it for
		// the whole.
		if w.q.ctx().Err() == nil {
			w.q.s.log.ErrorContext(w.q.ctx(), "object cut short", "op", "s3 "+w.q.op.name, "err", w.q.err)
		}
		panic(http.ErrAbortHandler)
	case w.q.err != nil:
		return w.q.err
	case w.discarded:
		e := &refusal{code: "InternalError", message: "The request was not understood.", status: w.status}
		var doc struct{ Code, Message string }
		if xml.Unmarshal(w.failed, &doc) == nil && doc.Code != "" {
			e.code = doc.Code
			if doc.Message != "" {
				e.message = doc.Message
			}
		}
		return e
	case w.status == 0:
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

// inner is the Backend that gofakes3 has for one request. What it is told of
// metadata and conditions it ignores: the request has them, parsed. It returns
// errors by noting them, for gofakes3 makes 500 of any that it does not know.
type inner struct{ q *request }

var (
	_ gofakes3.Backend          = inner{}
	_ gofakes3.MultipartBackend = inner{}
)

// note keeps err for our answer.
func (b inner) note(err error) error {
	if err == nil {
		return nil
	}
	b.q.err = err
	return gofakes3.ErrInternal
}

// BucketExists says yes: that was looked into where it matters.
func (b inner) BucketExists(string) (bool, error) { return true, nil }

func (b inner) ListBuckets() ([]gofakes3.BucketInfo, error) { return nil, b.note(errUnused) }

func (b inner) CreateBucket(string) error { return b.note(b.q.makeLibrary()) }
func (b inner) DeleteBucket(string) error { return b.note(b.q.removeLibrary()) }

// ForceDeleteBucket would destroy a bucket with all that is in it.
func (b inner) ForceDeleteBucket(string) error { return b.note(errUnused) }

var errUnused = errors.New("s3api: internal error: gofakes3 was asked for what we do ourselves")

func (b inner) ListBucket(string, *gofakes3.Prefix, gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	return nil, b.note(errUnused)
}

func (b inner) HeadObject(_, name string) (*gofakes3.Object, error) {
	if b.q.source != nil { // on the way of CopyObject
		return &gofakes3.Object{Name: name, Size: b.q.source.entry.Size, Contents: io.NopCloser(http.NoBody)}, nil
	}
	return &gofakes3.Object{Name: name, Size: b.q.entry.Size, Contents: io.NopCloser(http.NoBody)}, nil
}

func (b inner) GetObject(_, name string, rng *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	e := b.q.entry
	obj := &gofakes3.Object{Name: name, Size: e.Size}
	off, n := int64(0), e.Size
	if rng != nil {
		r, err := rng.Range(e.Size)
		if err != nil {
			return nil, b.note(err)
		}
		obj.Range, off, n = r, r.Start, r.Length
	}
	if n == 0 || e.Dir {
		obj.Contents = io.NopCloser(http.NoBody)
		return obj, nil
	}
	c, err := b.q.lib.Open(b.q.ctx(), e)
	if err != nil {
		return nil, b.note(err)
	}
	c.Expect(off, n)
	src := &contents{q: b.q, src: io.LimitReader(c, n)}
	// A bucket that can not be reached shows at the first byte: while there is
	// still time to say so.
	first := make([]byte, min(n, 32<<10))
	got, err := io.ReadAtLeast(src, first, 1)
	if err != nil {
		c.Close()
		return nil, b.note(err)
	}
	obj.Contents = &struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first[:got]), src), c}
	return obj, nil
}

// contents notes what goes wrong in the middle of an object.
type contents struct {
	q   *request
	src io.Reader
}

func (c *contents) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	if err != nil && err != io.EOF {
		c.q.err = err
	}
	return n, err
}

// PutObject does not read input: that is the request's body through a reader
// which hashes it once more.
func (b inner) PutObject(string, string, map[string]string, io.Reader, int64, *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	return gofakes3.PutObjectResult{}, b.note(b.q.storeObject())
}

func (b inner) CopyObject(_, _, _, _ string, _ map[string]string) (gofakes3.CopyObjectResult, error) {
	e, err := b.q.copyEntry()
	if err != nil {
		return gofakes3.CopyObjectResult{}, b.note(err)
	}
	b.q.versionHead(e)
	if b.q.source.old {
		b.q.head.Set("X-Amz-Copy-Source-Version-Id", versionID(b.q.source.entry))
	}
	return gofakes3.CopyObjectResult{ETag: quote(e.ETag), LastModified: gofakes3.NewContentTime(e.Modified)}, nil
}

func (b inner) DeleteObject(string, string) (gofakes3.ObjectDeleteResult, error) {
	gone, err := b.q.removeVersion(b.q.key, b.q.query.Get("versionId"), b.q.conditions())
	if gone.marker {
		b.q.head.Set("X-Amz-Delete-Marker", "true")
	}
	if gone.version != "" {
		b.q.head.Set("X-Amz-Version-Id", gone.version)
	}
	return gofakes3.ObjectDeleteResult{}, b.note(err)
}

func (b inner) DeleteMulti(string, ...string) (gofakes3.MultiDeleteResult, error) {
	return gofakes3.MultiDeleteResult{}, b.note(errUnused)
}

func (b inner) CreateMultipartUpload(string, string, map[string]string) (gofakes3.UploadID, error) {
	k, err := b.q.path()
	if err != nil {
		return "", b.note(err)
	}
	u, err := b.q.lib.CreateUpload(b.q.ctx(), k, b.q.put)
	if errors.Is(err, backend.ErrParent) {
		err = noBucket()
	}
	if err != nil {
		return "", b.note(err)
	}
	return gofakes3.UploadID(u.ID), nil
}

func (b inner) UploadPart(_, _ string, id gofakes3.UploadID, number int, _ int64, _ io.Reader) (string, error) {
	etag, err := b.q.storePart(string(id), number)
	return etag, b.note(err)
}

func (b inner) AbortMultipartUpload(_, _ string, id gofakes3.UploadID) error {
	return b.note(b.q.lib.AbortUpload(b.q.ctx(), string(id)))
}

func (b inner) ListMultipartUploads(bucket string, marker *gofakes3.UploadListMarker, prefix gofakes3.Prefix, limit int64) (*gofakes3.ListMultipartUploadsResult, error) {
	return nil, b.note(errUnused)
}

func (b inner) ListParts(string, string, gofakes3.UploadID, int, int64) (*gofakes3.ListMultipartUploadPartsResult, error) {
	return nil, b.note(errUnused)
}

func (b inner) CompleteMultipartUpload(string, string, gofakes3.UploadID, *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	return "", "", b.note(errUnused)
}
