package account

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

func TestParse(t *testing.T) {
	id, p := newPassword()
	if !regexp.MustCompile(`^sb_[A-Z2-7]{16}_[0-9A-Za-z]{40}$`).MatchString(p) {
		t.Fatalf("form of %q", p)
	}
	gotID, secret, ok := Parse(p)
	if !ok || gotID != id || "sb_"+id+"_"+secret != p {
		t.Fatalf("Parse gave %q, %q, %v", gotID, secret, ok)
	}
	// Every wrong, missing, doubled or swapped character is found.
	for i := range p {
		for _, c := range []byte("aZ0_2 ") {
			if q := p[:i] + string(c) + p[i+1:]; q != p {
				if _, _, ok := Parse(q); ok {
					t.Errorf("%q for %q was accepted", q, p)
				}
			}
		}
		for _, q := range []string{p[:i] + p[i+1:], p[:i] + p[i:i+1] + p[i:]} {
			if _, _, ok := Parse(q); ok {
				t.Errorf("%q for %q was accepted", q, p)
			}
		}
		if i > 0 {
			if q := p[:i-1] + p[i:i+1] + p[i-1:i] + p[i+1:]; q != p {
				if _, _, ok := Parse(q); ok {
					t.Errorf("%q for %q was accepted", q, p)
				}
			}
		}
	}
}

func TestCheckDigits(t *testing.T) {
	_, p := newPassword()
	var want []byte
	for n := crc32.ChecksumIEEE([]byte(p[:54])); len(want) < 6; n /= 62 {
		want = append([]byte{base62[n%62]}, want...)
	}
	if p[54:] != string(want) {
		t.Errorf("%q has not the check digits %q", p, want)
	}
}

func FuzzParse(f *testing.F) {
	_, p := newPassword()
	f.Add(p)
	f.Add("sb__")
	f.Fuzz(func(t *testing.T, s string) {
		if id, secret, ok := Parse(s); ok && "sb_"+id+"_"+secret != s {
			t.Errorf("%q was read as %q, %q", s, id, secret)
		}
	})
}

func TestPasswordIsRandom(t *testing.T) {
	seen := map[byte]int{}
	for range 500 {
		_, p := newPassword()
		for _, c := range []byte(p[20:54]) {
			seen[c]++
		}
	}
	if len(seen) != 62 { // 17,000 draws: 274 of each are expected
		t.Errorf("%d digits of 62 occur", len(seen))
	}
	for c, n := range seen {
		if n < 180 || n > 380 {
			t.Errorf("%q occurs %d times", c, n)
		}
	}
}

func TestMintAndCheck(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	p, secret := r.mint(t, ana, MintOptions{Label: " Ana's phone ", DAV: true, Mode: backend.UploadOnly, Root: backend.RootIno})
	for _, r := range []register{r, r.rebuilt(t)} {
		for range 2 { // second from the cache
			got, u, err := r.Check(t.Context(), secret)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != p.ID || got.Label != "Ana's phone" || !got.DAV || got.S3 || got.Mode != backend.UploadOnly || got.Root != backend.RootIno || u.UID != ana.UID {
				t.Errorf("got %+v of %+v", got, u)
			}
		}
		// Right form, right check digits, wrong secret.
		_, other := newPassword()
		wrong := withChecksum("sb_" + p.ID + "_" + other[20:54])
		if p, u, err := r.Check(t.Context(), wrong); err != ErrWrong || p != nil || u != nil {
			t.Errorf("wrong secret: got %v, %v, %v", p, u, err)
		}
		if p, u, err := r.Check(t.Context(), other); err != ErrUnknown || p != nil || u != nil {
			t.Errorf("unknown id: got %v, %v, %v", p, u, err)
		}
		if _, _, err := r.Check(t.Context(), secret[:59]+"x"); err != ErrMalformed {
			t.Errorf("typing error: got %v", err)
		}
	}
	for _, err := range []error{ErrMalformed, ErrUnknown, ErrWrong, ErrRevoked, ErrExpired, ErrSuspended, ErrOutdated, ErrScope, ErrSession, ErrLink} {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%v is not ErrRefused", err)
		}
	}
}

func withChecksum(s string) string {
	var sum [checkLen]byte
	checkDigits(&sum, s)
	return s + string(sum[:])
}

