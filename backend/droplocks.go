package backend

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// DropLocks ends the locks of a user's tree that were taken with one credential (Lock.By),
// or all if by is "": a client that may no longer come in must not keep others out. Locks
// taken meanwhile stay.
func (b *Backend) DropLocks(ctx context.Context, uid, by string) error {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return err
	}
	from := ""
	for more := true; more; {
		err = t.log.Update(ctx, "unlock", func(tx *journal.Tx) error {
			rows, some, err := tx.Scan(lockKey(uid, "").P, from, "", false, journal.MaxPlanRows/2)
			more = some
			if err != nil {
				return err
			}
			for _, row := range rows {
				from = row.S + "\x00"
				var d lockRow
				if err := json.Unmarshal(row.D, &d); err != nil {
					return fmt.Errorf("lock row: %w", err)
				}
				if by == "" || d.By == by {
					tx.Local(kv.Op{Key: row.Key, Kind: kv.Del})
				}
			}
			return nil
		})
		if err != nil {
			return fault(fmt.Errorf("drop locks: %w", err))
		}
	}
	return nil
}
