package processing

import (
	"context"
	"sync"
	"time"
)

// A pause is when no jobs are claimed: while the bucket cannot be reached, rendering one
// picture after the other and throwing them away helps nobody. Each that begins after the
// last is twice as long, up to restUnavailable.
type pause struct {
	mu    sync.Mutex
	until time.Time
	last  time.Duration
}

// begin begins a pause, unless there is one.
func (p *pause) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); !now.Before(p.until) {
		p.last = min(max(2*p.last, time.Second), restUnavailable)
		p.until = now.Add(p.last)
	}
}

// end says that the bucket can be reached.
func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.last = time.Time{}, 0
}

// wait returns when the pause is over, or with ctx's error. It may last a little longer
// than until end is called.
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
