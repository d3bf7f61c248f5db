package account

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// An Invitation lets whoever has a verified e-mail address at a provider sign in there, as
// an allow rule of the settings does, until it is withdrawn: then those who came by it are
// doubted (Doubted), and shut out unless a rule lets them in.
type Invitation struct {
	Issuer  string
	Email   string // as the owner wrote it; compared by FoldEmail
	By      string // login name of who invited
	Created time.Time
}

// MaxInvitations is how many there may be.
const MaxInvitations = 200

// ErrTooManyInvitations says that MaxInvitations are there.
var ErrTooManyInvitations = fmt.Errorf("%w: there are %d invitations: withdraw one first", ErrInvalid, MaxInvitations)

type inviteRow struct {
	V       int    `json:"v"`
	Issuer  string `json:"iss"`
	Email   string `json:"email"`
	By      string `json:"by,omitempty"`
	Created int64  `json:"created"`
}

func inviteKey(issuer, email string) kv.Key {
	return kv.Key{P: "n#@", S: hash(issuer + "\x00" + FoldEmail(email))} // no login name is "@"
}

// FoldEmail is an e-mail address, or its domain, with A to Z in lower case and all else as it
// is: two that have the same are taken for one. By Unicode's rules U+212A, the sign of the
// Kelvin, is a "k" too, and who has an address with it would be let in by that of another.
func FoldEmail(email string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, email)
}

// Invite lets an address in. It is no error if it is invited already. Errors: ErrInvalid,
// ErrTooManyInvitations.
func (a *Accounts) Invite(ctx context.Context, issuer, email, by string) error {
	email = strings.TrimSpace(email)
	if err := checkText("e-mail address", email, MaxName); err != nil {
		return err
	}
	user, domain, ok := strings.Cut(email, "@")
	if !ok || user == "" || domain == "" || strings.ContainsAny(email, " ,;<>\"") || strings.Contains(domain, "@") || issuer == "" || len(issuer) > 1024 {
		return fmt.Errorf("e-mail address: %w: it is written as ana@example.org", ErrInvalid)
	}
	err := a.log.Update(ctx, "invite", func(tx *journal.Tx) error {
		k := inviteKey(issuer, email)
		r, err := tx.Get(k)
		if err != nil {
			return err
		}
		all, more, err := tx.Scan(k.P, "", "", false, MaxInvitations)
		if err != nil {
			return err
		}
		if r.V == 0 && (more || len(all) >= MaxInvitations) {
			return ErrTooManyInvitations
		}
		tx.Put(k, encode(inviteRow{1, issuer, email, by, millis(a.now())}))
		return nil
	})
	if err != nil {
		return fmt.Errorf("invite: %w", err)
	}
	a.note(ctx, Event{What: "invited", Target: email + " " + issuer})
	return nil
}

// Withdraw ends an invitation, and doubts those who may have come by it. ErrNotExist if there
// is none.
func (a *Accounts) Withdraw(ctx context.Context, issuer, email string) error {
	err := a.log.Update(ctx, "withdraw", func(tx *journal.Tx) error {
		k := inviteKey(issuer, email)
		r, err := tx.Get(k)
		if err != nil {
			return err
		}
		if r.V == 0 {
			return ErrNotExist
		}
		tx.Del(k)
		return nil
	})
	if err != nil {
		return fmt.Errorf("withdraw an invitation: %w", err)
	}
	a.note(ctx, Event{What: "invitation withdrawn", Target: email + " " + issuer})
	if err := a.doubt(ctx, issuer, email); err != nil {
		// It is withdrawn. Whoever came by it is found out by the daily proof.
		a.opt.Logger.WarnContext(ctx, "it was not looked up who came by an invitation that was withdrawn", "err", err)
	}
	return nil
}

// doubted are the users in doubt since the last call of Doubted.
type doubted struct {
	mu   sync.Mutex
	uids map[string]bool
}

// doubt puts in doubt the active users with an identity at the provider that has the address.
func (a *Accounts) doubt(ctx context.Context, issuer, email string) error {
	users, err := a.Users(ctx)
	if err != nil {
		return err
	}
	a.doubted.mu.Lock()
	defer a.doubted.mu.Unlock()
	for _, u := range users {
		for _, id := range u.Identities {
			if u.State == Active && id.Issuer == issuer && !id.Pinned && (FoldEmail(id.Email) == FoldEmail(email) || FoldEmail(u.Email) == FoldEmail(email)) {
				if a.doubted.uids == nil {
					a.doubted.uids = make(map[string]bool)
				}
				a.doubted.uids[u.UID] = true
			}
		}
	}
	return nil
}

// Doubted are the users, by uid, whose invitation was withdrawn since the last call. Whoever
// asks the providers asks about them at once. They are kept in memory only: after a crash they
// wait for the daily proof.
func (a *Accounts) Doubted() map[string]bool {
	a.doubted.mu.Lock()
	defer a.doubted.mu.Unlock()
	uids := a.doubted.uids
	a.doubted.uids = nil
	return uids
}

// Invited says whether an address, which the provider has verified, is invited.
func (a *Accounts) Invited(ctx context.Context, issuer, email string) (bool, error) {
	if email == "" {
		return false, nil
	}
	var row inviteRow
	v, err := a.get(ctx, inviteKey(issuer, email), &row)
	return v != 0, err
}

// Invitations are all there are, in no order.
func (a *Accounts) Invitations(ctx context.Context) ([]Invitation, error) {
	rows, _, err := a.x.Scan(ctx, inviteKey("", "").P, "", "", false, 0)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	list := make([]Invitation, len(rows))
	for i, r := range rows {
		var row inviteRow
		if err := decode(r.D, &row); err != nil {
			return nil, err
		}
		list[i] = Invitation{row.Issuer, row.Email, row.By, when(row.Created)}
	}
	return list, nil
}
