package account

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A State says whether a user may come in.
type State uint8

// The states of a user.
const (
	Active    State = iota
	Suspended       // by the owner or operator
	Lapsed          // the OIDC provider no longer vouches for the user; signing in there ends it
	Removed         // for good; the photographs are still there
)

func (s State) String() string {
	switch s {
	case Suspended:
		return "suspended"
	case Lapsed:
		return "lapsed"
	case Removed:
		return "removed"
	}
	return "active"
}

// A User is a person with a tree of their own.
type User struct {
	UID   string
	Login string // unique; the name used with HTTP Basic
	Name  string // shown on the page; "" if none is known
	Email string // shown only; never identifies anyone
	Owner bool   // may manage people
	State State
	// Epoch grows when all web sessions of the user end at once, KeyEpoch when all
	// their app passwords do.
	Epoch, KeyEpoch int64
	Quota           int64 // bytes the user may keep; 0 means no quota
	QuotaFiles      int64 // files the user may keep; 0 means any number
	Created         time.Time
	FirstLogin      time.Time // zero until the user has signed in on the page
	Identities      []Identity
}

// DisplayName is the name to show: Name, or Login when there is none.
func (u *User) DisplayName() string {
	if u.Name != "" {
		return u.Name
	}
	return u.Login
}

// An Identity is a user at an OIDC provider. Issuer and Subject identify it.
type Identity struct {
	Issuer, Subject string
	Email           string // as last seen when it was linked; shown only
	// Pinned says that the user, while signed in, or the owner linked it: no rule need
	// allow it.
	Pinned bool
	Added  time.Time
}

// NewUser is what CreateUser needs to know.
type NewUser struct {
	Login string // required
	Name  string
	Email string
	Owner bool
	Quota int64 // bytes; 0 means no quota
	// Identity, if not nil, is linked in the same commit.
	Identity *Identity
	// UID, if not "", is what the user is to be called, as when what is in the bucket is
	// given back to somebody; it must not be anybody's.
	UID string
}

// ValidLogin says whether s can be a login name: 1 to 64 of a-z, 0-9, '.', '_'
// and '-', the first a letter or digit.
func ValidLogin(s string) bool {
	if len(s) < 1 || len(s) > 64 || strings.IndexByte("._-", s[0]) >= 0 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// SuggestLogin makes a login name of what a person is called elsewhere, such as
// "Ana.Prévost@example.org"; "" if nothing of it is left.
func SuggestLogin(s string) string {
	s, _, _ = strings.Cut(s, "@")
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			b.WriteRune(r)
		case unicode.IsSpace(r):
			b.WriteByte('.')
		}
	}
	t := strings.Trim(b.String(), "._-")
	return t[:min(len(t), 48)]
}

