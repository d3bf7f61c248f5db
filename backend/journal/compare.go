package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// ErrBusy says that a log was appended to too often to be compared with its index.
var ErrBusy = errors.New("the log is changing too fast to be compared with its index: try again")

// Compare replays the log into scratch, an empty kv.Dumper, and returns the operations
// that would make the index's rows as the log tells; none if they are. It holds all rows
// in memory: it is for small logs, such as that of accounts.
func (l *Log) Compare(ctx context.Context, scratch kv.Store) (rows int, differ []kv.Op, err error) {
	for range 5 {
		theirs, err := l.replayInto(ctx, scratch)
		if err != nil {
			return 0, nil, err
		}
		rows, differ, err = l.compare(ctx, scratch)
		if err != nil {
			return 0, nil, err
		}
		if ours, err := l.Seq(ctx); err != nil {
			return 0, nil, err
		} else if ours == theirs {
			return rows, differ, nil
		}
	}
	return 0, nil, ErrBusy
}

// Repair makes the index's rows as the log tells, while no update is made, and says how
// many were not. See Compare.
func (l *Log) Repair(ctx context.Context, scratch kv.Store) (repaired int, err error) {
	err = l.Hold(ctx, func(ctx context.Context, seq uint64) error {
		theirs, err := l.replayInto(ctx, scratch)
		if err != nil {
			return err
		}
		if theirs != seq {
			return fmt.Errorf("%w: the index is at segment %d, the log at %d", ErrBusy, seq, theirs)
		}
		_, ops, err := l.compare(ctx, scratch)
		for err == nil && len(ops) > 0 {
			n := min(len(ops), kv.MaxOps/2) // of rows of at most 64 KiB
			err = l.x.Commit(ctx, ops[:n])
			repaired += n
			ops = ops[n:]
		}
		return err
	})
	return repaired, err
}

// replayInto brings scratch up to what the log says.
func (l *Log) replayInto(ctx context.Context, scratch kv.Store) (seq uint64, err error) {
	opt := l.opt
	opt.Replayed, opt.Progress = nil, nil
	again, err := Open(ctx, l.b, scratch, l.uid, &opt)
	if err != nil {
		return 0, err
	}
	return again.head.Seq, nil
}

func (l *Log) compare(ctx context.Context, scratch kv.Store) (rows int, differ []kv.Op, err error) {
	want := make(map[kv.Key][]byte)
	each := func(x kv.Store, do func(kv.Row)) error {
		d, ok := x.(kv.Dumper)
		if !ok {
			return errors.New("journal: this store cannot be dumped")
		}
		for row, err := range d.Dump(ctx, l.opt.Prefixes...) {
			if err != nil {
				return err
			}
			do(row)
		}
		return nil
	}
	if err := each(scratch, func(row kv.Row) { want[row.Key] = bytes.Clone(row.D) }); err != nil {
		return 0, nil, err
	}
	err = each(l.x, func(row kv.Row) {
		rows++
		d, ok := want[row.Key]
		switch {
		case !ok:
			differ = append(differ, kv.Op{Key: row.Key, Kind: kv.Del})
		case !bytes.Equal(d, row.D):
			differ = append(differ, kv.Op{Key: row.Key, D: d})
		}
		delete(want, row.Key)
	})
	for k, d := range want {
		differ = append(differ, kv.Op{Key: k, D: d})
	}
	return rows, differ, err
}
