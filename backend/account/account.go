// Package account keeps who may use Shoebox: users and their identities at an
// OIDC provider, app passwords, web sessions and one-time login links.
//
// Users, identities, login names and app passwords are rows of the log called
// "_sys" and so live in the bucket; secrets in them are hashed with a pepper or
// sealed (see [Keys]). Web sessions, login links and the last use of app
// passwords are rows of this index only: when the index is lost people sign in
// again. The rows are told in rows.go.
package account

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// Options adjusts Accounts. The zero value, and nil, are ready for use.
type Options struct {
	Logger *slog.Logger     // nil means slog.DiscardHandler
	Now    func() time.Time // nil means time.Now

	SessionIdle time.Duration // a web session ends when it is not used for so long; 0 means 8 hours
	SessionLife time.Duration // a web session ends after so long in any case; 0 means 7 days
	CacheLife   time.Duration // how old a cached app password may be; 0 means 5 s
	// Grace is how long a user who signed in at an OIDC provider may come in without
	// its vouching for them again; 0 means 30 days, negative without end.
	Grace time.Duration

	// Revoked, if not nil, is called after an app password of a user, or all of them if
	// key is "", stopped being good here: to let go what is held with it.
	Revoked func(ctx context.Context, uid, key string) error
}

// Limits that keep one user from growing without bound.
const (
	MaxPasswords = 200 // app passwords of one user that are not revoked
	MaxLabel     = 100 // bytes of a device's name
	MaxName      = 200 // bytes of a person's name or e-mail address
)

// Errors that are not refusals of a credential; see also [Refusal].
var (
	ErrNotExist   = fmt.Errorf("no such user, app password or link: %w", backend.ErrNotExist)
	ErrLoginTaken = fmt.Errorf("the login name is taken: %w", backend.ErrExist)
	ErrLinked     = fmt.Errorf("that identity belongs to another user: %w", backend.ErrExist)
	ErrLogin      = errors.New("a login name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit")
	ErrInvalid    = errors.New("not valid")
	ErrTooMany    = errors.New("too many app passwords: revoke one first")
)

// Accounts is the register of users and credentials. Its methods may be called
// at once from several goroutines. Values it returns by pointer may be shared:
// they must not be changed.
type Accounts struct {
	log  *journal.Log
	x    kv.Store
	keys *Keys
	opt  Options

	cache     cache
	uses      uses
	followed  followed
	stale     stale
	events    atomic.Uint64
	deletions deletions
	doubted   doubted

	macs sync.Pool // of *mac
}

// Open opens the register: it replays what the bucket's log "_sys" has and the
// index has not. keys must be those the rows were written with.
func Open(ctx context.Context, b object.Bucket, x kv.Store, keys *Keys, opt *Options) (*Accounts, error) {
	a := &Accounts{x: x, keys: keys}
	if opt != nil {
		a.opt = *opt
	}
	if a.opt.Logger == nil {
		a.opt.Logger = slog.New(slog.DiscardHandler)
	}
	if a.opt.Now == nil {
		a.opt.Now = time.Now
	}
	if a.opt.SessionIdle == 0 {
		a.opt.SessionIdle = 8 * time.Hour
	}
	if a.opt.SessionLife == 0 {
		a.opt.SessionLife = 7 * 24 * time.Hour
	}
	if a.opt.CacheLife == 0 {
		a.opt.CacheLife = 5 * time.Second
	}
	if a.opt.Grace == 0 {
		a.opt.Grace = 30 * 24 * time.Hour
	}
	a.cache.life = a.opt.CacheLife
	a.macs.New = func() any { return new(mac) }
	l, err := journal.Open(ctx, b, x, LogName, &journal.Options{Logger: a.opt.Logger, Now: a.opt.Now, Prefixes: Prefixes()})
	if err != nil {
		return nil, fmt.Errorf("open the log of accounts: %w", err)
	}
	a.log = l
	return a, nil
}

// LogName is what the log of accounts is called in the bucket, in place of a uid.
const LogName = "_sys"

// Prefixes are those of the partitions that hold the logged rows.
func Prefixes() []string { return []string{"u#", "n#", "x#", "k#"} }

// Log is the log of accounts, for fsck and snapshots. Run makes snapshots too.
func (a *Accounts) Log() *journal.Log { return a.log }

// Keys are the keys the register seals with.
func (a *Accounts) Keys() *Keys { return a.keys }

// now is the time, in UTC and without a monotonic part, to the millisecond: as
// rows keep it.
func (a *Accounts) now() time.Time { return a.opt.Now().UTC().Truncate(time.Millisecond) }

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newUID makes a user's id: 64 random bits as 13 characters of lower-case base32.
func newUID() string {
	var b [8]byte
	rand.Read(b[:])
	return lowerBase32.EncodeToString(b[:])
}

// ValidUID says whether s has the form of a user's id.
func ValidUID(s string) bool {
	return len(s) == 13 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
