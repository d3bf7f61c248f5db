package auth

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// gate is an Auth over an empty register, its log, and whom it let in.
type gate struct {
	*Auth
	accounts *account.Accounts
	log      *logBuffer
}

// logBuffer is a log to look at.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newGate(t testing.TB, opt *Options) gate {
	t.Helper()
	x := memkv.New()
	accounts, err := account.Open(t.Context(), membucket.New(), x, account.GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	if opt != nil {
		o = *opt
	}
	log := new(logBuffer)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	a, err := New(accounts, &o)
	if err != nil {
		t.Fatal(err)
	}
	return gate{a, accounts, log}
}

func (g gate) user(t testing.TB, n account.NewUser) *account.User {
	t.Helper()
	u, err := g.accounts.CreateUser(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (g gate) mint(t testing.TB, u *account.User, o account.MintOptions) (*account.AppPassword, string) {
	t.Helper()
	p, secret, err := g.accounts.Mint(t.Context(), u.UID, o)
	if err != nil {
		t.Fatal(err)
	}
	return p, string(secret)
}

// site serves the routes of signing in, and a page that says who is signed in.
func (g gate) site(t testing.TB) *httptest.Server {
	t.Helper()
	return g.siteAt(t, nil)
}

// siteAt is site on a listener; nil means a new one.
func (g gate) siteAt(t testing.TB, l net.Listener) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	g.Routes(mux)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "login page") })
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, From(r.Context()).Login) })
	mux.Handle("/", g.RequireSession(who))
	mux.Handle("/api/", g.RequireSession(who))
	s := httptest.NewUnstartedServer(mux)
	if l != nil {
		s.Listener.Close()
		s.Listener = l
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// browser keeps cookies and follows redirects.
type browser struct {
	*http.Client
	t testing.TB
}

func newBrowser(t testing.TB) browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{&http.Client{Jar: jar}, t}
}

type visit struct {
	code int
	url  *url.URL
	body string
	head http.Header
}

func (b browser) do(r *http.Request) visit {
	b.t.Helper()
	r.Header.Set("Accept", "text/html")
	resp, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return visit{resp.StatusCode, resp.Request.URL, string(body), resp.Header}
}

func (b browser) get(to string) visit {
	b.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "GET", to, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b browser) post(to string, form url.Values, header ...string) visit {
	b.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "POST", to, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}
