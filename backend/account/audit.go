package account

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// An Event is something about access, or a deletion, that the owner may want to look up.
type Event struct {
	At     time.Time
	Actor  string // login name of who did it, "operator" for the machine's shell, "provider", or "" for Shoebox itself
	Net    string // from where, as in Use; "" if not known
	What   string // "signed in", "app password made", …: fixed words
	UID    string // whom it is about
	Target string // a label, a name, a key: what it was done to
	Device string // label of the app password it was done with; "" for the page and for what is not done with one
	Count  int    // how many times it happened in about a minute, Target being the first; 0 means once
}

// What happened to something that has a key. Keys are private: the log leaves Target out,
// and nobody but the user it is about is to be shown it.
const (
	Deleted       = "deleted"
	Restored      = "restored"
	UploadDropped = "upload dropped"
	LockBroken    = "lock broken"
)

// Private says whether Target is a key.
func (e *Event) Private() bool {
	switch e.What {
	case Deleted, Restored, UploadDropped, LockBroken:
		return true
	}
	return false
}

// An Actor is who does something, for the audit log.
type Actor struct {
	Login string
	Addr  netip.Addr
}

type actorKey struct{}

// WithActor returns a context for what somebody does.
func WithActor(ctx context.Context, who Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// MaxEvents is how many events are kept; older ones make room.
const MaxEvents = 10_000

type eventRow struct {
	V      int    `json:"v"`
	Actor  string `json:"actor,omitempty"`
	Net    string `json:"net,omitempty"`
	What   string `json:"what"`
	UID    string `json:"uid,omitempty"`
	Target string `json:"target,omitempty"`
	Device string `json:"device,omitempty"`
	Count  int    `json:"count,omitempty"`
}

func (r *eventRow) event(at time.Time) Event {
	return Event{at, r.Actor, r.Net, r.What, r.UID, r.Target, r.Device, r.Count}
}

func eventKey(t time.Time, id string) kv.Key {
	return kv.Key{P: "au#", S: fmt.Sprintf("%013d#%s", max(t.UnixMilli(), 0), id)}
}

// Note writes an event to the audit log: a row of the index, and a line of the log with
// the message "audit" (JSON, if the log is). Who did it, and from where, is the context's
// Actor unless e says so. What can not be written is only logged: it has happened.
func (a *Accounts) Note(ctx context.Context, e Event) { a.note(ctx, e) }

func (a *Accounts) note(ctx context.Context, e Event) {
	if who, ok := ctx.Value(actorKey{}).(Actor); ok {
		if e.Actor == "" {
			e.Actor = who.Login
		}
		if e.Net == "" {
			e.Net = Network(who.Addr)
		}
	}
	e.At = a.now()
	a.logEvent(ctx, e)
	a.keepEvent(ctx, e)
}

// logEvent writes the line of the log.
func (a *Accounts) logEvent(ctx context.Context, e Event) {
	attrs := []slog.Attr{slog.String("what", e.What), slog.String("actor", e.Actor), slog.String("net", e.Net), slog.String("uid", e.UID), slog.String("target", logTarget(e))}
	if e.Device != "" {
		attrs = append(attrs, slog.String("device", e.Device))
	}
	if e.Count > 1 {
		attrs = append(attrs, slog.Int("count", e.Count))
	}
	a.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "audit", attrs...)
}

// keepEvent writes the row.
func (a *Accounts) keepEvent(ctx context.Context, e Event) {
	ctx = context.WithoutCancel(ctx)
	// The count keeps the order of events of one millisecond.
	id := fmt.Sprintf("%010x%08x", a.events.Add(1), rand.Uint32())
	row := eventRow{1, e.Actor, e.Net, e.What, e.UID, printable(e.Target[:min(len(e.Target), 1024)]), e.Device, e.Count}
	err := a.x.Commit(ctx, []kv.Op{{Key: eventKey(e.At, id), Kind: kv.Put, D: encode(row)}})
	if err != nil {
		a.opt.Logger.ErrorContext(ctx, "an event of the audit log was not kept", "what", e.What, "err", err)
	}
}

// logTarget is what the log tells.
func logTarget(e Event) string {
	if e.Private() {
		return "-"
	}
	return printable(e.Target[:min(len(e.Target), 1024)])
}

// Events are the newest of the audit log, at most n, newest first.
func (a *Accounts) Events(ctx context.Context, n int) ([]Event, error) {
	return a.eventsOf(ctx, n, func(*eventRow) bool { return true })
}

// EventsOf are those about one user.
func (a *Accounts) EventsOf(ctx context.Context, uid string, n int) ([]Event, error) {
	return a.eventsOf(ctx, n, func(r *eventRow) bool { return r.UID == uid })
}

func (a *Accounts) eventsOf(ctx context.Context, n int, about func(*eventRow) bool) ([]Event, error) {
	a.noteDeletions(ctx)
	list := make([]Event, 0, min(n, 100))
	p, to := eventKey(time.Time{}, "").P, ""
	for more := true; more && len(list) < n; {
		rows, some, err := a.x.Scan(ctx, p, "", to, true, min(max(n, 100), 1000))
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		more = some && len(rows) > 0
		for _, r := range rows {
			to = r.S
			var row eventRow
			if err := decode(r.D, &row); err != nil {
				return nil, err
			}
			var ms int64
			if _, err := fmt.Sscanf(r.S, "%013d#", &ms); err != nil {
				return nil, fmt.Errorf("read the audit log: %w", err)
			}
			if about(&row) && len(list) < n {
				list = append(list, row.event(when(ms)))
			}
		}
	}
	return list, nil
}

// trimEvents removes the oldest events beyond MaxEvents.
func (a *Accounts) trimEvents(ctx context.Context) error {
	p, from, n := eventKey(time.Time{}, "").P, "", 0
	// Newest first: what comes after MaxEvents goes.
	to := ""
	for {
		rows, more, err := a.x.Scan(ctx, p, from, to, true, kv.MaxOps)
		if err != nil {
			return fmt.Errorf("trim the audit log: %w", err)
		}
		var ops []kv.Op
		for _, r := range rows {
			to = r.S
			if n++; n > MaxEvents {
				ops = append(ops, kv.Op{Key: r.Key, Kind: kv.Del})
			}
		}
		if len(ops) > 0 {
			if err := a.x.Commit(ctx, ops); err != nil {
				return fmt.Errorf("trim the audit log: %w", err)
			}
		}
		if !more {
			return nil
		}
	}
}
