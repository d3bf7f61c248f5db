package account

import (
	"sync"
	"time"
)

// cache keeps app passwords that were used in the last seconds. What this
// process changes is dropped from it at once; what another changes is seen when
// the entry is too old.
type cache struct {
	life time.Duration // set before use

	mu  sync.RWMutex
	m   map[string]*cached
	gen uint64 // grows whenever something is dropped
}

type cached struct {
	p  *AppPassword
	u  *User
	at time.Time // when it was read
}

// maxCached bounds the cache; it begins anew beyond.
const maxCached = 20_000

// get is the entry for an id, or nil and the generation to put it with.
func (c *cache) get(id string, now time.Time) (*cached, uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.m[id]
	if e == nil || now.Sub(e.at) > c.life || now.Before(e.at) {
		return nil, c.gen
	}
	return e, c.gen
}

// put adds what was read after get returned gen, unless anything was dropped
// meanwhile: it may be the old state.
func (c *cache) put(id string, e *cached, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen != gen {
		return
	}
	if c.m == nil || len(c.m) >= maxCached {
		c.m = make(map[string]*cached)
	}
	c.m[id] = e
}

func (c *cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	delete(c.m, id)
}

func (c *cache) dropUser(uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	for id, e := range c.m {
		if e.p.UID == uid {
			delete(c.m, id)
		}
	}
}
