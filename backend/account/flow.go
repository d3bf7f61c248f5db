package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A flow is how a client without a browser of its own gets an app password: it opens a
// page in one, a signed-in person agrees there, and the client, which keeps asking,
// gets an app password that is made at that moment and kept nowhere.
//
//	P    S                        logged  data
//	lf#  <sha256(browser token)>  no      flowRow
//
// The browser's token is the hash of the client's, so that one row serves both, and who
// sees the page's address can not ask for the app password.

const (
	flowLife     = 20 * time.Minute
	maxFlows     = 2000 // under way
	maxFlowsFrom = 20   // of one network
)

type flowRow struct {
	V       int    `json:"v"`
	Client  string `json:"client,omitempty"`
	Net     string `json:"net,omitempty"`
	Created int64  `json:"created"`
	Expires int64  `json:"expires"`
	UID     string `json:"uid,omitempty"` // who agreed
	Epoch   int64  `json:"epoch,omitempty"`
	Label   string `json:"label,omitempty"`
}

func flowKey(browser string) kv.Key { return kv.Key{P: "lf#", S: hash(browser)} }

// browserToken is what the browser is given for a client's token.
func browserToken(poll string) string { return hash("flow\x00" + poll) }

// Errors of flows.
var (
	ErrFlow        = &Refusal{"bad-flow", "This request to connect was used before, or is too old. Begin again in the app.", false}
	ErrFlowPending = errors.New("nobody has agreed yet")
	ErrFlows       = errors.New("too many requests to connect are under way")
)

// A Flow is what a person is told before they agree.
type Flow struct {
	Client  string // what the client calls itself; printable, may be ""
	Net     string // where it asked from, as in Use
	Created time.Time
	Expires time.Time
	Agreed  bool
}

// BeginFlow begins a flow for a client that calls itself so. The browser is sent to a
// page with one token; the client keeps asking with the other. Both are good for 20
// minutes. ErrFlows if too many are under way.
func (a *Accounts) BeginFlow(ctx context.Context, client string, addr netip.Addr) (browser, poll Secret, err error) {
	now := a.now()
	row := flowRow{V: 1, Client: printable(client[:min(len(client), maxAgent)]), Net: Network(addr), Created: millis(now), Expires: millis(now.Add(flowLife))}
	rows, _, err := a.x.Scan(ctx, flowKey("").P, "", "", false, 0)
	if err != nil {
		return "", "", fmt.Errorf("begin flow: %w", err)
	}
	all, from := 0, 0
	var ops []kv.Op
	for _, r := range rows {
		var old flowRow
		if err := decode(r.D, &old); err != nil {
			return "", "", err
		}
		if !now.Before(when(old.Expires)) {
			if len(ops) < kv.MaxOps-1 {
				ops = append(ops, kv.Op{Key: r.Key, Kind: kv.Del})
			}
			continue
		}
		if all++; old.Net == row.Net {
			from++
		}
	}
	if all >= maxFlows || from >= maxFlowsFrom {
		return "", "", ErrFlows
	}
	text := newToken()
	b := browserToken(text)
	ops = append(ops, kv.Op{Key: flowKey(b), Kind: kv.Put, Cond: kv.Absent, D: encode(row)})
	if err := a.x.Commit(ctx, ops); err != nil {
		return "", "", fmt.Errorf("begin flow: %w", err)
	}
	return Secret(b), Secret(text), nil
}

// readFlow is the row of a browser's token and its version. ErrFlow.
func (a *Accounts) readFlow(ctx context.Context, browser string) (*flowRow, uint64, error) {
	var row flowRow
	if len(browser) != len(hash("")) {
		return nil, 0, ErrFlow
	}
	v, err := a.get(ctx, flowKey(browser), &row)
	switch {
	case err != nil:
		return nil, 0, err
	case v == 0, !a.now().Before(when(row.Expires)):
		return nil, 0, ErrFlow
	}
	return &row, v, nil
}

