package account

import (
	"context"
	"fmt"
	"strings"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// removedLogin is what a removed user is called: nobody can take it, since it is as
// unique as the uid in it.
const removedLogin = "removed."

// RemoveUser shuts a user out for good: sessions and app passwords end at once and are
// forgotten, with their sealed secrets; identities and login name are free for others.
// The photographs stay, and so does a user without any way in, whose login name is
// returned, so that they can be exported. The last owner can not be removed.
func (a *Accounts) RemoveUser(ctx context.Context, uid string) (login string, err error) {
	users, err := a.Users(ctx)
	if err != nil {
		return "", err
	}
	others := false
	for _, u := range users {
		others = others || u.Owner && u.State == Active && u.UID != uid
	}
	// Two owners who remove each other at once are not thought of.
	login = removedLogin + uid
	err = a.changeUser(ctx, "user.remove", uid, func(tx *journal.Tx, row *userRow) error {
		if row.Owner && !others {
			return fmt.Errorf("%w: the last owner cannot be removed", ErrInvalid)
		}
		if row.State == Removed {
			return nil
		}
		tx.Del(loginKey(row.Login))
		tx.Put(loginKey(login), encode(ref{1, uid}))
		for _, id := range row.IDs {
			tx.Del(identityKey(id.Issuer, id.Subject))
			tx.Del(proofKey(uid, id.Issuer, id.Subject))
		}
		row.IDs, row.Login, row.State, row.Owner = nil, login, Removed, false
		row.Epoch++
		row.KeyEpoch++
		return nil
	})
	if err != nil {
		return "", err
	}
	a.revoked(ctx, uid, "")
	a.note(ctx, Event{What: "user removed", UID: uid, Target: login})
	if err := a.EndSessions(ctx, uid); err != nil {
		return login, err
	}
	return login, a.forgetPasswords(ctx, uid)
}

// forgetPasswords removes the rows of a user's app passwords, which are dead already.
func (a *Accounts) forgetPasswords(ctx context.Context, uid string) error {
	for more := true; more; {
		err := a.log.Update(ctx, "user.remove", func(tx *journal.Tx) error {
			more = false
			for _, prefix := range []string{"k#", "r#"} {
				rows, some, err := tx.Scan(userKey(uid).P, prefix, prefix[:1]+"$", false, 20)
				if err != nil {
					return err
				}
				more = more || some
				for _, r := range rows {
					id := r.S[strings.LastIndexByte(r.S, '#')+1:]
					tx.Del(r.Key)
					tx.Del(passwordKey(id))
					tx.Local(kv.Op{Key: useKey(id), Kind: kv.Del})
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("forget app passwords: %w", err)
		}
	}
	a.changed(ctx, uid, "")
	return nil
}
