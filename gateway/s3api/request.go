package s3api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// A request is one request under way. It lives as long as its handler runs and
// belongs to its goroutine, so it may hold the context.
type request struct {
	s    *server
	w    http.ResponseWriter
	r    *http.Request // copy, with its own header
	id   string
	head http.Header // of the answer, if it is a good one
	cors bool        // it comes from another origin that may
	tls  bool        // the client speaks HTTPS, if only to a proxy

	verified  *sigv4.Verified
	principal *auth.Principal
	lib       *backend.Library
	query     url.Values // without what belongs to the signature
	bucket    string
	key       string // below the bucket; "" for the bucket itself
	op        *operation

	// For the Backend that gofakes3 is given (inner.go).
	entry  *backend.Entry      // of GetObject, HeadObject
	body   *sigv4.Body         // of PutObject, UploadPart
	put    *backend.PutOptions // of PutObject, CreateMultipartUpload
	source *copySource         // of CopyObject
	err    error               // what went wrong within; gofakes3 loses it
}

func (q *request) ctx() context.Context { return q.r.Context() }

func (q *request) serve() error {
	switch {
	case q.r.Method == http.MethodOptions:
		return q.preflight(q.cors)
	case q.r.Method == http.MethodPost && strings.HasPrefix(q.r.Header.Get("Content-Type"), "multipart/form-data"):
		return q.postObject()
	}
	err := q.authenticate(func(lookup sigv4.Lookup) (*sigv4.Verified, error) { return sigv4.Verify(q.r, lookup, q.s.verify) })
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return refuse("InvalidURI", "The query is not valid.")
	}
	q.query = query
	q.settleQuery()
	q.locate()
	if q.op, err = q.classify(); err != nil {
		return err
	}
	if err := q.checkHeaders(); err != nil {
		return err
	}
	if q.verified.Mode.Streaming() && !q.op.streaming {
		return refuse("InvalidRequest", "A body in signed chunks is taken by PutObject and UploadPart only.")
	}
	if err := q.openLibrary(); err != nil {
		return err
	}
	return q.op.do(q)
}

func (q *request) openLibrary() (err error) {
	q.lib, err = q.s.backend.Library(q.ctx(), q.principal.UID, q.principal.Access)
	return err
}

// authenticate verifies the signature and learns who asks.
func (q *request) authenticate(verify func(sigv4.Lookup) (*sigv4.Verified, error)) error {
	var p *auth.Principal
	var told error // only to whom the secret is known
	lookup := func(ctx context.Context, id string) (string, error) {
		secret, found, err := q.s.auth.S3Secret(ctx, id, q.r)
		p = found
		if err != nil && secret == "" && errors.Is(err, account.ErrRefused) {
			return "", sigv4.ErrUnknownKey
		}
		if err != nil && secret == "" {
			return "", err
		}
		told = err
		return secret, nil
	}
	v, err := verify(lookup)
	reason := ""
	switch refusal, ok := errors.AsType[*sigv4.Error](err); {
	case ok && refusal.Code == "InvalidAccessKeyId":
		reason = account.ErrUnknown.Reason
	case ok && refusal.Code == "SignatureDoesNotMatch":
		reason = account.ErrWrong.Reason
	case err == nil && told != nil:
		err = told
		if why, ok := errors.AsType[*account.Refusal](told); ok {
			reason = why.Reason
			err = refuse("AccessDenied", why.Text)
		}
	}
	if reason != "" {
		key := ""
		if p != nil {
			key = p.Key
		}
		if wait := q.s.auth.Failed(q.r, "s3", key, reason); wait > 0 {
			e := refuse("SlowDown", "There were too many wrong signatures. Wait a little, then try again.")
			e.status, e.head = http.StatusTooManyRequests, map[string]string{"Retry-After": auth.RetryAfter(wait)}
			return e
		}
	}
	if err != nil {
		return err
	}
	if p == nil {
		return errors.New("s3api: internal error: a secret without a principal")
	}
	q.s.auth.Succeeded(q.r, p, "s3")
	q.verified, q.principal = v, p
	q.r = q.r.WithContext(auth.With(q.ctx(), p))
	return nil
}

