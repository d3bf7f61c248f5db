package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
)

type fsckArgs struct {
	Level     int
	Principal string
}

// A fsckReport is what was found about one person's tree: see backend.Report.
type fsckReport struct {
	Login    string   `json:"login"`
	Entries  int64    `json:"entries"`
	Objects  int64    `json:"originals"`
	Unused   int64    `json:"unused"`
	Wrong    int64    `json:"wrong"`
	Findings []string `json:"findings"`
}

func fsckCommand() *command {
	args := fsckArgs{}
	var asJSON bool
	return &command{
		name: "fsck", short: "check the index, its log and the bucket against each other",
		long: fmt.Sprintf(`
Checks that all is as it should be, and changes nothing. The server may run meanwhile.

    level 1  the index agrees with itself
    level 2  and with the log in the bucket, which is replayed beside it
    level 3  and every original it knows of is in the bucket, in its size

    shoebox fsck
    shoebox fsck -level 3 -principal ana

It exits with 0 if all is well, with %d if something is wrong, with %d if it could not find
out. An index that is wrong (levels 1 and 2) is made anew by shoebox rebuild.`, exitDamage, exitFailed),
		flags: func(f *flag.FlagSet) {
			f.IntVar(&args.Level, "level", 2, "how deep: 1, 2 or 3")
			f.StringVar(&args.Principal, "principal", "", "`login` of whose tree to check; empty means everybody's")
			f.BoolVar(&asJSON, "json", false, "print JSON")
		},
		run: func(ctx context.Context, in *invocation) error {
			if args.Level < 1 || args.Level > 3 {
				return usageError("-level: %d is none of 1, 2, 3", args.Level)
			}
			reports, err := ask[[]fsckReport](ctx, in, "fsck", args)
			if err != nil {
				return err
			}
			var wrong int64
			for _, r := range reports {
				wrong += r.Wrong
			}
			if asJSON {
				if err := printJSON(in.stdout, reports); err != nil {
					return err
				}
			} else {
				printFsck(in, args.Level, reports)
			}
			if wrong > 0 {
				return &exitError{exitDamage, fmt.Errorf("%d things are wrong", wrong)}
			}
			return nil
		},
	}
}

func printFsck(in *invocation, level int, reports []fsckReport) {
	for _, r := range reports {
		fmt.Fprintf(in.stdout, "%s: %d entries, %d originals, %d wrong\n", r.Login, r.Entries, r.Objects, r.Wrong)
		for _, f := range r.Findings {
			fmt.Fprintf(in.stdout, "  %s\n", printable(f))
		}
		if n := r.Wrong - int64(len(r.Findings)); n > 0 {
			fmt.Fprintf(in.stdout, "  and %d more\n", n)
		}
		if level >= 3 && r.Unused > 0 {
			fmt.Fprintf(in.stdout, "  (%d originals in the bucket belong to uploads under way or broken off)\n", r.Unused)
		}
	}
}

func (n *node) fsck(ctx context.Context, args fsckArgs) ([]fsckReport, error) {
	users, err := n.accounts.Users(ctx)
	if err != nil {
		return nil, err
	}
	if args.Principal != "" {
		u, err := n.person(ctx, args.Principal)
		if err != nil {
			return nil, err
		}
		users = []*account.User{u}
	}
	reports := []fsckReport{}
	for _, u := range users {
		rep, err := n.check(ctx, u.UID, args.Level)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.Login, err)
		}
		reports = append(reports, fsckReport{u.Login, rep.Entries, rep.Objects, rep.Unused, rep.Wrong, rep.Findings})
	}
	return reports, nil
}

// check checks one tree. The log is replayed into a store on disk: a large library's
// would not fit into memory.
func (n *node) check(ctx context.Context, uid string, level int) (rep *backend.Report, err error) {
	if level < 2 {
		return n.backend.Check(ctx, uid, level, nil)
	}
	dir, err := os.MkdirTemp(n.cfg.dataDir, "fsck-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	scratch, err := badgerkv.Open(dir, &badgerkv.Options{Logger: n.log, BlockCache: 16 << 20})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	return n.backend.Check(ctx, uid, level, scratch)
}