func TestMintRefuses(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	for _, tt := range []struct {
		name string
		uid  string
		o    MintOptions
		want error
	}{
		{"nobody", "aaaaaaaaaaaaa", MintOptions{DAV: true}, ErrNotExist},
		{"no uid", "x", MintOptions{DAV: true}, ErrNotExist},
		{"no protocol", ana.UID, MintOptions{}, ErrInvalid},
		{"no such mode", ana.UID, MintOptions{DAV: true, Mode: 9}, ErrInvalid},
		{"long label", ana.UID, MintOptions{DAV: true, Label: strings.Repeat("x", MaxLabel+1)}, ErrInvalid},
		{"label with a newline", ana.UID, MintOptions{DAV: true, Label: "a\nb"}, ErrInvalid},
		{"expired", ana.UID, MintOptions{DAV: true, Expires: time.Now().Add(-time.Second)}, ErrInvalid},
	} {
		if _, _, err := r.Mint(t.Context(), tt.uid, tt.o); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	for range MaxPasswords {
		r.mint(t, ana, MintOptions{DAV: true})
	}
	if _, _, err := r.Mint(t.Context(), ana.UID, MintOptions{DAV: true}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		_, secret := r.mint(t, r.user(t, "ana"), MintOptions{DAV: true, S3: true, Expires: time.Now().Add(time.Hour)})
		time.Sleep(time.Hour - time.Millisecond)
		if _, _, err := r.Check(t.Context(), secret); err != nil {
			t.Errorf("just before: %v", err)
		}
		time.Sleep(time.Millisecond) // from the cache, too
		p, u, err := r.Check(t.Context(), secret)
		if err != ErrExpired || p == nil || u == nil {
			t.Errorf("just after: got %v", err)
		}
	})
}

func TestRevoke(t *testing.T) {
	r := newRegister(t, nil)
	ana, ben := r.user(t, "ana"), r.user(t, "ben")
	p, secret := r.mint(t, ana, MintOptions{DAV: true, S3: true})
	if _, _, err := r.Check(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if err := r.Revoke(t.Context(), ben.UID, p.ID); !errors.Is(err, ErrNotExist) {
		t.Errorf("another's: got %v, want ErrNotExist", err)
	}
	if _, _, err := r.Check(t.Context(), secret); err != nil {
		t.Fatalf("after another tried to revoke it: %v", err)
	}
	for range 2 {
		if err := r.Revoke(t.Context(), ana.UID, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []register{r, r.rebuilt(t)} {
		if _, _, err := r.Check(t.Context(), secret); err != ErrRevoked {
			t.Errorf("Check: got %v, want ErrRevoked", err)
		}
		if s, _, _, err := r.Secret(t.Context(), p.ID); err != ErrRevoked || s != "" {
			t.Errorf("Secret: got %v, want ErrRevoked", err)
		}
		if list, err := r.AppPasswords(t.Context(), ana.UID); err != nil || len(list) != 0 {
			t.Errorf("list: %v, %v", list, err)
		}
	}
	for _, id := range []string{"AAAAAAAAAAAAAAAA", "", "../../x"} {
		if err := r.Revoke(t.Context(), ana.UID, id); !errors.Is(err, ErrNotExist) {
			t.Errorf("%q: got %v, want ErrNotExist", id, err)
		}
	}
}

// A check that read the row before a revocation must not bring the app password
// back into the cache after it.
func TestRevokeBesideCheck(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	p, secret := r.mint(t, ana, MintOptions{DAV: true})
	slow := &slowStore{Store: r.store, read: make(chan struct{}), goOn: make(chan struct{})}
	r.x = slow
	done := make(chan error)
	go func() {
		_, _, err := r.Check(context.Background(), secret)
		done <- err
	}()
	<-slow.read // the row as it was
	slow.off.Store(true)
	if err := r.Revoke(t.Context(), ana.UID, p.ID); err != nil {
		t.Fatal(err)
	}
	close(slow.goOn)
	if err := <-done; err != nil {
		t.Errorf("the check that began before: %v", err)
	}
	if _, _, err := r.Check(t.Context(), secret); err != ErrRevoked {
		t.Errorf("the next check: %v", err)
	}
}

// slowStore holds one reader up between reading and returning.
type slowStore struct {
	kv.Store
	off        atomic.Bool
	read, goOn chan struct{}
}

func (s *slowStore) Get(ctx context.Context, keys ...kv.Key) ([]kv.Row, error) {
	rows, err := s.Store.Get(ctx, keys...)
	if !s.off.Load() {
		close(s.read)
		<-s.goOn
	}
	return rows, err
}

func TestRevokeBesideChecks(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	p, secret := r.mint(t, ana, MintOptions{DAV: true})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					r.Check(context.Background(), secret)
				}
			}
		})
	}
	if err := r.Revoke(t.Context(), ana.UID, p.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Check(t.Context(), secret); err != ErrRevoked {
		t.Errorf("right after Revoke: %v", err)
	}
	close(stop)
	wg.Wait()
	if _, _, err := r.Check(t.Context(), secret); err != ErrRevoked {
		t.Errorf("later: %v", err)
	}
}

