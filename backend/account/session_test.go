package account

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		ana := r.user(t, "ana")
		begin := time.Now()
		token, err := r.NewSession(t.Context(), ana.UID, SessionInfo{
			Issuer: "https://id.example", SID: "7", IDToken: "header.body.sig", Addr: netip.MustParseAddr("203.0.113.77"), UserAgent: "Browser",
		})
		if err != nil {
			t.Fatal(err)
		}
		// Used every hour it lives for seven days, and not longer.
		for time.Since(begin) < 7*24*time.Hour {
			s, u, err := r.Session(t.Context(), string(token))
			if err != nil {
				t.Fatalf("after %v: %v", time.Since(begin), err)
			}
			if u.UID != ana.UID || s.SID != "7" || s.IDToken != "header.body.sig" || s.Net != "203.0.113.0/24" || !s.AuthTime.Equal(begin) {
				t.Fatalf("got %+v", s)
			}
			time.Sleep(time.Hour)
		}
		if _, _, err := r.Session(t.Context(), string(token)); err != ErrSession {
			t.Errorf("after seven days: %v", err)
		}

		token, err = r.NewSession(t.Context(), ana.UID, SessionInfo{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(8*time.Hour - time.Second)
		if _, _, err := r.Session(t.Context(), string(token)); err != nil {
			t.Errorf("just before it is idle too long: %v", err)
		}
		time.Sleep(8 * time.Hour)
		if _, _, err := r.Session(t.Context(), string(token)); err != ErrSession {
			t.Errorf("idle for eight hours: %v", err)
		}
		if list, err := r.Sessions(t.Context(), ana.UID); err != nil || len(list) != 0 {
			t.Errorf("sessions are %v, %v", list, err)
		}
	})
}

func TestEndSession(t *testing.T) {
	r := newRegister(t, nil)
	ana, ben := r.user(t, "ana"), r.user(t, "ben")
	var tokens []string
	for _, u := range []*User{ana, ana, ana, ben} {
		token, err := r.NewSession(t.Context(), u.UID, SessionInfo{})
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, string(token))
	}
	alive := func() (n int) {
		for i, token := range tokens {
			if _, _, err := r.Session(t.Context(), token); err == nil {
				n += 1 << i
			} else if err != ErrSession {
				t.Error(err)
			}
		}
		return n
	}
	s, _, err := r.Session(t.Context(), tokens[1])
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.EndSession(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if got := alive(); got != 0b1101 {
		t.Errorf("alive are %b", got)
	}
	if list, err := r.Sessions(t.Context(), ana.UID); err != nil || len(list) != 2 {
		t.Errorf("sessions are %v, %v", list, err)
	}
	if err := r.EndSessions(t.Context(), ana.UID); err != nil {
		t.Fatal(err)
	}
	if got := alive(); got != 0b1000 {
		t.Errorf("alive are %b", got)
	}
	for _, token := range []string{"", "x", s.ID, tokens[3] + "x"} {
		if _, _, err := r.Session(t.Context(), token); err != ErrSession {
			t.Errorf("%q: got %v", token, err)
		}
	}
}

func TestLoginLinkOnce(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	const n = 8
	for range 5 {
		barrier := &barrierStore{Store: r.store}
		barrier.wg.Add(n)
		r.x = r.store
		token, err := r.NewLoginLink(t.Context(), ana.UID, 0)
		if err != nil {
			t.Fatal(err)
		}
		r.x = barrier
		var got atomic.Int32
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				u, err := r.UseLoginLink(context.Background(), string(token))
				if err == nil && u.UID == ana.UID {
					got.Add(1)
				} else if err != ErrLink {
					t.Error(u, err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Fatalf("the link worked %d times", got.Load())
		}
	}
}

// barrierStore commits when as many as its group waits for want to.
type barrierStore struct {
	kv.Store
	wg sync.WaitGroup
}

func (s *barrierStore) Commit(ctx context.Context, ops []kv.Op) error {
	s.wg.Done()
	s.wg.Wait()
	return s.Store.Commit(ctx, ops)
}

func TestLoginLinkExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		ana := r.user(t, "ana")
		link := func(ttl time.Duration) string {
			token, err := r.NewLoginLink(t.Context(), ana.UID, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return string(token)
		}
		a, b, c := link(0), link(0), link(time.Hour)
		time.Sleep(10*time.Minute - time.Millisecond)
		if _, err := r.UseLoginLink(t.Context(), a); err != nil {
			t.Errorf("just before: %v", err)
		}
		time.Sleep(time.Millisecond)
		if _, err := r.UseLoginLink(t.Context(), b); err != ErrLink {
			t.Errorf("just after: %v", err)
		}
		if err := r.SetState(t.Context(), ana.UID, Suspended); err != nil {
			t.Fatal(err)
		}
		if _, err := r.UseLoginLink(t.Context(), c); err != ErrSuspended {
			t.Errorf("suspended: %v", err)
		}
		if err := r.SetState(t.Context(), ana.UID, Active); err != nil {
			t.Fatal(err)
		}
		if _, err := r.UseLoginLink(t.Context(), c); err != ErrLink {
			t.Errorf("made before the suspension: %v", err)
		}
	})
}

func TestOnce(t *testing.T) {
	r := newRegister(t, nil)
	for i, want := range []bool{true, false, false} {
		if got, err := r.Once(t.Context(), "state", "x", time.Now().Add(time.Minute)); got != want || err != nil {
			t.Errorf("call %d: %v, %v", i, got, err)
		}
	}
	if got, err := r.Once(t.Context(), "jti", "x", time.Now().Add(time.Minute)); !got || err != nil {
		t.Errorf("another kind: %v, %v", got, err)
	}
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		ana := r.user(t, "ana")
		go r.Run(t.Context())
		rows := func() (n int) {
			for row, err := range r.store.Dump(t.Context(), "s#", "su#", "ll#", "once#") {
				if err != nil {
					t.Fatal(row, err)
				}
				n++
			}
			return n
		}
		for range 150 {
			if _, err := r.NewSession(t.Context(), ana.UID, SessionInfo{}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.NewLoginLink(t.Context(), ana.UID, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Once(t.Context(), "state", newToken(), time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		if got := rows(); got != 600 {
			t.Fatalf("%d rows", got)
		}
		time.Sleep(7 * time.Hour)
		if got := rows(); got != 300 {
			t.Errorf("%d rows are left after 7 hours, want those of the 150 sessions", got)
		}
		time.Sleep(2 * time.Hour)
		if got := rows(); got != 0 {
			t.Errorf("%d rows are left after 9 hours", got)
		}
	})
}
