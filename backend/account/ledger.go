package account

import (
	"context"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/object"
)

// A ledger makes changes to logged rows, one plan at a time.
type ledger interface {
	// update runs plan with a view of the newest rows; what it puts and deletes is
	// logged and applied, all or nothing. nil means it is durable.
	update(ctx context.Context, op string, plan func(tx tx) error) error
}

// tx is what a plan may do; *journal.Tx is one.
type tx interface {
	Get(k kv.Key) (kv.Row, error)
	Scan(p, from, to string, rev bool, n int) ([]kv.Row, bool, error)
	Put(k kv.Key, d []byte)
	Del(k kv.Key)
}

func openLedger(ctx context.Context, b object.Bucket, x kv.Store, opt *Options) (ledger, error) {
	return &storeLedger{x: x}, nil
}

// storeLedger commits plans to a store.
type storeLedger struct {
	x  kv.Store
	mu sync.Mutex // one plan at a time
}

func (l *storeLedger) update(ctx context.Context, op string, plan func(tx tx) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &storeTx{ctx: ctx, x: l.x}
	if err := plan(t); err != nil {
		return err
	}
	return l.x.Commit(ctx, t.ops)
}

type storeTx struct {
	ctx context.Context // of the update
	x   kv.Store
	ops []kv.Op
}

func (t *storeTx) Get(k kv.Key) (kv.Row, error) {
	rows, err := t.x.Get(t.ctx, k)
	if err != nil {
		return kv.Row{}, err
	}
	return rows[0], nil
}

func (t *storeTx) Scan(p, from, to string, rev bool, n int) ([]kv.Row, bool, error) {
	return t.x.Scan(t.ctx, p, from, to, rev, n)
}

func (t *storeTx) Put(k kv.Key, d []byte) { t.ops = append(t.ops, kv.Op{Key: k, Kind: kv.Put, D: d}) }
func (t *storeTx) Del(k kv.Key)           { t.ops = append(t.ops, kv.Op{Key: k, Kind: kv.Del}) }
