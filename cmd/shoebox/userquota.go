package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

type quotaArgs struct {
	Login        string
	Bytes, Files int64
}

func userQuotaCommand() *command {
	var args quotaArgs
	return &command{
		name: "user quota", args: "LOGIN SIZE", short: "limit what somebody may keep", nargs: [2]int{2, 2},
		long: `
Limits the space a person may use, and with -files the number of files: what is over it
is refused by every face, and the page shows how much is left. What is in the trash and
earlier versions count. A SIZE of 0 means no limit.

    shoebox user quota max 200GB
    shoebox user quota max 0 -files 50000`,
		flags: func(f *flag.FlagSet) { f.Int64Var(&args.Files, "files", 0, "most `files`; 0 means any number") },
		run: func(ctx context.Context, in *invocation) error {
			var size conf.Bytes
			if err := size.Set(in.args[1]); err != nil {
				return usageError("SIZE: %w", err)
			}
			args.Login, args.Bytes = in.args[0], int64(size)
			if _, err := ask[none](ctx, in, "user-quota", args); err != nil {
				return err
			}
			limit := func(n int64, text string) string {
				if n == 0 {
					return "no limit"
				}
				return text
			}
			_, err := fmt.Fprintf(in.stdout, "%s may keep: %s, files: %s\n", args.Login, limit(args.Bytes, size.String()), limit(args.Files, fmt.Sprint(args.Files)))
			return err
		},
	}
}

func (n *node) userQuota(ctx context.Context, args quotaArgs) (none, error) {
	u, err := n.person(ctx, args.Login)
	if err != nil {
		return none{}, err
	}
	return none{}, n.accounts.SetQuota(asOperator(ctx), u.UID, args.Bytes, args.Files)
}

func userRemoveCommand() *command {
	return &command{
		name: "user remove", args: "LOGIN", short: "shut somebody out for good; their photographs stay", nargs: [2]int{1, 1},
		long: `
Ends a person's access for good: app passwords and sessions end at once and are
forgotten, the login name and identities are free for others. The photographs are not
deleted: the command prints the name under which shoebox export gives them out.

    shoebox user remove max

To shut somebody out for a while, use shoebox user suspend.`,
		run: func(ctx context.Context, in *invocation) error {
			login, err := ask[string](ctx, in, "user-remove", quotaArgs{Login: in.args[0]})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(in.stdout, "%s is removed; the photographs are those of %s\n", in.args[0], login)
			return err
		},
	}
}

func (n *node) userRemove(ctx context.Context, args quotaArgs) (string, error) {
	u, err := n.person(ctx, args.Login)
	if err != nil {
		return "", err
	}
	return n.accounts.RemoveUser(asOperator(ctx), u.UID)
}
