package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shoebox-photos/shoebox/backend"
	"github.com/shoebox-photos/shoebox/backend/account"
)

// A passwordInfo is an app password as commands show one: never with its secret.
type passwordInfo struct {
	ID       string    `json:"id"`
	Login    string    `json:"login"`
	Label    string    `json:"label"`
	Access   string    `json:"accessKeyID"`
	Protocol string    `json:"protocols"`
	Mode     string    `json:"mode"`
	Limited  bool      `json:"limited"` // to one collection
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUse  time.Time `json:"lastUse,omitzero"`
	LastBy   string    `json:"lastUseBy,omitempty"`
}

type passwordArgs struct {
	Principal, Label string
	DAV, S3          bool
	Mode             backend.Mode
	Below            string
	Expires          time.Time
	ID               string
}

// A minted is a new app password. It is printed once and kept nowhere.
type minted struct {
	Login, Password, AccessKeyID string
	DAV, S3                      bool
	WebDAV, S3Endpoint           string // where to use it
}

func passwordCreateCommand() *command {
	var args passwordArgs
	var protocols, mode string
	var expires span
	return &command{
		name: "app-password create", short: "make a password for one device and print it, once",
		long: `
Makes an app password: one device's own secret, for WebDAV and S3, which can be
revoked without touching the others. It is printed once and cannot be shown again.

    shoebox app-password create -label "Ana's phone" -principal ana
    shoebox app-password create -label scanner -mode upload-only -protocols dav
    shoebox app-password create -label frame -mode read-only -below photos/2024 -expires 90d

People make them for themselves on the page, under Devices.`,
		begins: true,
		flags: func(f *flag.FlagSet) {
			f.StringVar(&args.Principal, "principal", "", "`login` of whom it is for; empty means the owner")
			f.StringVar(&args.Label, "label", "", "`name` of the device")
			f.StringVar(&protocols, "protocols", "dav,s3", "what it opens: `dav, s3` or both")
			f.StringVar(&mode, "mode", "read-write", "`mode`: read-write, read-only or upload-only")
			f.StringVar(&args.Below, "below", "", "library or `folder` it is limited to, as photos/2024; it follows when that is renamed")
			f.Var(&expires, "expires", "`time` after which it ends, as 90d or 12h; 0 means never")
		},
		run: func(ctx context.Context, in *invocation) error {
			var faults []error
			for _, p := range strings.Split(protocols, ",") {
				switch strings.TrimSpace(p) {
				case "dav":
					args.DAV = true
				case "s3":
					args.S3 = true
				default:
					faults = append(faults, fmt.Errorf("-protocols: %q is none of dav, s3", p))
				}
			}
			var err error
			if args.Mode, err = parseMode(mode); err != nil {
				faults = append(faults, err)
			}
			if args.Label == "" {
				faults = append(faults, errors.New(`-label: give the device a name, as -label "Ana's phone"`))
			}
			if err := errors.Join(faults...); err != nil {
				return &exitError{exitUsage, err}
			}
			if expires > 0 {
				args.Expires = time.Now().Add(time.Duration(expires))
			}
			m, err := ask[minted](ctx, in, "password-create", args)
			if err != nil {
				return err
			}
			fmt.Fprintf(in.stdout, "user: %s\npassword: %s\n", m.Login, m.Password)
			if m.DAV {
				fmt.Fprintf(in.stdout, "webdav: %s\n", m.WebDAV)
			}
			if m.S3 && m.S3Endpoint != "" {
				fmt.Fprintf(in.stdout, "s3 endpoint: %s\ns3 access key id: %s\ns3 secret access key: the password\n", m.S3Endpoint, m.AccessKeyID)
			}
			return nil
		},
	}
}

// A span is a time as flags are given it: 90d, 12h.
type span time.Duration

func (s *span) String() string {
	if d := time.Duration(*s); d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return time.Duration(*s).String()
}

// Set implements flag.Value.
func (s *span) Set(text string) error {
	if text == "0" {
		*s = 0
		return nil
	}
	d, ok := parseSpan(text)
	if !ok {
		return errors.New("it is written as 90d or 12h")
	}
	*s = span(d)
	return nil
}

// parseSpan reads 2d, 3h or 90m, none of them negative.
func parseSpan(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * 24 * float64(time.Hour)), err == nil && n >= 0 && n < 36500
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

