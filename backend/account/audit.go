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
	e.Target = printable(e.Target[:min(len(e.Target), 1024)])
	e.At = a.now()
	ctx = context.WithoutCancel(ctx)
	a.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "audit", slog.String("what", e.What), slog.String("actor", e.Actor),
		slog.String("net", e.Net), slog.String("uid", e.UID), slog.String("target", logTarget(e)))
	// The count keeps the order of events of one millisecond.
	id := fmt.Sprintf("%010x%08x", a.events.Add(1), rand.Uint32())
	row := eventRow{1, e.Actor, e.Net, e.What, e.UID, e.Target}
	err := a.x.Commit(ctx, []kv.Op{{Key: eventKey(e.At, id), Kind: kv.Put, D: encode(row)}})
	if err != nil {
		a.opt.Logger.ErrorContext(ctx, "an event of the audit log was not kept", "what", e.What, "err", err)
	}
}

// logTarget is what the log tells: keys of photographs are private.
func logTarget(e Event) string {
	if e.What == "deleted" || e.What == "restored" {
		return "-"
	}
	return e.Target
}

// Events are the newest of the audit log, at most n, newest first.
func (a *Accounts) Events(ctx context.Context, n int) ([]Event, error) {
	rows, _, err := a.x.Scan(ctx, eventKey(time.Time{}, "").P, "", "", true, n)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	list := make([]Event, 0, len(rows))
	for _, r := range rows {
		var row eventRow
		if err := decode(r.D, &row); err != nil {
			return nil, err
		}
		var ms int64
		if _, err := fmt.Sscanf(r.S, "%013d#", &ms); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		list = append(list, Event{when(ms), row.Actor, row.Net, row.What, row.UID, row.Target})
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
