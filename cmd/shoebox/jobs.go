package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/job"
	"github.com/shoebox-photos/shoebox/gateway/browse"
)

// A jobInfo is a job as commands show one.
type jobInfo struct {
	ID       string    `json:"id"`
	Login    string    `json:"login"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"` // "queued" or "given up"
	Attempts int       `json:"attempts"`
	Queued   time.Time `json:"queued"`
	Due      time.Time `json:"due"` // when it is tried again, or was given up
	Error    string    `json:"error,omitempty"`
	Note     string    `json:"note,omitempty"` // how far it is, if it works in steps
}

// A jobsReport is the answer to jobs-list.
type jobsReport struct {
	Waiting int       `json:"waiting"`
	Running int       `json:"running"`
	GivenUp int       `json:"givenUp"`
	Jobs    []jobInfo `json:"jobs"` // those given up or that look through a library, and with -all the others
}

type jobsArgs struct {
	All bool
	ID  string
	Max int
}

func jobsListCommand() *command {
	var args jobsArgs
	var asJSON bool
	return &command{
		name: "jobs list", short: "list pictures that could not be made smaller, and count the rest",
		long: `
Making the smaller pictures that the page shows is a job for each upload. A job that
keeps failing is given up and listed here with its last error. The original is kept in any
case. When what makes the pictures has changed (a new version, a tool that was installed), a
job called sweep looks through each library for those to be made anew, and says here how far
it is.

    shoebox jobs list
    shoebox jobs list -all        # those that wait or run, too`,
		flags: func(f *flag.FlagSet) {
			f.BoolVar(&args.All, "all", false, "list jobs that wait or run, too")
			f.IntVar(&args.Max, "max", 1000, "most jobs to list")
			f.BoolVar(&asJSON, "json", false, "print JSON")
		},
		run: func(ctx context.Context, in *invocation) error {
			rep, err := ask[jobsReport](ctx, in, "jobs-list", args)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(in.stdout, rep)
			}
			fmt.Fprintf(in.stdout, "%d waiting, %d running, %d given up\n", rep.Waiting, rep.Running, rep.GivenUp)
			if len(rep.Jobs) == 0 {
				return nil
			}
			var rows [][]string
			for _, j := range rep.Jobs {
				rows = append(rows, []string{j.ID, j.Login, j.Kind, j.State, strconv.Itoa(j.Attempts), when(j.Due, "-"), printable(cmp.Or(j.Error, j.Note))})
			}
			return table(in.stdout, "ID\tLOGIN\tKIND\tSTATE\tTRIES\tWHEN\tERROR OR PROGRESS", rows)
		},
	}
}

func (n *node) jobsList(ctx context.Context, args jobsArgs) (jobsReport, error) {
	st, err := n.jobs.Stats(ctx)
	if err != nil {
		return jobsReport{}, err
	}
	rep := jobsReport{Waiting: st.Queued, Running: st.Running, GivenUp: st.Dead, Jobs: []jobInfo{}}
	users, err := n.accounts.Users(ctx)
	if err != nil {
		return rep, err
	}
	login := map[string]string{}
	for _, u := range users {
		login[u.UID] = u.Login
	}
	add := func(state string, want func(job.Job) bool, list func(context.Context, string, int) ([]job.Job, string, error)) error {
		for after := ""; ; {
			jobs, next, err := list(ctx, after, 1000)
			if err != nil {
				return err
			}
			for _, j := range jobs {
				if len(rep.Jobs) >= args.Max {
					return nil
				}
				if !want(j) {
					continue
				}
				rep.Jobs = append(rep.Jobs, jobInfo{j.ID, login[j.UID], j.Kind, state, j.Attempts, j.Queued, j.Due, j.LastError, j.Note})
			}
			if after = next; next == "" {
				return nil
			}
		}
	}
	every := func(job.Job) bool { return true }
	if err := add("given up", every, n.jobs.Dead); err != nil {
		return rep, err
	}
	queued := every
	if !args.All {
		queued = func(j job.Job) bool { return j.Kind == backend.JobSweep }
	}
	return rep, add("queued", queued, n.jobs.List)
}

// pageJobs is the queue as the page sees it.
type pageJobs struct{ *job.Queue }

// Waiting implements browse.Jobs.
func (q pageJobs) Waiting(ctx context.Context, uid string, most int) (n int, anew string, err error) {
	err = q.Of(ctx, uid, func(j job.Job) bool {
		switch j.Kind {
		case backend.JobVariants:
			n++
		case backend.JobSweep: // there may be several, below what has come back
			anew = cmp.Or(j.Note, anew, "just begun")
		}
		return n < most
	})
	return n, anew, err
}

// GivenUp implements browse.Jobs.
func (q pageJobs) GivenUp(ctx context.Context, n int) ([]browse.GivenUpJob, error) {
	jobs, _, err := q.Dead(ctx, "", n)
	list := make([]browse.GivenUpJob, len(jobs))
	for i, j := range jobs {
		list[i] = browse.GivenUpJob{ID: j.ID, UID: j.UID, Kind: j.Kind, Attempts: j.Attempts, At: j.Due, Error: j.LastError}
	}
	return list, err
}

func jobsRetryCommand() *command {
	return &command{
		name: "jobs retry", args: "[ID]", short: "try jobs again that were given up",
		nargs: [2]int{0, 1},
		long: `
Queues a job again that was given up, or all of them.

    shoebox jobs retry
    shoebox jobs retry 4k0v5b1p7q8r9s2t3u6w0x1y`,
		run: func(ctx context.Context, in *invocation) error {
			var args jobsArgs
			if len(in.args) > 0 {
				args.ID = in.args[0]
			}
			n, err := ask[int](ctx, in, "jobs-retry", args)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(in.stdout, "%d queued again\n", n)
			return err
		},
	}
}

func (n *node) jobsRetry(ctx context.Context, args jobsArgs) (int, error) {
	if args.ID == "" {
		return n.jobs.RetryAll(ctx)
	}
	_, dead, err := n.jobs.Get(ctx, args.ID)
	if errors.Is(err, job.ErrNotExist) {
		return 0, fmt.Errorf("there is no job %q: it is done, or shoebox jobs list -all shows another ID", args.ID)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", args.ID, err)
	}
	if !dead {
		return 0, nil
	}
	return 1, n.jobs.Retry(ctx, args.ID)
}
