package journal

import (
	"context"
	"fmt"
	"iter"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// readAhead is how many segments are asked for at once while the log is replayed, unless
// Options.ReadAhead says otherwise: a bucket that takes 30 ms an answer would else make a
// start take minutes.
const readAhead = 16

// A fetched is a segment on its way.
type fetched struct {
	seq    uint64
	stored []byte
	err    error
	ready  chan struct{}
}

// segmentsAfter yields the stored segments of the log after seq, in order, reading ahead.
// An error comes alone and last. At most readAhead segments are in memory.
func (l *Log) segmentsAfter(ctx context.Context, seq uint64) iter.Seq2[*fetched, error] {
	if l.opt.ReadAhead == 1 {
		return l.segmentsInTurn(ctx, seq)
	}
	return func(yield func(*fetched, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		line := make(chan *fetched, l.opt.ReadAhead)
		go func() {
			defer close(line)
			put := func(f *fetched) bool {
				select {
				case line <- f:
					return true
				case <-ctx.Done():
					return false
				}
			}
			for info, err := range l.b.List(ctx, object.LogPrefix(l.uid), object.LogName(l.uid, seq)) {
				f := &fetched{ready: make(chan struct{})}
				if err != nil {
					f.err = fmt.Errorf("list log: %w", err)
					close(f.ready)
					put(f)
					return
				}
				var ok bool
				if f.seq, ok = object.SeqOf(info.Name); !ok {
					continue // not ours; fsck reports it
				}
				if !put(f) { // waits while the line is full
					return
				}
				go func() {
					defer close(f.ready)
					if f.stored, f.err = readAll(ctx, l.b, info.Name); f.err != nil {
						f.err = fmt.Errorf("read log segment: %w", f.err)
					}
				}()
			}
		}()
		for f := range line {
			<-f.ready
			if f.err != nil {
				yield(nil, f.err)
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

// segmentsInTurn is segmentsAfter with one call of the bucket after the other.
func (l *Log) segmentsInTurn(ctx context.Context, seq uint64) iter.Seq2[*fetched, error] {
	return func(yield func(*fetched, error) bool) {
		for info, err := range l.b.List(ctx, object.LogPrefix(l.uid), object.LogName(l.uid, seq)) {
			if err != nil {
				yield(nil, fmt.Errorf("list log: %w", err))
				return
			}
			at, ok := object.SeqOf(info.Name)
			if !ok {
				continue // not ours; fsck reports it
			}
			stored, err := readAll(ctx, l.b, info.Name)
			if err != nil {
				yield(nil, fmt.Errorf("read log segment: %w", err))
				return
			}
			if !yield(&fetched{seq: at, stored: stored}, nil) {
				return
			}
		}
	}
}
