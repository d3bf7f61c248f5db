// Package s3api is the S3 face of a Library: each library is a bucket, each file
// an object whose key is its name within the library.
//
// A request goes through [request.serve]: its signature is verified
// (gateway/auth/sigv4), it is matched with the list of operations that there are
// (operations.go) — whatever is not in that list is NotImplemented and changes
// nothing — and then either answered here or handed, as rebuilt from what was
// understood of it, to a gofakes3 of its own (inner.go). gofakes3 knows neither
// contexts nor callers and trusts what it is given, so it never sees a request as
// it came.
//
// Behaviour follows Amazon S3 API Reference; comments name its pages.
package s3api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/johannesboyne/gofakes3"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// An Authenticator knows the access keys. *auth.Auth is one.
type Authenticator interface {
	// S3Secret is the secret of an access key and whom it acts for. A secret that
	// comes with an error is used to verify the signature, and only a client whose
	// signature is right is told the error. An error that wraps
	// account.ErrRefused, without a secret, means that there is no such key.
	S3Secret(ctx context.Context, accessKeyID string, r *http.Request) (secret string, p *auth.Principal, err error)
	// Succeeded notes the use of a key.
	Succeeded(r *http.Request, p *auth.Principal, proto string)
	// Failed counts a signature that was refused; a positive result says that there
	// were too many and how long to wait.
	Failed(r *http.Request, proto, key, reason string) (wait time.Duration)
}

// Options adjusts a Server. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger     // nil means slog.DiscardHandler
	Now    func() time.Time // nil means time.Now

	// Domains are host names, without port, below which buckets have names of
	// their own: photos.s3.example.org for the domain s3.example.org. The path
	// always works.
	Domains []string

	// MaxPresign caps how long a presigned URL is good for; 0 means 24 hours.
	MaxPresign time.Duration

	// Origins are those whose scripts may use this face from a browser, as
	// https://photos.example.org, or "*". None are allowed if it is empty.
	Origins []string

	// Secure reports whether nobody between the client and us can change a body;
	// one that is not signed is taken only then. Nil means over TLS, or from a
	// loopback address if no proxy has passed the request on: what that one says
	// of its client is believed by nobody here.
	Secure func(*http.Request) bool
}

type server struct {
	backend *backend.Backend
	auth    Authenticator
	opt     Options
	log     *slog.Logger
	verify  *sigv4.Options
	inner   []gofakes3.Option
}

// New returns the handler of the S3 face. It may be called at once from several
// goroutines, as handlers are.
func New(b *backend.Backend, a Authenticator, opt *Options) http.Handler {
	s := &server{backend: b, auth: a}
	if opt != nil {
		s.opt = *opt
	}
	if s.log = s.opt.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opt.Now == nil {
		s.opt.Now = time.Now
	}
	if s.opt.MaxPresign == 0 {
		s.opt.MaxPresign = 24 * time.Hour
	}
	s.verify = &sigv4.Options{Now: s.opt.Now, MaxExpires: s.opt.MaxPresign, Secure: s.opt.Secure}
	if s.verify.Secure == nil {
		s.verify.Secure = secure
	}
	// All of this was settled before gofakes3 is asked.
	s.inner = []gofakes3.Option{
		gofakes3.WithTimeSkewLimit(0),
		gofakes3.WithIntegrityCheck(false),
		gofakes3.WithMetadataSizeLimit(0),
		gofakes3.WithoutVersioning(),
		gofakes3.WithLogger(gofakes3.DiscardLog()),
	}
	return s
}

func secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return sigv4.Secure(r)
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{s: s, w: w, id: w.Header().Get("X-Request-Id"), head: http.Header{}}
	if q.id == "" {
		q.id = rand.Text()[:16]
	}
	w.Header().Set("X-Amz-Request-Id", q.id)

	// net/http never sends 100 Continue for an empty body; a client that waits for
	// it takes the answer for the one to its next request on this connection.
	// (boto/botocore#3755)
	if r.ContentLength == 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		w.WriteHeader(http.StatusContinue)
	}

	// A copy: net/http looks at the server's own request to learn whether its body
	// was read, and closes the connection if not.
	q.r = r.WithContext(r.Context())
	q.r.Header = r.Header.Clone()
	q.cors = s.allowOrigin(w, r)
	q.tls = r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
	if err := q.serve(); err != nil {
		q.fail(err)
	}
}
