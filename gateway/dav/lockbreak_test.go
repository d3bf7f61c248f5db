package dav_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/dav"
)

// TestBreakLock is what the page does for somebody whose laptop is at the bottom of a lake:
// all locks are listed, with who took them, and one is ended without being its holder.
func TestBreakLock(t *testing.T) {
	s := newShare(t, nil)
	s.mkcol("/dav/photos/2024")
	s.put("/dav/photos/2024/a.jpg", "A")
	s.put("/dav/photos/b.jpg", "B")
	token := s.lock("/dav/photos/2024/a.jpg", "Depth: 0")
	s.lock("/dav/photos/b.jpg")
	all, err := s.lib.Locks(t.Context(), "", true)
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d locks, %v, want 2", len(all), err)
	}
	for _, k := range all {
		if k.Key != "photos/2024/a.jpg" {
			continue
		}
		if k.Token != token || !strings.Contains(k.Owner, "ana's laptop") || k.By != "k1" || k.Infinite || !k.Expires.After(k.Created) {
			t.Errorf("got %+v", k)
		}
		s.want(423, "PUT", "/dav/photos/2024/a.jpg", "of somebody else")
		if err := s.lib.Unlock(t.Context(), k.Key, k.Token); err != nil {
			t.Fatal(err)
		}
	}
	s.want(204, "PUT", "/dav/photos/2024/a.jpg", "of somebody else")
	s.want(423, "PUT", "/dav/photos/b.jpg", "still locked")
	// Whose lock was broken is told: their token is no more.
	s.want(412, "PUT", "/dav/photos/2024/a.jpg", "of the laptop", "If: (<"+token+">)")
	s.want(409, "UNLOCK", "/dav/photos/2024/a.jpg", "", "Lock-Token: <"+token+">")
	s.content("/dav/photos/2024/a.jpg", "of somebody else")
}

// TestLocksSurviveARestart: they are rows, not memory.
func TestLocksSurviveARestart(t *testing.T) {
	bucket, index := membucket.New(), memkv.New()
	start := func() func(method, body string, headers ...string) *httptest.ResponseRecorder {
		b := backend.New(bucket, index, nil)
		h := dav.New(b, nil)
		return func(method, body string, headers ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, "/dav/photos/a.jpg", strings.NewReader(body))
			for _, line := range headers {
				name, value, _ := strings.Cut(line, ": ")
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(auth.With(t.Context(), &auth.Principal{UID: uid, Login: "ana", Key: "k1"})))
			return w
		}
	}
	lib, err := backend.New(bucket, index, nil).Library(t.Context(), uid, backend.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lib.Mkdir(t.Context(), "photos", nil); err != nil {
		t.Fatal(err)
	}
	got := start()("LOCK", lockBody, "Timeout: Second-600")
	token := strings.Trim(got.Header().Get("Lock-Token"), "<>")
	if got.Code != 201 || token == "" {
		t.Fatalf("LOCK: got status %d", got.Code)
	}
	again := start()
	if got := again("PROPFIND", asked["lock"], "Depth: 0"); !strings.Contains(got.Body.String(), token) {
		t.Errorf("after a restart it is not told: %s", got.Body)
	}
	if got := again("PUT", "B"); got.Code != 423 {
		t.Errorf("after a restart, without its token: got status %d", got.Code)
	}
	if got := again("LOCK", "", "If: (<"+token+">)", "Timeout: Second-60"); got.Code != 200 {
		t.Errorf("after a restart it cannot be refreshed: got status %d", got.Code)
	}
	if got := again("PUT", "B", "If: (<"+token+">)"); got.Code/100 != 2 {
		t.Errorf("after a restart, with its token: got status %d", got.Code)
	}
	if got := again("UNLOCK", "", "Lock-Token: <"+token+">"); got.Code != 204 {
		t.Errorf("after a restart it cannot be ended: got status %d", got.Code)
	}
}
