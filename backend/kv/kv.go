// Package kv is the ordered, transactional store behind the index: its
// interface, and the limits every driver keeps so that the same code runs on
// Badger on one machine and on DynamoDB on several.
//
// A row lives at a (partition, sort) key. Rows of one partition are ordered by
// the bytes of their sort key; partitions have no order between them. The
// contract suite is kvtest.
package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Limits of every driver. They are those of DynamoDB's transactions
// (Amazon DynamoDB API Reference, TransactWriteItems), with a smaller row.
const (
	MaxGet       = 100      // keys in one Get
	MaxOps       = 100      // operations in one Commit
	MaxCommit    = 4 << 20  // bytes of keys and data in one Commit
	MaxData      = 64 << 10 // bytes of data in one row
	MaxPartition = 512      // bytes of a partition key
	MaxSort      = 1024     // bytes of a sort key
)

var (
	// ErrConflict says that other commits kept touching the same rows at the same
	// time; nothing was changed and the caller may try again.
	ErrConflict = errors.New("kv: conflicting commit")
	// ErrTooLarge says that a row or a commit is over a limit; nothing changed.
	ErrTooLarge = errors.New("kv: over a limit")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("kv: store is closed")
	// ErrDamaged says that the engine found its own files damaged. The index is
	// disposable: the caller rebuilds it from the bucket.
	ErrDamaged = errors.New("kv: store is damaged")
	// ErrNoSpace says that the disk under the store is too full to write.
	// Nothing was changed; reads still work.
	ErrNoSpace = errors.New("kv: no space left")
	// ErrInUse says that another process has the store open.
	ErrInUse = errors.New("kv: another shoebox is running on this index")
)

// CondError says which operation's condition did not hold. Nothing was changed.
type CondError struct{ Index int }

func (e *CondError) Error() string {
	return fmt.Sprintf("kv: condition of operation %d failed", e.Index)
}

// A Key names a row. P, the partition, is not empty and has no NUL byte; S, the
// sort key, is not empty.
type Key struct{ P, S string }

// A Row is what is kept under a key.
type Row struct {
	Key
	V uint64 // version: set by the store, grows with every write of the row
	D []byte // data; the caller owns it
}

// A Cond is what must hold of a row for an operation to be done.
type Cond uint8

// The conditions.
const (
	Any     Cond = iota
	Absent       // there is no such row
	Present      // there is such a row
	At           // the row exists and its version is Op.V
)

// A Kind is what an operation does.
type Kind uint8

// The kinds of operation.
const (
	Put   Kind = iota
	Del        // deleting a row that is not there is no error (with Cond Any)
	Check      // changes nothing; only its condition counts
)

// An Op is one operation of a Commit.
type Op struct {
	Key
	Kind Kind
	Cond Cond
	V    uint64 // for Cond At
	D    []byte // for Put; the store does not keep the slice
}

// A Store is an ordered transactional store. Its methods may be called at once
// from several goroutines. Every read sees every commit that returned before
// the read began.
type Store interface {
	// Get reads up to MaxGet rows by key. The result has one element a key, in
	// their order; a row that does not exist has V == 0 and nil D.
	Get(ctx context.Context, keys ...Key) ([]Row, error)

	// Scan reads rows of partition p whose sort key is >= from and < to (to ==
	// "" means to the end), in order of S, or in reverse order from the highest
	// if rev. At most n rows are returned (n <= 0 means all); more says
	// whether there are others in the range.
	Scan(ctx context.Context, p, from, to string, rev bool, n int) (rows []Row, more bool, err error)

	// Commit does all operations or none, and returns after they are durable. No
	// key may be named twice. Errors: *CondError, ErrConflict, ErrTooLarge,
	// ErrNoSpace. After any other error, ctx's too, the commit may or may not
	// have been done.
	Commit(ctx context.Context, ops []Op) error

	// Close waits for calls under way and releases the store.
	Close() error
}

// A Dumper is a Store that can enumerate every row whose partition starts with
// one of the prefixes, all as of one moment. Rows come in the order of the
// prefixes given, then of (P, S). Row.D is valid only until the next iteration.
// badgerkv and memkv have it; snapshots, fsck and the canonical dump need it.
type Dumper interface {
	Dump(ctx context.Context, prefixes ...string) iter.Seq2[Row, error]
}

// A Loader is a Store that can take many rows at once, as a rebuild does. Only
// the caller may be using these rows.
type Loader interface {
	// Load puts rows, in any order; Row.V is ignored and Row.D is not kept. It is
	// durable when it returns nil. It is not atomic: after an error any of the
	// rows may be there, and the caller begins again with an empty store. A key
	// that comes twice keeps the data that came last.
	Load(ctx context.Context, rows iter.Seq[Row]) error
}

// A Guard is a Store that knows beforehand whether it has room for a Commit.
type Guard interface {
	// Room returns nil, or an error that wraps ErrNoSpace. It is cheap.
	Room() error
}

// Holds says whether the operation's condition holds of a row that exists (or
// not) with version v.
func (op Op) Holds(v uint64, exists bool) bool {
	switch op.Cond {
	case Absent:
		return !exists
	case Present:
		return exists
	case At:
		return exists && v == op.V
	}
	return true
}

// CheckOps is the check of limits and form that every driver does first in
// Commit.
func CheckOps(ops []Op) error {
	if len(ops) > MaxOps {
		return fmt.Errorf("%w: %d operations in one commit", ErrTooLarge, len(ops))
	}
	total, seen := 0, make(map[Key]struct{}, len(ops))
	for _, op := range ops {
		if err := CheckRow(Row{Key: op.Key, D: op.D}); err != nil {
			return err
		}
		if op.Kind > Check || op.Cond > At {
			return fmt.Errorf("kv: no such kind %d or condition %d", op.Kind, op.Cond)
		}
		if _, dup := seen[op.Key]; dup {
			return fmt.Errorf("kv: one key of partition %q named twice in one commit", op.P)
		}
		seen[op.Key] = struct{}{}
		total += len(op.P) + len(op.S) + len(op.D)
	}
	if total > MaxCommit {
		return fmt.Errorf("%w: commit of %d bytes", ErrTooLarge, total)
	}
	return nil
}

// CheckRow says whether r is a row a store can hold.
func CheckRow(r Row) error {
	if len(r.D) > MaxData {
		return fmt.Errorf("%w: row of %d bytes", ErrTooLarge, len(r.D))
	}
	return CheckKey(r.Key)
}

// CheckKey says whether k is a key a store can hold.
func CheckKey(k Key) error {
	if k.S == "" {
		return fmt.Errorf("kv: empty sort key in partition %q", k.P)
	}
	if len(k.S) > MaxSort {
		return fmt.Errorf("%w: sort key of %d bytes", ErrTooLarge, len(k.S))
	}
	return CheckPartition(k.P)
}

// CheckPartition says whether p is a partition a store can hold.
func CheckPartition(p string) error {
	switch {
	case p == "":
		return errors.New("kv: empty partition")
	case len(p) > MaxPartition:
		return fmt.Errorf("%w: partition of %d bytes", ErrTooLarge, len(p))
	case strings.IndexByte(p, 0) >= 0:
		return fmt.Errorf("kv: NUL in partition %q", p)
	}
	return nil
}
