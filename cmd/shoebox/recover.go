package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// showProgress shows on a bar how far the replay of several logs is.
func showProgress(b *bar) func(journal.Progress) {
	var mu sync.Mutex
	all := make(map[string]journal.Progress)
	var last time.Time
	return func(p journal.Progress) {
		mu.Lock()
		defer mu.Unlock()
		all[p.UID] = p
		if time.Since(last) < 100*time.Millisecond {
			return
		}
		last = time.Now()
		var sum journal.Progress
		for _, p := range all {
			sum.Rows += p.Rows
			sum.Segments += p.Segments
		}
		b.show(fmt.Sprintf("%d libraries: %s", len(all), replayed(sum)))
	}
}

// setAsideAccounts sets the log of accounts aside, if that is damaged and the node is
// recovering.
func (n *node) setAsideAccounts(ctx context.Context) error {
	if !n.recovering {
		return nil
	}
	_, err := journal.Open(ctx, n.bucket, memkv.New(), account.LogName, &journal.Options{Prefixes: account.Prefixes()})
	if !errors.Is(err, journal.ErrDamaged) {
		return err
	}
	aside, err := journal.SetAside(ctx, n.bucket, account.LogName, time.Now())
	if err == nil {
		n.aside = append(n.aside, aside)
	}
	return err
}

// openLibrary opens a user's tree. When the node is recovering, a damaged log is set aside
// and another begun.
func (n *node) openLibrary(ctx context.Context, uid string) error {
	_, err := n.backend.Library(ctx, uid, backend.Access{})
	if !n.recovering || !errors.Is(err, journal.ErrDamaged) {
		return err
	}
	aside, err := n.backend.SetAsideLog(ctx, uid)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.aside = append(n.aside, aside)
	n.mu.Unlock()
	_, err = n.backend.Library(ctx, uid, backend.Access{})
	return err
}

// recoverAll makes people of those that only the bucket knows, and recovers the originals
// that no log tells of.
func (n *node) recoverAll(ctx context.Context, out io.Writer, b *bar) error {
	uids, err := n.backend.UIDs(ctx)
	if err != nil {
		return err
	}
	users, err := n.accounts.Users(ctx)
	if err != nil {
		return err
	}
	noOwner := !slices.ContainsFunc(users, func(u *account.User) bool { return u.Owner })
	for _, uid := range uids {
		u, err := n.accounts.User(ctx, uid)
		if errors.Is(err, account.ErrNotExist) {
			made := account.NewUser{UID: uid, Login: "recovered-" + uid}
			if noOwner && len(users) == 0 && len(uids) == 1 { // whose else can they be
				made.Login, made.Owner = n.cfg.owner, true
			}
			u, err = n.accounts.CreateUser(ctx, made)
		}
		if err != nil {
			return err
		}
		if err := n.openLibrary(ctx, uid); err != nil {
			return err
		}
		rec, err := n.backend.RecoverOriginals(ctx, uid, func(r backend.Recovered) {
			b.show(fmt.Sprintf("%s: recovered %d of %d originals", u.Login, r.Files, r.Listed-r.Known))
		})
		if err != nil {
			return fmt.Errorf("recover the originals of %s: %w", u.Login, err)
		}
		if rec.Files > 0 {
			// What has been recovered must not have to be replayed row by row.
			if err := n.backend.Snapshot(ctx, uid); err != nil {
				return err
			}
		}
		b.done()
		fmt.Fprintf(out, "%s: %d of %d originals recovered into library %q, %d of them without a name\n", u.Login, rec.Files, rec.Listed, backend.RecoveredLibrary, rec.Unnamed)
	}
	for _, aside := range n.aside {
		fmt.Fprintf(out, "a damaged log is kept in the bucket as %s\n", aside)
	}
	return nil
}
