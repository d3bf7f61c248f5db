package kvtest

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// ErrFault is the error of a Fault that names none.
var ErrFault = errors.New("kvtest: injected fault")

// A Call is a call that is about to be made of a store.
type Call struct {
	N      int    // 1 for the first call of the store
	Method string // "Get", "Scan", "Commit", "Dump" or "Load"
	Ops    []kv.Op
}

// A Fault is what becomes of a Call. The zero value lets it pass.
type Fault struct {
	Fail  bool
	After bool  // the call takes effect, and only its result is lost
	Err   error // nil means ErrFault
}

// Faults is a kv.Store that fails calls of another one by a script. It is a
// Dumper and a Loader if the other is.
type Faults struct {
	store kv.Store

	mu     sync.Mutex
	n      int
	script func(Call) Fault
}

var (
	_ kv.Store  = (*Faults)(nil)
	_ kv.Dumper = (*Faults)(nil)
	_ kv.Loader = (*Faults)(nil)
)

// NewFaults makes a store around s. The script is asked before every call but
// Close; it may block, and is not called twice at once. nil lets all pass.
func NewFaults(s kv.Store, script func(Call) Fault) *Faults {
	return &Faults{store: s, script: script}
}

// Nth is a script that does f to the nth call (1 is the first).
func Nth(n int, f Fault) func(Call) Fault {
	f.Fail = true
	return func(c Call) Fault {
		if c.N != n {
			return Fault{}
		}
		return f
	}
}

// Script takes the place of the script; counting starts again at 1.
func (f *Faults) Script(script func(Call) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script, f.n = script, 0
}

// Calls is how many calls were made since the script was set.
func (f *Faults) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// call asks the script: before is the error to give instead of calling, after
// that to give instead of the result.
func (f *Faults) call(method string, ops []kv.Op) (before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.script == nil {
		return nil, nil
	}
	fault := f.script(Call{N: f.n, Method: method, Ops: ops})
	err := fault.Err
	if err == nil {
		err = ErrFault
	}
	switch {
	case !fault.Fail:
		return nil, nil
	case fault.After:
		return nil, err
	}
	return err, nil
}

// Get implements kv.Store.
func (f *Faults) Get(ctx context.Context, keys ...kv.Key) ([]kv.Row, error) {
	before, after := f.call("Get", nil)
	if before != nil {
		return nil, before
	}
	rows, err := f.store.Get(ctx, keys...)
	if after != nil {
		return nil, after
	}
	return rows, err
}

// Scan implements kv.Store.
func (f *Faults) Scan(ctx context.Context, p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	before, after := f.call("Scan", nil)
	if before != nil {
		return nil, false, before
	}
	rows, more, err := f.store.Scan(ctx, p, from, to, rev, n)
	if after != nil {
		return nil, false, after
	}
	return rows, more, err
}

// Commit implements kv.Store.
func (f *Faults) Commit(ctx context.Context, ops []kv.Op) error {
	before, after := f.call("Commit", ops)
	if before != nil {
		return before
	}
	err := f.store.Commit(ctx, ops)
	if after != nil {
		return after
	}
	return err
}

// Dump implements kv.Dumper. A fault after effect comes in place of the end.
func (f *Faults) Dump(ctx context.Context, prefixes ...string) iter.Seq2[kv.Row, error] {
	return func(yield func(kv.Row, error) bool) {
		before, after := f.call("Dump", nil)
		if before != nil {
			yield(kv.Row{}, before)
			return
		}
		d, ok := f.store.(kv.Dumper)
		if !ok {
			yield(kv.Row{}, errors.ErrUnsupported)
			return
		}
		for r, err := range d.Dump(ctx, prefixes...) {
			if !yield(r, err) {
				return
			}
		}
		if after != nil {
			yield(kv.Row{}, after)
		}
	}
}

// Load implements kv.Loader.
func (f *Faults) Load(ctx context.Context, rows iter.Seq[kv.Row]) error {
	before, after := f.call("Load", nil)
	if before != nil {
		return before
	}
	l, ok := f.store.(kv.Loader)
	if !ok {
		return errors.ErrUnsupported
	}
	err := l.Load(ctx, rows)
	if after != nil {
		return after
	}
	return err
}

// Close closes the other store.
func (f *Faults) Close() error { return f.store.Close() }
