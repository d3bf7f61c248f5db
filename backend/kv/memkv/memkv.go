// Package memkv is a kv.Store in memory: complete, ordered and fast, for tests
// and for trials whose index may be forgotten.
package memkv

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/google/btree"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A Store is a kv.Store, kv.Dumper and kv.Loader in memory.
type Store struct {
	mu     sync.RWMutex
	rows   *btree.BTreeG[kv.Row] // ordered by (P, S); a Row.D in it is never changed
	v      uint64                // last version given out, over all rows
	closed bool
}

var (
	_ kv.Store  = (*Store)(nil)
	_ kv.Dumper = (*Store)(nil)
	_ kv.Loader = (*Store)(nil)
)

// New makes an empty store.
func New() *Store {
	return &Store{rows: btree.NewG(32, func(a, b kv.Row) bool { return compare(a.Key, b.Key) < 0 })}
}

func compare(a, b kv.Key) int {
	if c := strings.Compare(a.P, b.P); c != 0 {
		return c
	}
	return strings.Compare(a.S, b.S)
}

func at(p, s string) kv.Row { return kv.Row{Key: kv.Key{P: p, S: s}} }

// open locks the store for reading; the caller unlocks it unless there is an
// error.
func (s *Store) open(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return kv.ErrClosed
	}
	return nil
}

// Get implements kv.Store.
func (s *Store) Get(ctx context.Context, keys ...kv.Key) ([]kv.Row, error) {
	if len(keys) > kv.MaxGet {
		return nil, fmt.Errorf("%w: %d keys in one Get", kv.ErrTooLarge, len(keys))
	}
	for _, k := range keys {
		if err := kv.CheckKey(k); err != nil {
			return nil, err
		}
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	rows := make([]kv.Row, len(keys))
	for i, k := range keys {
		r, ok := s.rows.Get(kv.Row{Key: k})
		if !ok {
			rows[i].Key = k
			continue
		}
		r.D = slices.Clone(r.D)
		rows[i] = r
	}
	return rows, nil
}

// Scan implements kv.Store.
func (s *Store) Scan(ctx context.Context, p, from, to string, rev bool, n int) (rows []kv.Row, more bool, err error) {
	if err := kv.CheckPartition(p); err != nil {
		return nil, false, err
	}
	if err := s.open(ctx); err != nil {
		return nil, false, err
	}
	defer s.mu.RUnlock()
	visit := func(r kv.Row) bool {
		if r.P != p || rev && r.S < from || !rev && to != "" && r.S >= to {
			return false
		}
		if rev && to != "" && r.S == to {
			return true // the tree's own bound is inclusive
		}
		if n > 0 && len(rows) == n {
			more = true
			return false
		}
		r.D = slices.Clone(r.D)
		rows = append(rows, r)
		return true
	}
	switch {
	case to != "" && to <= from:
	case !rev:
		s.rows.AscendGreaterOrEqual(at(p, from), visit)
	case to == "":
		// No partition sorts between p and p+"\x00", and none is named so.
		s.rows.DescendLessOrEqual(at(p+"\x00", ""), visit)
	default:
		s.rows.DescendLessOrEqual(at(p, to), visit)
	}
	return rows, more, nil
}

// Commit implements kv.Store.
func (s *Store) Commit(ctx context.Context, ops []kv.Op) error {
	if err := kv.CheckOps(ops); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kv.ErrClosed
	}
	for i, op := range ops {
		if op.Cond == kv.Any {
			continue
		}
		r, ok := s.rows.Get(kv.Row{Key: op.Key})
		if !op.Holds(r.V, ok) {
			return &kv.CondError{Index: i}
		}
	}
	s.v++
	for _, op := range ops {
		switch op.Kind {
		case kv.Put:
			s.rows.ReplaceOrInsert(kv.Row{Key: op.Key, V: s.v, D: clone(op.D)})
		case kv.Del:
			s.rows.Delete(kv.Row{Key: op.Key})
		}
	}
	return nil
}

// clone returns a copy that is not nil: a row that exists has data.
func clone(d []byte) []byte { return append(make([]byte, 0, len(d)), d...) }

// Load implements kv.Loader.
func (s *Store) Load(ctx context.Context, rows iter.Seq[kv.Row]) error {
	for r := range rows {
		if err := kv.CheckRow(r); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return kv.ErrClosed
		}
		s.v++
		s.rows.ReplaceOrInsert(kv.Row{Key: r.Key, V: s.v, D: clone(r.D)})
		s.mu.Unlock()
	}
	return ctx.Err()
}

// Dump implements kv.Dumper. It reads a snapshot, so commits go on meanwhile.
func (s *Store) Dump(ctx context.Context, prefixes ...string) iter.Seq2[kv.Row, error] {
	return func(yield func(kv.Row, error) bool) {
		tree, err := s.snapshot(ctx)
		if err != nil {
			yield(kv.Row{}, err)
			return
		}
		for _, prefix := range prefixes {
			stop := false
			tree.AscendGreaterOrEqual(at(prefix, ""), func(r kv.Row) bool {
				if !strings.HasPrefix(r.P, prefix) {
					return false
				}
				if err := ctx.Err(); err != nil {
					yield(kv.Row{}, err)
					stop = true
					return false
				}
				r.D = slices.Clone(r.D)
				stop = !yield(r, nil)
				return !stop
			})
			if stop {
				return
			}
		}
	}
}

func (s *Store) snapshot(ctx context.Context) (*btree.BTreeG[kv.Row], error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock() // Clone writes to the tree
	defer s.mu.Unlock()
	if s.closed {
		return nil, kv.ErrClosed
	}
	return s.rows.Clone(), nil
}

// Close implements kv.Store. The rows are forgotten.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return kv.ErrClosed
	}
	s.closed = true
	s.rows.Clear(false)
	return nil
}
