package badgerkv

import (
	"context"
	"errors"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A queue is the commits that wait. There is no goroutine that makes them: of those who
// wait for the turn, the next takes all that have gathered, and makes them as one.
type queue struct {
	turn sync.Mutex // who has it makes commits

	mu      sync.Mutex
	waiting []*request
}

// A request is one call of Commit. Its outcome is set by who has the turn, and read by who
// has it.
type request struct {
	ops  []kv.Op
	size int // bytes of keys and data
	err  error
	done bool
}

// errCutShort is the outcome of a commit whose maker did not come to its end.
var errCutShort = errors.New("commit: cut short")

// Limits of what is made as one, far below those of a transaction of Badger's with a
// memtable of 32 MiB.
const (
	groupOps  = 2000
	groupSize = kv.MaxCommit // bytes
)

// Commit implements kv.Store. Once it waits for its turn it can't be called off.
func (s *Store) Commit(ctx context.Context, ops []kv.Op) error {
	if err := kv.CheckOps(ops); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.space.check(); err != nil {
		return err
	}
	c := &request{ops: ops, err: errCutShort}
	for _, op := range ops {
		c.size += len(op.P) + len(op.S) + len(op.D)
	}
	s.queue.mu.Lock()
	s.queue.waiting = append(s.queue.waiting, c)
	s.queue.mu.Unlock()

	s.queue.turn.Lock()
	defer s.queue.turn.Unlock()
	for !c.done {
		s.commitGroup(s.queue.take())
	}
	return c.err
}

// take is the commits that can be made next as one: no row that one of them writes is
// named by another, so that each finds what it would find alone.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ops, size := 1, len(q.waiting[0].ops), q.waiting[0].size
	if len(q.waiting) > 1 {
		written := make(map[kv.Key]bool)
		written = q.waiting[0].apart(written)
		for ; n < len(q.waiting); n++ {
			c := q.waiting[n]
			ops, size = ops+len(c.ops), size+c.size
			if ops > groupOps || size > groupSize {
				break
			}
			if written = c.apart(written); written == nil {
				break
			}
		}
	}
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return group
}

// apart adds the rows that c writes, or is nil if c names one that is written already.
func (c *request) apart(written map[kv.Key]bool) map[kv.Key]bool {
	for _, op := range c.ops {
		if written[op.Key] {
			return nil
		}
	}
	for _, op := range c.ops {
		if op.Kind != kv.Check {
			written[op.Key] = true
		}
	}
	return written
}

// highKey is written beside every deletion. Badger tells the highest version that it
// finds when it opens, and a compaction may drop a deleted row together with its
// tombstone: without another row of that version, a key could be made again with a
// version it once had, and a stale kv.At would hold.
var highKey = []byte("\x00v")

// commitGroup makes commits with one sync. Those whose conditions do not hold are left out.
func (s *Store) commitGroup(group []*request) {
	defer func() {
		for _, c := range group {
			c.done = true
		}
	}()
	version := s.next()
	txn := s.db.NewTransactionAt(version-1, true)
	defer txn.Discard()
	size, deletes := 0, false
	made := group[:0:0]
	for _, c := range group {
		if c.err = check(txn, c.ops); c.err != nil {
			continue
		}
		c.err = errCutShort
		made, size = append(made, c), size+c.size
		for _, op := range c.ops {
			deletes = deletes || op.Kind == kv.Del
		}
	}
	if len(made) == 0 {
		return
	}
	err := write(txn, made, deletes)
	if err == nil {
		fail.Point("W6.commit")
		err = storeError("commit", txn.CommitAt(version, nil))
		// Done or not, this version is used: Badger may have kept some of it.
		s.finish(version)
	}
	for _, c := range made {
		c.err = err
	}
	if err == nil {
		s.logs.take(size)
	}
}

// check is whether the conditions hold.
func check(txn *badger.Txn, ops []kv.Op) error {
	for i, op := range ops {
		if op.Cond == kv.Any {
			continue
		}
		item, err := txn.Get(badgerKey(op.Key))
		var v uint64
		switch {
		case err == nil:
			v = item.Version()
		case !errors.Is(err, badger.ErrKeyNotFound):
			return storeError("read row", err)
		}
		if !op.Holds(v, err == nil) {
			return &kv.CondError{Index: i}
		}
	}
	return nil
}

func write(txn *badger.Txn, commits []*request, deletes bool) error {
	for _, c := range commits {
		for _, op := range c.ops {
			var err error
			switch op.Kind {
			case kv.Put:
				err = txn.Set(badgerKey(op.Key), op.D)
			case kv.Del:
				err = txn.Delete(badgerKey(op.Key))
			}
			if err != nil {
				return storeError("write row", err)
			}
		}
	}
	if deletes {
		return storeError("write row", txn.Set(highKey, nil))
	}
	return nil
}

// next is the version of the next commit, for who has the turn.
func (s *Store) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last + 1
}

// finish lets reads see a version, and Badger drop what no read sees any more.
func (s *Store) finish(version uint64) {
	s.mu.Lock()
	s.last = version
	oldest := version
	for v := range s.readers {
		oldest = min(oldest, v)
	}
	s.mu.Unlock()
	s.db.SetDiscardTs(oldest)
}
