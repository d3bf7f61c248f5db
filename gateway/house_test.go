package gateway_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/browse"
	"github.com/shoebox-photos/shoebox/gateway/dav"
	"github.com/shoebox-photos/shoebox/gateway/nextcloud"
	"github.com/shoebox-photos/shoebox/gateway/s3api"
)

// A house is everything behind two listeners, over stores in memory.
type house struct {
	t        testing.TB
	bucket   object.Bucket
	backend  *backend.Backend
	accounts *account.Accounts
	auth     *auth.Auth
	web, s3  *httptest.Server
	log      *syncBuffer
	master   []byte // the master key
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newHouse(t testing.TB, change ...func(*auth.Options)) *house {
	t.Helper()
	h := &house{t: t, bucket: membucket.New(), log: new(syncBuffer), master: make([]byte, account.KeySize)}
	rand.Read(h.master)
	keys, err := account.NewKeys(map[uint32][]byte{1: h.master})
	if err != nil {
		t.Fatal(err)
	}
	x := memkv.New()
	log := slog.New(gateway.LogHandler(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	h.backend = backend.New(h.bucket, x, &backend.Options{Logger: log, Deleted: func(ctx context.Context, uid string, gone *backend.Trashed) {
		h.accounts.NoteDeleted(ctx, uid, gone.By, string(gone.Entry.Key))
	}})
	h.accounts, err = account.Open(t.Context(), h.bucket, x, keys, &account.Options{Logger: log, Revoked: h.backend.DropLocks})
	if err != nil {
		t.Fatal(err)
	}
	opt := &auth.Options{Logger: log, Welcome: func(ctx context.Context, uid string) error { return h.photos(ctx, uid) }}
	for _, f := range change {
		f(opt)
	}
	au, err := auth.New(h.accounts, opt)
	if err != nil {
		t.Fatal(err)
	}
	h.auth = au
	pages := http.NewServeMux()
	au.Routes(pages)
	pages.Handle("/", au.Session(browse.New(h.backend, h.accounts, &browse.Options{Logger: log, IsSecure: au.IsSecure, S3URL: "http://s3.invalid", SignIn: au.Providers()})))
	g := gateway.New(gateway.Faces{
		DAV: au.Basic("Shoebox", "dav", dav.New(h.backend, &dav.Options{Logger: log})),
		S3:  s3api.New(h.backend, au, &s3api.Options{Logger: log}), Page: dav.Above("/dav", pages),
		Nextcloud: nextcloud.New(h.backend, h.accounts, au, &nextcloud.Options{Logger: log}),
	}, &gateway.Options{Logger: log, ClientAddr: au.ClientAddr, IsSecure: au.IsSecure, Follow: au.Follow})
	h.web, h.s3 = httptest.NewServer(g.Web()), httptest.NewServer(g.S3())
	t.Cleanup(h.web.Close)
	t.Cleanup(h.s3.Close)
	return h
}

func (h *house) photos(ctx context.Context, uid string) error {
	l, err := h.backend.Library(ctx, uid, backend.Access{})
	if err == nil {
		_, err = l.Mkdir(ctx, "photos", &backend.MkdirOptions{Existing: true})
	}
	return err
}

// A tenant is a user with one credential of each kind.
type tenant struct {
	*account.User
	h        *house
	key      *account.AppPassword
	password string
	cookie   *http.Cookie
	client   *http.Client
}

func (h *house) tenant(login string, o account.MintOptions) *tenant {
	h.t.Helper()
	ctx := h.t.Context()
	u, err := h.accounts.UserByLogin(ctx, login)
	if err != nil {
		if u, err = h.accounts.CreateUser(ctx, account.NewUser{Login: login}); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := h.photos(ctx, u.UID); err != nil {
		h.t.Fatal(err)
	}
	if !o.DAV && !o.S3 {
		o.DAV, o.S3 = true, true
	}
	key, secret, err := h.accounts.Mint(ctx, u.UID, o)
	if err != nil {
		h.t.Fatal(err)
	}
	token, err := h.accounts.NewSession(ctx, u.UID, account.SessionInfo{})
	if err != nil {
		h.t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h.t.Cleanup(c.CloseIdleConnections)
	return &tenant{User: u, h: h, key: key, password: string(secret), cookie: &http.Cookie{Name: "sb_s", Value: string(token)}, client: c}
}

// answer is what came back, with its body.
type answer struct {
	code int
	head http.Header
	body string
}

func (t *tenant) do(r *http.Request) answer {
	t.h.t.Helper()
	res, err := t.client.Do(r)
	if err != nil {
		t.h.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.h.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

func (h *house) request(method, url string, body io.Reader, header []string) *http.Request {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, url, body)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// davRequest is a WebDAV request; path begins with "/dav".
func (t *tenant) davRequest(method, path string, body io.Reader, header ...string) *http.Request {
	t.h.t.Helper()
	r := t.h.request(method, t.h.web.URL+path, body, header)
	r.SetBasicAuth(t.Login, t.password)
	return r
}

func (t *tenant) dav(method, path, body string, header ...string) answer {
	t.h.t.Helper()
	return t.do(t.davRequest(method, path, strings.NewReader(body), header...))
}

func (t *tenant) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: t.key.AccessKeyID(), SecretAccessKey: t.password}
}

// s3Request is a signed S3 request, its body not signed.
func (t *tenant) s3Request(method, path string, body io.Reader, header ...string) *http.Request {
	t.h.t.Helper()
	r := t.h.request(method, t.h.s3.URL+path, body, header)
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(t.h.t.Context(), t.credentials(), r, "UNSIGNED-PAYLOAD", "s3", "auto", time.Now()); err != nil {
		t.h.t.Fatal(err)
	}
	return r
}

func (t *tenant) s3(method, path, body string, header ...string) answer {
	t.h.t.Helper()
	return t.do(t.s3Request(method, path, strings.NewReader(body), header...))
}

// presign is a URL of S3 that is good for a minute.
func (t *tenant) presign(method, path string) string {
	t.h.t.Helper()
	r := t.h.request(method, t.h.s3.URL+path, nil, nil)
	q := r.URL.Query()
	q.Set("X-Amz-Expires", "60")
	r.URL.RawQuery = q.Encode()
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	url, _, err := signer.PresignHTTP(t.h.t.Context(), t.credentials(), r, "UNSIGNED-PAYLOAD", "s3", "auto", time.Now())
	if err != nil {
		t.h.t.Fatal(err)
	}
	return url
}

// page is a request of the signed-in browser.
func (t *tenant) page(method, path, body string, header ...string) answer {
	t.h.t.Helper()
	r := t.h.request(method, t.h.web.URL+path, strings.NewReader(body), header)
	r.AddCookie(t.cookie)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return t.do(r)
}

func (t *tenant) library() *backend.Library {
	t.h.t.Helper()
	l, err := t.h.backend.Library(t.h.t.Context(), t.UID, backend.Access{})
	if err != nil {
		t.h.t.Fatal(err)
	}
	return l
}

// put stores a file.
func (t *tenant) put(key backend.Key, content string) *backend.Entry {
	t.h.t.Helper()
	e, _, err := t.library().Put(t.h.t.Context(), key, strings.NewReader(content), int64(len(content)), &backend.PutOptions{MakeParents: true})
	if err != nil {
		t.h.t.Fatal(err)
	}
	return e
}
