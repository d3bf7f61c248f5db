package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// SessionInfo is what is known when a web session begins.
type SessionInfo struct {
	AuthTime  time.Time // when the person proved who they are; zero means now
	Issuer    string    // of the OIDC provider; "" for a login link
	SID       string    // the provider's session, if it names one
	IDToken   Secret    // for the provider's logout; "" if there is none
	Addr      netip.Addr
	UserAgent string
}

// A Session is a signed-in browser.
type Session struct {
	ID       string // SHA-256 of the token, in hex
	UID      string
	Created  time.Time
	Seen     time.Time // last use, to a few minutes
	Expires  time.Time // if it is not used meanwhile
	AuthTime time.Time
	Issuer   string
	SID      string
	IDToken  Secret
	Net      string // as in Use
	Agent    string
}

// seenEvery is how exactly the last use of a session is kept.
const seenEvery = 5 * time.Minute

// newToken is 256 random bits as text.
func newToken() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func validToken(s string) bool { return len(s) == 43 }

// NewSession begins a web session of an active user. Only the token's hash is
// kept. Errors: ErrNotExist, ErrSuspended.
func (a *Accounts) NewSession(ctx context.Context, uid string, info SessionInfo) (token Secret, err error) {
	u, err := a.User(ctx, uid)
	if err != nil {
		return "", fmt.Errorf("begin session: %w", err)
	}
	if u.State != Active {
		return "", ErrSuspended
	}
	now := a.now()
	if info.AuthTime.IsZero() {
		info.AuthTime = now
	}
	text := newToken()
	h := hash(text)
	agent := info.UserAgent[:min(len(info.UserAgent), maxAgent)]
	row := sessionRow{
		V: 1, UID: uid, Epoch: u.Epoch, Created: millis(now), Seen: millis(now), Auth: millis(info.AuthTime),
		Issuer: info.Issuer, SID: info.SID, Net: Network(info.Addr), Agent: printable(agent),
	}
	if info.IDToken != "" && len(info.IDToken) <= 8<<10 {
		row.IDToken = a.keys.Seal(idTokenFor(h), []byte(info.IDToken))
	}
	err = a.x.Commit(ctx, []kv.Op{
		{Key: sessionKey(h), Kind: kv.Put, Cond: kv.Absent, D: encode(row)},
		{Key: userSessionKey(uid, h), Kind: kv.Put, D: encode(ref{V: 1})},
	})
	if err != nil {
		return "", fmt.Errorf("begin session: %w", err)
	}
	return Secret(text), nil
}

func idTokenFor(hash string) []byte { return []byte("id token\x00" + hash) }

func (a *Accounts) session(h string, row *sessionRow) *Session {
	s := &Session{
		ID: h, UID: row.UID, Created: when(row.Created), Seen: when(row.Seen), AuthTime: when(row.Auth),
		Issuer: row.Issuer, SID: row.SID, Net: row.Net, Agent: row.Agent,
	}
	s.Expires = s.Seen.Add(a.opt.SessionIdle)
	if end := s.Created.Add(a.opt.SessionLife); end.Before(s.Expires) {
		s.Expires = end
	}
	if row.IDToken != nil {
		if t, err := a.keys.Open(idTokenFor(h), row.IDToken); err == nil {
			s.IDToken = Secret(t)
		}
	}
	return s
}

// Session is the web session of a token, and its user. It is ErrSession if it
// ended, was not used for too long, or never was.
func (a *Accounts) Session(ctx context.Context, token string) (*Session, *User, error) {
	if !validToken(token) {
		return nil, nil, ErrSession
	}
	h := hash(token)
	row, u, v, err := a.sessionStands(ctx, h)
	if err != nil {
		return nil, nil, err
	}
	s, now := a.session(h, row), a.now()
	if now.Sub(s.Seen) >= seenEvery {
		row.Seen = millis(now)
		// Should it fail, another request writes it; should the session have ended
		// meanwhile, the condition keeps it so.
		err := a.x.Commit(ctx, []kv.Op{{Key: sessionKey(h), Kind: kv.Put, Cond: kv.At, V: v, D: encode(row)}})
		if ce := (*kv.CondError)(nil); err != nil && !errors.As(err, &ce) && !errors.Is(err, kv.ErrConflict) && ctx.Err() == nil {
			a.opt.Logger.WarnContext(ctx, "last use of a web session was not written", "err", err)
		}
		s = a.session(h, row)
	}
	return s, u, nil
}

