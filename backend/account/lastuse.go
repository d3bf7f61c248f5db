package account

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A Use is when and by what an app password was last used.
type Use struct {
	At    time.Time
	Proto string // "dav" or "s3"
	Net   string // the client's network: its address to /24 (IPv4) or /48 (IPv6); "" if not known
	Agent string // User-Agent, at most 200 bytes
}

func (r useRow) use() Use { return Use{when(r.At), r.Proto, r.Net, r.Agent} }

// uses holds last uses until they are written.
type uses struct {
	mu sync.Mutex
	m  map[string]*pending
}

type pending struct {
	at      time.Time
	proto   string
	addr    netip.Addr
	agent   string
	dirty   bool
	flushed time.Time
}

const (
	flushEvery = time.Minute
	maxAgent   = 200
)

// Touch notes that an app password was used just now. It costs no I/O: Flush and
// Run write it.
func (a *Accounts) Touch(id, proto string, addr netip.Addr, userAgent string) {
	now := a.now()
	a.uses.mu.Lock()
	defer a.uses.mu.Unlock()
	u := a.uses.m[id]
	if u == nil {
		if a.uses.m == nil {
			a.uses.m = make(map[string]*pending)
		}
		u = new(pending)
		a.uses.m[id] = u
	}
	u.at, u.proto, u.addr, u.dirty = now, proto, addr, true
	if len(userAgent) > maxAgent {
		userAgent = userAgent[:maxAgent]
	}
	if u.agent != userAgent {
		u.agent = strings.Clone(userAgent) // it would keep the request's memory
	}
}

func (s *uses) get(id string) (Use, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.m[id]
	if u == nil {
		return Use{}, false
	}
	return u.use(), true
}

func (u *pending) use() Use {
	return Use{At: u.at, Proto: u.proto, Net: Network(u.addr), Agent: printable(u.agent)}
}

// Network is the address shortened to its network, /24 or /48, as a last use
// keeps it; "" for none.
func Network(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return ""
	}
	if addr.IsLoopback() {
		return addr.String()
	}
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// printable drops what is not text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// Flush writes all last uses, and deletions for the audit log, that are not written,
// however young.
func (a *Accounts) Flush(ctx context.Context) error {
	a.noteDeletions(ctx)
	return a.flush(ctx, true)
}

// flush writes last uses: all, or those not written within the last minute.
func (a *Accounts) flush(ctx context.Context, all bool) error {
	now := a.now()
	var ids []string
	var ops []kv.Op
	a.uses.mu.Lock()
	for id, u := range a.uses.m {
		switch {
		case u.dirty && (all || now.Sub(u.flushed) >= flushEvery):
			use := u.use()
			ids = append(ids, id)
			ops = append(ops, kv.Op{Key: useKey(id), Kind: kv.Put, D: encode(useRow{1, millis(use.At), use.Proto, use.Net, use.Agent})})
			u.dirty, u.flushed = false, now
		case !u.dirty && now.Sub(u.flushed) > 10*flushEvery:
			delete(a.uses.m, id)
		}
	}
	a.uses.mu.Unlock()
	for len(ops) > 0 {
		n := min(len(ops), kv.MaxOps)
		if err := a.x.Commit(ctx, ops[:n]); err != nil {
			a.uses.mu.Lock()
			for _, id := range ids {
				if u := a.uses.m[id]; u != nil {
					u.dirty, u.flushed = true, time.Time{}
				}
			}
			a.uses.mu.Unlock()
			return fmt.Errorf("write last uses: %w", err)
		}
		ops, ids = ops[n:], ids[n:]
	}
	return nil
}

// Run ends what is followed when its credential expires or is revoked elsewhere, writes
// last uses and deletions, makes snapshots of the log, and clears away expired sessions,
// login links and the like, until ctx ends; then it writes what is left.
func (a *Accounts) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	recheck := time.NewTicker(a.opt.CacheLife)
	defer recheck.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return a.Flush(end)
		case <-recheck.C:
			a.recheckAll(ctx)
			n--
			continue
		case <-tick.C:
		}
		a.noteDeletions(ctx)
		if err := a.flush(ctx, false); err != nil && ctx.Err() == nil {
			a.opt.Logger.WarnContext(ctx, "last uses of app passwords were not written", "err", err)
		}
		if err := a.renew(ctx); err != nil && ctx.Err() == nil {
			a.opt.Logger.WarnContext(ctx, "app passwords stay with an older master key for now", "err", err)
		}
		if a.log.WantsSnapshot() {
			if err := a.log.Snapshot(ctx); err != nil && ctx.Err() == nil {
				a.opt.Logger.WarnContext(ctx, "no snapshot of accounts was made", "err", err)
			}
		}
		if n%60 == 0 {
			if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
				a.opt.Logger.WarnContext(ctx, "expired sessions were not cleared away", "err", err)
			}
		}
	}
}
