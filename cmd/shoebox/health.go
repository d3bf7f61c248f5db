package main

import (
	"context"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

func healthCommand() *command {
	return &command{
		name: "health", short: "say whether the server runs and can serve",
		long: `
Asks the running server, over its admin socket, whether it can serve. It prints one
line and exits with 0 if it can, with 1 if it cannot or does not run. Containers use it
as their health check; from elsewhere ask GET /healthz.`,
		run: func(ctx context.Context, in *invocation) error {
			r, err := call(ctx, in.cfg, "health", none{})
			if err != nil {
				return err
			}
			r.Close()
			_, err = fmt.Fprintln(in.stdout, "ok")
			return err
		},
	}
}

// health asks the index for something. The bucket is not asked: when it is away what
// can be done without it goes on, and starting anew would not help.
func (n *node) health(ctx context.Context, _ none) (string, error) {
	if _, err := n.index.Get(ctx, kv.Key{P: "health", S: "-"}); err != nil {
		return "", fmt.Errorf("the index: %w", err)
	}
	return buildVersion(), nil
}
