package objecttest

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// Methods of a bucket, as Fault and Faults.Count name them.
const (
	Put               = "Put"
	Get               = "Get"
	Head              = "Head"
	Delete            = "Delete"
	List              = "List"
	CreateMultipart   = "CreateMultipart"
	PutPart           = "PutPart"
	CompleteMultipart = "CompleteMultipart"
	AbortMultipart    = "AbortMultipart"
)

// ErrFault is what a Fault without an Err of its own fails with. Like a network
// that broke, it is object.ErrUnavailable.
var ErrFault error = faultError{}

type faultError struct{}

func (faultError) Error() string { return "objecttest: injected fault" }
func (faultError) Unwrap() error { return object.ErrUnavailable }

// A Fault says which calls of a Faults fail, and how. The zero value fails the
// next call of any method, before it has an effect.
type Fault struct {
	Method string                 // "" means any
	Name   func(name string) bool // nil means any; asked with the prefix for List
	N      int                    // the nth matching call from now fails; 0 means 1
	Every  bool                   // and every one after it
	// After lets the call have its effect, and loses the answer: the outcome is
	// unknown to the caller. A Get then breaks in the middle of the body, a List
	// after the last object.
	After bool
	Err   error // nil means ErrFault
	// Do, if not nil, is called instead of failing at once, before (or after) the
	// call; what it returns is the error, nil lets the call succeed. It may block:
	// that makes a slow bucket, or a point to stop at.
	Do func(ctx context.Context) error
}

// Faults is a Bucket around another that counts the calls and fails those that
// it is told to. It is a Multiparter and a Local as the other is: without the
// capability its methods return errors.ErrUnsupported, or false. Its methods may
// be called at once from several goroutines.
type Faults struct {
	b object.Bucket

	mu     sync.Mutex
	counts map[string]int
	armed  []*armed
}

type armed struct {
	Fault
	seen int
}

var (
	_ object.Bucket      = (*Faults)(nil)
	_ object.Multiparter = (*Faults)(nil)
	_ object.Local       = (*Faults)(nil)
)

// NewFaults returns a Faults around b that fails nothing yet.
func NewFaults(b object.Bucket) *Faults {
	return &Faults{b: b, counts: make(map[string]int)}
}

// Unwrap returns the bucket inside.
func (f *Faults) Unwrap() object.Bucket { return f.b }

// Fail arms faults, which count calls from now on. The first that is due is the
// one that strikes.
func (f *Faults) Fail(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range faults {
		if x.N == 0 {
			x.N = 1
		}
		f.armed = append(f.armed, &armed{Fault: x})
	}
}

// Heal disarms every fault.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = nil
}

// Count returns how many calls of the methods there were, of all if none is named.
func (f *Faults) Count(methods ...string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	if len(methods) == 0 {
		for _, c := range f.counts {
			n += c
		}
	}
	for _, m := range methods {
		n += f.counts[m]
	}
	return n
}

// Reset sets all counts to zero.
func (f *Faults) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.counts)
}

// strike counts a call and returns the fault that is due, or nil.
func (f *Faults) strike(method, name string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[method]++
	var due *Fault
	for _, a := range f.armed {
		if a.Method != "" && a.Method != method || a.Name != nil && !a.Name(name) {
			continue
		}
		a.seen++
		if due == nil && (a.seen == a.N || a.Every && a.seen > a.N) {
			due = &a.Fault
		}
	}
	return due
}

func (x *Fault) fail(ctx context.Context) error {
	if x.Do != nil {
		return x.Do(ctx)
	}
	if x.Err != nil {
		return x.Err
	}
	return ErrFault
}

// around makes one call with the fault that is due.
func around[T any](ctx context.Context, f *Faults, method, name string, call func() (T, error)) (T, error) {
	x := f.strike(method, name)
	var zero T
	if x != nil && !x.After {
		if err := x.fail(ctx); err != nil {
			return zero, err
		}
	}
	v, err := call()
	if x != nil && x.After {
		if err := x.fail(ctx); err != nil {
			return zero, err
		}
	}
	return v, err
}

// Put implements object.Bucket.
func (f *Faults) Put(ctx context.Context, name string, body io.Reader, size int64, opt *object.PutOptions) (object.Info, error) {
	return around(ctx, f, Put, name, func() (object.Info, error) { return f.b.Put(ctx, name, body, size, opt) })
}

