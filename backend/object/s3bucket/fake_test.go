package s3bucket

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

const testBucket = "photos-test"

// fake is gofakes3 over s3mem, and what it does not do and Amazon S3 does:
//   - CompleteMultipartUpload minds If-None-Match, and parts that are too small;
//   - an object made of parts keeps its ETag "md5-N" for HEAD (s3mem makes another);
//   - a body whose x-amz-content-sha256 is another is refused.
//
// It also records the requests and can answer in the server's place.
type fake struct {
	*httptest.Server
	s3 http.Handler

	mu       sync.Mutex
	requests []string // "PUT", "POST ?uploads", "PUT ?partNumber", "POST ?uploadId", …
	answer   func(w http.ResponseWriter, r *http.Request) bool
	parts    map[string]int64  // uploadId/number → size
	etags    map[string]string // path → ETag
	complete sync.Mutex        // one CompleteMultipartUpload at a time
}

func newFake(t testing.TB) *fake {
	t.Helper()
	mem := s3mem.New()
	if err := mem.CreateBucket(testBucket); err != nil {
		t.Fatal(err)
	}
	f := &fake{
		s3:    gofakes3.New(mem, gofakes3.WithTimeSkewLimit(0), gofakes3.WithMetadataSizeLimit(0), gofakes3.WithLogger(gofakes3.DiscardLog())).Server(),
		parts: make(map[string]int64), etags: make(map[string]string),
	}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// kind tells a request's operation as far as tests count them.
func kind(r *http.Request) string {
	q := r.URL.Query()
	for _, sub := range []string{"uploads", "partNumber", "uploadId", "list-type", "acl", "policyStatus", "publicAccessBlock", "encryption"} {
		if q.Has(sub) {
			return r.Method + " ?" + sub
		}
	}
	return r.Method
}

// answerWith makes f answer the requests that h takes.
func (f *fake) answerWith(h func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = h
}

// taken returns the requests since the last call.
func (f *fake) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.requests
	f.requests = nil
	return r
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, kind(r))
	answer := f.answer
	f.mu.Unlock()
	if answer != nil && answer(w, r) {
		_, _ = io.Copy(io.Discard, r.Body)
		return
	}
	f.serve(w, r)
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if want := r.Header.Get("x-amz-content-sha256"); r.Method == http.MethodPut && len(want) == 64 {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
			s3Error(w, 400, "XAmzContentSHA256Mismatch")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(data))
	}
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		rec := &statusWriter{ResponseWriter: w}
		f.s3.ServeHTTP(rec, r)
		if rec.status == 0 || rec.status == 200 {
			f.mu.Lock()
			f.parts[q.Get("uploadId")+"/"+q.Get("partNumber")] = r.ContentLength
			f.mu.Unlock()
		}
	case r.Method == http.MethodPost && q.Has("uploadId"):
		f.completeUpload(w, r)
	case r.Method == http.MethodHead:
		f.mu.Lock()
		etag := f.etags[r.URL.Path]
		f.mu.Unlock()
		f.s3.ServeHTTP(w, r) // writes no body, and so no header yet
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
	default:
		if r.Method == http.MethodPut {
			f.mu.Lock()
			delete(f.etags, r.URL.Path)
			f.mu.Unlock()
		}
		f.s3.ServeHTTP(w, r)
	}
}

func (f *fake) completeUpload(w http.ResponseWriter, r *http.Request) {
	f.complete.Lock()
	defer f.complete.Unlock()
	body, _ := io.ReadAll(r.Body)
	var in struct{ Part []struct{ PartNumber int } }
	if err := xml.Unmarshal(body, &in); err != nil {
		s3Error(w, 400, "MalformedXML")
		return
	}
	f.mu.Lock()
	for i, p := range in.Part {
		size, ok := f.parts[r.URL.Query().Get("uploadId")+"/"+strconv.Itoa(p.PartNumber)]
		if ok && i < len(in.Part)-1 && size < 5<<20 {
			f.mu.Unlock()
			s3Error(w, 400, "EntityTooSmall")
			return
		}
	}
	f.mu.Unlock()
	if r.Header.Get("If-None-Match") == "*" {
		head := httptest.NewRecorder()
		f.s3.ServeHTTP(head, httptest.NewRequest(http.MethodHead, r.URL.Path, nil))
		if head.Code == 200 {
			s3Error(w, 412, "PreconditionFailed")
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	rec := httptest.NewRecorder()
	f.s3.ServeHTTP(rec, r)
	var out struct{ ETag string }
	if rec.Code == 200 && xml.Unmarshal(rec.Body.Bytes(), &out) == nil {
		f.mu.Lock()
		f.etags[r.URL.Path] = out.ETag
		f.mu.Unlock()
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func s3Error(w http.ResponseWriter, code int, name string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(code)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", name, strings.ToLower(name))
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(code int) { w.status = code; w.ResponseWriter.WriteHeader(code) }

func (f *fake) options() Options {
	return Options{
		Bucket: testBucket, Endpoint: f.URL, PathStyle: true, SSE: SSENone,
		AllowInsecureBucket: true, // it is open to everyone
		AccessKey:           "test", SecretKey: "test-secret", maxBackoff: time.Millisecond,
	}
}

func open(t testing.TB, opt Options) *Bucket {
	t.Helper()
	b, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}
