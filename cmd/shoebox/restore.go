package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/journal"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

type restoreArgs struct {
	Principal string
	At        time.Time
	From, To  string
	DryRun    bool
}

func restoreCommand() *command {
	var args restoreArgs
	var at string
	return &command{
		name: "restore", args: "PATH", short: "bring a folder or file back as it was at an earlier time",
		nargs: [2]int{1, 1},
		long: `
Brings a folder, or one file, back as it was, beside what there is now: PATH-restored. It
undoes a sync that went wrong, whatever that deleted, overwrote or renamed. PATH is told
as it was called then, library first. Nothing there is now is changed, and no photograph
is copied: the files are back in seconds. The server may run meanwhile.

    shoebox restore -at "2026-03-01 18:00" -dry-run photos/2024
    shoebox restore -at 3h photos/2024                   # as it was three hours ago
    shoebox restore -at 2d -principal ana photos

With -to it goes elsewhere. If there is a folder already, what is missing in it is added,
and a file whose name has other content by now stands beside it as "name (restored)":

    shoebox restore -at 2d -to photos/2024 photos/2024

It reaches 35 days back. Photographs that have been removed for good since are named.`,
		flags: func(f *flag.FlagSet) {
			f.StringVar(&at, "at", "", "`time`: as 2026-03-01, \"2026-03-01 18:00\", 2026-03-01T18:00:00Z, or how long ago, as 90m, 3h or 2d")
			f.StringVar(&args.To, "to", "", "`path` to restore to; empty means PATH-restored")
			f.StringVar(&args.Principal, "principal", "", "`login` of whose photographs; empty means the owner's")
			f.BoolVar(&args.DryRun, "dry-run", false, "only count")
		},
		run: func(ctx context.Context, in *invocation) (err error) {
			if args.At, err = parseAt(at, time.Now()); err != nil {
				return usageError("-at: %v", err)
			}
			args.From = in.args[0]
			got, err := follow[backend.Restored](ctx, in, "restore", args)
			if err != nil {
				return err
			}
			done := "restored to"
			if args.DryRun {
				done = "would be restored to"
			}
			fmt.Fprintf(in.stdout, "%d files (%s) in %d folders %s %s, as of %s\n", got.Files, conf.Approx(got.Bytes), got.Collections, done,
				printable(string(got.To)), args.At.Local().Format("2006-01-02 15:04:05"))
			if got.Same > 0 {
				fmt.Fprintf(in.stdout, "%d files are there already\n", got.Same)
			}
			if got.Gone == 0 {
				return nil
			}
			for _, key := range got.Names {
				fmt.Fprintf(in.stdout, "gone: %s\n", printable(string(key)))
			}
			return fmt.Errorf("%d files were removed for good since", got.Gone)
		},
	}
}

// parseAt reads a time, or how long ago it was.
func parseAt(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, errors.New("say as of when")
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if d, ok := parseSpan(s); ok {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: it is written as \"2026-03-01 18:00\", or 3h or 2d for how long ago", s)
}

func (n *node) restore(ctx context.Context, args restoreArgs, tell func(string)) (got backend.Restored, err error) {
	u, err := n.person(ctx, args.Principal)
	if err != nil {
		return got, err
	}
	from, err := backend.ParseKey(args.From)
	if err != nil {
		return got, fmt.Errorf("path: %w", err)
	}
	to, err := backend.ParseKey(args.To)
	if err != nil {
		return got, fmt.Errorf("-to: %w", err)
	}
	err = n.withScratch("restore-*", func(scratch *badgerkv.Store) error {
		res, err := n.backend.RestoreAt(ctx, u.UID, backend.RestoreOptions{
			At: args.At, From: from, To: to, DryRun: args.DryRun, Scratch: scratch,
			Replayed: func(p journal.Progress) { tell(replayed(p)) },
			Progress: func(r backend.Restored) { tell(fmt.Sprintf("%d files", r.Files)) },
		})
		if res != nil {
			got = *res
		}
		return err
	})
	switch {
	case errors.Is(err, backend.ErrNotExist):
		err = fmt.Errorf("there was no %q at %s: PATH begins with the library, as photos/2024", args.From, args.At.Local().Format("2006-01-02 15:04:05"))
	case errors.Is(err, journal.ErrHistory):
		err = fmt.Errorf("%s is too long ago: %w", args.At.Local().Format("2006-01-02 15:04"), err)
	}
	return got, err
}

// replayed says how far a replay is.
func replayed(p journal.Progress) string {
	return fmt.Sprintf("replaying the log: %d rows, %d segments", p.Rows, p.Segments)
}

// withScratch calls f with an empty store on disk, which is removed afterwards: the rows of
// a large library would not fit into memory.
func (n *node) withScratch(pattern string, f func(*badgerkv.Store) error) (err error) {
	dir, err := os.MkdirTemp(n.cfg.dataDir, pattern)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	scratch, err := badgerkv.Open(dir, &badgerkv.Options{Logger: n.log, BlockCache: 16 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	return f(scratch)
}