// CreateUser adds a user. Errors: ErrLogin, ErrLoginTaken, ErrLinked, ErrInvalid.
func (a *Accounts) CreateUser(ctx context.Context, n NewUser) (*User, error) {
	var u *User
	err := a.log.Update(ctx, "user.add", func(tx *journal.Tx) (err error) {
		u, err = a.createUser(tx, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create user: %w", err)
	}
	a.note(ctx, Event{What: "user added", UID: u.UID, Target: u.Login})
	return u, nil
}

func (a *Accounts) createUser(tx *journal.Tx, n NewUser) (*User, error) {
	if !ValidLogin(n.Login) || strings.HasPrefix(n.Login, removedLogin) {
		return nil, ErrLogin
	}
	if err := checkText("name", n.Name, MaxName); err != nil {
		return nil, err
	}
	if err := checkText("e-mail address", n.Email, MaxName); err != nil {
		return nil, err
	}
	if n.Quota < 0 {
		return nil, fmt.Errorf("quota: %w", ErrInvalid)
	}
	if r, err := tx.Get(loginKey(n.Login)); err != nil {
		return nil, err
	} else if r.V != 0 {
		return nil, ErrLoginTaken
	}
	uid := n.UID
	if uid == "" {
		uid = newUID()
	}
	if !ValidUID(uid) {
		return nil, fmt.Errorf("uid: %w", ErrInvalid)
	}
	if r, err := tx.Get(userKey(uid)); err != nil {
		return nil, err
	} else if r.V != 0 {
		return nil, fmt.Errorf("uid: %w: it is taken", ErrInvalid)
	}
	now := a.now()
	row := &userRow{V: 1, Login: n.Login, Name: n.Name, Email: n.Email, Owner: n.Owner, Quota: n.Quota, Created: millis(now)}
	if n.Identity != nil {
		if err := a.link(tx, uid, row, *n.Identity); err != nil {
			return nil, err
		}
	}
	tx.Put(userKey(uid), encode(row))
	tx.Put(loginKey(n.Login), encode(ref{1, uid}))
	tx.Put(memberKey(uid), encode(ref{V: 1}))
	return row.user(uid), nil
}

// EnsureOwner is the first user who is an owner. If there is none, the user
// called login is made one, and created if need be; created says whether
// anything was changed.
func (a *Accounts) EnsureOwner(ctx context.Context, login string) (u *User, created bool, err error) {
	users, err := a.Users(ctx)
	if err != nil {
		return nil, false, err
	}
	if i := slices.IndexFunc(users, func(u *User) bool { return u.Owner }); i >= 0 {
		return users[i], false, nil
	}
	err = a.log.Update(ctx, "user.owner", func(tx *journal.Tx) error {
		r, err := tx.Get(loginKey(login))
		if err != nil {
			return err
		}
		if r.V == 0 {
			u, err = a.createUser(tx, NewUser{Login: login, Owner: true})
			return err
		}
		var at ref
		if err := decode(r.D, &at); err != nil {
			return err
		}
		u, err = a.change(tx, at.UID, func(row *userRow) error { row.Owner = true; return nil })
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("make the owner: %w", err)
	}
	a.changed(ctx, u.UID, "")
	a.note(ctx, Event{What: "owner made", UID: u.UID, Target: u.Login})
	return u, true, nil
}

// OwnerExists says whether there is an owner.
func (a *Accounts) OwnerExists(ctx context.Context) (bool, error) {
	users, err := a.Users(ctx)
	return slices.ContainsFunc(users, func(u *User) bool { return u.Owner }), err
}

// Users are all users, by login name.
func (a *Accounts) Users(ctx context.Context) ([]*User, error) {
	members, _, err := a.x.Scan(ctx, memberKey("").P, "", "", false, 0)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	var users []*User
	for part := range slices.Chunk(members, kv.MaxGet) {
		keys := make([]kv.Key, len(part))
		for i, m := range part {
			keys[i] = userKey(m.S)
		}
		rows, err := a.x.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		for i, r := range rows {
			var row userRow
			if r.V == 0 {
				continue
			}
			if err := decode(r.D, &row); err != nil {
				return nil, err
			}
			users = append(users, row.user(part[i].S))
		}
	}
	slices.SortFunc(users, func(a, b *User) int { return strings.Compare(a.Login, b.Login) })
	return users, nil
}

// User is the user called uid, or ErrNotExist.
func (a *Accounts) User(ctx context.Context, uid string) (*User, error) {
	if !ValidUID(uid) {
		return nil, ErrNotExist
	}
	var row userRow
	v, err := a.get(ctx, userKey(uid), &row)
	if err != nil {
		return nil, err
	}
	if v == 0 {
		return nil, ErrNotExist
	}
	return row.user(uid), nil
}

// UserByLogin is the user with that login name, in any case, or ErrNotExist.
func (a *Accounts) UserByLogin(ctx context.Context, login string) (*User, error) {
	login = strings.ToLower(login)
	if !ValidLogin(login) {
		return nil, ErrNotExist
	}
	return a.userAt(ctx, loginKey(login))
}

// UserByIdentity is the user an identity was linked to, or ErrNotExist.
func (a *Accounts) UserByIdentity(ctx context.Context, issuer, subject string) (*User, error) {
	return a.userAt(ctx, identityKey(issuer, subject))
}

func (a *Accounts) userAt(ctx context.Context, k kv.Key) (*User, error) {
	var at ref
	v, err := a.get(ctx, k, &at)
	if err != nil {
		return nil, err
	}
	if v == 0 {
		return nil, ErrNotExist
	}
	return a.User(ctx, at.UID)
}

// FreeLogin is want, or want with the lowest number behind it that makes it
// free. Another user may take it before it is used.
func (a *Accounts) FreeLogin(ctx context.Context, want string) (string, error) {
	want = SuggestLogin(want)
	if want == "" || strings.HasPrefix(want, removedLogin) { // which is nobody's to have
		want = "user"
	}
	for n, login := 1, want; ; login = want + strconv.Itoa(n) {
		switch _, err := a.UserByLogin(ctx, login); {
		case errors.Is(err, ErrNotExist):
			return login, nil
		case err != nil:
			return "", err
		}
		n++
	}
}

// LinkIdentity lets a user sign in as an identity. It is no error if it is linked
// to that user already. Errors: ErrNotExist, ErrLinked, ErrInvalid.
func (a *Accounts) LinkIdentity(ctx context.Context, uid string, id Identity) error {
	err := a.changeUser(ctx, "user.link", uid, func(tx *journal.Tx, row *userRow) error { return a.link(tx, uid, row, id) })
	if err == nil {
		a.note(ctx, Event{What: "identity connected", UID: uid, Target: id.Email + " " + id.Issuer})
	}
	return err
}

func (a *Accounts) link(tx *journal.Tx, uid string, row *userRow, id Identity) error {
	if id.Issuer == "" || id.Subject == "" || len(id.Issuer) > 1024 || len(id.Subject) > 1024 {
		return fmt.Errorf("identity: %w", ErrInvalid)
	}
	k := identityKey(id.Issuer, id.Subject)
	r, err := tx.Get(k)
	if err != nil {
		return err
	}
	if r.V != 0 {
		var at ref
		if err := decode(r.D, &at); err != nil {
			return err
		}
		if at.UID != uid {
			return ErrLinked
		}
		for i, have := range row.IDs {
			if have.Issuer == id.Issuer && have.Subject == id.Subject {
				row.IDs[i].Pinned = have.Pinned || id.Pinned
			}
		}
		return nil
	}
	if len(row.IDs) >= 20 {
		return fmt.Errorf("identity: %w: a user has at most 20", ErrInvalid)
	}
	row.IDs = append(row.IDs, identity{id.Issuer, id.Subject, id.Email, id.Pinned, millis(a.now())})
	tx.Put(k, encode(ref{1, uid}))
	return nil
}

// SetState suspends a user (Suspended) or lets them in again (Active). Suspending ends their web
// sessions for good and refuses their app passwords at once; those work again
// when the user is active again.
func (a *Accounts) SetState(ctx context.Context, uid string, s State) error {
	if s != Active && s != Suspended {
		return fmt.Errorf("state: %w", ErrInvalid)
	}
	err := a.changeUser(ctx, "user."+s.String(), uid, func(tx *journal.Tx, row *userRow) error {
		if row.State == Removed {
			return fmt.Errorf("%w: the user was removed", ErrInvalid)
		}
		row.State = s
		if s == Active {
			return a.startGrace(tx, uid)
		}
		row.Epoch++
		return nil
	})
	if err != nil {
		return err
	}
	what := "user resumed"
	if s == Suspended {
		what = "user suspended"
		a.revoked(ctx, uid, "")
	}
	a.note(ctx, Event{What: what, UID: uid})
	return nil
}

// RevokeAll ends all web sessions and app passwords of a user for good.
func (a *Accounts) RevokeAll(ctx context.Context, uid string) error {
	err := a.changeUser(ctx, "user.revoke", uid, func(_ *journal.Tx, row *userRow) error {
		row.Epoch++
		row.KeyEpoch++
		return nil
	})
	if err == nil {
		a.revoked(ctx, uid, "")
		a.note(ctx, Event{What: "all access revoked", UID: uid})
	}
	return err
}

// SetQuota sets how many bytes and files a user may keep; 0 means no quota.
func (a *Accounts) SetQuota(ctx context.Context, uid string, bytes, files int64) error {
	if bytes < 0 || files < 0 {
		return fmt.Errorf("quota: %w", ErrInvalid)
	}
	err := a.changeUser(ctx, "user.quota", uid, func(_ *journal.Tx, row *userRow) error {
		row.Quota, row.QuotaFiles = bytes, files
		return nil
	})
	if err == nil {
		a.note(ctx, Event{What: "quota set", UID: uid, Target: limits(bytes, files)})
	}
	return err
}

// limits tells a quota in the audit log.
func limits(bytes, files int64) string {
	var said []string
	if bytes > 0 {
		said = append(said, strconv.FormatFloat(float64(bytes)/1e9, 'f', -1, 64)+" GB")
	}
	if files > 0 {
		said = append(said, fmt.Sprintf("%d files", files))
	}
	if said == nil {
		return "no limit"
	}
	return strings.Join(said, ", ")
}

// SetProfile changes what a user is called. "" leaves the value as it is.
func (a *Accounts) SetProfile(ctx context.Context, uid, name, email string) error {
	if err := checkText("name", name, MaxName); err != nil {
		return err
	}
	if err := checkText("e-mail address", email, MaxName); err != nil {
		return err
	}
	return a.changeUser(ctx, "user.profile", uid, func(_ *journal.Tx, row *userRow) error {
		if name != "" {
			row.Name = name
		}
		if email != "" {
			row.Email = email
		}
		return nil
	})
}

// MarkLogin records that the user has signed in for the first time; later calls
// change nothing.
func (a *Accounts) MarkLogin(ctx context.Context, uid string) error {
	return a.changeUser(ctx, "user.first", uid, func(_ *journal.Tx, row *userRow) error {
		if row.First == 0 {
			row.First = millis(a.now())
		}
		return nil
	})
}

// changeUser changes a user's row, and then nobody sees the old one.
func (a *Accounts) changeUser(ctx context.Context, op, uid string, f func(*journal.Tx, *userRow) error) error {
	if !ValidUID(uid) {
		return ErrNotExist
	}
	defer a.changed(ctx, uid, "") // after an error, too: its outcome may be unknown
	err := a.log.Update(ctx, op, func(tx *journal.Tx) error {
		_, err := a.change(tx, uid, func(row *userRow) error { return f(tx, row) })
		return err
	})
	if err != nil {
		return fmt.Errorf("change user: %w", err)
	}
	return nil
}

func (a *Accounts) change(tx *journal.Tx, uid string, f func(*userRow) error) (*User, error) {
	r, err := tx.Get(userKey(uid))
	if err != nil {
		return nil, err
	}
	if r.V == 0 {
		return nil, ErrNotExist
	}
	var row userRow
	if err := decode(r.D, &row); err != nil {
		return nil, err
	}
	if err := f(&row); err != nil {
		return nil, err
	}
	tx.Put(userKey(uid), encode(row))
	return row.user(uid), nil
}

// ValidText says whether s can be a name: UTF-8 of at most most bytes, without
// control characters.
func ValidText(s string, most int) bool { return checkText("", s, most) == nil }

// checkText refuses what would not look like a name.
func checkText(what, s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("%s: %w: it is longer than %d bytes", what, ErrInvalid, most)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s: %w: it is not UTF-8", what, ErrInvalid)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%s: %w: it has a control character", what, ErrInvalid)
	}
	return nil
}

// hash names a secret in a row.
func hash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}
