package processing

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend/job"
)

// A hold keeps a lease from running out until it is released.
type hold struct {
	uid  string // whose job it is
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	lease job.Lease
}

// hold extends the lease whenever half of what is left of it has passed, or a minute. If the job
// is lost all the same, it calls lost with the reason.
func (w *Worker) hold(l job.Lease, lost context.CancelCauseFunc) *hold {
	ctx, stop := context.WithCancel(context.Background()) // ends by release
	h := &hold{uid: l.UID, stop: stop, done: make(chan struct{}), lease: l}
	go func() {
		defer close(h.done)
		for {
			// Not too often, nor too late, whatever the clocks say.
			pause := time.NewTimer(min(max(time.Until(l.Due)/2, 100*time.Millisecond), time.Minute))
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return
			}
			// Let it end even if the hold is released meanwhile: half-known is worse.
			extending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			err := w.queue.Extend(extending, &l)
			cancel()
			switch {
			case errors.Is(err, job.ErrLost):
				lost(err)
				return
			case err != nil:
				continue // the store may come back before the lease is over
			}
			h.mu.Lock()
			h.lease = l
			h.mu.Unlock()
		}
	}()
	return h
}

// release ends the extending, and gives the lease as it is then.
func (h *hold) release() job.Lease {
	h.stop()
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}

// job is what is held.
func (h *hold) job() job.Job {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease.Job
}
