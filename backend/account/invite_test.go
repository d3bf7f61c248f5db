package account

import (
	"errors"
	"fmt"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

func TestInvite(t *testing.T) {
	r, ctx := newRegister(t, nil), t.Context()
	const issuer = "https://id.example"
	for _, bad := range []string{"", "ana", "@example.org", "ana@", "a b@example.org", "Ana <ana@example.org>", "a@b@c", "a@example.org,b@example.org", "a\x00@example.org"} {
		if err := r.Invite(ctx, issuer, bad, "owner"); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for range 2 {
		if err := r.Invite(ctx, issuer, " Ana@Example.org", "owner"); err != nil {
			t.Fatal(err)
		}
	}
	invited := func(a *Accounts, issuer, email string) bool {
		t.Helper()
		yes, err := a.Invited(ctx, issuer, email)
		if err != nil {
			t.Fatal(err)
		}
		return yes
	}
	if !invited(r.Accounts, issuer, "ana@example.org") || invited(r.Accounts, "https://other.example", "ana@example.org") || invited(r.Accounts, issuer, "bo@example.org") || invited(r.Accounts, issuer, "") {
		t.Error("others are invited")
	}
	list, err := r.Invitations(ctx)
	if err != nil || len(list) != 1 || list[0].Email != "Ana@Example.org" || list[0].By != "owner" || list[0].Issuer != issuer {
		t.Errorf("%+v, %v", list, err)
	}
	// Letters that only look, or once were, the same are another's address: KELVIN SIGN, LATIN
	// SMALL LETTER LONG S, LATIN CAPITAL LETTER I WITH DOT ABOVE.
	if err := r.Invite(ctx, issuer, "mikes@example.org", "owner"); err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"mi\u212aes@example.org", "mike\u017f@example.org", "m\u0130kes@example.org", "mikes@example.org\u200b", " mikes@example.org"} {
		if invited(r.Accounts, issuer, email) {
			t.Errorf("%q is invited", email)
		}
	}
	if err := r.Withdraw(ctx, issuer, "Mikes@example.org"); err != nil {
		t.Fatal(err)
	}
	if users, err := r.Users(ctx); err != nil || len(users) != 0 {
		t.Errorf("an invitation is a user: %v, %v", users, err)
	}
	// They are in the bucket.
	other, err := Open(ctx, r.bucket, memkv.New(), r.keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !invited(other, issuer, "ana@example.org") {
		t.Error("they do not survive the index")
	}
	if err := other.Withdraw(ctx, issuer, "ANA@example.org"); err != nil || invited(other, issuer, "ana@example.org") {
		t.Errorf("withdrawn: %v", err)
	}
	if err := other.Withdraw(ctx, issuer, "ana@example.org"); !errors.Is(err, ErrNotExist) {
		t.Errorf("again: %v", err)
	}
	for i := range MaxInvitations {
		if err := other.Invite(ctx, issuer, fmt.Sprintf("u%d@example.org", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Invite(ctx, issuer, "one.more@example.org", ""); !errors.Is(err, ErrTooManyInvitations) {
		t.Errorf("one more: %v", err)
	}
}
