package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/cmd/shoebox/internal/conf"
)

// firstLibrary is made for every new person.
const firstLibrary = "photos"

// A person is a user as commands show one.
type person struct {
	Login   string    `json:"login"`
	Name    string    `json:"name,omitempty"`
	Email   string    `json:"email,omitempty"`
	Owner   bool      `json:"owner"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Login1  time.Time `json:"firstLogin,omitzero"`
	Files   int64     `json:"files"`
	Bytes   int64     `json:"bytes"`
	Quota   int64     `json:"quota,omitempty"`
	UID     string    `json:"uid"`
	Note    string    `json:"note,omitempty"` // set if Files and Bytes are not known
}

type userArgs struct {
	Login, Name, Email string
	Owner              bool
	Quota              int64
	Suspend            bool
}

func userAddCommand() *command {
	var args userArgs
	var quota conf.Bytes
	return &command{
		name: "user add", args: "LOGIN", short: "add a person and print their first login link",
		nargs: [2]int{1, 1},
		long: `
Adds a person with a library of their own, called "photos", and prints a link that
signs them in once within ten minutes. LOGIN is the name they use with network drives:
a-z, 0-9, '.', '_' and '-'.

    shoebox user add ana -name "Ana Lima"
    shoebox user add max -quota 200GB

With an identity provider nobody needs to be added: who may sign in is made a user then.`,
		begins: true,
		flags: func(f *flag.FlagSet) {
			f.StringVar(&args.Name, "name", "", "`name` shown on the page")
			f.StringVar(&args.Email, "email", "", "`address`, shown only")
			f.BoolVar(&args.Owner, "owner", false, "may manage people, as the first owner may")
			f.Var(&quota, "quota", "most `space` they may use; 0 means no limit")
		},
		run: func(ctx context.Context, in *invocation) error {
			args.Login, args.Quota = in.args[0], int64(quota)
			url, err := ask[string](ctx, in, "user-add", args)
			if err != nil {
				return err
			}
			fmt.Fprintf(in.stdout, "user: %s\n", args.Login)
			if url != "" {
				fmt.Fprintf(in.stdout, "login link, once within 10 minutes: %s\n", url)
			}
			return nil
		},
	}
}

func (n *node) userAdd(ctx context.Context, args userArgs) (link string, err error) {
	u, err := n.accounts.CreateUser(ctx, account.NewUser{
		Login: args.Login, Name: args.Name, Email: args.Email, Owner: args.Owner, Quota: args.Quota,
	})
	if errors.Is(err, account.ErrLoginTaken) {
		return "", fmt.Errorf("there is a user %q already: shoebox login-link %s makes a link for them", args.Login, args.Login)
	}
	if err != nil {
		return "", err
	}
	if err := n.firstLibrary(ctx, u.UID); err != nil {
		return "", err
	}
	if !n.cfg.linksWork() {
		return "", nil
	}
	return n.linkFor(ctx, u)
}

// firstLibrary makes the library a new person begins with, if it is not there.
func (n *node) firstLibrary(ctx context.Context, uid string) error {
	l, err := n.backend.Library(ctx, uid, backend.Access{})
	if err != nil {
		return err
	}
	_, err = l.Mkdir(ctx, firstLibrary, &backend.MkdirOptions{Existing: true})
	return err
}

func userListCommand() *command {
	var asJSON bool
	return &command{
		name: "user list", short: "list people and what they keep",
		long: `
Lists everybody, with the number and size of their files.

    shoebox user list
    shoebox user list -json`,
		flags: func(f *flag.FlagSet) { f.BoolVar(&asJSON, "json", false, "print JSON") },
		run: func(ctx context.Context, in *invocation) error {
			people, err := ask[[]person](ctx, in, "user-list", none{})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(in.stdout, people)
			}
			var rows [][]string
			for _, p := range people {
				role := "user"
				if p.Owner {
					role = "owner"
				}
				size := conf.Approx(p.Bytes)
				if p.Note != "" {
					size = p.Note
				}
				rows = append(rows, []string{p.Login, printable(p.Name), role, p.State, when(p.Login1, "not yet"), fmt.Sprint(p.Files), size})
			}
			return table(in.stdout, "LOGIN\tNAME\tROLE\tSTATE\tFIRST SIGNED IN\tFILES\tSIZE", rows)
		},
	}
}

func (n *node) userList(ctx context.Context, _ none) ([]person, error) {
	users, err := n.accounts.Users(ctx)
	if err != nil {
		return nil, err
	}
	people := make([]person, len(users))
	for i, u := range users {
		p := person{
			Login: u.Login, Name: u.Name, Email: u.Email, Owner: u.Owner, State: u.State.String(),
			Created: u.Created, Login1: u.FirstLogin, Quota: u.Quota, UID: u.UID,
		}
		// One library that can not be read must not hide the other people.
		if usage, err := n.usage(ctx, u.UID); err != nil {
			p.Note = "unknown"
			n.log.Warn("usage is not known", "principal", u.Login, "err", err)
		} else {
			p.Files, p.Bytes = usage.Files, usage.Bytes
		}
		people[i] = p
	}
	return people, nil
}

func (n *node) usage(ctx context.Context, uid string) (backend.Usage, error) {
	l, err := n.backend.Library(ctx, uid, backend.Access{})
	if err != nil {
		return backend.Usage{}, err
	}
	return l.Usage(ctx)
}

func userSuspendCommand() *command {
	return userStateCommand("user suspend", true, "shut somebody out; their photographs stay", `
Shuts a person out at once: their app passwords and sessions stop working, on every
device. Nothing is deleted, and user resume lets them in again.

    shoebox user suspend max`)
}

func userResumeCommand() *command {
	return userStateCommand("user resume", false, "let somebody in again", `
Ends a suspension. The person's app passwords work again.

    shoebox user resume max`)
}

func userStateCommand(name string, suspend bool, short, long string) *command {
	return &command{
		name: name, args: "LOGIN", short: short, long: long, nargs: [2]int{1, 1},
		run: func(ctx context.Context, in *invocation) error {
			state, err := ask[string](ctx, in, "user-state", userArgs{Login: in.args[0], Suspend: suspend})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(in.stdout, "%s is %s\n", in.args[0], state)
			return err
		},
	}
}

func (n *node) userState(ctx context.Context, args userArgs) (string, error) {
	u, err := n.person(ctx, args.Login)
	if err != nil {
		return "", err
	}
	state := account.Active
	if args.Suspend {
		state = account.Suspended
	}
	return state.String(), n.accounts.SetState(ctx, u.UID, state)
}
