package auth

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// countingStore counts what is asked of an index.
type countingStore struct {
	kv.Store
	n atomic.Int64
}

func (s *countingStore) Get(ctx context.Context, keys ...kv.Key) ([]kv.Row, error) {
	s.n.Add(1)
	return s.Store.Get(ctx, keys...)
}

func (s *countingStore) Scan(ctx context.Context, p, from, to string, back bool, n int) ([]kv.Row, bool, error) {
	s.n.Add(1)
	return s.Store.Scan(ctx, p, from, to, back, n)
}

func (s *countingStore) Commit(ctx context.Context, ops []kv.Op) error {
	s.n.Add(1)
	return s.Store.Commit(ctx, ops)
}

// TestBasicCost: an app password that was used in the last seconds is checked without
// asking the index, and with few allocations (BenchmarkBasic has the time).
func TestBasicCost(t *testing.T) {
	x := &countingStore{Store: memkv.New()}
	accounts, err := account.Open(t.Context(), membucket.New(), x, account.GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ana, err := accounts.CreateUser(t.Context(), account.NewUser{Login: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	p, secret, err := accounts.Mint(t.Context(), ana.UID, account.MintOptions{DAV: true, S3: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(accounts, nil)
	if err != nil {
		t.Fatal(err)
	}
	let := 0
	h := a.Basic("Shoebox", "dav", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { let++ }))
	r := httptest.NewRequest("GET", "/dav/photos/a.jpg", nil)
	r.RemoteAddr = "127.0.0.1:4000"
	r.SetBasicAuth("ana", string(secret))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	x.n.Store(0)
	const most = 8 // it is 5: the decoded header, the Principal, the context and the request that has it
	if n := testing.AllocsPerRun(500, func() { h.ServeHTTP(w, r) }); n > most {
		t.Errorf("%v allocations, more than %d", n, most)
	}
	if n := x.n.Load(); n != 0 || let < 500 {
		t.Errorf("%d requests asked the index %d times", let, n)
	}
	for range 100 {
		if _, _, err := a.S3Secret(t.Context(), p.AccessKeyID(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n := x.n.Load(); n != 0 {
		t.Errorf("S3 asked the index %d times", n)
	}
	// Revoking is seen at once all the same.
	if err := accounts.Revoke(t.Context(), ana.UID, p.ID); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("revoked: %d", w.Code)
	}
}