func parseMode(s string) (backend.Mode, error) {
	for _, m := range []backend.Mode{backend.ReadWrite, backend.ReadOnly, backend.UploadOnly} {
		if s == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("-mode: %q is none of read-write, read-only, upload-only", s)
}

func (n *node) passwordCreate(ctx context.Context, args passwordArgs) (minted, error) {
	u, err := n.person(ctx, args.Principal)
	if err != nil {
		return minted{}, err
	}
	o := account.MintOptions{Label: args.Label, DAV: args.DAV, S3: args.S3, Mode: args.Mode, Expires: args.Expires}
	if args.Below != "" {
		key, err := backend.ParseKey(args.Below)
		if err != nil {
			return minted{}, err
		}
		l, err := n.backend.Library(ctx, u.UID, backend.Access{})
		if err != nil {
			return minted{}, err
		}
		e, err := l.Stat(ctx, key)
		if errors.Is(err, backend.ErrNotExist) {
			return minted{}, fmt.Errorf("-below: %s has no folder %q: it begins with the library, as photos/2024", u.Login, args.Below)
		}
		if err != nil {
			return minted{}, fmt.Errorf("-below: %w", err)
		}
		if !e.Dir {
			return minted{}, fmt.Errorf("-below: %w", backend.ErrNotCollection)
		}
		o.Root = e.Ino
	}
	p, secret, err := n.accounts.Mint(ctx, u.UID, o)
	if err != nil {
		return minted{}, err
	}
	return minted{
		Login: u.Login, Password: string(secret), AccessKeyID: p.AccessKeyID(), DAV: p.DAV, S3: p.S3,
		WebDAV: n.cfg.webURL() + "/dav/", S3Endpoint: n.cfg.s3Endpoint(),
	}, nil
}

func passwordListCommand() *command {
	var args passwordArgs
	var asJSON bool
	return &command{
		name: "app-password list", short: "list app passwords with their last use",
		long: `
Lists the app passwords of everybody, or of one person, without their secrets.

    shoebox app-password list
    shoebox app-password list -principal ana`,
		flags: func(f *flag.FlagSet) {
			f.StringVar(&args.Principal, "principal", "", "`login` of whose to list; empty means everybody's")
			f.BoolVar(&asJSON, "json", false, "print JSON")
		},
		run: func(ctx context.Context, in *invocation) error {
			list, err := ask[[]passwordInfo](ctx, in, "password-list", args)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(in.stdout, list)
			}
			var rows [][]string
			for _, p := range list {
				mode := p.Mode
				if p.Limited {
					mode += ", one folder"
				}
				rows = append(rows, []string{p.ID, p.Login, printable(p.Label), p.Protocol, mode, when(p.Expires, "never"), when(p.LastUse, "never")})
			}
			return table(in.stdout, "ID\tLOGIN\tDEVICE\tOPENS\tMODE\tEXPIRES\tLAST USED", rows)
		},
	}
}

func (n *node) passwordList(ctx context.Context, args passwordArgs) ([]passwordInfo, error) {
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
	list := []passwordInfo{}
	for _, u := range users {
		ps, err := n.accounts.AppPasswords(ctx, u.UID)
		if err != nil {
			return nil, err
		}
		for _, p := range ps {
			var opens []string
			if p.DAV {
				opens = append(opens, "dav")
			}
			if p.S3 {
				opens = append(opens, "s3")
			}
			list = append(list, passwordInfo{
				ID: p.ID, Login: u.Login, Label: p.Label, Access: p.AccessKeyID(), Protocol: strings.Join(opens, ","),
				Mode: p.Mode.String(), Limited: p.Root != "", Created: p.Created, Expires: p.Expires,
				LastUse: p.Last.At, LastBy: p.Last.Proto,
			})
		}
	}
	return list, nil
}

func passwordRevokeCommand() *command {
	return &command{
		name: "app-password revoke", args: "ID", short: "end an app password at once",
		nargs: [2]int{1, 1},
		long: `
Ends an app password: the device that has it is shut out at once. The ID is the first
column of app-password list.

    shoebox app-password revoke 7H2KQX5DZAMN3BVC`,
		run: func(ctx context.Context, in *invocation) error {
			id := strings.TrimPrefix(strings.TrimPrefix(in.args[0], "sb_"), "SB")
			id, _, _ = strings.Cut(id, "_")
			p, err := ask[passwordInfo](ctx, in, "password-revoke", passwordArgs{ID: id})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(in.stdout, "revoked: %s of %s\n", printable(p.Label), p.Login)
			return err
		},
	}
}

func (n *node) passwordRevoke(ctx context.Context, args passwordArgs) (passwordInfo, error) {
	list, err := n.passwordList(ctx, passwordArgs{})
	if err != nil {
		return passwordInfo{}, err
	}
	for _, p := range list {
		if p.ID == args.ID {
			u, err := n.person(ctx, p.Login)
			if err != nil {
				return passwordInfo{}, err
			}
			return p, n.accounts.Revoke(ctx, u.UID, p.ID)
		}
	}
	return passwordInfo{}, fmt.Errorf("there is no app password %s: shoebox app-password list shows them", args.ID)
}
