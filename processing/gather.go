package processing

import (
	"context"
	"maps"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/fail"
	"github.com/shoebox-photos/shoebox/backend/kv"
)

// A result is what was made of a job, which is held until that is recorded.
type result struct {
	held  *hold
	found backend.Processed
	leave func() // to be called when it has been recorded, or could not be
}

// restGather is how long a user has to have no picture under way before results are
// recorded without waiting for more: whoever sends one photograph sees it soon.
const restGather = 30 * time.Millisecond

// gather records results until the channel is closed, and returns when all are. Recording is
// an object in the bucket's log, so those of one user that come within Options.Gather share
// it. Users do not wait for each other's.
func (w *Worker) gather(results <-chan result) {
	type batch struct {
		results   []result
		due       time.Time // when it is recorded at the latest
		recording bool      // the one before it is
	}
	users := make(map[string]*batch)
	recorded := make(chan string)
	var look <-chan time.Time // nil while nothing waits
	record := func(uid string, b *batch) {
		part := b.results
		b.results, b.recording = nil, true
		go func() {
			w.record(uid, part)
			recorded <- uid
		}()
	}
	for results != nil || len(users) > 0 {
		select {
		case r, ok := <-results:
			if !ok {
				results, look = nil, time.After(0)
				continue
			}
			uid := r.held.uid
			b := users[uid]
			if b == nil {
				b = new(batch)
				users[uid] = b
			}
			if len(b.results) == 0 {
				b.due = time.Now().Add(w.opt.Gather)
			}
			b.results = append(b.results, r)
			if len(b.results) >= w.opt.Batch {
				if b.recording {
					w.setFull(uid, true)
				} else {
					record(uid, b)
				}
			}
		case uid := <-recorded:
			b := users[uid]
			b.recording = false
			w.setFull(uid, false)
			if len(b.results) == 0 {
				delete(users, uid)
			} else if results == nil || len(b.results) >= w.opt.Batch {
				record(uid, b)
			}
		case now := <-look:
			look = nil
			for uid, b := range users {
				if !b.recording && (results == nil || !now.Before(b.due) || !w.underWay(uid)) {
					record(uid, b)
				}
			}
		}
		if look == nil && len(users) > 0 && results != nil {
			look = time.After(restGather)
		}
	}
}

// setFull says that a whole batch of the user's results waits for the one before: there is
// no use in making more.
func (w *Worker) setFull(uid string, full bool) {
	w.mu.Lock()
	was := w.full[uid]
	if full {
		w.full[uid] = true
	} else {
		delete(w.full, uid)
	}
	w.mu.Unlock()
	if was && !full {
		w.queue.Ring()
	}
}

// occupied is how many jobs of each user are being worked on; less than none, if no more are
// wanted now.
func (w *Worker) occupied() map[string]int {
	w.mu.Lock()
	busy := maps.Clone(w.under)
	for uid := range w.full {
		busy[uid] = -1
	}
	w.mu.Unlock()
	w.rest.mark(busy)
	return busy
}

// underWay says whether a job of the user is being worked on.
func (w *Worker) underWay(uid string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.under[uid] > 0
}

// begin says that a job of the user is being worked on until end is called.
func (w *Worker) begin(uid string) (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under[uid]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.under[uid]--; w.under[uid] == 0 {
			delete(w.under, uid)
		}
	}
}

// record records results of one user, and with them the end of their jobs. If that
// fails, the jobs are given back: their objects are there, and will be written again
// as they are.
func (w *Worker) record(uid string, results []result) {
	// Not ended by what ends Run: the work is done.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer func() {
		for _, r := range results {
			r.leave()
		}
	}()
	found := make([]backend.Processed, len(results))
	for i := range results {
		found[i] = results[i].found
		found[i].Done = w.queue.DoneOps(results[i].held.release())
		for j := range found[i].Done {
			// A lease that was lost is no reason to lose the others' results, or its own.
			found[i].Done[j].Cond = kv.Any
		}
	}
	fail.Point("W8.made")
	err := w.lib.Finish(ctx, uid, found)
	if err == nil {
		w.rest.success(uid)
		return
	}
	w.log.Error("results not recorded", "op", "process", "err", err)
	w.rest.failure(uid)
	after, cancelAfter := context.WithTimeout(context.Background(), 10*time.Second) // ctx may be over
	defer cancelAfter()
	for i := range results {
		if err2 := w.queue.Postpone(after, results[i].held.release(), err, restUnrecorded); err2 != nil {
			w.log.Warn("job not given back", "op", "process", "err", err2)
		}
	}
}
