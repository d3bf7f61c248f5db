package auth

import (
	"errors"
	"testing"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// TestProofOnTwoNodes: a refresh token that is good once, and whose second use ends all,
// is used by one of two nodes that want to ask at the same time.
func TestProofOnTwoNodes(t *testing.T) {
	v := newVouched(t, func(p *testProvider, _ *Options) { p.rotates = true })
	other, err := New(v.accounts, &v.opt)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		v.now = v.now.Add(25 * time.Hour)
		asked, goOn := make(chan struct{}, 2), make(chan struct{})
		v.p.set(func() {
			v.p.requests = 0
			v.p.holdBack = func() { asked <- struct{}{}; <-goOn }
		})
		first, second := v.Auth, other
		if round == 1 {
			first, second = other, v.Auth
		}
		done := make(chan error, 1)
		go func() { done <- first.ProveDue(t.Context()) }()
		<-asked
		want := 1
		if round == 2 { // who is in a hurry asks again afterwards
			second.proveSoon(v.u.UID)
			want = 2
		}
		if err := second.ProveDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		// It comes again, late, and finds that all was done.
		if err := second.ProveDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		v.p.set(func() {
			if v.p.requests != want {
				t.Errorf("round %d: the provider was asked %d times, want %d", round, v.p.requests, want)
			}
		})
		v.want(nil)
	}
	// Who died with the lease does not keep it.
	proofs, err := v.accounts.Proofs(t.Context(), v.u.UID)
	if err != nil || len(proofs) != 1 {
		t.Fatal(proofs, err)
	}
	if p, _, err := v.accounts.LeaseProof(t.Context(), proofs[0], time.Minute); p == nil || err != nil {
		t.Fatal(p, err)
	}
	if p, _, err := v.accounts.LeaseProof(t.Context(), proofs[0], time.Minute); p != nil || err != nil {
		t.Errorf("leased twice: %v, %v", p, err)
	}
	v.p.set(func() { v.p.holdBack, v.p.disabled["ana"] = nil, true })
	v.now = v.now.Add(25 * time.Hour)
	if err := other.ProveDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.accounts.Check(t.Context(), v.pass); !errors.Is(err, account.ErrLapsed) {
		t.Errorf("got %v", err)
	}
}

// TestHurryAfterAnotherNode: a node that is told to ask at once, and has read the proof just
// before another node asked, asks all the same: the other's answer may be of before the news.
func TestHurryAfterAnotherNode(t *testing.T) {
	v := newVouched(t, nil)
	v.now = v.now.Add(25 * time.Hour)
	was, err := v.accounts.Proofs(t.Context(), v.u.UID)
	if err != nil || len(was) != 1 {
		t.Fatal(was, err)
	}
	if err := v.ProveDue(t.Context()); err != nil { // the other node
		t.Fatal(err)
	}
	v.p.set(func() { v.p.disabled["ana"] = true })
	for _, now := range []bool{false, true} {
		if err := v.Auth.prove(t.Context(), v.oidc[0], v.u, was[0], now); err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.accounts.Check(t.Context(), v.pass); errors.Is(err, account.ErrLapsed) != now {
			t.Errorf("at once %v: got %v", now, err)
		}
	}
}
