package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
	"github.com/shoebox-photos/shoebox/gateway"
)

// A command is one thing the program does.
type command struct {
	name  string // one word or two: "user add"
	args  string // as help shows them: "LOGIN"
	short string // one line
	long  string // teaches, with examples
	nargs [2]int // least and most arguments
	flags func(*flag.FlagSet)
	run   func(ctx context.Context, in *invocation) error
	// all is set where every setting matters, so that help lists them.
	all bool
	// begins is set where a Shoebox is made if there is none.
	begins bool
}

// An invocation is a command with what it was called with.
type invocation struct {
	cfg            *config
	args           []string
	stdout, stderr io.Writer
	log            *slog.Logger
	begins         bool
}

// commands makes the commands, in the order help lists them.
func commands() []*command {
	return []*command{
		serveCommand(),
		loginLinkCommand(),
		userAddCommand(), userListCommand(), userQuotaCommand(), userSuspendCommand(), userResumeCommand(), userRemoveCommand(),
		passwordCreateCommand(), passwordListCommand(), passwordRevokeCommand(),
		jobsListCommand(), jobsRetryCommand(),
		restoreCommand(), exportCommand(), fsckCommand(), gcCommand(), rebuildCommand(),
		rotateKeyCommand(), recoveryCodeCommand(), settingsCommand(), healthCommand(), doctorCommand(), versionCommand(),
	}
}

// run does what the arguments say. It returns soon after ctx ends.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) error {
	all := commands()
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
		if len(args) > 1 {
			if c, _ := find(all, args[1:]); c != nil {
				c.help(stdout)
				return nil
			}
			if group := groupOf(all, args[1]); len(group) > 0 {
				overview(stdout, group)
				return nil
			}
			return usageError("there is no command %q: shoebox help lists them", strings.Join(args[1:], " "))
		}
		overview(stdout, all)
		return nil
	}
	if args[0] == "--version" || args[0] == "-version" {
		args[0] = "version"
	}
	c, rest := find(all, args)
	if c == nil {
		if group := groupOf(all, args[0]); len(group) > 0 {
			if len(args) > 1 && (args[1] == "--help" || args[1] == "-help" || args[1] == "-h") {
				overview(stdout, group)
				return nil
			}
			overview(stderr, group)
			return &exitError{exitUsage, nil}
		}
		return usageError("there is no command %q: shoebox help lists them", args[0])
	}
	cfg := new(config)
	set := settingsOf(cfg)
	own := flag.NewFlagSet(c.name, flag.ContinueOnError)
	if c.flags != nil {
		c.flags(own)
	}
	positional, err := conf.Parse(set.FlagSet, own, conf.Source{Args: rest, Env: env, Prefix: envPrefix})
	if errors.Is(err, flag.ErrHelp) {
		c.help(stdout)
		return nil
	}
	if err != nil {
		err = fmt.Errorf("%w\nshoebox %s --help tells more", err, c.name)
	}
	if err := errors.Join(err, cfg.check()); err != nil {
		return &exitError{exitUsage, err}
	}
	if n := len(positional); n < c.nargs[0] || n > c.nargs[1] {
		return usageError("it is called as: shoebox %s\nshoebox %s --help tells more", strings.TrimSpace(c.name+" "+c.args), c.name)
	}
	return c.run(ctx, &invocation{cfg: cfg, args: positional, stdout: stdout, stderr: stderr, log: cfg.logger(stderr), begins: c.begins})
}

// logger writes to w, which is standard error.
func (c *config) logger(w io.Writer) *slog.Logger {
	opt := &slog.HandlerOptions{Level: c.logLevel}
	var h slog.Handler = slog.NewTextHandler(w, opt)
	if c.logFormat == "json" {
		h = slog.NewJSONHandler(w, opt)
	}
	return slog.New(gateway.LogHandler(h))
}

// find is the command that args begin with, and what follows its name.
func find(all []*command, args []string) (*command, []string) {
	for n := min(2, len(args)); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		for _, c := range all {
			if c.name == name {
				return c, args[n:]
			}
		}
	}
	return nil, nil
}

// groupOf are the commands whose first word of two is word.
func groupOf(all []*command, word string) (group []*command) {
	for _, c := range all {
		if strings.HasPrefix(c.name, word+" ") {
			group = append(group, c)
		}
	}
	return group
}

func overview(w io.Writer, list []*command) {
	fmt.Fprint(w, "Shoebox keeps photographs in a bucket of your own, and serves them by WebDAV,\nS3 and a timeline in the browser.\n\n")
	for _, c := range list {
		fmt.Fprintf(w, "  %-33s %s\n", strings.TrimSpace("shoebox "+c.name+" "+c.args), c.short)
	}
	fmt.Fprint(w, "\nshoebox COMMAND --help tells more. To begin: shoebox serve\n")
}

func (c *command) help(w io.Writer) {
	fmt.Fprintf(w, "shoebox %s: %s\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), c.short, strings.TrimSpace(c.long))
	cfg := new(config)
	set := settingsOf(cfg)
	own := flag.NewFlagSet(c.name, flag.ContinueOnError)
	if c.flags != nil {
		c.flags(own)
		fmt.Fprint(w, "\nFlags:\n")
		own.VisitAll(func(f *flag.Flag) { writeFlag(w, f) })
	}
	if c.all {
		fmt.Fprint(w, "\nSettings can be flags, environment variables (-bucket-region is SHOEBOX_BUCKET_REGION)\nor lines of a file (bucket-region = eu-west-1).\n")
		set.writeHelp(w)
		return
	}
	fmt.Fprint(w, "\nThe settings of shoebox serve are flags here too: -data-dir or -config says which\nShoebox is meant.\n")
}
