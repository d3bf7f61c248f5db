package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	stdhash "hash"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// An AppPassword is one client's revocable secret. The secret itself is not in
// it: it was shown once.
type AppPassword struct {
	ID      string // 16 characters of A-Z2-7; public
	UID     string
	Label   string // the device's name
	DAV, S3 bool   // protocols it opens
	Mode    backend.Mode
	Root    backend.Ino // nothing outside this collection; "" means the whole tree
	Created time.Time
	Expires time.Time // zero means never
	Revoked time.Time // zero unless it was revoked
	Last    Use       // zero if it was never used; only AppPasswords fills it

	mac    [sha256.Size]byte
	hasMAC bool
	pepper uint32
	epoch  int64
	sealed []byte
}

// AccessKeyID is what S3 clients call the app password by.
func (p *AppPassword) AccessKeyID() string { return accessKeyPrefix + p.ID }

// The form of an app password: "sb_", the id, "_", 34 random digits of base62
// (202 bits), and 6 digits of base62 that are the CRC-32 (IEEE) of all before
// them, so that a typing error is found without asking anybody.
const (
	passwordPrefix  = "sb_"
	accessKeyPrefix = "SB"
	idLen           = 16
	secretLen       = 40
	checkLen        = 6
	passwordLen     = len(passwordPrefix) + idLen + 1 + secretLen

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idSet  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// Parse splits an app password into its id and its secret, and checks form and
// check digits. It asks nobody.
func Parse(password string) (id, secret string, ok bool) {
	if len(password) != passwordLen || password[:len(passwordPrefix)] != passwordPrefix {
		return "", "", false
	}
	rest := password[len(passwordPrefix):]
	id, secret = rest[:idLen], rest[idLen+1:]
	if rest[idLen] != '_' || !ValidID(id) {
		return "", "", false
	}
	for i := range len(secret) {
		if strings.IndexByte(base62, secret[i]) < 0 {
			return "", "", false
		}
	}
	n := passwordLen - checkLen
	var sum [checkLen]byte
	checkDigits(&sum, password[:n])
	return id, secret, string(sum[:]) == password[n:]
}

// ValidID says whether s has the form of an app password's id.
func ValidID(s string) bool {
	if len(s) != idLen {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(idSet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// KeyID is the app password's id in an S3 access key id.
func KeyID(accessKeyID string) (id string, ok bool) {
	id, ok = strings.CutPrefix(accessKeyID, accessKeyPrefix)
	return id, ok && ValidID(id)
}

func checkDigits(dst *[checkLen]byte, s string) {
	n := ^uint32(0) // by hand: crc32.Update would have the string on the heap
	for i := range len(s) {
		n = crc32.IEEETable[byte(n)^s[i]] ^ n>>8
	}
	n = ^n
	for i := range dst {
		dst[checkLen-1-i] = base62[n%62]
		n /= 62
	}
}

// newPassword makes an id and a whole app password.
func newPassword() (id, password string) {
	var b [10]byte
	rand.Read(b[:])
	id = base32.StdEncoding.EncodeToString(b[:])
	var s strings.Builder
	s.WriteString(passwordPrefix + id + "_")
	var c [1]byte
	for s.Len() < passwordLen-checkLen {
		if rand.Read(c[:]); c[0] < 4*62 { // without this the first digits would be likelier
			s.WriteByte(base62[c[0]%62])
		}
	}
	var sum [checkLen]byte
	checkDigits(&sum, s.String())
	s.Write(sum[:])
	return id, s.String()
}

// MintOptions says what a new app password may do. At least one protocol is
// needed.
type MintOptions struct {
	Label   string // the device's name, at most MaxLabel bytes
	DAV, S3 bool
	Mode    backend.Mode
	Root    backend.Ino // nothing outside this collection; "" means the whole tree
	Expires time.Time   // zero means never
}

// Mint makes an app password for a user. password is shown to them now and can
// not be had again. Errors: ErrNotExist, ErrSuspended, ErrInvalid, ErrTooMany.
func (a *Accounts) Mint(ctx context.Context, uid string, o MintOptions) (p *AppPassword, password Secret, err error) {
	o.Label = strings.TrimSpace(o.Label)
	switch {
	case !ValidUID(uid):
		return nil, "", ErrNotExist
	case !o.DAV && !o.S3:
		return nil, "", fmt.Errorf("app password: %w: it needs a protocol", ErrInvalid)
	case o.Mode > backend.UploadOnly:
		return nil, "", fmt.Errorf("app password: %w: no such mode", ErrInvalid)
	case !o.Expires.IsZero() && !o.Expires.After(a.now()):
		return nil, "", fmt.Errorf("app password: %w: it would have expired already", ErrInvalid)
	}
	if err := checkText("label", o.Label, MaxLabel); err != nil {
		return nil, "", err
	}
	id, text := newPassword()
	_, secret, _ := Parse(text)
	row := &passwordRow{
		V: 1, UID: uid, Label: o.Label, DAV: o.DAV, S3: o.S3, Mode: o.Mode, Root: o.Root,
		Created: millis(a.now()), Expires: millis(o.Expires), Pepper: a.keys.Current(),
	}
	m := a.macs.Get().(*mac)
	row.MAC = slices.Clone(m.sum(a.keys, row.Pepper, secret)[:])
	a.macs.Put(m)
	if o.S3 {
		row.Sealed = a.keys.Seal(sealedFor(id, uid), []byte(text))
	}
	err = a.log.Update(ctx, "password.mint", func(tx *journal.Tx) error {
		r, err := tx.Get(userKey(uid))
		if err != nil {
			return err
		}
		if r.V == 0 {
			return ErrNotExist
		}
		var u userRow
		if err := decode(r.D, &u); err != nil {
			return err
		}
		if u.State != Active {
			return ErrSuspended
		}
		own, more, err := tx.Scan(userPasswordKey(uid, "").P, "k#", "k$", false, MaxPasswords)
		if err != nil {
			return err
		}
		if more || len(own) >= MaxPasswords {
			return ErrTooMany
		}
		row.Epoch = u.KeyEpoch
		tx.Put(passwordKey(id), encode(row))
		tx.Put(userPasswordKey(uid, id), encode(ref{V: 1}))
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("mint app password: %w", err)
	}
	a.note(ctx, Event{What: "app password made", UID: uid, Target: id + " " + o.Label})
	return row.password(id), Secret(text), nil
}

func sealedFor(id, uid string) []byte { return []byte("app password\x00" + id + "\x00" + uid) }

// AppPasswords are a user's app passwords that were not revoked, newest first,
// with their last use.
func (a *Accounts) AppPasswords(ctx context.Context, uid string) ([]*AppPassword, error) {
	if !ValidUID(uid) {
		return nil, ErrNotExist
	}
	own, _, err := a.x.Scan(ctx, userPasswordKey(uid, "").P, "k#", "k$", false, 0)
	if err != nil {
		return nil, fmt.Errorf("list app passwords: %w", err)
	}
	var list []*AppPassword
	for part := range slices.Chunk(own, kv.MaxGet/2) {
		var keys []kv.Key
		for _, r := range part {
			id := strings.TrimPrefix(r.S, "k#")
			keys = append(keys, passwordKey(id), useKey(id))
		}
		rows, err := a.x.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("list app passwords: %w", err)
		}
		for i := 0; i < len(rows); i += 2 {
			var row passwordRow
			var use useRow
			if rows[i].V == 0 {
				continue
			}
			if err := decode(rows[i].D, &row); err != nil {
				return nil, err
			}
			p := row.password(strings.TrimPrefix(part[i/2].S, "k#"))
			if rows[i+1].V != 0 {
				if err := decode(rows[i+1].D, &use); err != nil {
					return nil, err
				}
				p.Last = use.use()
			}
			if u, ok := a.uses.get(p.ID); ok && u.At.After(p.Last.At) {
				p.Last = u
			}
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *AppPassword) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// Revoke ends an app password of uid at once. It is ErrNotExist if the user has
// no such app password, and no error if it is revoked already.
//
// The row stays, without the sealed secret, so that whoever still uses it can be
// told why it is refused.
func (a *Accounts) Revoke(ctx context.Context, uid, id string) error {
	if !ValidUID(uid) || !ValidID(id) {
		return ErrNotExist
	}
	defer a.changed(ctx, uid, id) // after an error, too: its outcome may be unknown
	err := a.log.Update(ctx, "password.revoke", func(tx *journal.Tx) error {
		r, err := tx.Get(passwordKey(id))
		if err != nil {
			return err
		}
		var row passwordRow
		if r.V == 0 {
			return ErrNotExist
		}
		if err := decode(r.D, &row); err != nil {
			return err
		}
		if row.UID != uid {
			return ErrNotExist
		}
		if row.Revoked != 0 {
			return nil
		}
		now := a.now()
		row.Revoked = millis(now)
		row.Sealed = nil
		tx.Put(passwordKey(id), encode(row))
		tx.Del(userPasswordKey(uid, id))
		tx.Put(userRevokedKey(uid, now, id), encode(ref{V: 1}))
		return forgetRevoked(tx, uid, now)
	})
	if err != nil {
		return fmt.Errorf("revoke app password: %w", err)
	}
	a.revoked(ctx, uid, id)
	a.note(ctx, Event{What: "app password revoked", UID: uid, Target: id})
	return nil
}

// Revoked app passwords are forgotten after revokedFor, or when the user has
// more than maxRevoked, the oldest first.
const (
	revokedFor = 90 * 24 * time.Hour
	maxRevoked = 100
)

func forgetRevoked(tx *journal.Tx, uid string, now time.Time) error {
	old, _, err := tx.Scan(userKey(uid).P, "r#", "r$", false, 0)
	if err != nil {
		return err
	}
	due := userRevokedKey(uid, now.Add(-revokedFor), "").S
	for i, r := range old {
		if len(old)-i <= maxRevoked && r.S >= due || i >= 20 {
			break // the next Revoke goes on
		}
		id := r.S[strings.LastIndexByte(r.S, '#')+1:]
		tx.Del(r.Key)
		tx.Del(passwordKey(id))
		tx.Local(kv.Op{Key: useKey(id), Kind: kv.Del})
	}
	return nil
}

// Check is the app password that was sent, and its user. It costs about a
// microsecond when the app password was used in the last seconds. The error
// wraps ErrRefused, and is a *Refusal, if it is not good; then the app password
// and user are returned if the secret was right (Refusal.Genuine), else nil.
func (a *Accounts) Check(ctx context.Context, password string) (*AppPassword, *User, error) {
	id, secret, ok := Parse(password)
	if !ok {
		return nil, nil, ErrMalformed
	}
	p, u, err := a.lookUp(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	known := p != nil && p.hasMAC
	want, pepper := &noMAC, a.keys.Current()
	if known {
		want, pepper = &p.mac, p.pepper
	}
	m := a.macs.Get().(*mac)
	right := hmac.Equal(m.sum(a.keys, pepper, secret)[:], want[:])
	if right && known && pepper != a.keys.Current() {
		a.stale.add(id, a.keys.Current(), m.sum(a.keys, a.keys.Current(), secret))
	}
	a.macs.Put(m)
	switch {
	case !known:
		return nil, nil, ErrUnknown
	case !right:
		return nil, nil, ErrWrong
	}
	return p, u, a.standing(p, u)
}

// noMAC stands in for that of an unknown id, so that it costs the same to refuse.
var noMAC [sha256.Size]byte

// Secret is the S3 secret access key of the app password called id, for
// verifying a signature. A Refusal that is Genuine holds only if the signature
// does: then the secret, app password and user come with it.
func (a *Accounts) Secret(ctx context.Context, id string) (Secret, *AppPassword, *User, error) {
	if !ValidID(id) {
		return "", nil, nil, ErrMalformed
	}
	p, u, err := a.lookUp(ctx, id)
	switch {
	case err != nil:
		return "", nil, nil, err
	case p == nil:
		return "", nil, nil, ErrUnknown
	case p.sealed == nil && !p.Revoked.IsZero():
		return "", nil, nil, ErrRevoked
	case p.sealed == nil:
		return "", nil, nil, ErrScope
	}
	text, err := a.keys.Open(sealedFor(p.ID, p.UID), p.sealed)
	if err != nil {
		return "", nil, nil, fmt.Errorf("open the secret of an app password: %w", err)
	}
	return Secret(text), p, u, a.standing(p, u)
}

// standing says whether an app password whose secret is right may be used.
func (a *Accounts) standing(p *AppPassword, u *User) error {
	switch {
	case !p.Revoked.IsZero():
		return ErrRevoked
	case u.KeyEpoch != p.epoch:
		return ErrOutdated
	case !p.Expires.IsZero() && !a.opt.Now().Before(p.Expires):
		return ErrExpired
	case u.State == Lapsed:
		return ErrLapsed
	case u.State != Active:
		return ErrSuspended
	}
	return nil
}

// lookUp reads an app password and its user, p nil if there is none.
func (a *Accounts) lookUp(ctx context.Context, id string) (p *AppPassword, u *User, err error) {
	now := a.opt.Now()
	c, gen := a.cache.get(id, now)
	if c != nil {
		return c.p, c.u, nil
	}
	var row passwordRow
	v, err := a.get(ctx, passwordKey(id), &row)
	if v == 0 || err != nil {
		return nil, nil, err
	}
	u, err = a.User(ctx, row.UID)
	if err != nil {
		if errors.Is(err, ErrNotExist) {
			return nil, nil, nil
		}
		return nil, nil, err
	}
	p = row.password(id)
	a.cache.put(id, &cached{p: p, u: u, at: now}, gen)
	return p, u, nil
}

// mac computes HMACs without allocating.
type mac struct {
	of  map[uint32]stdhash.Hash // by version of the master key
	in  [secretLen]byte
	out [sha256.Size]byte
}

func (m *mac) sum(k *Keys, version uint32, secret string) *[sha256.Size]byte {
	h := m.of[version]
	if h == nil {
		if m.of == nil {
			m.of = make(map[uint32]stdhash.Hash)
		}
		h = hmac.New(sha256.New, k.pepper(version))
		m.of[version] = h
	}
	h.Reset()
	h.Write(m.in[:copy(m.in[:], secret)])
	h.Sum(m.out[:0])
	return &m.out
}
