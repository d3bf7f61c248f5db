package main

import (
	"context"
	"fmt"
	"os"

	"github.com/shoebox-photos/shoebox/processing/render"
)

// runRender is the hidden command "shoebox render", with which the server starts this
// program anew to render pictures under limits. It says whether it was that.
//
// It comes before everything else: the child needs no settings and no signals, and
// must not have read anything when it takes on its limits.
func runRender() bool {
	if len(os.Args) != 2 || os.Args[1] != "render" {
		return false
	}
	if err := render.ChildMain(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "shoebox render: %v\n", err)
		os.Exit(exitFailed)
	}
	return true
}
