package processing

import (
	"context"
	"sync"
	"time"
)

// A pause is when no jobs are claimed: while the bucket cannot be reached, rendering one
// picture after the other and throwing them away helps nobody. It begins when so many
// failed in a row that it cannot be but one person's library, and each that begins after
// the last is twice as long, up to restUnavailable.
type pause struct {
	after int // failures

	mu     sync.Mutex
	failed int // since the last success
	until  time.Time
	last   time.Duration
}

// failure says that a job failed for a cause that is not its own.
func (p *pause) failure() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed++; p.failed < p.after {
		return
	}
	if now := time.Now(); !now.Before(p.until) {
		p.last = min(max(2*p.last, time.Second), restUnavailable)
		p.until = now.Add(p.last)
	}
}

// success says that the bucket can be reached.
func (p *pause) success() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed, p.until, p.last = 0, time.Time{}, 0
}

// wait returns when the pause is over, or with ctx's error. It may last a little longer
// than until success is called.
func (p *pause) wait(ctx context.Context) error {
	p.mu.Lock()
	left := time.Until(p.until)
	p.mu.Unlock()
	if left <= 0 {
		return nil
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
