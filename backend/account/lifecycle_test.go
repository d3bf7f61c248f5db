package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// TestRewrap: with a new master key every app password still works, and the old key alone
// opens nothing that is sealed.
func TestRewrap(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "master.key")
	keys, _, err := LoadKeys(path, "")
	if err != nil {
		t.Fatal(err)
	}
	r := register{bucket: membucket.New(), store: memkv.New()}
	if r.Accounts, err = Open(ctx, r.bucket, r.store, keys, nil); err != nil {
		t.Fatal(err)
	}
	ana := r.user(t, "ana")
	if err := r.LinkIdentity(ctx, ana.UID, Identity{Issuer: "https://id.example", Subject: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Proved(ctx, ana.UID, "https://id.example", "1", "refresh"); err != nil {
		t.Fatal(err)
	}
	var passwords []string
	for i := range 70 { // more than one plan takes
		_, p := r.mint(t, ana, MintOptions{Label: fmt.Sprint(i), DAV: true, S3: true})
		passwords = append(passwords, p)
	}
	_, davOnly := r.mint(t, ana, MintOptions{DAV: true})
	if n, err := r.Rewrap(ctx); err != nil || n != (Rewrapped{Waiting: 0}) {
		t.Errorf("with nothing to do: %+v, %v", n, err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	number, err := keys.Rotate(path)
	if err != nil || number != 2 || keys.Current() != 2 {
		t.Fatalf("rotate: %d, %v", number, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", st.Mode(), err)
	}
	want := Rewrapped{Passwords: 70, Tokens: 1, Waiting: 1}
	if n, err := r.Rewrap(ctx); err != nil || n != want {
		t.Errorf("got %+v, %v, want %+v", n, err, want)
	}
	if n, err := r.Rewrap(ctx); err != nil || n != (Rewrapped{Waiting: 1}) {
		t.Errorf("again: %+v, %v", n, err)
	}
	check := func(r register) {
		t.Helper()
		for _, p := range append(passwords, davOnly) {
			if _, _, err := r.Check(ctx, p); err != nil {
				t.Errorf("check: %v", err)
			}
		}
		for _, p := range passwords {
			id, _, _ := Parse(p)
			if s, _, _, err := r.Secret(ctx, id); err != nil || string(s) != p {
				t.Errorf("S3 secret: %v", err)
			}
		}
		if list, err := r.Proofs(ctx, ana.UID); err != nil || len(list) != 1 || list[0].Token != "refresh" {
			t.Errorf("proofs are %v, %v", list, err)
		}
	}
	check(r)
	// One for WebDAV only is renewed when it was used, and then waits no more.
	if err := r.renew(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Rewrap(ctx); err != nil || n != (Rewrapped{}) {
		t.Errorf("after its use: %+v, %v", n, err)
	}
	check(r)
	// As the next start reads the file, with the index lost.
	next, created, err := LoadKeys(path, "")
	if err != nil || created {
		t.Fatal(created, err)
	}
	r.keys = next
	check(r.rebuilt(t))

	// Somebody with an old copy of the file and the bucket has no secret.
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	stale, _, err := LoadKeys(path, "")
	if err != nil {
		t.Fatal(err)
	}
	r.keys = stale
	thief := r.rebuilt(t)
	for _, p := range passwords {
		id, _, _ := Parse(p)
		if s, _, _, err := thief.Secret(ctx, id); !errors.Is(err, ErrSealed) || s != "" {
			t.Fatalf("an old key opens a secret: %v", err)
		}
	}
	if n, err := thief.Rewrap(ctx); err != nil || n.Lost != 71 || n.Passwords+n.Tokens != 0 {
		t.Errorf("rewrap with an old key: %+v, %v", n, err)
	}
	if _, err := next.Rotate(path); err == nil || !strings.Contains(err.Error(), "not the one in use") {
		t.Errorf("rotate with another file: %v", err)
	}
}

func TestRemoveUser(t *testing.T) {
	r := newRegister(t, nil)
	ctx := t.Context()
	owner, _, err := r.EnsureOwner(ctx, "owner")
	if err != nil {
		t.Fatal(err)
	}
	ana := r.user(t, "ana")
	id := Identity{Issuer: "https://id.example", Subject: "1"}
	if err := r.LinkIdentity(ctx, ana.UID, id); err != nil {
		t.Fatal(err)
	}
	var passwords []string
	for range 50 {
		_, p := r.mint(t, ana, MintOptions{DAV: true, S3: true})
		passwords = append(passwords, p)
	}
	token, err := r.NewSession(ctx, ana.UID, SessionInfo{})
	if err != nil {
		t.Fatal(err)
	}
	login, err := r.RemoveUser(ctx, ana.UID)
	if err != nil || login != "removed."+ana.UID {
		t.Fatal(login, err)
	}
	after := func(r register) {
		t.Helper()
		for _, p := range passwords {
			if _, _, err := r.Check(ctx, p); !errors.Is(err, ErrRefused) {
				t.Errorf("app password: %v", err)
			}
		}
		if list, err := r.AppPasswords(ctx, ana.UID); err != nil || len(list) != 0 {
			t.Errorf("app passwords are %v, %v", list, err)
		}
		if u, err := r.UserByLogin(ctx, login); err != nil || u.UID != ana.UID || u.State != Removed || len(u.Identities) != 0 {
			t.Errorf("user is %+v, %v", u, err)
		}
		if _, err := r.UserByIdentity(ctx, id.Issuer, id.Subject); !errors.Is(err, ErrNotExist) {
			t.Errorf("identity: %v", err)
		}
	}
	after(r)
	after(r.rebuilt(t))
	if _, _, err := r.Session(ctx, string(token)); !errors.Is(err, ErrSession) {
		t.Errorf("session: %v", err)
	}
	for _, s := range []State{Active, Suspended} {
		if err := r.SetState(ctx, ana.UID, s); !errors.Is(err, ErrInvalid) {
			t.Errorf("state %v: %v", s, err)
		}
	}
	if _, _, err := r.Mint(ctx, ana.UID, MintOptions{DAV: true}); !errors.Is(err, ErrSuspended) {
		t.Errorf("mint: %v", err)
	}
	if _, err := r.NewLoginLink(ctx, ana.UID, 0); !errors.Is(err, ErrSuspended) {
		t.Errorf("login link: %v", err)
	}
	// Name and identity are free for somebody else, who gets nothing of hers.
	again, err := r.CreateUser(ctx, NewUser{Login: "ana", Identity: &id})
	if err != nil || again.UID == ana.UID {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := r.CreateUser(ctx, NewUser{Login: "removed.x"}); !errors.Is(err, ErrLogin) {
		t.Errorf("a login name like that of the removed: %v", err)
	}
	if _, err := r.RemoveUser(ctx, owner.UID); !errors.Is(err, ErrInvalid) {
		t.Errorf("the last owner: %v", err)
	}
}

// TestFollow: what is under way ends when its credential does, for whatever reason, and
// only then.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		ana, bo := r.user(t, "ana"), r.user(t, "bo")
		key, _ := r.mint(t, ana, MintOptions{DAV: true})
		other, _ := r.mint(t, ana, MintOptions{DAV: true})
		expires, _ := r.mint(t, ana, MintOptions{DAV: true, Expires: time.Now().Add(time.Hour)})
		his, _ := r.mint(t, bo, MintOptions{DAV: true})
		if _, err := r.NewSession(ctx, ana.UID, SessionInfo{}); err != nil {
			t.Fatal(err)
		}
		sessions, err := r.Sessions(ctx, ana.UID)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		ended := make(map[string]error)
		follow := func(name string, u *User, key, session string) {
			t.Cleanup(r.Follow(ctx, u.UID, key, session, func(why error) {
				mu.Lock()
				defer mu.Unlock()
				if ended[name] != nil {
					t.Errorf("%s ended twice", name)
				}
				ended[name] = why
			}))
		}
		follow("key", ana, key.ID, "")
		follow("other", ana, other.ID, "")
		follow("expires", ana, expires.ID, "")
		follow("session", ana, "", sessions[0].ID)
		follow("his", bo, his.ID, "")
		want := func(names ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if len(ended) != len(names) {
				t.Fatalf("ended are %v, want %v", ended, names)
			}
			for _, n := range names {
				if !errors.Is(ended[n], ErrRefused) {
					t.Fatalf("%s: %v", n, ended[n])
				}
			}
		}
		if err := errors.Join(r.SetQuota(ctx, ana.UID, 1, 1), r.SetProfile(ctx, ana.UID, "Ana", "")); err != nil {
			t.Fatal(err)
		}
		want()
		if err := r.Revoke(ctx, ana.UID, key.ID); err != nil {
			t.Fatal(err)
		}
		want("key")
		follow("late", ana, key.ID, "") // it was checked before, and revoked meanwhile
		want("key", "late")
		time.Sleep(time.Hour + 2*r.opt.CacheLife)
		synctest.Wait()
		want("key", "late", "expires")
		if err := r.EndSession(ctx, sessions[0].ID); err != nil {
			t.Fatal(err)
		}
		want("key", "late", "expires", "session")

		// Another node suspends her: this one sees it within the life of its cache.
		elsewhere, err := Open(ctx, r.bucket, r.store, r.keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := elsewhere.SetState(ctx, ana.UID, Suspended); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		want("key", "late", "expires", "session", "other")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	r := newRegister(t, nil)
	for i := range MaxEvents + 300 {
		r.Note(t.Context(), Event{What: "signed in", Target: fmt.Sprint(i)})
	}
	if err := r.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := r.Events(t.Context(), MaxEvents+1000)
	if err != nil || len(list) != MaxEvents || list[0].Target != fmt.Sprint(MaxEvents+299) || list[MaxEvents-1].Target != "300" {
		t.Errorf("%d events, %+v … %+v, %v", len(list), list[0], list[len(list)-1], err)
	}
}

// TestWaysInAreAudited: a link that signs somebody in, and a new owner, are in the audit log.
func TestWaysInAreAudited(t *testing.T) {
	r := newRegister(t, nil)
	ctx := WithActor(t.Context(), Actor{Login: "operator"})
	owner, _, err := r.EnsureOwner(ctx, "ana")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.EnsureOwner(ctx, "ana"); err != nil { // nothing to do
		t.Fatal(err)
	}
	link, err := r.NewLoginLink(ctx, owner.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Events(ctx, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, want := range []string{"login link made", "owner made"} {
		if e := list[i]; e.What != want || e.UID != owner.UID || e.Actor != "operator" || e.Target == string(link) {
			t.Errorf("%d: %+v, want %s", i, e, want)
		}
	}
}
