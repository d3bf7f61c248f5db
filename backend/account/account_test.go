package account

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
	"github.com/shoebox-photos/shoebox/backend/object/membucket"
)

// register is an empty register, and what it lives on.
type register struct {
	*Accounts
	bucket *membucket.Bucket
	store  *memkv.Store
}

func newRegister(t testing.TB, opt *Options) register {
	t.Helper()
	r := register{bucket: membucket.New(), store: memkv.New()}
	a, err := Open(t.Context(), r.bucket, r.store, GenerateKeys(), opt)
	if err != nil {
		t.Fatal(err)
	}
	r.Accounts = a
	return r
}

// user adds a user called login.
func (r register) user(t testing.TB, login string) *User {
	t.Helper()
	u, err := r.CreateUser(t.Context(), NewUser{Login: login})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (r register) mint(t testing.TB, u *User, o MintOptions) (*AppPassword, string) {
	t.Helper()
	p, secret, err := r.Mint(t.Context(), u.UID, o)
	if err != nil {
		t.Fatal(err)
	}
	return p, string(secret)
}

// rebuilt is the register as a new machine finds it: with the bucket and the keys, and
// without the index.
func (r register) rebuilt(t testing.TB) register {
	t.Helper()
	n := register{bucket: r.bucket, store: memkv.New()}
	a, err := Open(t.Context(), n.bucket, n.store, r.keys, &r.opt)
	if err != nil {
		t.Fatal(err)
	}
	n.Accounts = a
	return n
}

func TestCreateUser(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	if !ValidUID(ana.UID) || ana.Login != "ana" || ana.State != Active || ana.Owner {
		t.Errorf("created %+v", ana)
	}
	for _, tt := range []struct {
		name string
		user NewUser
		want error
	}{
		{"taken", NewUser{Login: "ana"}, ErrLoginTaken},
		{"empty", NewUser{}, ErrLogin},
		{"capitals", NewUser{Login: "Ana"}, ErrLogin},
		{"dot-dot", NewUser{Login: ".."}, ErrLogin},
		{"slash", NewUser{Login: "a/b"}, ErrLogin},
		{"long", NewUser{Login: strings.Repeat("a", 65)}, ErrLogin},
		{"newline in the name", NewUser{Login: "b", Name: "a\nb"}, ErrInvalid},
		{"negative quota", NewUser{Login: "b", Quota: -1}, ErrInvalid},
		{"uid of another form", NewUser{Login: "b", UID: "_sys"}, ErrInvalid},
		{"uid that is taken", NewUser{Login: "b", UID: ana.UID}, ErrInvalid},
		{"identity without subject", NewUser{Login: "b", Identity: &Identity{Issuer: "https://i"}}, ErrInvalid},
	} {
		if _, err := r.CreateUser(t.Context(), tt.user); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	users, err := r.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].UID != ana.UID {
		t.Errorf("after refusals there are %v, %v", users, err)
	}
	const uid = "abcdefghijklm"
	if u, err := r.CreateUser(t.Context(), NewUser{Login: "back", UID: uid}); err != nil || u.UID != uid {
		t.Errorf("with a uid: %+v, %v", u, err)
	}
}

func TestCreateUserAtOnce(t *testing.T) {
	r := newRegister(t, nil)
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = r.CreateUser(t.Context(), NewUser{Login: "ana"}) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !errors.Is(err, ErrLoginTaken) {
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("%d users called ana were made, want 1", made)
	}
}

func TestUsersSurviveTheIndex(t *testing.T) {
	r := newRegister(t, nil)
	ana, err := r.CreateUser(t.Context(), NewUser{
		Login: "ana", Name: "Ana Prévost", Email: "ana@example.org", Owner: true, Quota: 1 << 40,
		Identity: &Identity{Issuer: "https://id.example", Subject: "42", Email: "ana@example.org"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.user(t, "ben")
	n := r.rebuilt(t)
	for _, find := range []func() (*User, error){
		func() (*User, error) { return n.User(t.Context(), ana.UID) },
		func() (*User, error) { return n.UserByLogin(t.Context(), "ANA") },
		func() (*User, error) { return n.UserByIdentity(t.Context(), "https://id.example", "42") },
	} {
		u, err := find()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%+v", u), fmt.Sprintf("%+v", ana); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	users, err := n.Users(t.Context())
	if err != nil || len(users) != 2 || users[0].Login != "ana" || users[1].Login != "ben" {
		t.Errorf("users are %v, %v", users, err)
	}
	for _, find := range []func() (*User, error){
		func() (*User, error) { return n.User(t.Context(), "aaaaaaaaaaaaa") },
		func() (*User, error) { return n.User(t.Context(), "../../etc") },
		func() (*User, error) { return n.UserByLogin(t.Context(), "") },
		func() (*User, error) { return n.UserByIdentity(t.Context(), "https://id.example", "43") },
		func() (*User, error) { return n.UserByIdentity(t.Context(), "https://id.example\x004", "2") },
	} {
		if u, err := find(); !errors.Is(err, ErrNotExist) {
			t.Errorf("got %v, %v, want ErrNotExist", u, err)
		}
	}
}

func TestLinkIdentity(t *testing.T) {
	r := newRegister(t, nil)
	ana, ben := r.user(t, "ana"), r.user(t, "ben")
	id := Identity{Issuer: "https://id.example", Subject: "42"}
	for range 2 { // again is no error
		if err := r.LinkIdentity(t.Context(), ana.UID, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.LinkIdentity(t.Context(), ben.UID, id); !errors.Is(err, ErrLinked) {
		t.Errorf("another's identity: got %v, want ErrLinked", err)
	}
	if _, err := r.CreateUser(t.Context(), NewUser{Login: "cleo", Identity: &id}); !errors.Is(err, ErrLinked) {
		t.Errorf("new user with another's identity: got %v, want ErrLinked", err)
	}
	if _, err := r.UserByLogin(t.Context(), "cleo"); !errors.Is(err, ErrNotExist) {
		t.Error("a refused user is there")
	}
	u, err := r.UserByIdentity(t.Context(), id.Issuer, id.Subject)
	if err != nil || u.UID != ana.UID || len(u.Identities) != 1 {
		t.Errorf("identity is %+v, %v", u, err)
	}
}

func TestEnsureOwner(t *testing.T) {
	r := newRegister(t, nil)
	if ok, err := r.OwnerExists(t.Context()); ok || err != nil {
		t.Fatalf("an empty register has an owner (%v)", err)
	}
	r.user(t, "ana")
	ana, changed, err := r.EnsureOwner(t.Context(), "ana")
	if err != nil || !changed || !ana.Owner {
		t.Fatalf("got %+v, %v, %v", ana, changed, err)
	}
	again, changed, err := r.EnsureOwner(t.Context(), "ben")
	if err != nil || changed || again.UID != ana.UID {
		t.Errorf("with an owner: got %+v, %v, %v", again, changed, err)
	}
	n := newRegister(t, nil)
	owner, changed, err := n.EnsureOwner(t.Context(), "owner")
	if err != nil || !changed || !owner.Owner || owner.Login != "owner" {
		t.Errorf("in an empty register: got %+v, %v, %v", owner, changed, err)
	}
}

func TestFreeLogin(t *testing.T) {
	r := newRegister(t, nil)
	for _, tt := range []struct{ want, got string }{
		{"ana@example.org", "ana"},
		{"ana@example.com", "ana2"},
		{"Ana", "ana3"},
		{"Ana Maria", "ana.maria"},
		{"李", "user"},
		{"", "user2"},
		{"../..", "user3"},
		{"removed.ana@example.org", "user4"}, // nobody could be called that
		{strings.Repeat("x", 300), strings.Repeat("x", 48)},
	} {
		got, err := r.FreeLogin(t.Context(), tt.want)
		if err != nil || got != tt.got {
			t.Errorf("%q: got %q, %v, want %q", tt.want, got, err, tt.got)
		}
		r.user(t, got)
	}
}

func TestProfileQuotaAndFirstLogin(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	ctx := t.Context()
	if err := errors.Join(r.SetProfile(ctx, ana.UID, "Ana", ""), r.SetQuota(ctx, ana.UID, 7, 0), r.MarkLogin(ctx, ana.UID)); err != nil {
		t.Fatal(err)
	}
	u, err := r.User(ctx, ana.UID)
	if err != nil || u.Name != "Ana" || u.Quota != 7 || u.FirstLogin.IsZero() {
		t.Fatalf("got %+v, %v", u, err)
	}
	if err := r.MarkLogin(ctx, ana.UID); err != nil {
		t.Fatal(err)
	}
	if again, _ := r.User(ctx, ana.UID); !again.FirstLogin.Equal(u.FirstLogin) {
		t.Error("the first login moved")
	}
	if err := r.SetQuota(ctx, "aaaaaaaaaaaaa", 1, 0); !errors.Is(err, ErrNotExist) {
		t.Errorf("quota of nobody: %v", err)
	}
}

func TestLaterRowIsRefused(t *testing.T) {
	var u userRow
	if err := decode([]byte(`{"v":2,"login":"ana"}`), &u); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v", err)
	}
}

func TestSecretIsNotShown(t *testing.T) {
	s := Secret("canary")
	j, _ := s.MarshalText()
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%s %v %q %#v", s, s, s, s), s.LogValue().String(), string(j), fmt.Sprintf("%+v", struct{ S Secret }{s})} {
		if strings.Contains(got, "canary") {
			t.Errorf("it says %q", got)
		}
	}
}