// What another process revokes is refused here within CacheLife.
func TestRevokeElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		ana := r.user(t, "ana")
		p, secret := r.mint(t, ana, MintOptions{DAV: true})
		other, err := Open(t.Context(), r.bucket, r.store, r.keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Check(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if err := r.Revoke(t.Context(), ana.UID, p.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		if _, _, err := other.Check(t.Context(), secret); err != ErrRevoked {
			t.Errorf("got %v", err)
		}
	})
}

func TestRevokedAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		ana := r.user(t, "ana")
		drop := func() string {
			p, secret := r.mint(t, ana, MintOptions{DAV: true})
			if err := r.Revoke(t.Context(), ana.UID, p.ID); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			return secret
		}
		first := drop()
		for range maxRevoked - 1 {
			drop()
		}
		if _, _, err := r.Check(t.Context(), first); err != ErrRevoked {
			t.Errorf("with %d: got %v", maxRevoked, err)
		}
		second := drop()
		time.Sleep(6 * time.Second) // it is in the cache, as revoked
		if _, _, err := r.Check(t.Context(), first); err != ErrUnknown {
			t.Errorf("with one more: got %v", err)
		}
		time.Sleep(revokedFor)
		for range 6 { // 20 at a time
			drop()
		}
		if _, _, err := r.Check(t.Context(), second); err != ErrUnknown {
			t.Errorf("after %v: got %v", revokedFor, err)
		}
		rows, _, err := r.store.Scan(t.Context(), userKey(ana.UID).P, "", "", false, 0)
		if err != nil || len(rows) > 10 {
			t.Errorf("%d rows are left, %v", len(rows), err)
		}
	})
}

