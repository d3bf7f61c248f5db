package account

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
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

// hookedStore calls its hook after every commit that was done, and can be broken.
type hookedStore struct {
	kv.Store
	committed func(ops []kv.Op)
	broken    atomic.Bool
}

func (s *hookedStore) Get(ctx context.Context, k ...kv.Key) ([]kv.Row, error) {
	if s.broken.Load() {
		return nil, errors.New("the index is away")
	}
	return s.Store.Get(ctx, k...)
}

func (s *hookedStore) Commit(ctx context.Context, ops []kv.Op) error {
	err := s.Store.Commit(ctx, ops)
	if err == nil && s.committed != nil {
		s.committed(ops)
	}
	return err
}

// TestFlowOutlastsItsRequest: an app that hangs up in the middle, or a fault of the
// machine, does not use a flow up without an app password.
func TestFlowOutlastsItsRequest(t *testing.T) {
	store := &hookedStore{Store: memkv.New()}
	a, err := Open(t.Context(), membucket.New(), store, GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := register{Accounts: a}
	ana := r.user(t, "ana")
	agreed := func() string {
		browser, poll := begin2(t, r)
		if err := r.AgreeFlow(t.Context(), browser, ana.UID, "phone"); err != nil {
			t.Fatal(err)
		}
		return poll
	}

	poll := agreed()
	ctx, cancel := context.WithCancel(t.Context())
	store.committed = func([]kv.Op) { cancel() }
	if _, password, err := r.TakeFlow(ctx, poll); err != nil || ctx.Err() == nil {
		t.Errorf("hung up: %v (hung up: %v)", err, ctx.Err())
	} else if _, _, err := r.Check(t.Context(), string(password)); err != nil {
		t.Error(err)
	}

	store.committed = nil
	poll = agreed()
	store.committed = func([]kv.Op) { store.broken.Store(true) }
	if _, _, err := r.TakeFlow(t.Context(), poll); err == nil || errors.Is(err, ErrFlow) {
		t.Errorf("the index is away: got %v", err)
	}
	store.committed = nil
	store.broken.Store(false)
	if _, password, err := r.TakeFlow(t.Context(), poll); err != nil || password == "" {
		t.Errorf("asked again: got %v", err)
	}
	if _, _, err := r.TakeFlow(t.Context(), poll); !errors.Is(err, ErrFlow) {
		t.Errorf("taken twice: got %v, want ErrFlow", err)
	}

	poll = agreed()
	if err := r.SetState(t.Context(), ana.UID, Suspended); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := r.TakeFlow(t.Context(), poll); !errors.Is(err, ErrRefused) {
			t.Errorf("suspended: got %v", err)
		}
	}
}