// Sessions are the web sessions of a user that have not ended, newest first.
func (a *Accounts) Sessions(ctx context.Context, uid string) ([]*Session, error) {
	u, err := a.User(ctx, uid)
	if err != nil {
		return nil, err
	}
	var list []*Session
	now := a.now()
	err = a.eachSession(ctx, uid, func(h string, row *sessionRow) error {
		if s := a.session(h, row); row.Epoch == u.Epoch && now.Before(s.Expires) {
			list = append(list, s)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b *Session) int { return b.Created.Compare(a.Created) })
	return list, err
}

// eachSession calls f with each session of a user, nil for one whose row is gone.
func (a *Accounts) eachSession(ctx context.Context, uid string, f func(h string, row *sessionRow) error) error {
	own, _, err := a.x.Scan(ctx, userSessionKey(uid, "").P, "", "", false, 0)
	if err != nil {
		return fmt.Errorf("list sessions: %w", err)
	}
	for _, r := range own {
		var row sessionRow
		v, err := a.get(ctx, sessionKey(r.S), &row)
		if err != nil {
			return err
		}
		if v == 0 {
			continue
		}
		if err := f(r.S, &row); err != nil {
			return err
		}
	}
	return nil
}

// EndSession ends the web session called id (Session.ID). It is no error if
// there is none.
func (a *Accounts) EndSession(ctx context.Context, id string) error {
	var row sessionRow
	v, err := a.get(ctx, sessionKey(id), &row)
	if v == 0 || err != nil {
		return err
	}
	return a.endSession(ctx, row.UID, id)
}

func (a *Accounts) endSession(ctx context.Context, uid, id string) error {
	err := a.x.Commit(ctx, []kv.Op{{Key: sessionKey(id), Kind: kv.Del}, {Key: userSessionKey(uid, id), Kind: kv.Del}})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	a.recheck(context.WithoutCancel(ctx), func(f *following) bool { return f.session == id })
	return nil
}

// EndSessions ends all web sessions of a user.
func (a *Accounts) EndSessions(ctx context.Context, uid string) error {
	if !ValidUID(uid) {
		return ErrNotExist
	}
	return a.eachSession(ctx, uid, func(h string, _ *sessionRow) error { return a.endSession(ctx, uid, h) })
}

// EndSessionsOf ends web sessions that began with a sign-in at issuer: the provider's
// session sid or, if that is "", all of subject's. One of the two may be "". A session
// that knows no sid ends with any of its subject's. It is the users they were of.
func (a *Accounts) EndSessionsOf(ctx context.Context, issuer, subject, sid string) (uids []string, err error) {
	var users []*User
	if subject != "" {
		u, err := a.UserByIdentity(ctx, issuer, subject)
		if errors.Is(err, ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		users = []*User{u}
	} else if users, err = a.Users(ctx); err != nil {
		return nil, err
	}
	for _, u := range users {
		met := subject != ""
		err := a.eachSession(ctx, u.UID, func(h string, row *sessionRow) error {
			if row.Issuer != issuer || sid != "" && row.SID != sid && (row.SID != "" || subject == "") {
				return nil
			}
			met = true
			return a.endSession(ctx, u.UID, h)
		})
		if err != nil {
			return uids, err
		}
		if met {
			uids = append(uids, u.UID)
		}
	}
	return uids, nil
}

// NewLoginLink makes the token of a link that signs a user in once, within ttl
// (0 means 10 minutes). Errors: ErrNotExist, ErrSuspended.
func (a *Accounts) NewLoginLink(ctx context.Context, uid string, ttl time.Duration) (token Secret, err error) {
	u, err := a.User(ctx, uid)
	if err != nil {
		return "", fmt.Errorf("make login link: %w", err)
	}
	if u.State != Active {
		return "", ErrSuspended
	}
	if ttl <= 0 {
		ttl = 10 * time.Minute
	}
	text := newToken()
	row := linkRow{1, uid, u.Epoch, millis(a.now().Add(ttl))}
	err = a.x.Commit(ctx, []kv.Op{{Key: linkKey(hash(text)), Kind: kv.Put, Cond: kv.Absent, D: encode(row)}})
	if err != nil {
		return "", fmt.Errorf("make login link: %w", err)
	}
	a.note(ctx, Event{What: "login link made", UID: uid})
	return Secret(text), nil
}

// LoginLink is the user a login link would sign in. It uses nothing up. Errors: ErrLink,
// ErrSuspended.
func (a *Accounts) LoginLink(ctx context.Context, token string) (*User, error) {
	u, _, err := a.readLink(ctx, token)
	return u, err
}

// readLink is LoginLink and the version of the link's row.
func (a *Accounts) readLink(ctx context.Context, token string) (*User, uint64, error) {
	if !validToken(token) {
		return nil, 0, ErrLink
	}
	var row linkRow
	v, err := a.get(ctx, linkKey(hash(token)), &row)
	if err != nil {
		return nil, 0, err
	}
	if v == 0 || !a.now().Before(when(row.Expires)) {
		return nil, 0, ErrLink
	}
	u, err := a.User(ctx, row.UID)
	switch {
	case errors.Is(err, ErrNotExist):
		return nil, 0, ErrLink
	case err != nil:
		return nil, 0, err
	case u.State != Active:
		return nil, 0, ErrSuspended
	case u.Epoch != row.Epoch:
		return nil, 0, ErrLink
	}
	return u, v, nil
}

// UseLoginLink uses up a login link and is the user it signs in. Of callers at
// once only one gets the user. Errors: ErrLink, ErrSuspended.
func (a *Accounts) UseLoginLink(ctx context.Context, token string) (*User, error) {
	u, v, err := a.readLink(ctx, token)
	if err != nil {
		return nil, err
	}
	switch err := a.x.Commit(ctx, []kv.Op{{Key: linkKey(hash(token)), Kind: kv.Del, Cond: kv.At, V: v}}); {
	case err == nil:
		return u, nil
	case errors.As(err, new(*kv.CondError)), errors.Is(err, kv.ErrConflict):
		return nil, ErrLink
	default:
		return nil, fmt.Errorf("use login link: %w", err)
	}
}

// Once says whether this is the first call with that kind and id before expires:
// so one use of a state or a token can be told from the next, on every node.
func (a *Accounts) Once(ctx context.Context, kind, id string, expires time.Time) (bool, error) {
	err := a.x.Commit(ctx, []kv.Op{{Key: onceKey(kind, hash(id)), Kind: kv.Put, Cond: kv.Absent, D: encode(onceRow{1, millis(expires)})}})
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, new(*kv.CondError)), errors.Is(err, kv.ErrConflict):
		return false, nil
	}
	return false, fmt.Errorf("note a single use: %w", err)
}

