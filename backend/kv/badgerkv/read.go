package badgerkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/dgraph-io/badger/v4"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// begin begins a read of the newest version that is whole, and end ends it.
func (s *Store) begin(ctx context.Context) (*badger.Txn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked(); err != nil {
		return nil, err
	}
	s.readers[s.last]++
	return s.db.NewTransactionAt(s.last, false), nil
}

func (s *Store) end(txn *badger.Txn) {
	v := txn.ReadTs()
	txn.Discard()
	s.mu.Lock()
	if s.readers[v]--; s.readers[v] == 0 {
		delete(s.readers, v)
	}
	s.mu.Unlock()
	s.calls.Done()
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
	txn, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end(txn)
	rows := make([]kv.Row, len(keys))
	for i, k := range keys {
		rows[i].Key = k
		item, err := txn.Get(badgerKey(k))
		if errors.Is(err, badger.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, storeError("read row", err)
		}
		rows[i].V = item.Version()
		if rows[i].D, err = item.ValueCopy([]byte{}); err != nil {
			return nil, storeError("read row", err)
		}
	}
	return rows, nil
}

// checkEvery is how many rows are read between two looks at the context.
const checkEvery = 256

// Scan implements kv.Store.
func (s *Store) Scan(ctx context.Context, p, from, to string, rev bool, n int) (rows []kv.Row, more bool, err error) {
	if err := kv.CheckPartition(p); err != nil {
		return nil, false, err
	}
	txn, err := s.begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer s.end(txn)
	if to != "" && to <= from {
		return nil, false, nil
	}
	prefix := append([]byte(p), 0)
	// Values lie beside the keys: to prefetch them costs a goroutine each and
	// gains nothing.
	it := txn.NewIterator(badger.IteratorOptions{Reverse: rev, Prefix: prefix})
	defer it.Close()

	first, end := badgerKey(kv.Key{P: p, S: from}), badgerKey(kv.Key{P: p, S: to})
	switch {
	case !rev:
		it.Seek(first)
	case to == "":
		it.Seek(append([]byte(p), 1)) // after p NUL …, and no key: every key has a NUL
	default:
		it.Seek(end)
		if it.Valid() && bytes.Equal(it.Item().Key(), end) {
			it.Next() // to is exclusive
		}
	}
	var page page
	for ; it.Valid(); it.Next() {
		item := it.Item()
		k := item.Key()
		if !rev && to != "" && bytes.Compare(k, end) >= 0 || rev && bytes.Compare(k, first) < 0 {
			break
		}
		if n > 0 && page.len() == n {
			more = true
			break
		}
		if page.len()%checkEvery == checkEvery-1 && ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		if err := page.add(k[len(prefix):], item); err != nil {
			return nil, false, storeError("read row", err)
		}
	}
	return page.rows(p), more, nil
}

// A page gathers the rows of a scan in two buffers, for the garbage collector's
// sake: ten thousand rows would be twenty thousand small allocations.
type page struct {
	keys, data []byte
	meta       []rowMeta
}

type rowMeta struct {
	v               uint64
	keyEnd, dataEnd int
}

func (p *page) len() int { return len(p.meta) }

func (p *page) add(sort []byte, item *badger.Item) error {
	p.keys = append(p.keys, sort...)
	err := item.Value(func(d []byte) error {
		p.data = append(p.data, d...)
		return nil
	})
	p.meta = append(p.meta, rowMeta{item.Version(), len(p.keys), len(p.data)})
	return err
}

func (p *page) rows(partition string) []kv.Row {
	if len(p.meta) == 0 {
		return nil
	}
	rows, keys := make([]kv.Row, len(p.meta)), string(p.keys)
	k, d := 0, 0
	for i, m := range p.meta {
		rows[i] = kv.Row{
			Key: kv.Key{P: partition, S: keys[k:m.keyEnd]},
			V:   m.v,
			D:   p.data[d:m.dataEnd:m.dataEnd], // an append must not reach the next row
		}
		k, d = m.keyEnd, m.dataEnd
	}
	return rows
}

// Dump implements kv.Dumper. It sees one version: no commit made meanwhile.
func (s *Store) Dump(ctx context.Context, prefixes ...string) iter.Seq2[kv.Row, error] {
	return func(yield func(kv.Row, error) bool) {
		txn, err := s.begin(ctx)
		if err != nil {
			yield(kv.Row{}, err)
			return
		}
		defer s.end(txn)
		for _, prefix := range prefixes {
			if !dump(ctx, txn, prefix, yield) {
				return
			}
		}
	}
}

func dump(ctx context.Context, txn *badger.Txn, prefix string, yield func(kv.Row, error) bool) bool {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
	defer it.Close()
	var row kv.Row
	n := 0
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		k := item.Key()
		nul := bytes.IndexByte(k, 0)
		if nul < len(prefix) || nul < 1 {
			continue // highKey, or a prefix with a NUL
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			yield(kv.Row{}, ctx.Err())
			return false
		}
		if string(k[:nul]) != row.P {
			row.P = string(k[:nul])
		}
		row.S, row.V = string(k[nul+1:]), item.Version()
		err := item.Value(func(d []byte) error {
			row.D = d
			return nil
		})
		if err != nil {
			yield(kv.Row{}, storeError("read row", err))
			return false
		}
		if !yield(row, nil) {
			return false
		}
	}
	return true
}
