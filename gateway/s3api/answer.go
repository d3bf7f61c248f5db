package s3api

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
	"github.com/shoebox-photos/shoebox/gateway/status"
)

const xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"

// A refusal is an error of this package's own, in S3's words.
type refusal struct {
	code, message string
	status        int
	head          map[string]string // more headers of the answer
	err           error             // what lies below, or nil
}

func (e *refusal) Error() string { return e.code + ": " + e.message }
func (e *refusal) Unwrap() error { return e.err }

// statuses gives the status of the codes used with refuse; any other is 400.
// (Amazon S3 API Reference, "Error responses".)
var statuses = map[string]int{
	"AccessDenied":                                   http.StatusForbidden,
	"AccessForbidden":                                http.StatusForbidden,
	"BucketAlreadyOwnedByYou":                        http.StatusConflict,
	"BucketNotEmpty":                                 http.StatusConflict,
	"InvalidObjectState":                             http.StatusForbidden,
	"InvalidPartNumber":                              http.StatusRequestedRangeNotSatisfiable,
	"InvalidRange":                                   http.StatusRequestedRangeNotSatisfiable,
	"MethodNotAllowed":                               http.StatusMethodNotAllowed,
	"NoSuchBucket":                                   http.StatusNotFound,
	"NoSuchBucketPolicy":                             http.StatusNotFound,
	"NoSuchCORSConfiguration":                        http.StatusNotFound,
	"NoSuchKey":                                      http.StatusNotFound,
	"NoSuchLifecycleConfiguration":                   http.StatusNotFound,
	"NoSuchObjectLockConfiguration":                  http.StatusNotFound,
	"NoSuchPublicAccessBlockConfiguration":           http.StatusNotFound,
	"NoSuchTagSet":                                   http.StatusNotFound,
	"NoSuchUpload":                                   http.StatusNotFound,
	"NoSuchVersion":                                  http.StatusNotFound,
	"NoSuchWebsiteConfiguration":                     http.StatusNotFound,
	"NotImplemented":                                 http.StatusNotImplemented,
	"OperationAborted":                               http.StatusConflict,
	"ObjectLockConfigurationNotFoundError":           http.StatusNotFound,
	"OwnershipControlsNotFoundError":                 http.StatusNotFound,
	"PreconditionFailed":                             http.StatusPreconditionFailed,
	"ReplicationConfigurationNotFoundError":          http.StatusNotFound,
	"ServerSideEncryptionConfigurationNotFoundError": http.StatusNotFound,
	"SlowDown":                                       http.StatusServiceUnavailable,
}

func refuse(code, message string) *refusal {
	status, ok := statuses[code]
	if !ok {
		status = http.StatusBadRequest
	}
	return &refusal{code: code, message: message, status: status}
}

func noBucket() error { return refuse("NoSuchBucket", "There is no bucket of that name.") }

// explain is what the client is told of err.
func explain(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		return &refusal{code: e.Code, status: e.Status, message: e.Message, err: err}
	}
	a := status.Of(err)
	return &refusal{code: a.S3, status: a.S3Code, message: a.Text, err: err}
}

// fail answers with an error document. Nothing was written before.
func (q *request) fail(err error) {
	e := explain(err)
	if e.status == 0 {
		e.status = http.StatusInternalServerError
	}
	if e.status >= 500 && e.status != http.StatusNotImplemented {
		op := "s3"
		if q.op != nil {
			op = "s3 " + q.op.name
		}
		q.s.log.ErrorContext(q.ctx(), "request failed", "op", op, "status", e.status, "err", err)
	}
	h := q.w.Header()
	for name, value := range e.head {
		h.Set(name, value)
	}
	if e.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	if q.r.Method == http.MethodHead {
		q.w.WriteHeader(e.status)
		return
	}
	type document struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
		HostID    string `xml:"HostId"`
	}
	q.writeXML(e.status, &document{Code: e.code, Message: e.message, Resource: q.r.URL.Path, RequestID: q.id, HostID: "shoebox"})
}

// reply answers 200 with v as XML and the headers gathered.
func (q *request) reply(v any) error {
	q.flushHead()
	q.writeXML(http.StatusOK, v)
	return nil
}

// replyEmpty answers without a body.
func (q *request) replyEmpty(status int) error {
	q.flushHead()
	q.w.WriteHeader(status)
	return nil
}

func (q *request) flushHead() {
	h := q.w.Header()
	for name, values := range q.head {
		h[name] = values
	}
}

// writeXML writes a document; an error is the client's going away.
func (q *request) writeXML(status int, v any) {
	var data []byte
	var err error
	if doc, ok := v.(raw); ok {
		data = []byte(doc)
	} else {
		data, err = xml.Marshal(v)
	}
	if err != nil {
		q.s.log.ErrorContext(q.ctx(), "xml", "err", err)
		status, data = http.StatusInternalServerError, nil
	}
	h := q.w.Header()
	h.Set("Content-Type", "application/xml")
	h.Set("Content-Length", strconv.Itoa(len(xml.Header)+len(data)))
	q.w.WriteHeader(status)
	q.w.Write([]byte(xml.Header))
	q.w.Write(data)
}

// stamp is a time as XML documents have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func quote(etag string) string { return `"` + etag + `"` }

type owner struct {
	ID          string
	DisplayName string
}

func (q *request) owner() *owner {
	return &owner{ID: q.principal.UID, DisplayName: q.principal.Login}
}
