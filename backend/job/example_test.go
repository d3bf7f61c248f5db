package job_test

import (
	"context"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// A job is queued in the commit that makes it necessary, and ends in the commit
// that brings its result.
func Example() {
	ctx := context.Background()
	store := memkv.New()
	queue := job.New(store, nil)

	entry := kv.Op{Key: kv.Key{P: "d#ana#0", S: "a.jpg"}, D: []byte("entry")}
	err := store.Commit(ctx, append(queue.Ops(job.Job{Kind: "variants", UID: "ana", Object: "o/ana/1"}), entry))
	if err != nil {
		fmt.Println(err)
		return
	}
	queue.Ring()

	// A worker:
	if err := queue.Wait(ctx); err != nil {
		fmt.Println(err)
		return
	}
	leases, err := queue.Claim(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range leases {
		fmt.Println(l.Kind, "of", l.Object)
		result := kv.Op{Key: kv.Key{P: "t#ana", S: "1"}, D: []byte("timeline row")}
		if err := store.Commit(ctx, append(queue.DoneOps(l), result)); err != nil {
			fmt.Println(err)
		}
	}
	stats, err := queue.Stats(ctx)
	fmt.Println(stats.Queued, "queued,", stats.Running, "running,", err)
	// Output:
	// variants of o/ana/1
	// 0 queued, 0 running, <nil>
}
