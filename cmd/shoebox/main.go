// Command shoebox keeps a family's photographs in their own bucket and serves them as a WebDAV
// share, an S3 endpoint and a timeline in the browser. "shoebox help" lists what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit statuses.
const (
	exitFailed = 1 // the command could not do what it was asked
	exitUsage  = 2 // the command line or a setting is wrong
	exitDamage = 3 // fsck found something wrong
)

func main() {
	if runRender() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	status := exitFailed
	var e *exitError
	if errors.As(err, &e) {
		status = e.status
	}
	if text := err.Error(); text != "" {
		// Several faults are a line each.
		fmt.Fprintf(os.Stderr, "shoebox: %s\n", strings.ReplaceAll(text, "\n", "\nshoebox: "))
	}
	os.Exit(status)
}

// An exitError is an error that has an exit status of its own.
type exitError struct {
	status int
	err    error // nil if everything has been said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}