func TestSuspend(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	p, secret := r.mint(t, ana, MintOptions{DAV: true, S3: true})
	token, err := r.NewSession(t.Context(), ana.UID, SessionInfo{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want error) {
		t.Helper()
		if _, _, err := r.Check(t.Context(), secret); err != want {
			t.Errorf("%s: Check gave %v, want %v", when, err, want)
		}
		if _, _, _, err := r.Secret(t.Context(), p.ID); err != want {
			t.Errorf("%s: Secret gave %v, want %v", when, err, want)
		}
	}
	check("at first", nil)
	if err := r.SetState(t.Context(), ana.UID, Suspended); err != nil {
		t.Fatal(err)
	}
	check("suspended", ErrSuspended)
	if _, _, err := r.Mint(t.Context(), ana.UID, MintOptions{DAV: true}); !errors.Is(err, ErrSuspended) {
		t.Errorf("mint: %v", err)
	}
	if _, err := r.NewSession(t.Context(), ana.UID, SessionInfo{}); !errors.Is(err, ErrSuspended) {
		t.Errorf("session: %v", err)
	}
	if _, err := r.NewLoginLink(t.Context(), ana.UID, 0); !errors.Is(err, ErrSuspended) {
		t.Errorf("link: %v", err)
	}
	if err := r.SetState(t.Context(), ana.UID, Active); err != nil {
		t.Fatal(err)
	}
	check("resumed", nil)
	if _, _, err := r.Session(t.Context(), string(token)); err != ErrSession {
		t.Errorf("the session from before: got %v, want ErrSession", err)
	}
	if err := r.RevokeAll(t.Context(), ana.UID); err != nil {
		t.Fatal(err)
	}
	check("after RevokeAll", ErrOutdated)
}

func TestSecret(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	s3, secret := r.mint(t, ana, MintOptions{S3: true})
	dav, _ := r.mint(t, ana, MintOptions{DAV: true})
	if !regexp.MustCompile(`^SB[A-Z2-7]{16}$`).MatchString(s3.AccessKeyID()) {
		t.Errorf("access key id is %q", s3.AccessKeyID())
	}
	if id, ok := KeyID(s3.AccessKeyID()); !ok || id != s3.ID {
		t.Errorf("KeyID gave %q, %v", id, ok)
	}
	for _, r := range []register{r, r.rebuilt(t)} {
		got, p, u, err := r.Secret(t.Context(), s3.ID)
		if err != nil || string(got) != secret || p.ID != s3.ID || u.UID != ana.UID {
			t.Errorf("got %v, %+v, %v", p, u, err)
		}
		if got, _, _, err := r.Secret(t.Context(), dav.ID); err != ErrScope || got != "" {
			t.Errorf("of one for WebDAV only: got %v", err)
		}
		if got, _, _, err := r.Secret(t.Context(), "AAAAAAAAAAAAAAAA"); err != ErrUnknown || got != "" {
			t.Errorf("of none: got %v", err)
		}
	}
}

// With another master key nothing is opened and nobody gets in.
func TestWrongMasterKey(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	p, secret := r.mint(t, ana, MintOptions{DAV: true, S3: true})
	a, err := Open(t.Context(), r.bucket, r.store, GenerateKeys(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Check(t.Context(), secret); err != ErrWrong {
		t.Errorf("Check: got %v", err)
	}
	if s, _, _, err := a.Secret(t.Context(), p.ID); !errors.Is(err, ErrSealed) || errors.Is(err, ErrRefused) || s != "" {
		t.Errorf("Secret: got %v", err)
	}
}

// Neither the bucket nor the index knows a secret in clear.
func TestNoSecretAtRest(t *testing.T) {
	r := newRegister(t, nil)
	ana := r.user(t, "ana")
	_, dav := r.mint(t, ana, MintOptions{DAV: true})
	_, s3 := r.mint(t, ana, MintOptions{S3: true})
	session, err := r.NewSession(t.Context(), ana.UID, SessionInfo{IDToken: "canary-id-token"})
	if err != nil {
		t.Fatal(err)
	}
	link, err := r.NewLoginLink(t.Context(), ana.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Log().Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for info, err := range r.bucket.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		body, err := r.bucket.Get(t.Context(), info.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, body); err != nil {
			t.Fatal(err)
		}
		body.Close()
	}
	for row, err := range r.store.Dump(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(row.P + row.S + string(row.D))
	}
	if !strings.Contains(all.String(), ana.UID) {
		t.Fatal("the test looks in the wrong place")
	}
	for _, canary := range []string{dav[20:54], s3[20:54], string(session), string(link), "canary-id-token"} {
		if strings.Contains(all.String(), canary) {
			t.Errorf("%q is kept in clear", canary)
		}
	}
}

func TestLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister(t, nil)
		counted := &countingStore{Store: r.store}
		r.x = counted
		ana := r.user(t, "ana")
		p, _ := r.mint(t, ana, MintOptions{DAV: true})
		counted.n.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()

		last := func(r register) Use {
			list, err := r.AppPasswords(t.Context(), ana.UID)
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			return list[0].Last
		}
		if got := last(r); !got.At.IsZero() {
			t.Errorf("never used, and says %+v", got)
		}
		for range 600 { // ten minutes of a request a second
			r.Touch(p.ID, "dav", netip.MustParseAddr("203.0.113.77"), "Phone\x00/1.0")
			time.Sleep(time.Second)
		}
		if counted.n.Load() > 11 {
			t.Errorf("600 uses made %d commits", counted.n.Load())
		}
		want := Use{time.Now().Add(-time.Second).UTC(), "dav", "203.0.113.0/24", "Phone/1.0"}
		if got := last(r); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		r.Touch(p.ID, "s3", netip.MustParseAddr("2001:db8:1:2:3::4"), strings.Repeat("x", 1000))
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		fresh, err := Open(t.Context(), r.bucket, r.store, r.keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		want = Use{time.Now().UTC(), "s3", "2001:db8:1::/48", strings.Repeat("x", maxAgent)}
		if got := last(register{Accounts: fresh}); got != want {
			t.Errorf("after a restart: got %+v, want %+v", got, want)
		}
	})
}

type countingStore struct {
	kv.Store
	n atomic.Int64
}

func (s *countingStore) Commit(ctx context.Context, ops []kv.Op) error {
	s.n.Add(1)
	return s.Store.Commit(ctx, ops)
}

var racing bool // under the race detector

func TestCheckDoesNotAllocate(t *testing.T) {
	if racing {
		t.Skip("the race detector makes a sync.Pool forget")
	}
	r := newRegister(t, nil)
	_, secret := r.mint(t, r.user(t, "ana"), MintOptions{DAV: true})
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := r.Check(ctx, secret); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	r := newRegister(b, nil)
	_, secret := r.mint(b, r.user(b, "ana"), MintOptions{DAV: true})
	_, unknown := newPassword()
	for _, bm := range []struct {
		name, password string
		want           error
	}{
		{"right", secret, nil},
		{"wrong", withChecksum(secret[:20] + unknown[20:54]), ErrWrong},
		{"unknown", unknown, ErrUnknown},
		{"typing-error", secret[:20] + unknown[20:], ErrMalformed},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.Check(b.Context(), bm.password); err != nil && err != bm.want {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSecret(b *testing.B) {
	r := newRegister(b, nil)
	p, _ := r.mint(b, r.user(b, "ana"), MintOptions{S3: true})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := r.Secret(b.Context(), p.ID); err != nil {
			b.Fatal(err)
		}
	}
}
