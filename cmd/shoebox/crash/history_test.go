package crash

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A history is what the clients did and were told, in a file that is synced before the
// client goes on: a line when something is asked, and one when the answer is known.
// The zero value is one in memory.
type history struct {
	f     *os.File
	clock atomic.Int64 // orders asking and answers of all clients

	mu     sync.Mutex
	lines  []byte
	next   *round // of those whose line is not synced
	end    chan struct{}
	wake   chan struct{}
	events []event
	bodies map[string]bool // SHA-256 of every body ever sent
}

type round struct {
	done chan struct{}
	err  error
}

// An event is an operation. Its End is 0 until the answer came.
type event struct {
	Client int    `json:"c"`
	Begin  int64  `json:"begin"`
	End    int64  `json:"end,omitempty"`
	State  string `json:"state"` // invoke, ok, refused, unknown, unsent
	Status int    `json:"status,omitempty"`
	op
}

func newHistory(name string) (*history, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	h := &history{f: f, next: &round{done: make(chan struct{})}, end: make(chan struct{}), wake: make(chan struct{}, 1)}
	go h.sync()
	return h, nil
}

// sync writes and syncs what has gathered, again and again.
func (h *history) sync() {
	for range h.wake {
		h.mu.Lock()
		lines, now := h.lines, h.next
		h.lines, h.next = nil, &round{done: make(chan struct{})}
		h.mu.Unlock()
		_, err := h.f.Write(lines)
		now.err = errors.Join(err, h.f.Sync())
		close(now.done)
	}
	close(h.end)
}

func (h *history) close() error {
	close(h.wake)
	<-h.end
	return h.f.Close()
}

func (h *history) write(e event) error {
	if h.f == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.lines = append(append(h.lines, line...), '\n')
	r := h.next
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	<-r.done
	return r.err
}

// invoke notes that o is about to be asked.
func (h *history) invoke(client int, o op) (*event, error) {
	e := &event{Client: client, State: "invoke", op: o, Begin: h.clock.Add(1)}
	if o.SHA != "" {
		h.mu.Lock()
		if h.bodies == nil {
			h.bodies = map[string]bool{}
		}
		h.bodies[o.SHA] = true
		h.mu.Unlock()
	}
	return e, h.write(*e)
}

// answer notes what became of it.
func (h *history) answer(e *event, state string, status int) error {
	e.End, e.State, e.Status = h.clock.Add(1), state, status
	h.mu.Lock()
	h.events = append(h.events, *e)
	h.mu.Unlock()
	return h.write(*e)
}

// count counts the answers with one of the statuses.
func (h *history) count(statuses ...int) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if slices.Contains(statuses, e.Status) {
			n++
		}
	}
	return n
}

// pause lets the programs under test go on.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (h *history) acknowledged() (n int) {
	for _, e := range h.events {
		if e.State == "ok" && e.writes() {
			n++
		}
	}
	return n
}

func shaOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// poll asks every few milliseconds until ok or the time is over: the programs under
// test have clocks of their own.
func poll(limit time.Duration, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return ok()
}

func containsLine(text, begin string) bool {
	return strings.Contains("\n"+text, "\n"+begin)
}
