package account

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFlow(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	r := newRegister(t, &Options{Now: func() time.Time { return now }})
	ana := r.user(t, "ana")
	addr := netip.MustParseAddr("203.0.113.9")
	begin := func() (string, string) {
		t.Helper()
		b, p, err := r.BeginFlow(t.Context(), "Phone\x00 app", addr)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), string(p)
	}
	browser, poll := begin()
	f, err := r.Flow(t.Context(), browser)
	if err != nil || f.Client != "Phone app" || f.Net != "203.0.113.0/24" || f.Agreed {
		t.Fatalf("got %+v, %v", f, err)
	}
	if _, _, err := r.TakeFlow(t.Context(), poll); err != ErrFlowPending {
		t.Errorf("before anybody agreed: got %v, want ErrFlowPending", err)
	}
	if _, _, err := r.TakeFlow(t.Context(), browser); !errors.Is(err, ErrFlow) {
		t.Errorf("with the browser's token: got %v, want ErrFlow", err)
	}
	for row, err := range r.store.Dump(t.Context(), "lf#") {
		if err != nil {
			t.Fatal(err)
		}
		if text := row.S + string(row.D); strings.Contains(text, browser) || strings.Contains(text, poll) {
			t.Errorf("a token is in the index: %s", text)
		}
	}
	if err := r.AgreeFlow(t.Context(), browser, ana.UID, "Ana's phone"); err != nil {
		t.Fatal(err)
	}
	if err := r.AgreeFlow(t.Context(), browser, ana.UID, "again"); !errors.Is(err, ErrFlow) {
		t.Errorf("agreed twice: got %v, want ErrFlow", err)
	}
	var got atomic.Int32
	var wg sync.WaitGroup
	for range 8 { // one of many gets it
		wg.Go(func() {
			u, password, err := r.TakeFlow(t.Context(), poll)
			if err != nil {
				return
			}
			got.Add(1)
			p, _, err := r.Check(t.Context(), string(password))
			if err != nil || u.UID != ana.UID || p.Label != "Ana's phone" || !p.DAV || p.S3 {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
	if wg.Wait(); got.Load() != 1 {
		t.Errorf("the app password was given %d times", got.Load())
	}

	browser, poll = begin()
	if err := r.AgreeFlow(t.Context(), browser, ana.UID, "late"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(flowLife)
	if _, _, err := r.TakeFlow(t.Context(), poll); !errors.Is(err, ErrFlow) {
		t.Errorf("after 20 minutes: got %v, want ErrFlow", err)
	}
	for range maxFlowsFrom {
		begin()
	}
	if _, _, err := r.BeginFlow(t.Context(), "", addr); err != ErrFlows {
		t.Errorf("too many of one network: got %v, want ErrFlows", err)
	}
	if _, _, err := r.BeginFlow(t.Context(), "", netip.MustParseAddr("198.51.100.1")); err != nil {
		t.Errorf("another network: %v", err)
	}
	browser, poll = begin2(t, r)
	if err := r.EndFlow(t.Context(), browser); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.TakeFlow(t.Context(), poll); !errors.Is(err, ErrFlow) {
		t.Errorf("after it was ended: got %v, want ErrFlow", err)
	}
}

func begin2(t *testing.T, r register) (browser, poll string) {
	t.Helper()
	b, p, err := r.BeginFlow(t.Context(), "x", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	return string(b), string(p)
}
