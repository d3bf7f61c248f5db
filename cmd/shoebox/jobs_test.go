package main

import (
	"fmt"
	"testing"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/backend/kv/kvtest"
	"github.com/shoebox-photos/shoebox/backend/kv/memkv"
)

// What one person's page says of the queue costs no more when there are others, and tells of
// a look for previews to be made anew whoever comes before.
func TestPageJobs(t *testing.T) {
	store := kvtest.NewFaults(memkv.New(), nil)
	q := job.New(store, nil)
	add := func(j job.Job) {
		t.Helper()
		if _, err := q.Add(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		add(job.Job{Kind: backend.JobVariants, UID: fmt.Sprintf("u%02d", i), Object: fmt.Sprint("other", i)})
	}
	for i := range 300 {
		add(job.Job{Kind: backend.JobVariants, UID: "u50", Object: fmt.Sprint("o", i)})
	}
	add(backend.SweepJob("u50", "by"))
	for _, test := range []struct {
		uid        string
		most, want int
		anew       string
	}{{"u10", 1000, 1, ""}, {"u50", 1000, 301, "just begun"}, {"u50", 5, 5, ""}, {"nobody", 1000, 0, ""}} {
		before := store.Calls()
		n, anew, err := pageJobs{q}.Waiting(t.Context(), test.uid, test.most)
		if err != nil || n != test.want || anew != test.anew {
			t.Errorf("%s: got %d, %q, %v; want %d, %q", test.uid, n, anew, err, test.want, test.anew)
		}
		if calls := store.Calls() - before; calls > 2 {
			t.Errorf("%s: %d calls of the store", test.uid, calls)
		}
	}
}
