package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/backend/fail"
)

type rotateArgs struct {
	RewrapOnly bool
}

// A rotated tells what rotate-master-key did.
type rotated struct {
	account.Rewrapped
	Number uint32 // of the master key in use
	File   string // where it is; "" if it comes from the environment or KMS
}

func rotateKeyCommand() *command {
	var args rotateArgs
	return &command{
		name: "rotate-master-key", short: "make a new master key and seal all secrets with it",
		long: `
Adds a new master key to the key file, seals the secrets of app passwords and the tokens
of the identity provider with it, and says how many those were. Clients notice nothing,
and the server goes on running. Old keys stay in the file until nothing needs them.

    shoebox rotate-master-key

Copy the key file afterwards: an old copy does not open what is sealed from now on. With
master-key-kms there is nothing to copy: the new key, too, is wrapped and in the bucket.
When the key comes from the environment, put the new one beside the old one there
(SHOEBOX_MASTER_KEY=1:…,2:…), start the server again, and call it with -rewrap-only; the
same goes on with a rotation that was interrupted.`,
		flags: func(f *flag.FlagSet) {
			f.BoolVar(&args.RewrapOnly, "rewrap-only", false, "make no new key, only seal with the newest")
		},
		run: func(ctx context.Context, in *invocation) error {
			r, err := ask[rotated](ctx, in, "rotate-key", args)
			if err != nil {
				return err
			}
			fmt.Fprintf(in.stdout, "master key in use: %d\nsealed anew: %d app passwords, %d provider tokens\n", r.Number, r.Passwords, r.Tokens)
			if r.Waiting > 0 {
				fmt.Fprintf(in.stdout, "still on an older key: %d app passwords for WebDAV only, until they are used the next time\n", r.Waiting)
			}
			if r.Lost > 0 {
				fmt.Fprintf(in.stdout, "cannot be opened with any key at hand: %d\n", r.Lost)
			}
			if r.File != "" {
				fmt.Fprintf(in.stdout, "Copy %s to where you keep its copy, apart from the photographs. A recovery code\nopens older keys only: shoebox recovery-code makes another.\n", r.File)
			}
			return nil
		},
	}
}

func (n *node) rotateKey(ctx context.Context, args rotateArgs) (r rotated, err error) {
	if !args.RewrapOnly {
		if err := n.newMasterKey(ctx); err != nil {
			return r, err
		}
		fail.Point("rotate.keyed")
	}
	r.Number = n.keys.Current()
	if n.cfg.keysAreAFile() {
		r.File = n.cfg.keyFile()
	}
	f, err := readFormat(ctx, n.bucket)
	if err != nil {
		return r, fmt.Errorf("read the bucket's format: %w", err)
	}
	if f.Key != n.keys.Check() {
		f.Key = n.keys.Check()
		if err := writeFormat(ctx, n.bucket, f, false); err != nil {
			return r, fmt.Errorf("write the bucket's format: %w", err)
		}
	}
	r.Rewrapped, err = n.accounts.Rewrap(ctx)
	n.accounts.Note(ctx, account.Event{Actor: operatorName, What: "master key rotated", Target: fmt.Sprint(r.Number)})
	return r, err
}

// operatorName is who the audit log says did what was done on the machine's shell.
const operatorName = "operator"

// asOperator is a context for what the operator does.
func asOperator(ctx context.Context) context.Context {
	return account.WithActor(ctx, account.Actor{Login: operatorName})
}
