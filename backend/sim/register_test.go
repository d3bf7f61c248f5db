package sim

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
)

// A register is a key that all clients put, read and delete at once. What they saw must
// be explained by some order of the operations that agrees with real time.
type register struct {
	key string

	mu      sync.Mutex
	history []access
}

// An access is one operation on a register. "" stands for no entry.
type access struct {
	kind     string // put, create, refused (to create), delete, get
	value    string
	from, to time.Time // of the call; to is zero if there was no verdict
}

func (a access) String() string {
	return fmt.Sprintf("%s %q %v–%v", a.kind, a.value, a.from.UnixMicro()%1e10, a.to.UnixMicro()%1e10)
}

// touch does one random operation.
func (r *register) touch(c *client) {
	ctx := c.ctx()
	a := access{from: time.Now()}
	l, err := c.node().b.Library(ctx, sharedUID, backend.Access{})
	if err == nil {
		switch c.rng.IntN(6) {
		case 0, 1:
			a.kind, a.value = "put", fmt.Sprint(c.name, c.id())
			_, _, err = l.Put(ctx, backend.Key(r.key), strings.NewReader(a.value), int64(len(a.value)), nil)
		case 2:
			a.kind, a.value = "create", fmt.Sprint(c.name, c.id())
			_, _, err = l.Put(ctx, backend.Key(r.key), strings.NewReader(a.value), int64(len(a.value)), &backend.PutOptions{Conditions: backend.Conditions{IfNoneMatch: []string{"*"}}})
			if errors.Is(err, backend.ErrPrecondition) {
				a.kind, err = "refused", nil
			}
		case 3:
			a.kind = "delete"
			err = l.Delete(ctx, backend.Key(r.key), nil)
			if errors.Is(err, backend.ErrNotExist) {
				a.kind, err = "get", nil
			}
		default:
			a.kind = "get"
			a.value, err = r.read(c, l)
		}
	}
	a.to = time.Now()
	c.w.log(c.name, "%s: %s %q: %s", r.key, a.kind, a.value, outcome(err))
	switch c.verdict(err) {
	case nil:
	case errUnknown:
		if a.kind == "get" || a.kind == "" {
			return
		}
		a.to = time.Time{}
	case errFenced:
		return
	default:
		c.w.fail(c.name, "%s of %s: %v", a.kind, r.key, err)
		return
	}
	r.add(a)
}

func (r *register) add(a access) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, a)
}

func (r *register) read(c *client, l *backend.Library) (string, error) {
	e, err := l.Stat(c.ctx(), backend.Key(r.key))
	if errors.Is(err, backend.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return content(c.ctx(), l, e)
}

// explained says whether some order explains the history, beginning with value (Wing and
// Gong, "Testing and Verifying Concurrent Objects"). Operations without a verdict take
// effect at any time, or never.
func (r *register) explained(value string) bool {
	h := r.history
	if len(h) > 60 {
		panic("too long a history")
	}
	type point struct {
		done  uint64
		value string
	}
	dead := map[point]bool{}
	var search func(done uint64, value string) bool
	search = func(done uint64, value string) bool {
		p := point{done, value}
		if dead[p] {
			return false
		}
		dead[p] = true
		end, left := int64(math.MaxInt64), false
		for i, a := range h {
			if done&(1<<i) == 0 && !a.to.IsZero() {
				end, left = min(end, a.to.UnixNano()), true
			}
		}
		if !left {
			return true
		}
		for i, a := range h {
			if done&(1<<i) != 0 || a.from.UnixNano() > end {
				continue
			}
			next, ok := value, true
			switch a.kind {
			case "put":
				next = a.value
			case "create":
				next, ok = a.value, value == ""
			case "refused":
				ok = value != ""
			case "delete":
				next, ok = "", value != ""
			case "get":
				ok = value == a.value
			}
			if ok && search(done|1<<i, next) {
				return true
			}
		}
		return false
	}
	return search(0, value)
}
