package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"time"

	"github.com/shoebox-photos/shoebox/backend/account"
)

// linkLife is how long a login link is valid.
const linkLife = 10 * time.Minute

func loginLinkCommand() *command {
	var breakGlass bool
	return &command{
		name: "login-link", args: "[LOGIN]", short: "print a link that signs somebody in once",
		nargs: [2]int{0, 1},
		long: `
Prints a URL that signs a person in on the page: once, within ten minutes. It is
how people sign in when there is no identity provider, and works for the owner
if no LOGIN is given.

    shoebox login-link
    shoebox login-link ana

Send it by a way that only that person reads. Links work over HTTPS, and over plain
HTTP on this machine only. Nobody but the user that Shoebox runs as can make one.`,
		flags: func(f *flag.FlagSet) {
			f.BoolVar(&breakGlass, "break-glass", false, "make one although an identity provider is set, for when it does not work")
		},
		run: func(ctx context.Context, in *invocation) error {
			args := linkArgs{BreakGlass: breakGlass}
			if len(in.args) > 0 {
				args.Login = in.args[0]
			}
			url, err := ask[string](ctx, in, "login-link", args)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(in.stdout, url)
			return err
		},
	}
}

type linkArgs struct {
	Login      string // "" means the owner
	BreakGlass bool
}

func (n *node) loginLink(ctx context.Context, args linkArgs) (string, error) {
	if !n.cfg.linksWork() && !args.BreakGlass {
		return "", fmt.Errorf("people sign in by %s here: -break-glass makes a link all the same, for when that does not work", n.cfg.issuers())
	}
	u, err := n.person(ctx, args.Login)
	if err != nil {
		return "", err
	}
	if args.BreakGlass {
		n.log.Warn("a login link was made beside the identity provider", "principal", u.Login)
	}
	return n.linkFor(ctx, u)
}

// linkFor makes the link of a user.
func (n *node) linkFor(ctx context.Context, u *account.User) (string, error) {
	token, err := n.accounts.NewLoginLink(ctx, u.UID, linkLife)
	if err != nil {
		return "", err
	}
	return n.cfg.webURL() + "/login/link?t=" + string(token), nil
}

// person is the user called login, or the owner for "".
func (n *node) person(ctx context.Context, login string) (*account.User, error) {
	if login != "" {
		u, err := n.accounts.UserByLogin(ctx, login)
		if errors.Is(err, account.ErrNotExist) {
			return nil, fmt.Errorf("there is no user %q: shoebox user list shows them", login)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", login, err)
		}
		return u, nil
	}
	u, _, err := n.accounts.EnsureOwner(ctx, n.cfg.owner)
	return u, err
}

// linksWork says whether people sign in by login links.
func (c *config) linksWork() bool {
	return c.loginLinks == "on" || c.loginLinks == "auto" && len(c.providers) == 0
}

// webURL is where users reach the page, without a slash at its end.
func (c *config) webURL() string {
	if c.publicOrigin != nil {
		return c.publicOrigin.Scheme + "://" + c.publicOrigin.Host
	}
	scheme := "http"
	if c.tlsCert != "" {
		scheme = "https"
	}
	return scheme + "://" + reachable(c.listen)
}

// s3Endpoint is where users reach S3, or "" if it is off.
func (c *config) s3Endpoint() string {
	switch {
	case c.s3URL != "":
		return c.s3URL
	case c.s3Listen == "":
		return ""
	case c.tlsCert != "":
		return "https://" + reachable(c.s3Listen)
	}
	return "http://" + reachable(c.s3Listen)
}

// reachable makes of an address listened on one that can be opened on this machine.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
