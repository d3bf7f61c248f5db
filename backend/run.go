package backend

import (
	"context"
	"errors"
	"time"

	"github.com/shoebox-photos/shoebox/backend/fail"
)

// Run keeps house until ctx ends. For every tree in use it writes snapshots, forgets
// abandoned uploads, removes what has been in the trash or a version for too long, and
// deletes from the bucket what nothing has referred to for long enough.
func (b *Backend) Run(ctx context.Context) error {
	minute, hour := fail.Duration("house.tick", time.Minute), fail.Duration("house.hour", time.Hour)
	tick := time.NewTicker(minute)
	defer tick.Stop()
	for n := 0; ; {
		hourly := n%int(hour/minute) == 0
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
			hourly = false
		case <-tick.C:
			n++
		}
		for _, t := range b.open() {
			if t.log.WantsSnapshot() {
				if err := errors.Join(t.log.Snapshot(ctx), b.WriteManifest(ctx, t.uid)); err != nil && ctx.Err() == nil {
					b.log.Warn("no snapshot", "uid", t.uid, "err", err)
				}
			}
			if hourly || t.toPurge.Load() {
				if err := b.expire(ctx, t, hourly, plansATurn); err != nil && ctx.Err() == nil {
					b.log.Warn("what has expired stays for now", "uid", t.uid, "err", err)
				}
			}
			if hourly {
				if err := b.collectWhenDue(ctx, t); err != nil && ctx.Err() == nil {
					b.log.Warn("what is not used stays in the bucket for now", "uid", t.uid, "err", err)
				}
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	}
}

// plansATurn is how many plans Run makes to purge one user's trash before it is another's
// turn.
const plansATurn = 100

// expire purges, in at most so many plans, what was condemned and what has been in the trash
// for long enough. If all, it does what is to be done every hour, too. Below 0 plans is
// without limit.
func (b *Backend) expire(ctx context.Context, t *tree, all bool, plans int) error {
	t.keeping.Lock()
	defer t.keeping.Unlock()
	t.toPurge.Store(false)
	err := b.expireTrash(ctx, t, &plans)
	switch {
	case err != nil:
		t.toPurge.Store(true) // in a minute
	case plans == 0:
		b.wakeUp(t)
	}
	if all {
		err = errors.Join(err, b.expireVersions(ctx, t), b.expireUploads(ctx, t))
	}
	return err
}

// Expire does at once, for one user, what Run does every hour: it removes trash, versions
// and uploads that were kept for long enough.
func (b *Backend) Expire(ctx context.Context, uid string) error {
	t, err := b.tree(ctx, uid)
	if err != nil {
		return err
	}
	return b.expire(ctx, t, true, -1)
}
