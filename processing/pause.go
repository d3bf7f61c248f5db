package processing

import (
	"sync"
	"time"
)

// pauses are the users whose jobs rest, because what they need cannot be reached: rendering
// one picture after the other and throwing them away helps nobody. If it is the bucket,
// that comes to all of them; if one library, the others go on.
type pauses struct {
	mu sync.Mutex
	of map[string]pause // by user; none after a success
}

type pause struct {
	until time.Time
	last  time.Duration
}

// failure says that a job of a user failed for a cause that is not its own. Then there is a
// pause, unless there is one, twice as long as the one before, up to restUnavailable.
func (p *pauses) failure(uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.of[uid]
	if now := time.Now(); !now.Before(one.until) {
		one.last = min(max(2*one.last, time.Second), restUnavailable)
		one.until = now.Add(one.last)
		p.of[uid] = one
	}
}

// success says that there is no reason to rest.
func (p *pauses) success(uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, uid)
}

// mark puts -1 into busy for those who rest.
func (p *pauses) mark(busy map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for uid, one := range p.of {
		if now.Before(one.until) {
			busy[uid] = -1
		}
	}
}
