package processing

import (
	"context"
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

// gather records results until the channel is closed. Recording is an object in the
// bucket's log, so those of one user that come within Options.Gather share it.
func (w *Worker) gather(results <-chan result) {
	type batch struct {
		results []result
		due     time.Time // when it is recorded at the latest
	}
	waiting := make(map[string]batch) // by user
	var look <-chan time.Time         // nil while nothing waits
	record := func(uid string) {
		w.record(uid, waiting[uid].results)
		delete(waiting, uid)
	}
	for {
		select {
		case r, ok := <-results:
			if !ok {
				for uid := range waiting {
					record(uid)
				}
				return
			}
			uid := r.held.uid
			b := waiting[uid]
			if len(b.results) == 0 {
				b.due = time.Now().Add(w.opt.Gather)
			}
			b.results = append(b.results, r)
			if waiting[uid] = b; len(b.results) >= w.opt.Batch {
				record(uid)
			}
			if look == nil {
				look = time.After(restGather)
			}
		case now := <-look:
			look = nil
			for uid, b := range waiting {
				if !now.Before(b.due) || !w.underWay(uid) {
					record(uid)
				}
			}
			if len(waiting) > 0 {
				look = time.After(restGather)
			}
		}
	}
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
