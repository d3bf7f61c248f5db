package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A Proof is what is known of a user's standing at the OIDC provider of one of their
// identities: app passwords live as long as a provider vouches for the account.
type Proof struct {
	UID, Issuer, Subject string
	Token                Secret    // offline refresh token, to ask with; "" if the provider gave none
	Proved               time.Time // when the provider last vouched for the account
	Dead                 bool      // the provider does so no longer
}

// alive says whether the proof still counts. grace is how long it does; negative means
// until the provider says otherwise.
func (p *Proof) alive(now time.Time, grace time.Duration) bool {
	return !p.Dead && (grace < 0 || now.Before(p.Proved.Add(grace)))
}

// proofRow is in the log, so that a lost index does not make anybody's access endless.
type proofRow struct {
	V       int    `json:"v"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
	Token   []byte `json:"token,omitempty"` // sealed
	Proved  int64  `json:"proved"`
	Dead    bool   `json:"dead,omitempty"`
}

func proofKey(uid, iss, sub string) kv.Key {
	return kv.Key{P: "u#" + uid, S: "o#" + hash(iss+"\x00"+sub)}
}

func tokenFor(uid, iss, sub string) []byte {
	return []byte("refresh token\x00" + uid + "\x00" + iss + "\x00" + sub)
}

func (a *Accounts) proof(uid string, row *proofRow) *Proof {
	p := &Proof{UID: uid, Issuer: row.Issuer, Subject: row.Subject, Proved: when(row.Proved), Dead: row.Dead}
	if row.Token != nil {
		// One that can not be opened is as good as none: the grace period decides.
		if t, err := a.keys.Open(tokenFor(uid, row.Issuer, row.Subject), row.Token); err == nil {
			p.Token = Secret(t)
		}
	}
	return p
}

// Proofs are those of a user. Users who never signed in at a provider have none.
func (a *Accounts) Proofs(ctx context.Context, uid string) ([]*Proof, error) {
	if !ValidUID(uid) {
		return nil, ErrNotExist
	}
	rows, _, err := a.x.Scan(ctx, userKey(uid).P, "o#", "o$", false, 0)
	if err != nil {
		return nil, fmt.Errorf("read proofs: %w", err)
	}
	var list []*Proof
	for _, r := range rows {
		var row proofRow
		if err := decode(r.D, &row); err != nil {
			return nil, err
		}
		list = append(list, a.proof(uid, &row))
	}
	return list, nil
}

// Proved records that a provider has just vouched for an identity of a user. token, if
// not "", is the refresh token to ask with from now on. A user whom a provider had shut
// out (Lapsed) is active again. Errors: ErrNotExist if the identity is not the user's.
func (a *Accounts) Proved(ctx context.Context, uid, iss, sub string, token Secret) error {
	var sealed []byte
	if token != "" && len(token) <= 8<<10 {
		sealed = a.keys.Seal(tokenFor(uid, iss, sub), []byte(token))
	}
	restored := false
	err := a.changeUser(ctx, "user.proved", uid, func(tx *journal.Tx, row *userRow) error {
		has := false
		for _, id := range row.IDs {
			has = has || id.Issuer == iss && id.Subject == sub
		}
		if !has {
			return ErrNotExist
		}
		p := proofRow{V: 1, Issuer: iss, Subject: sub}
		r, err := tx.Get(proofKey(uid, iss, sub))
		if err != nil {
			return err
		}
		if r.V != 0 {
			if err := decode(r.D, &p); err != nil {
				return err
			}
		}
		if sealed != nil {
			p.Token = sealed
		}
		p.Proved, p.Dead = millis(a.now()), false
		if restored = row.State == Lapsed; restored {
			row.State = Active
		}
		tx.Put(proofKey(uid, iss, sub), encode(p))
		return nil
	})
	if err == nil && restored {
		a.note(ctx, Event{What: "restored by the provider", UID: uid})
	}
	return err
}

// Disproved records that a provider, asked with the refresh token of a proof, no longer
// vouches for the account. If no other of the user's counts, they lapse: app passwords
// are refused and sessions end, until they sign in again. If they did so since the proof
// was read, nothing is changed: the answer was about a token that has been replaced.
func (a *Accounts) Disproved(ctx context.Context, was *Proof) (lapsed bool, err error) {
	return a.lapse(ctx, was.UID, func(p *proofRow) {
		if p.Issuer == was.Issuer && p.Subject == was.Subject && when(p.Proved).Equal(was.Proved) {
			p.Dead, p.Token = true, nil
		}
	})
}

// LapseIfUnproved lets a user lapse who has proofs, none of which counts any more.
func (a *Accounts) LapseIfUnproved(ctx context.Context, uid string) (lapsed bool, err error) {
	list, err := a.Proofs(ctx, uid)
	if err != nil || len(list) == 0 {
		return false, err
	}
	for _, p := range list {
		if p.alive(a.now(), a.opt.Grace) {
			return false, nil
		}
	}
	return a.lapse(ctx, uid, func(*proofRow) {})
}

var errNothingToDo = errors.New("nothing to do")

func (a *Accounts) lapse(ctx context.Context, uid string, change func(*proofRow)) (lapsed bool, err error) {
	err = a.changeUser(ctx, "user.lapsed", uid, func(tx *journal.Tx, row *userRow) error {
		lapsed = false
		rows, _, err := tx.Scan(userKey(uid).P, "o#", "o$", false, 0)
		if err != nil {
			return err
		}
		alive, changed := false, false
		for _, r := range rows {
			var p proofRow
			if err := decode(r.D, &p); err != nil {
				return err
			}
			was := p.Dead
			change(&p)
			if p.Dead != was {
				tx.Put(r.Key, encode(p))
				changed = true
			}
			alive = alive || a.proof(uid, &p).alive(a.now(), a.opt.Grace)
		}
		if !alive && len(rows) > 0 && row.State == Active {
			row.State = Lapsed
			row.Epoch++
			lapsed = true
		}
		if !changed && !lapsed {
			return errNothingToDo
		}
		return nil
	})
	if errors.Is(err, errNothingToDo) {
		err = nil
	}
	if err == nil && lapsed {
		a.revoked(ctx, uid, "")
		a.note(ctx, Event{What: "suspended by the provider", Actor: "provider", UID: uid})
	}
	return lapsed, err
}

// ProofEnds is when a user lapses if no provider vouches for them until then: zero if
// never, for they have signed in at none, or there is no grace period.
func (a *Accounts) ProofEnds(ctx context.Context, uid string) (time.Time, error) {
	if a.opt.Grace < 0 {
		return time.Time{}, nil
	}
	list, err := a.Proofs(ctx, uid)
	var end time.Time
	for _, p := range list {
		if e := p.Proved.Add(a.opt.Grace); !p.Dead && e.After(end) {
			end = e
		}
	}
	return end, err
}

// startGrace begins a new period of grace: the operator vouches for the user.
func (a *Accounts) startGrace(tx *journal.Tx, uid string) error {
	rows, _, err := tx.Scan(userKey(uid).P, "o#", "o$", false, 0)
	if err != nil {
		return err
	}
	for _, r := range rows {
		var p proofRow
		if err := decode(r.D, &p); err != nil {
			return err
		}
		p.Dead, p.Proved = false, millis(a.now())
		tx.Put(r.Key, encode(p))
	}
	return nil
}