// settleQuery takes out of the query what is no part of the operation: the
// signature, x-id, which names the operation for logs, and other x- parameters,
// which S3 leaves to its users' logs. An x-amz- parameter stands for the header
// of that name; presigned URLs have them.
func (q *request) settleQuery() {
	for name, values := range q.query {
		switch lower := strings.ToLower(name); {
		case strings.HasPrefix(name, "X-Amz-") && isSignature(name):
		case strings.HasPrefix(lower, "x-amz-"):
			if http.CanonicalHeaderKey(lower) != "X-Amz-Content-Sha256" && q.r.Header.Get(lower) == "" && len(values) == 1 {
				q.r.Header.Set(lower, values[0])
			}
		case strings.HasPrefix(name, "x-"):
		default:
			continue
		}
		delete(q.query, name)
	}
}

func isSignature(name string) bool {
	switch name {
	case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Content-Sha256":
		return true
	}
	return false
}

// locate finds bucket and key, from the path or from host name and path.
func (q *request) locate() {
	path := strings.TrimPrefix(q.r.URL.Path, "/")
	host := q.r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	for _, d := range q.s.opt.Domains {
		if bucket, ok := strings.CutSuffix(host, "."+strings.ToLower(d)); ok && bucket != "" {
			q.bucket, q.key = bucket, path
			return
		}
	}
	q.bucket, q.key, _ = strings.Cut(path, "/")
}

// marker says whether the key is that of a collection: "dir/".
func marker(key string) bool { return strings.HasSuffix(key, "/") }

// path is where a key of a bucket is in the tree.
func path(bucket, key string) (backend.Key, error) {
	if len(key) > backend.MaxKey {
		return "", refuse("KeyTooLongError", "The key is longer than 1,024 bytes.")
	}
	return backend.ParseKey(bucket + "/" + key)
}

func (q *request) path() (backend.Key, error) { return path(q.bucket, q.key) }

// newPath is path for a key that is to be made. It refuses characters that XML can not
// carry (XML 1.0 §2.2): clients that do not ask for encoding-type=url could neither list
// such a key nor delete it.
func (q *request) newPath() (backend.Key, error) {
	for _, c := range q.key {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == '\uFFFE' || c == '\uFFFF' {
			return "", refuse("InvalidArgument", "The key has a control character that can not be told in a listing.")
		}
	}
	return q.path()
}

// checkBucket demands that a bucket is there.
func (q *request) checkBucket(name string) error {
	k, err := backend.ParseKey(name)
	if err != nil || k == "" {
		return noBucket()
	}
	e, err := q.lib.Stat(q.ctx(), k)
	if errors.Is(err, backend.ErrNotExist) || err == nil && !e.Dir {
		return noBucket()
	}
	return err
}

// stat is the entry that is an object by this key: a file, or a collection as
// "dir/". A key that is neither is looked for no further than its bucket.
func (q *request) stat(bucket, key string) (*backend.Entry, error) {
	k, err := path(bucket, key)
	if err != nil {
		return nil, err
	}
	e, err := q.lib.Stat(q.ctx(), k)
	switch {
	case errors.Is(err, backend.ErrNotExist), errors.Is(err, backend.ErrParent), errors.Is(err, backend.ErrNotCollection),
		err == nil && e.Dir != marker(key):
		if err := q.checkBucket(bucket); err != nil {
			return nil, err
		}
		return nil, refuse("NoSuchKey", "There is no object of that key.")
	case err != nil:
		return nil, err
	}
	return e, nil
}

// openBody prepares to read the request's body.
func (q *request) openBody(opt *sigv4.BodyOptions) (*sigv4.Body, error) {
	return sigv4.NewBody(q.verified, q.r, opt)
}
