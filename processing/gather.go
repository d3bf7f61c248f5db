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

// gather records results until the channel is closed. Recording is an object in the
// bucket's log, so those of one user that come within Options.Gather share it.
func (w *Worker) gather(results <-chan result) {
	waiting := make(map[string][]result) // by user
	var due <-chan time.Time             // nil while nothing waits
	for {
		select {
		case r, ok := <-results:
			if !ok {
				w.recordAll(waiting)
				return
			}
			uid := r.held.uid
			if len(waiting) == 0 {
				due = time.After(w.opt.Gather)
			}
			if waiting[uid] = append(waiting[uid], r); len(waiting[uid]) >= w.opt.Batch {
				w.record(uid, waiting[uid])
				delete(waiting, uid)
			}
		case <-due:
			due = nil
			w.recordAll(waiting)
		}
	}
}

func (w *Worker) recordAll(waiting map[string][]result) {
	for uid, results := range waiting {
		w.record(uid, results)
	}
	clear(waiting)
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
		return
	}
	w.log.Error("results not recorded", "op", "process", "err", err)
	for i := range results {
		if err2 := w.queue.Postpone(ctx, results[i].held.release(), err, restUnrecorded); err2 != nil {
			w.log.Warn("job not given back", "op", "process", "err", err2)
		}
	}
}
