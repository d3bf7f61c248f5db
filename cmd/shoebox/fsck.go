package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/kv/badgerkv"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

type fsckArgs struct {
	Level          int
	Principal      string
	Sample         float64
	Repair, DryRun bool
}

// A fsckReport is what was found about one person's tree: see backend.Report.
type fsckReport struct {
	Login      string   `json:"login"`
	Entries    int64    `json:"entries"`
	Objects    int64    `json:"originals"`
	Unused     int64    `json:"unused"`
	NoVariants int64    `json:"noVariants"`
	Asked      int64    `json:"asked"`
	Unsummed   int64    `json:"unsummed"`
	Read       int64    `json:"read"`
	ReadBytes  int64    `json:"readBytes"`
	SizeOnly   int64    `json:"sizeOnly"`
	Repairs    []string `json:"repairs"`
	Wrong      int64    `json:"wrong"`
	Findings   []string `json:"findings"`
}

func fsckCommand() *command {
	args := fsckArgs{}
	var asJSON bool
	return &command{
		name: "fsck", short: "check the index, its log and the bucket against each other",
		long: fmt.Sprintf(`
Checks that all is as it should be. It changes nothing, and the server may run meanwhile.

    level 1  the index agrees with itself
    level 2  and with the log in the bucket, which is replayed beside it
    level 3  and every original it knows of is in the bucket, in its size
    level 4  and bears the checksum that the index knows; one request for each original
    level 5  and has the content that the checksum is of; -sample 2 reads 2 %% of them

    shoebox fsck
    shoebox fsck -level 3 -principal ana
    shoebox fsck -level 5 -sample 2
    shoebox fsck -level 3 -repair -dry-run     # what it would repair
    shoebox fsck -level 3 -repair

It exits with 0 if all is well, with %d if something is wrong, with %d if it could not find
out. What -repair makes good is rows of the index, and jobs for previews that are missing. An
original that is missing nobody can bring back but a backup.`, exitDamage, exitFailed),
		flags: func(f *flag.FlagSet) {
			f.IntVar(&args.Level, "level", 2, "how deep: 1 to 5")
			f.StringVar(&args.Principal, "principal", "", "`login` of whose tree to check; empty means everybody's")
			f.Float64Var(&args.Sample, "sample", 0, "`percent` of the originals that level 5 reads, others each time; 0 means all")
			f.BoolVar(&args.Repair, "repair", false, "make good what can be made good")
			f.BoolVar(&args.DryRun, "dry-run", false, "with -repair: only say what would be")
			f.BoolVar(&asJSON, "json", false, "print JSON")
		},
		run: func(ctx context.Context, in *invocation) error {
			switch {
			case args.Level < 1 || args.Level > 5:
				return usageError("-level: %d is none of 1 to 5", args.Level)
			case args.Sample < 0 || args.Sample > 100:
				return usageError("-sample: %g is no percentage", args.Sample)
			case args.DryRun && !args.Repair:
				return usageError("-dry-run goes with -repair")
			}
			reports, err := follow[[]fsckReport](ctx, in, "fsck", args)
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
				printFsck(in, args, reports)
			}
			if wrong > 0 {
				return &exitError{exitDamage, fmt.Errorf("%d things are wrong", wrong)}
			}
			return nil
		},
	}
}

func printFsck(in *invocation, args fsckArgs, reports []fsckReport) {
	note := func(n int64, format string, more ...any) {
		if n > 0 {
			fmt.Fprintf(in.stdout, "  (%d "+format+")\n", append([]any{n}, more...)...)
		}
	}
	for _, r := range reports {
		fmt.Fprintf(in.stdout, "%s: %d entries, %d originals, %d wrong\n", r.Login, r.Entries, r.Objects, r.Wrong)
		for _, f := range r.Findings {
			fmt.Fprintf(in.stdout, "  %s\n", printable(f))
		}
		if n := r.Wrong - int64(len(r.Findings)); n > 0 && r.Login != accountsLogin {
			fmt.Fprintf(in.stdout, "  and %d more\n", n)
		}
		done := "repaired"
		if args.DryRun {
			done = "would be repaired"
		}
		for _, f := range r.Repairs {
			fmt.Fprintf(in.stdout, "  %s: %s\n", done, printable(f))
		}
		note(r.Unused, "originals in the bucket belong to uploads under way or broken off, or wait to be collected")
		note(r.NoVariants, "previews are not in the bucket: -repair has them made again")
		note(r.Asked, "originals were asked for their checksum, %d bear none", r.Unsummed)
		note(r.Read, "originals were read, %s; of %d nothing is known but the size", conf.Approx(r.ReadBytes), r.SizeOnly)
	}
}

func (n *node) fsck(ctx context.Context, args fsckArgs, tell func(string)) ([]fsckReport, error) {
	users, err := n.people(ctx, args.Principal)
	if err != nil {
		return nil, err
	}
	reports := []fsckReport{}
	if args.Principal == "" && args.Level >= 2 {
		r, err := n.checkAccounts(ctx, args)
		if err != nil {
			return nil, fmt.Errorf("accounts: %w", err)
		}
		reports = append(reports, r)
	}
	for _, u := range users {
		r, err := n.check(ctx, u.UID, args, func(level int, done, total int64) {
			of := ""
			if total > 0 {
				of = fmt.Sprintf(" of %d", total)
			}
			tell(fmt.Sprintf("%s: level %d: %d%s", u.Login, level, done, of))
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.Login, err)
		}
		reports = append(reports, fsckReport{
			u.Login, r.Entries, r.Objects, r.Unused, r.NoVariants, r.Asked, r.Unsummed, r.Read, r.ReadBytes, r.SizeOnly, r.Repairs, r.Wrong, r.Findings,
		})
	}
	return reports, nil
}

// accountsLogin stands for the log of people and app passwords in the list of reports. It
// is nobody's login name.
const accountsLogin = "(accounts)"

// checkAccounts compares people and app passwords with their log.
func (n *node) checkAccounts(ctx context.Context, args fsckArgs) (r fsckReport, err error) {
	r.Login = accountsLogin
	err = n.withScratch("fsck-*", func(scratch *badgerkv.Store) error {
		if args.Repair && !args.DryRun {
			n, err := n.accounts.Log().Repair(ctx, scratch)
			if err != nil {
				return err
			}
			if n > 0 {
				r.Repairs = append(r.Repairs, fmt.Sprintf("%d rows of the index are made as the log tells", n))
			}
		}
		rows, differ, err := n.accounts.Log().Compare(ctx, scratch)
		if r.Entries, r.Wrong = int64(rows), int64(len(differ)); r.Wrong > 0 {
			r.Findings = append(r.Findings, fmt.Sprintf("%d rows of people and app passwords are not as the log tells", r.Wrong))
			if args.Repair && args.DryRun {
				r.Repairs = append(r.Repairs, fmt.Sprintf("%d rows of the index are made as the log tells", r.Wrong))
			}
		}
		return err
	})
	return r, err
}

// check checks one tree. The log is replayed into a store on disk.
func (n *node) check(ctx context.Context, uid string, args fsckArgs, progress func(level int, done, total int64)) (rep *backend.Report, err error) {
	opt := backend.CheckOptions{Level: args.Level, Sample: args.Sample, Repair: args.Repair, DryRun: args.DryRun, Progress: progress}
	if args.Level < 2 {
		return n.backend.CheckWith(ctx, uid, opt)
	}
	err = n.withScratch("fsck-*", func(scratch *badgerkv.Store) error {
		opt.Scratch = scratch
		rep, err = n.backend.CheckWith(ctx, uid, opt)
		return err
	})
	return rep, err
}