// Get implements object.Bucket.
func (f *Faults) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	x := f.strike(Get, name)
	if x != nil && !x.After {
		if err := x.fail(ctx); err != nil {
			return nil, err
		}
	}
	r, err := f.b.Get(ctx, name, off, n)
	if err == nil && x != nil && x.After {
		return f.cut(ctx, r, name, off, n, x), nil
	}
	return r, err
}

// cut returns a reader that breaks after half of what r has.
func (f *Faults) cut(ctx context.Context, r io.ReadCloser, name string, off, n int64, x *Fault) io.ReadCloser {
	size := n
	if info, err := f.b.Head(ctx, name); err == nil {
		if size = max(info.Size-off, 0); n >= 0 {
			size = min(size, n)
		}
	}
	return &cutReader{ReadCloser: r, left: size / 2, err: func() error { return x.fail(ctx) }}
}

type cutReader struct {
	io.ReadCloser
	left int64
	err  func() error
	done bool // the fault struck and let the rest pass
}

func (r *cutReader) Read(p []byte) (int, error) {
	if r.done {
		return r.ReadCloser.Read(p)
	}
	if r.left <= 0 {
		if err := r.err(); err != nil {
			return 0, err
		}
		r.done = true
		return r.ReadCloser.Read(p)
	}
	n, err := r.ReadCloser.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// Head implements object.Bucket.
func (f *Faults) Head(ctx context.Context, name string) (object.Info, error) {
	return around(ctx, f, Head, name, func() (object.Info, error) { return f.b.Head(ctx, name) })
}

// Delete implements object.Bucket.
func (f *Faults) Delete(ctx context.Context, name string) error {
	_, err := around(ctx, f, Delete, name, func() (struct{}, error) { return struct{}{}, f.b.Delete(ctx, name) })
	return err
}

// List implements object.Bucket.
func (f *Faults) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	return func(yield func(object.Info, error) bool) {
		x := f.strike(List, prefix)
		if x != nil && !x.After {
			if err := x.fail(ctx); err != nil {
				yield(object.Info{}, err)
				return
			}
		}
		for info, err := range f.b.List(ctx, prefix, after) {
			if !yield(info, err) || err != nil {
				return
			}
		}
		if x != nil && x.After {
			if err := x.fail(ctx); err != nil {
				yield(object.Info{}, err)
			}
		}
	}
}

// Local implements object.Local.
func (f *Faults) Local() bool {
	l, ok := f.b.(object.Local)
	return ok && l.Local()
}

// CreateMultipart implements object.Multiparter.
func (f *Faults) CreateMultipart(ctx context.Context, name string, opt *object.PutOptions) (string, error) {
	return around(ctx, f, CreateMultipart, name, func() (string, error) {
		m, err := f.multiparter()
		if err != nil {
			return "", err
		}
		return m.CreateMultipart(ctx, name, opt)
	})
}

// PutPart implements object.Multiparter.
func (f *Faults) PutPart(ctx context.Context, name, uploadID string, number int, body io.Reader, size int64) (object.Part, error) {
	return around(ctx, f, PutPart, name, func() (object.Part, error) {
		m, err := f.multiparter()
		if err != nil {
			return object.Part{}, err
		}
		return m.PutPart(ctx, name, uploadID, number, body, size)
	})
}

// CompleteMultipart implements object.Multiparter.
func (f *Faults) CompleteMultipart(ctx context.Context, name, uploadID string, parts []object.Part) (object.Info, error) {
	return around(ctx, f, CompleteMultipart, name, func() (object.Info, error) {
		m, err := f.multiparter()
		if err != nil {
			return object.Info{}, err
		}
		return m.CompleteMultipart(ctx, name, uploadID, parts)
	})
}

// AbortMultipart implements object.Multiparter.
func (f *Faults) AbortMultipart(ctx context.Context, name, uploadID string) error {
	_, err := around(ctx, f, AbortMultipart, name, func() (struct{}, error) {
		m, err := f.multiparter()
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, m.AbortMultipart(ctx, name, uploadID)
	})
	return err
}

func (f *Faults) multiparter() (object.Multiparter, error) {
	m, ok := f.b.(object.Multiparter)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return m, nil
}
