package account

import (
	"context"
	"errors"
	"sync"
)

// following is something under way that must not outlive its credential.
type following struct {
	uid, key, session string
	end               func(error)
}

type followed struct {
	mu sync.Mutex
	m  map[*following]struct{}
}

// Follow calls end, once and with the reason, when the credential that something is
// done with stops being good: the app password called key or, if key is "", the web
// session. It may call it before it returns. Revoking here is seen at once, on another
// node and by expiring within about CacheLife, while Run runs. end must not block.
// stop ends the following and must be called.
func (a *Accounts) Follow(ctx context.Context, uid, key, session string, end func(error)) (stop func()) {
	f := &following{uid, key, session, end}
	a.followed.mu.Lock()
	if a.followed.m == nil {
		a.followed.m = make(map[*following]struct{})
	}
	a.followed.m[f] = struct{}{}
	a.followed.mu.Unlock()
	// It may have been revoked after it was checked and before it was followed.
	a.recheck(ctx, func(g *following) bool { return g == f })
	return func() {
		a.followed.mu.Lock()
		defer a.followed.mu.Unlock()
		delete(a.followed.m, f)
	}
}

// recheck ends what is followed, and matches, if its credential is not good any more.
func (a *Accounts) recheck(ctx context.Context, matches func(*following) bool) {
	var list []*following
	a.followed.mu.Lock()
	for f := range a.followed.m {
		if matches(f) {
			list = append(list, f)
		}
	}
	a.followed.mu.Unlock()
	for _, f := range list {
		var err error
		if f.key != "" {
			err = a.keyStands(ctx, f.key)
		} else {
			_, _, _, err = a.sessionStands(ctx, f.session)
		}
		if !errors.Is(err, ErrRefused) { // good, or it can not be known
			continue
		}
		a.followed.mu.Lock()
		_, there := a.followed.m[f]
		delete(a.followed.m, f)
		a.followed.mu.Unlock()
		if there {
			f.end(err)
		}
	}
}

// recheckAll ends what is followed with a credential that expired, or was revoked on
// another node. It looks past the cache: else two lives of it would pass.
func (a *Accounts) recheckAll(ctx context.Context) {
	keys := make(map[string]bool)
	a.followed.mu.Lock()
	for f := range a.followed.m {
		if f.key != "" {
			keys[f.key] = true
		}
	}
	a.followed.mu.Unlock()
	for key := range keys {
		a.cache.drop(key)
	}
	a.recheck(ctx, func(*following) bool { return true })
}

// changed is called when something of a user, or of one of their app passwords, may have
// changed: nobody sees the old state from then on.
func (a *Accounts) changed(ctx context.Context, uid, key string) {
	if key != "" {
		a.cache.drop(key)
	} else {
		a.cache.dropUser(uid)
	}
	a.recheck(context.WithoutCancel(ctx), func(f *following) bool { return f.uid == uid && (key == "" || f.key == key) })
}

// keyStands says whether the app password called id may be used.
func (a *Accounts) keyStands(ctx context.Context, id string) error {
	p, u, err := a.lookUp(ctx, id)
	switch {
	case err != nil:
		return err
	case p == nil:
		return ErrUnknown
	}
	return a.standing(p, u)
}

// sessionStands is the web session of a token's hash, and its user, if it may be used.
// v is the version of its row.
func (a *Accounts) sessionStands(ctx context.Context, h string) (row *sessionRow, u *User, v uint64, err error) {
	row = new(sessionRow)
	v, err = a.get(ctx, sessionKey(h), row)
	if err != nil {
		return nil, nil, 0, err
	}
	if v == 0 {
		return nil, nil, 0, ErrSession
	}
	u, err = a.User(ctx, row.UID)
	if err != nil && !errors.Is(err, ErrNotExist) {
		return nil, nil, 0, err
	}
	if err != nil || u.State != Active || u.Epoch != row.Epoch || !a.now().Before(a.session(h, row).Expires) {
		return nil, nil, 0, ErrSession
	}
	return row, u, v, nil
}

// revoked tells whoever wants to know that what was held with an app password of a user,
// or with any of them if key is "", must be let go.
func (a *Accounts) revoked(ctx context.Context, uid, key string) {
	if a.opt.Revoked == nil {
		return
	}
	if err := a.opt.Revoked(context.WithoutCancel(ctx), uid, key); err != nil {
		a.opt.Logger.WarnContext(ctx, "locks of a revoked app password stay until they expire", "err", err)
	}
}
