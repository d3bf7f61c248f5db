package account

import (
	"context"
	"errors"
	"sync"
)

// Deletions come in thousands: one row each would push everything else out of the audit
// log, and cost more than the deletion. What one credential deletes within about a minute
// is one event, with how many and the first. It waits in memory, so a crash may lose it:
// the trash, which is in the bucket, says of each entry who deleted it, and when.
type deletions struct {
	mu   sync.Mutex
	m    map[deletion]*Event
	list []*Event // those of m, in their order
}

// A deletion is by what credential of whom something is deleted.
type deletion struct{ uid, by string }

// maxDeletions bounds how many credentials' events wait; more are written at once.
const maxDeletions = 1000

// NoteDeleted notes that something called target was moved to the trash of a user, with
// the app password called by or, if that is none's id, on the page. It does no I/O: Flush and
// Run write the event, and Events has it at once. The first of a minute is logged at once, without
// its name.
func (a *Accounts) NoteDeleted(ctx context.Context, uid, by, target string) {
	k := deletion{uid, by}
	a.deletions.mu.Lock()
	e := a.deletions.m[k]
	if e != nil {
		e.Count++
		a.deletions.mu.Unlock()
		return
	}
	e = &Event{What: Deleted, UID: uid, Target: target, Count: 1, At: a.now()}
	if who, ok := ctx.Value(actorKey{}).(Actor); ok {
		e.Actor, e.Net = who.Login, Network(who.Addr)
	}
	if p := a.cached(by); p != nil && p.p.UID == uid {
		e.Actor, e.Device = p.u.Login, p.p.Label
		if use, ok := a.uses.get(by); ok {
			e.Net = use.Net
		}
	}
	if a.deletions.m == nil {
		a.deletions.m = make(map[deletion]*Event)
	}
	a.deletions.m[k] = e
	a.deletions.list = append(a.deletions.list, e)
	full := len(a.deletions.m) > maxDeletions
	first := *e
	a.deletions.mu.Unlock()
	a.logEvent(ctx, first)
	if full {
		a.noteDeletions(ctx)
	}
}

// cached is what the cache has of an app password, which was used just now.
func (a *Accounts) cached(id string) *cached {
	if !ValidID(id) {
		return nil
	}
	e, _ := a.cache.get(id, a.opt.Now())
	return e
}

// noteDeletions writes the events that wait.
func (a *Accounts) noteDeletions(ctx context.Context) {
	a.deletions.mu.Lock()
	list := a.deletions.list
	a.deletions.m, a.deletions.list = nil, nil
	a.deletions.mu.Unlock()
	for _, e := range list {
		if e.Count > 1 {
			a.logEvent(ctx, *e)
		}
		a.keepEvent(ctx, *e)
	}
}

// Labels are what the app passwords with these ids are called: those of a user, also some
// that were revoked.
func (a *Accounts) Labels(ctx context.Context, uid string, ids []string) (map[string]string, error) {
	labels := make(map[string]string)
	for _, id := range ids {
		if _, done := labels[id]; done || !ValidID(id) {
			continue
		}
		var row passwordRow
		v, err := a.get(ctx, passwordKey(id), &row)
		if err != nil {
			return nil, errors.Join(errors.New("read the names of devices"), err)
		}
		if v != 0 && row.UID == uid {
			labels[id] = row.Label
		}
	}
	return labels, nil
}