// sweep removes sessions, links and single uses that have expired.
func (a *Accounts) sweep(ctx context.Context) error {
	now := a.now()
	users, err := a.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		err := a.eachSession(ctx, u.UID, func(h string, row *sessionRow) error {
			if row.Epoch == u.Epoch && now.Before(a.session(h, row).Expires) {
				return nil
			}
			return a.endSession(ctx, u.UID, h)
		})
		if err != nil {
			return err
		}
	}
	if err := a.trimEvents(ctx); err != nil {
		return err
	}
	for _, p := range []string{linkKey("").P, onceKey("", "").P, flowKey("").P} {
		from := ""
		for more := true; more; {
			var rows []kv.Row
			if rows, more, err = a.x.Scan(ctx, p, from, "", false, kv.MaxOps); err != nil {
				return fmt.Errorf("clear away what has expired: %w", err)
			}
			var ops []kv.Op
			for _, r := range rows {
				from = r.S + "\x00"
				var row onceRow // a linkRow has the same member
				if err := decode(r.D, &row); err != nil {
					return err
				}
				if !now.Before(when(row.Expires)) {
					ops = append(ops, kv.Op{Key: r.Key, Kind: kv.Del})
				}
			}
			if len(ops) > 0 {
				if err := a.x.Commit(ctx, ops); err != nil {
					return fmt.Errorf("clear away what has expired: %w", err)
				}
			}
		}
	}
	return nil
}
