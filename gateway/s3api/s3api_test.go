package s3api_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/s3api"
)

const (
	secretKey = "sb_AAAAAAAAAAAAAAAA_0123456789012345678901234567890123456789"
	uid       = "aaaaaaaaaaaaa"
)

// keys is an Authenticator with fixed principals.
type keys struct {
	principals map[string]*auth.Principal
	refusal    error // told to whoever has the right secret
	wait       time.Duration
	failed     []string
	succeeded  atomic.Int64
}

func (k *keys) S3Secret(_ context.Context, id string, _ *http.Request) (string, *auth.Principal, error) {
	p, ok := k.principals[id]
	if !ok {
		return "", nil, account.ErrUnknown
	}
	return secretKey, p, k.refusal
}

func (k *keys) Succeeded(*http.Request, *auth.Principal, string) { k.succeeded.Add(1) }

func (k *keys) Failed(_ *http.Request, proto, key, reason string) time.Duration {
	k.failed = append(k.failed, proto+" "+key+" "+reason)
	return k.wait
}

// A world is a server with one user, whose library is photos.
type world struct {
	t      testing.TB
	b      *backend.Backend
	bucket object.Bucket
	lib    *backend.Library
	keys   *keys
	srv    *httptest.Server
	s3     *s3.Client
}

type config struct {
	tls    bool
	bucket object.Bucket
	kv     kv.Store // nil means in memory
	opt    s3api.Options
	wrap   func(http.Handler) http.Handler
}

func newWorld(t testing.TB, c config) *world {
	t.Helper()
	w := &world{t: t, bucket: c.bucket}
	if w.bucket == nil {
		w.bucket = membucket.New()
	}
	if c.kv == nil {
		c.kv = memkv.New()
	}
	w.b = backend.New(w.bucket, c.kv, nil)
	w.keys = &keys{principals: map[string]*auth.Principal{
		"SBOWNER":  {UID: uid, Login: "ana", Key: "OWNER"},
		"SBREADER": {UID: uid, Login: "ana", Key: "READER", Access: backend.Access{Mode: backend.ReadOnly}},
		"SBPHONE":  {UID: uid, Login: "ana", Key: "PHONE", Access: backend.Access{Mode: backend.UploadOnly}},
		"SBOTHER":  {UID: "bbbbbbbbbbbbb", Login: "bob", Key: "OTHER"},
	}}
	var h http.Handler = s3api.New(w.b, w.keys, &c.opt)
	if c.wrap != nil {
		h = c.wrap(h)
	}
	if c.tls {
		w.srv = httptest.NewUnstartedServer(h)
		w.srv.EnableHTTP2 = true
		w.srv.StartTLS()
	} else {
		w.srv = httptest.NewServer(h)
	}
	t.Cleanup(w.srv.Close)
	var err error
	if w.lib, err = w.b.Library(t.Context(), uid, backend.Access{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	w.s3 = w.client("SBOWNER", secretKey)
	return w
}

func (w *world) client(id, secret string, opts ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(w.srv.URL), UsePathStyle: true, Region: "auto",
		Credentials:                credentials.NewStaticCredentialsProvider(id, secret, ""),
		HTTPClient:                 w.srv.Client(),
		RetryMaxAttempts:           1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}, opts...)
}

// both runs a test over HTTP and HTTPS, for the SDK sends other bodies.
func both(t *testing.T, test func(*testing.T, *world)) {
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "http", true: "https"}[tls], func(t *testing.T) { test(t, newWorld(t, config{tls: tls})) })
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func md5Hex(b []byte) string {
	s := md5.Sum(b)
	return hex.EncodeToString(s[:])
}

func (w *world) put(key, body string, edit ...func(*s3.PutObjectInput)) *s3.PutObjectOutput {
	w.t.Helper()
	in := &s3.PutObjectInput{Bucket: aws.String("photos"), Key: &key, Body: strings.NewReader(body)}
	for _, e := range edit {
		e(in)
	}
	out, err := w.s3.PutObject(w.t.Context(), in)
	if err != nil {
		w.t.Fatalf("put %q: %v", key, err)
	}
	return out
}

func (w *world) get(key string) string {
	w.t.Helper()
	out, err := w.s3.GetObject(w.t.Context(), &s3.GetObjectInput{Bucket: aws.String("photos"), Key: &key})
	if err != nil {
		w.t.Fatalf("get %q: %v", key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(out.Body)
	if err != nil {
		w.t.Fatalf("read %q: %v", key, err)
	}
	return string(b)
}

// list is all keys of photos.
func (w *world) list() []string {
	w.t.Helper()
	keys := []string{}
	p := s3.NewListObjectsV2Paginator(w.s3, &s3.ListObjectsV2Input{Bucket: aws.String("photos")})
	for p.HasMorePages() {
		page, err := p.NextPage(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	return keys
}

// code is the S3 code and HTTP status of an SDK error, "" for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	status := 0
	if r, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		status = r.HTTPStatusCode()
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return fmt.Sprintf("%d %s", status, e.ErrorCode())
	}
	return fmt.Sprintf("%d %v", status, err)
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}
