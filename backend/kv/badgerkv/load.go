package badgerkv

import (
	"context"
	"iter"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// loadAhead is how far the version of a load is ahead of that of the next commit.
const loadAhead = 1 << 32

// Load implements kv.Loader. It writes in transactions of some 20,000 rows,
// each synced, which is a sync about every 5 MB: durable as it goes. Its version is so far
// ahead that reads see nothing of it before its end, and commits of other rows go on below.
func (s *Store) Load(ctx context.Context, rows iter.Seq[kv.Row]) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	s.loads.Lock() // one is visible before the next begins
	defer s.loads.Unlock()
	version := s.next() + loadAhead
	defer func() { // of one that is broken off too: somebody must see, and clear, what there is
		s.queue.turn.Lock()
		defer s.queue.turn.Unlock()
		s.finish(version)
	}()
	batch := s.db.NewWriteBatchAt(version)
	batch.SetMaxPendingTxns(2) // Badger's 16 would hold 16 batches in memory
	defer batch.Cancel()
	var (
		buf arena
		n   int
		err error
	)
	for r := range rows {
		if n%checkEvery == 0 {
			if err = ctx.Err(); err != nil {
				return err
			}
			if err = s.space.check(); err != nil {
				return err
			}
		}
		n++
		if err = kv.CheckRow(r); err != nil {
			return err
		}
		key := buf.take(len(r.P) + 1 + len(r.S))
		copy(key[copy(key, r.P)+1:], r.S)
		data := buf.take(len(r.D))
		copy(data, r.D)
		if err = batch.SetEntry(badger.NewEntry(key, data)); err != nil {
			return storeError("load row", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return storeError("load rows", batch.Flush())
}

// An arena hands out zeroed bytes that are used once.
type arena struct{ free []byte }

func (a *arena) take(n int) []byte {
	if n > len(a.free) {
		a.free = make([]byte, max(n, 256<<10))
	}
	b := a.free[:n:n]
	a.free = a.free[n:]
	return b
}
