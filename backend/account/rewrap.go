package account

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A Rewrapped tells what Rewrap did.
type Rewrapped struct {
	Passwords int // secrets of app passwords that were sealed anew, with their checks
	Tokens    int // refresh tokens that were
	// Waiting are app passwords for WebDAV only whose check was made with an older master
	// key. Their secret is nowhere, so that waits until they are used the next time (and
	// Run runs). The older key must be kept until then.
	Waiting int
	// Lost are secrets that no key at hand opens. They stay as they are.
	Lost int
}

// Rewrap seals everything in the log of accounts anew that was sealed with another master
// key than the current one. Clients notice nothing. Running it again does what is left.
func (a *Accounts) Rewrap(ctx context.Context) (Rewrapped, error) {
	var done Rewrapped
	users, err := a.Users(ctx)
	if err != nil {
		return done, err
	}
	for _, u := range users {
		rows, _, err := a.x.Scan(ctx, userKey(u.UID).P, "", "", false, 0)
		if err != nil {
			return done, fmt.Errorf("list what is sealed: %w", err)
		}
		for part := range slices.Chunk(rows, 30) {
			var n Rewrapped
			err := a.log.Update(ctx, "rewrap", func(tx *journal.Tx) error {
				n = Rewrapped{}
				for _, r := range part {
					var err error
					switch id, isPassword := strings.CutPrefix(r.S, "k#"); {
					case isPassword:
						err = a.rewrapPassword(tx, id, &n)
					case strings.HasPrefix(r.S, "o#"):
						err = a.rewrapToken(tx, u.UID, r.Key, &n)
					}
					if err != nil {
						return err
					}
					fail.Point("rewrap.some")
				}
				if n.Passwords+n.Tokens == 0 {
					return errNothingToDo
				}
				return nil
			})
			if err != nil && !errors.Is(err, errNothingToDo) {
				return done, fmt.Errorf("seal anew: %w", err)
			}
			done.Passwords += n.Passwords
			done.Tokens += n.Tokens
			done.Waiting += n.Waiting
			done.Lost += n.Lost
		}
		a.cache.dropUser(u.UID)
	}
	return done, nil
}

func (a *Accounts) rewrapPassword(tx *journal.Tx, id string, n *Rewrapped) error {
	r, err := tx.Get(passwordKey(id))
	if err != nil || r.V == 0 {
		return err
	}
	var row passwordRow
	if err := decode(r.D, &row); err != nil {
		return err
	}
	if row.Sealed == nil {
		if row.Pepper != a.keys.Current() {
			n.Waiting++
		}
		return nil
	}
	if sealedWith(row.Sealed) == a.keys.Current() && row.Pepper == a.keys.Current() {
		return nil
	}
	text, err := a.keys.Open(sealedFor(id, row.UID), row.Sealed)
	if err != nil {
		n.Lost++
		return nil
	}
	_, secret, ok := Parse(string(text))
	if !ok {
		n.Lost++
		return nil
	}
	m := a.macs.Get().(*mac)
	row.Pepper = a.keys.Current()
	row.MAC = bytes.Clone(m.sum(a.keys, row.Pepper, secret)[:])
	a.macs.Put(m)
	row.Sealed = a.keys.Seal(sealedFor(id, row.UID), text)
	tx.Put(passwordKey(id), encode(row))
	n.Passwords++
	return nil
}

func (a *Accounts) rewrapToken(tx *journal.Tx, uid string, k kv.Key, n *Rewrapped) error {
	r, err := tx.Get(k)
	if err != nil || r.V == 0 {
		return err
	}
	var row proofRow
	if err := decode(r.D, &row); err != nil {
		return err
	}
	if row.Token == nil || sealedWith(row.Token) == a.keys.Current() {
		return nil
	}
	text, err := a.keys.Open(tokenFor(uid, row.Issuer, row.Subject), row.Token)
	if err != nil {
		n.Lost++
		return nil
	}
	row.Token = a.keys.Seal(tokenFor(uid, row.Issuer, row.Subject), text)
	tx.Put(k, encode(row))
	n.Tokens++
	return nil
}

// sealedWith is the number of the master key that sealed data names.
func sealedWith(sealed []byte) uint32 {
	if len(sealed) < sealHeader {
		return 0
	}
	return binary.BigEndian.Uint32(sealed[1:])
}

// stale are app passwords that were used and whose check was made with an older master
// key, with the check that the current one makes.
type stale struct {
	mu sync.Mutex
	m  map[string]renewal
}

type renewal struct {
	pepper uint32
	mac    [sha256.Size]byte
}

// maxStale bounds how many wait; the others come with their next use.
const maxStale = 1000

func (s *stale) add(id string, pepper uint32, mac *[sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[string]renewal)
	}
	if len(s.m) < maxStale {
		s.m[id] = renewal{pepper, *mac}
	}
}

// renew writes what was noted.
func (a *Accounts) renew(ctx context.Context) error {
	a.stale.mu.Lock()
	m := a.stale.m
	a.stale.m = nil
	a.stale.mu.Unlock()
	for part := range slices.Chunk(slices.Sorted(maps.Keys(m)), 30) {
		err := a.log.Update(ctx, "rewrap", func(tx *journal.Tx) error {
			any := false
			for _, id := range part {
				r, err := tx.Get(passwordKey(id))
				if err != nil {
					return err
				}
				var row passwordRow
				if r.V == 0 {
					continue
				}
				if err := decode(r.D, &row); err != nil {
					return err
				}
				if row.Pepper >= m[id].pepper || row.Sealed != nil { // Rewrap's, if it is sealed
					continue
				}
				fresh := m[id]
				row.MAC, row.Pepper, any = fresh.mac[:], fresh.pepper, true
				tx.Put(passwordKey(id), encode(row))
			}
			if !any {
				return errNothingToDo
			}
			return nil
		})
		for _, id := range part {
			a.cache.drop(id)
		}
		if err != nil && !errors.Is(err, errNothingToDo) {
			return fmt.Errorf("renew checks: %w", err)
		}
	}
	return nil
}
