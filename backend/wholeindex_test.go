package backend_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// wholeDump is the canonical text of all that a rebuild must bring back of everybody: rows
// of users, identities and app passwords, and of their trees.
func wholeDump(t *testing.T, x kv.Store) string {
	t.Helper()
	var out strings.Builder
	for r, err := range x.(kv.Dumper).Dump(t.Context(), account.Prefixes()...) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s|%s|%x\n", r.P, r.S, r.D)
	}
	return out.String() + dump(t, x)
}

// A whole index, lost, comes back to the byte: names, times, ETags, trash, versions, users,
// app passwords, what is set of libraries, with and without snapshots.
func TestWholeIndexComesBack(t *testing.T) {
	b := full(t)
	ctx := t.Context()
	keys := account.GenerateKeys()
	openAccounts := func(x kv.Store) *account.Accounts {
		t.Helper()
		a, err := account.Open(ctx, b.bucket, x, keys, nil)
		b.ok(err)
		return a
	}
	a := openAccounts(b.x)
	_, err := a.CreateUser(ctx, account.NewUser{Login: "ana", UID: uid, Quota: 5 << 30})
	b.ok(err)
	ben, err := a.CreateUser(ctx, account.NewUser{Login: "ben", Name: "Ben", Identity: &account.Identity{Issuer: "https://id.example", Subject: "1"}})
	b.ok(err)
	phone, _, err := a.Mint(ctx, uid, account.MintOptions{Label: "phone", DAV: true, S3: true})
	b.ok(err)
	scanner, secret, err := a.Mint(ctx, uid, account.MintOptions{Label: "scanner", DAV: true, Mode: backend.UploadOnly, Root: stat(t, b, "photos").Ino})
	b.ok(err)
	b.ok(a.Revoke(ctx, uid, phone.ID))
	_, err = b.Mkdir(ctx, "photos", &backend.MkdirOptions{Existing: true, Header: map[string]string{"x-amz-meta-set": "so"}})
	b.ok(err)
	_, err = b.SetProps(ctx, "photos", backend.PropPatch{Set: []backend.Prop{{Inner: []byte("a library's")}}}, backend.Conditions{})
	b.ok(err)
	other, err := b.b.Library(ctx, ben.UID, backend.Access{By: "web"})
	b.ok(err)
	_, err = other.Mkdir(ctx, "bens", nil)
	b.ok(err)
	for i := range 3 {
		_, _, err = other.Put(ctx, "bens/a.gif", strings.NewReader(gif+fmt.Sprint(i)), -1, nil)
		b.ok(err)
	}
	b.ok(other.Delete(ctx, "bens/a.gif", nil))
	// junk is in the index alone, on purpose
	b.ok(b.Delete(ctx, "photos/2025", nil))

	for _, snapshots := range []bool{false, true} {
		if snapshots {
			b.ok(b.b.Snapshot(ctx, uid))
			b.ok(b.b.Snapshot(ctx, ben.UID))
			b.ok(a.Log().Snapshot(ctx))
			b.ok(a.SetQuota(ctx, ben.UID, 1<<30, 1000))
			b.put("photos/after.gif", gif+"after")
		}
		before := wholeDump(t, b.x)
		disk, err := badgerkv.Open(t.TempDir(), nil)
		b.ok(err)
		defer disk.Close()
		for _, x := range []kv.Store{memkv.New(), disk} {
			be := backend.New(b.bucket, x, nil)
			for _, u := range []string{uid, ben.UID} {
				_, err := be.Library(ctx, u, backend.Access{})
				b.ok(err)
			}
			again := openAccounts(x)
			if got := wholeDump(t, x); got != before {
				t.Errorf("snapshots %v, %T: got\n%s\nwant\n%s", snapshots, x, got, before)
			}
			p, u, err := again.Check(ctx, string(secret))
			if err != nil || p.ID != scanner.ID || u.UID != uid {
				t.Errorf("the scanner's app password: %+v, %v", p, err)
			}
		}
	}
}
