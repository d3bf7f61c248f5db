package processing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/processing/render"
)

// When what makes the variants has changed since a library was looked through (another
// recipe, a tool that was installed), a job looks through it for pictures that would come
// out better now. It is one job a user, works in steps, and keeps only a few pictures in
// the queue at a time: what comes in meanwhile does not wait behind a whole library.
//
// It looks at what is on the timeline. What comes back from the trash or from earlier
// versions is looked at then: a file by its own job, a collection by a sweep below it.
const (
	sweepLooks   = 2000            // entries looked at in one step
	sweepPending = 32              // jobs of the user, from which on it queues no more
	sweepPause   = 2 * time.Second // after a step that queued some, or could not
)

// fingerprint is short for the recipes, and what able says can be decoded.
func fingerprint(able []string) string {
	sum := sha256.Sum256([]byte(strings.Join(append(render.Names(), able...), "\n")))
	return hex.EncodeToString(sum[:4])
}

// queueSweeps queues the job for every user whose library was not looked through by this
// program.
func (w *Worker) queueSweeps(ctx context.Context) error {
	if w.opt.Users == nil {
		return nil
	}
	uids, err := w.opt.Users(ctx)
	if err != nil {
		return fmt.Errorf("list users: %w", err)
	}
	for _, uid := range uids {
		by, err := w.lib.SweptBy(ctx, uid)
		if err != nil {
			return err
		}
		if by == w.by {
			continue
		}
		if _, err := w.queue.Again(ctx, backend.SweepJob(uid, w.by)); err != nil {
			return err
		}
	}
	return nil
}

// sweep does a step of a job of that kind, and gives it back or ends it.
func (w *Worker) sweep(ctx context.Context, held *hold) error {
	j := held.job()
	if j.Ino == "" && j.Recipe != w.by { // of the program before this one
		return w.queue.Done(ctx, held.release())
	}
	var looked, queued int
	var after string
	if counts, next, ok := strings.Cut(j.Cursor, "\n"); ok {
		if _, err := fmt.Sscanf(counts, "%d %d", &looked, &queued); err == nil {
			after = next
		} // else it does no harm to begin anew
	}
	pending, err := w.queue.Pending(ctx, j.UID, backend.JobVariants, sweepPending)
	if err != nil {
		return err
	}
	if pending >= sweepPending {
		return w.queue.Continue(ctx, held.release(), sweepPause)
	}
	var s backend.Swept
	if j.Ino == "" {
		s, err = w.lib.Sweep(ctx, j.UID, w.by, after, sweepLooks, sweepPending-pending)
	} else {
		s, err = w.lib.SweepBelow(ctx, j.UID, backend.Ino(j.Ino), w.by, after, sweepLooks, sweepPending-pending)
	}
	if err != nil {
		return fmt.Errorf("look through the library: %w", err)
	}
	looked, queued = looked+s.Looked, queued+s.Queued
	if s.Next == "" {
		if j.Ino == "" {
			if err := w.lib.SetSwept(ctx, j.UID, w.by); err != nil {
				return fmt.Errorf("record the end: %w", err)
			}
		}
		if queued > 0 {
			w.log.Info("library looked through for pictures to be made anew", "op", "sweep", "looked", looked, "queued", queued)
		}
		return w.queue.Done(ctx, held.release())
	}
	l := held.release()
	l.Cursor = fmt.Sprintf("%d %d\n%s", looked, queued, s.Next)
	l.Note = fmt.Sprintf("%d looked at, %d to be made anew", looked, queued)
	pause := time.Duration(0)
	if s.Queued > 0 {
		pause = sweepPause
	}
	return w.queue.Continue(ctx, l, pause)
}