// Flow is the flow of a browser's token. ErrFlow.
func (a *Accounts) Flow(ctx context.Context, browser string) (*Flow, error) {
	row, _, err := a.readFlow(ctx, browser)
	if err != nil {
		return nil, err
	}
	return &Flow{Client: row.Client, Net: row.Net, Created: when(row.Created), Expires: when(row.Expires), Agreed: row.UID != ""}, nil
}

// AgreeFlow lets the client have an app password of the user, under that label: once, and
// while the flow lasts. ErrFlow, ErrInvalid, ErrSuspended.
func (a *Accounts) AgreeFlow(ctx context.Context, browser, uid, label string) error {
	if err := checkText("label", label, MaxLabel); err != nil {
		return err
	}
	row, v, err := a.readFlow(ctx, browser)
	if err != nil {
		return err
	}
	u, err := a.User(ctx, uid)
	switch {
	case err != nil:
		return err
	case u.State != Active:
		return ErrSuspended
	case row.UID != "":
		return ErrFlow
	}
	row.UID, row.Epoch, row.Label = uid, u.KeyEpoch, label
	return flowChanged(a.x.Commit(ctx, []kv.Op{{Key: flowKey(browser), Kind: kv.Put, Cond: kv.At, V: v, D: encode(row)}}))
}

// EndFlow ends a flow without an app password. It is no error if there is none.
func (a *Accounts) EndFlow(ctx context.Context, browser string) error {
	return a.x.Commit(ctx, []kv.Op{{Key: flowKey(browser), Kind: kv.Del}})
}

// TakeFlow makes the app password that was agreed to, for WebDAV. A flow gives one only.
// Once it has begun it goes on although ctx ends: the app asks again if it is told of a
// failure, so a failure that may pass leaves the flow as it was.
// ErrFlowPending, ErrFlow, and those of Mint.
func (a *Accounts) TakeFlow(ctx context.Context, poll string) (*User, Secret, error) {
	if !validToken(poll) {
		return nil, "", ErrFlow
	}
	b := browserToken(poll)
	row, v, err := a.readFlow(ctx, b)
	switch {
	case err != nil:
		return nil, "", err
	case row.UID == "":
		return nil, "", ErrFlowPending
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), flowTake)
	defer cancel()
	if err := flowChanged(a.x.Commit(end, []kv.Op{{Key: flowKey(b), Kind: kv.Del, Cond: kv.At, V: v}})); err != nil {
		return nil, "", err
	}
	u, password, err := a.mintFlow(end, row)
	if err != nil && !final(err) {
		again, cancel := context.WithTimeout(context.WithoutCancel(ctx), flowTake)
		defer cancel()
		if err := a.x.Commit(again, []kv.Op{{Key: flowKey(b), Kind: kv.Put, Cond: kv.Absent, D: encode(row)}}); err != nil {
			a.opt.Logger.WarnContext(ctx, "an app has to begin again to be connected", "err", err)
		}
	}
	if err != nil {
		return nil, "", err
	}
	return u, password, nil
}

// flowTake is how long it may take to make what was agreed to, and to undo that.
const flowTake = 10 * time.Second

// mintFlow makes what was agreed to in row.
func (a *Accounts) mintFlow(ctx context.Context, row *flowRow) (*User, Secret, error) {
	u, err := a.User(ctx, row.UID)
	if err != nil {
		return nil, "", err
	}
	if u.KeyEpoch != row.Epoch { // all app passwords were revoked since
		return nil, "", ErrFlow
	}
	ctx = WithActor(ctx, Actor{Login: u.Login})
	_, password, err := a.Mint(ctx, row.UID, MintOptions{Label: row.Label, DAV: true})
	return u, password, err
}

// final says whether err is about the flow or its user, so that asking again is of no use.
func final(err error) bool {
	for _, e := range []error{ErrRefused, ErrNotExist, ErrTooMany, ErrInvalid} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// flowChanged: of two that change a flow at once, one finds it used.
func flowChanged(err error) error {
	if errors.As(err, new(*kv.CondError)) || errors.Is(err, kv.ErrConflict) {
		return ErrFlow
	}
	return err
}
