package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

type gcArgs struct {
	Principal string
	DryRun    bool
	MaxStrays float64
}

// A gcReport is what was done for everybody.
type gcReport struct {
	People  []gcPerson `json:"people"`
	Nobodys []string   `json:"nobodys"` // uids in the bucket that nobody has
}

type gcPerson struct {
	Login string `json:"login"`
	Error string `json:"error,omitempty"`
	backend.Collected
}

func gcCommand() *command {
	var args gcArgs
	var asJSON bool
	return &command{
		name: "gc", short: "delete from the bucket what nothing refers to any more",
		long: fmt.Sprintf(`
Deletes originals, with their smaller images, that were removed from the trash or the
versions 35 days ago. The server does this every day by itself; called by hand it also
looks for strays: originals that nothing has ever referred to, which uploads leave that
were broken off. A stray goes after two looks that are a week apart, and 35 days more.

    shoebox gc -dry-run
    shoebox gc

What is not certain deletes nothing: a fault of the bucket, an index that contradicts
itself, or more strays than 1%% of all originals (and more than 10) end the run. If fsck
finds nothing wrong then, -max-strays takes more of them.

Objects that are not named as Shoebox names its own are counted, and never touched. Parts
of uploads that were not completed are left to the bucket's own lifecycle rule.

It exits with 0 if all was done, with %d if something was not certain.`, exitFailed),
		flags: func(f *flag.FlagSet) {
			f.StringVar(&args.Principal, "principal", "", "`login` of whose originals; empty means everybody's")
			f.BoolVar(&args.DryRun, "dry-run", false, "only count")
			f.Float64Var(&args.MaxStrays, "max-strays", 1, "most strays, in `percent` of all originals")
			f.BoolVar(&asJSON, "json", false, "print JSON")
		},
		run: func(ctx context.Context, in *invocation) error {
			if args.MaxStrays <= 0 || args.MaxStrays > 100 {
				return usageError("-max-strays: %v is no part of 100", args.MaxStrays)
			}
			rep, err := follow[gcReport](ctx, in, "gc", args)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(in.stdout, rep)
			} else {
				printGC(in, args.DryRun, rep)
			}
			for _, p := range rep.People {
				if p.Error != "" {
					err = errors.Join(err, fmt.Errorf("%s: %s", p.Login, p.Error))
				}
			}
			return err
		},
	}
}

func printGC(in *invocation, dry bool, rep gcReport) {
	done := "deleted"
	if dry {
		done = "would be deleted"
	}
	for _, p := range rep.People {
		fmt.Fprintf(in.stdout, "%s: %d originals %s, with %d smaller images; %d wait for their time\n", p.Login, p.Deleted, done, p.Variants, p.Waiting)
		if p.Strays > 0 {
			fmt.Fprintf(in.stdout, "  %d of %d originals are strays: %d seen for the first time, %d for the second\n", p.Strays, p.Listed, p.Noted, p.Buried)
		}
		if p.Chunks > 0 {
			fmt.Fprintf(in.stdout, "  %d pieces of uploads that were broken off, of which the index knows nothing, will be deleted\n", p.Chunks)
		}
		if p.Foreign > 0 {
			fmt.Fprintf(in.stdout, "  %d objects are not ours, and stay:\n", p.Foreign)
			for _, name := range p.Names {
				fmt.Fprintf(in.stdout, "    %s\n", printable(name))
			}
		}
	}
	for _, uid := range rep.Nobodys {
		fmt.Fprintf(in.stdout, "there are originals or a log of %s, who is nobody here; they stay (shoebox rebuild -from-originals gives them back)\n", uid)
	}
}

func (n *node) gc(ctx context.Context, args gcArgs, tell func(string)) (rep gcReport, err error) {
	users, err := n.people(ctx, args.Principal)
	if err != nil {
		return rep, err
	}
	for _, u := range users {
		got, err := n.backend.Collect(ctx, u.UID, &backend.CollectOptions{
			DryRun: args.DryRun, Strays: true, MaxStrays: args.MaxStrays,
			Progress: func(done int64) { tell(fmt.Sprintf("%s: %d objects", u.Login, done)) },
		})
		p := gcPerson{Login: u.Login, Collected: *got}
		if err != nil {
			p.Error = err.Error()
		}
		rep.People = append(rep.People, p)
	}
	if args.Principal != "" {
		return rep, nil
	}
	uids, err := n.backend.UIDs(ctx)
	for _, uid := range uids {
		if _, err := n.accounts.User(ctx, uid); errors.Is(err, account.ErrNotExist) {
			rep.Nobodys = append(rep.Nobodys, uid)
		} else if err != nil {
			return rep, err
		}
	}
	return rep, err
}

// people is the person called login, or everybody if that is empty.
func (n *node) people(ctx context.Context, login string) ([]*account.User, error) {
	if login == "" {
		return n.accounts.Users(ctx)
	}
	u, err := n.person(ctx, login)
	if err != nil {
		return nil, err
	}
	return []*account.User{u}, nil
}
