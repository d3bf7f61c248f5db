package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoebox-photos/shoebox/backend/account"
	"github.com/shoebox-photos/shoebox/gateway"
	"github.com/shoebox-photos/shoebox/gateway/auth"
	"github.com/shoebox-photos/shoebox/gateway/browse"
	"github.com/shoebox-photos/shoebox/gateway/dav"
	"github.com/shoebox-photos/shoebox/gateway/nextcloud"
	"github.com/shoebox-photos/shoebox/gateway/s3api"
	"github.com/shoebox-photos/shoebox/processing"
	"github.com/shoebox-photos/shoebox/processing/render"
)

func serveCommand() *command {
	return &command{
		name: "serve", short: "run Shoebox", all: true,
		long: `
Runs Shoebox until it is told to stop (Ctrl-C, SIGTERM). Without any setting the
photographs are kept under ./shoebox-data, and only this machine can reach it:

    shoebox serve

With a bucket, and a proxy in front that speaks HTTPS:

    shoebox serve -bucket s3://our-photos -bucket-region eu-west-1 \
        -listen :8080 -s3-listen :9000 -trusted-proxies 10.0.0.0/8 \
        -public-url https://photos.example.org -s3-url https://s3.photos.example.org

It prints where each face is and, while nobody can sign in otherwise, a link that signs
the owner in once. Requests and faults are logged on standard error.`,
		run: serve,
	}
}

// serve is the wiring: it opens every part, connects them, and runs what has to run
// until ctx ends or one of them fails.
func serve(ctx context.Context, in *invocation) (err error) {
	cfg, log := in.cfg, in.log
	if r, err := call(ctx, cfg, "health", none{}); err == nil {
		r.Close()
		return fmt.Errorf("a server is running on data-dir %s already: stop it first, or give this one another with -data-dir", cfg.dataDir)
	}
	// Ports first: the commonest fault should not wait for the others.
	web, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", portHint(err, "listen"))
	}
	defer web.Close()
	var s3 net.Listener
	if cfg.s3Listen != "" {
		if s3, err = net.Listen("tcp", cfg.s3Listen); err != nil {
			return fmt.Errorf("s3-listen: %w", portHint(err, "s3-listen"))
		}
		defer s3.Close()
		cfg.s3Listen = bound(cfg.s3Listen, s3)
	}
	cfg.listen = bound(cfg.listen, web)
	var cert *gateway.Certificate
	if cfg.tlsCert != "" {
		if cert, err = gateway.OpenCertificate(cfg.tlsCert, cfg.tlsKey, log); err != nil {
			return err
		}
	}

	n, err := openNode(ctx, cfg, log, prove)
	if err != nil && errors.Is(err, context.Cause(ctx)) {
		return nil // it was told to stop before it had begun
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	owner, _, err := n.accounts.EnsureOwner(ctx, cfg.owner)
	if err != nil {
		return err
	}
	if err := n.firstLibrary(ctx, owner.UID); err != nil {
		return fmt.Errorf("make the owner's library: %w", err)
	}
	faces, au, err := n.faces()
	if err != nil {
		return err
	}
	gate := gateway.New(faces, &gateway.Options{
		Logger: log, ClientAddr: au.ClientAddr, IsSecure: au.IsSecure, Follow: au.Follow, S3Host: cfg.s3Host(), Drain: cfg.drain, MaxConns: cfg.maxConns,
	})
	admin, err := listenAdmin(cfg)
	if err != nil {
		return err
	}
	defer os.Remove(cfg.adminSocket())

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return gate.Serve(ctx, web, gate.Web(), cert) })
	if s3 != nil {
		g.Go(func() error { return gate.Serve(ctx, s3, gate.S3(), cert) })
	}
	g.Go(func() error { return serveAdmin(ctx, admin, n) })
	g.Go(func() error { return n.backend.Run(ctx) })
	g.Go(func() error { return n.accounts.Run(ctx) })
	g.Go(func() error { return au.Run(ctx) })
	if cfg.workers > 0 {
		g.Go(func() error { return n.process(ctx) })
	}
	if n.disk != nil {
		g.Go(func() error { return n.sweep(ctx) })
	}
	log.Info("serving", "version", buildVersion(), "web", web.Addr().String(), "data", cfg.dataDir)
	g.Go(func() error { return n.greet(ctx, in.stdout, owner) })
	err = g.Wait()
	log.Info("stopped")
	return err
}

// faces makes the handlers, and what knows who asks.
func (n *node) faces() (f gateway.Faces, au *auth.Auth, err error) {
	cfg, log := n.cfg, n.log
	opt := &auth.Options{
		Logger: log, TrustedProxies: cfg.proxies, PublicURL: cfg.publicOrigin,
		AllowPlainHTTP: cfg.allowPlainHTTP, Welcome: n.firstLibrary, OIDC: cfg.providers, ProofEvery: cfg.oidcProof,
	}
	if au, err = auth.New(n.accounts, opt); err != nil {
		return f, nil, err
	}
	pages := http.NewServeMux()
	au.Routes(pages)
	pages.Handle("/", au.Session(browse.New(n.backend, n.accounts, &browse.Options{
		Logger: log, PublicURL: cfg.publicURL, IsSecure: au.IsSecure, S3URL: cfg.s3Endpoint(), SignIn: au.Providers(), Version: buildVersion(), Jobs: pageJobs{n.jobs},
		TrashKeep: days(cfg.trashDays),
	})))
	trace, err := cfg.openTrace(os.Stderr)
	if err != nil {
		return f, nil, err
	}
	davOpt := &dav.Options{Logger: log}
	if n.disk != nil {
		davOpt.Free = n.free
	}
	return gateway.Faces{
		DAV:    trace.Handler(au.Basic("Shoebox", "dav", dav.New(n.backend, davOpt))),
		S3:     s3api.New(n.backend, au, s3Options(cfg, au, log)),
		Page:   dav.Above("/dav", pages),
		Health: func(ctx context.Context) error { _, err := n.health(ctx, none{}); return err },

		Nextcloud: nextcloud.New(n.backend, n.accounts, au, &nextcloud.Options{Logger: log, PublicURL: cfg.publicOrigin, DAV: *davOpt, Trace: trace}),
	}, au, nil
}

func s3Options(cfg *config, au *auth.Auth, log *slog.Logger) *s3api.Options {
	// What is not signed byte by byte is taken only where nobody can change it. A proxy on
	// this machine is not the client: auth knows.
	o := &s3api.Options{Logger: log, Origins: cfg.s3Origins, Secure: au.MayCarrySecrets}
	if u, err := url.Parse(cfg.s3URL); err == nil && cfg.s3URL != "" {
		o.Domains = []string{u.Hostname()}
	}
	return o
}

// process makes the variants of new pictures until ctx ends.
func (n *node) process(ctx context.Context) error {
	self, err := executable()
	if err != nil {
		return fmt.Errorf("find this program, to render pictures with it: %w", err)
	}
	pool := render.NewPool([]string{self, "render"}, &render.PoolOptions{
		Logger: n.log, Children: n.cfg.workers, Memory: int64(n.cfg.renderMemory), Timeout: n.cfg.renderTimeout,
	})
	defer pool.Close()
	opt := &processing.Options{Logger: n.log, Workers: n.cfg.workers, TempDir: n.cfg.path("tmp"), Grace: n.cfg.drain, Users: n.uids}
	if err := os.MkdirAll(opt.TempDir, 0o700); err != nil {
		return err
	}
	err = processing.New(n.backend, n.jobs, pool, opt).Run(ctx)
	if ctx.Err() != nil {
		return nil // it was told to stop
	}
	return err
}

// uids are the users whose libraries there are.
func (n *node) uids(ctx context.Context) (uids []string, err error) {
	users, err := n.accounts.Users(ctx)
	for _, u := range users {
		uids = append(uids, u.UID)
	}
	return uids, err
}

// executable is this very program: on Linux also when its file has been replaced by a
// newer version's since it was started.
func executable() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// sweep removes, once a day, what interrupted writes left in the directory that is the bucket.
func (n *node) sweep(ctx context.Context) error {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if err := n.disk.Sweep(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("leftovers stay", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// greet says on standard output where everything is. A link for the owner is printed
// while there is no other way in and the owner has not been in yet.
func (n *node) greet(ctx context.Context, out io.Writer, owner *account.User) error {
	cfg := n.cfg
	fmt.Fprintf(out, "Shoebox %s is running.\n\n", buildVersion())
	fmt.Fprintf(out, "  page     %s/\n  WebDAV   %s/dav/\n", cfg.webURL(), cfg.webURL())
	if s3 := cfg.s3Endpoint(); s3 != "" {
		fmt.Fprintf(out, "  S3       %s\n", s3)
	}
	if cfg.publicURL != "" {
		fmt.Fprintf(out, "  here     %s", cfg.listen)
		if cfg.s3Listen != "" {
			fmt.Fprintf(out, ", for S3 %s", cfg.s3Listen)
		}
		fmt.Fprintln(out)
	}
	where := cfg.bucket
	if n.disk != nil {
		where = cfg.path("bucket")
	}
	fmt.Fprintf(out, "  photos   %s\n\n", where)
	if owner.FirstLogin.IsZero() && cfg.keysAreAFile() {
		fmt.Fprintf(out, "The master key is in %s.\nKeep a copy apart from the photographs: with it and the bucket all can be restored.\nOr write down what this prints, once: %s\n\n", cfg.keyFile(), cfg.commandLine("recovery-code"))
	}
	if !cfg.linksWork() {
		if owner.FirstLogin.IsZero() {
			token, err := n.accounts.NewLoginLink(ctx, owner.UID, setupLife)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "Whoever opens this first and signs in is the owner (it works once, for a day):\n\n  %s%s?setup=%s\n\n",
				cfg.webURL(), cfg.startPath(), string(token))
		}
		fmt.Fprintf(out, "People sign in at %s. When that is down: %s\n", cfg.issuers(), cfg.commandLine("login-link -break-glass"))
		return nil
	}
	if !owner.FirstLogin.IsZero() {
		fmt.Fprintf(out, "To sign in: %s\n", cfg.commandLine("login-link"))
		return nil
	}
	link, err := n.linkFor(ctx, owner)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Open this to sign in as the owner (it works once, for 10 minutes):\n\n  %s\n\nAnother one: %s\n", link, cfg.commandLine("login-link"))
	return nil
}

// commandLine is how the operator calls a command on this Shoebox.
func (c *config) commandLine(command string) string {
	line := "shoebox " + command
	if c.configFile != "" {
		line += " -config " + c.configFile
	}
	if c.dataDir != defaultDataDir {
		line += " -data-dir " + c.dataDir
	}
	return line
}

// serveAdmin answers the operator's commands.
func serveAdmin(ctx context.Context, l net.Listener, n *node) error {
	s := &http.Server{
		Handler: adminHandler(n, n.log), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.cfg.drain)
		defer cancel()
		if s.Shutdown(drain) != nil {
			s.Close()
		}
	})
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin socket: %w", err)
	}
	return nil
}

// bound is addr with the port that was given to l, for addresses with port 0.
func bound(addr string, l net.Listener) string {
	host, _, err := net.SplitHostPort(addr)
	_, port, err2 := net.SplitHostPort(l.Addr().String())
	if err != nil || err2 != nil {
		return l.Addr().String()
	}
	return net.JoinHostPort(host, port)
}

// portHint says what to do about a port that is not to be had.
func portHint(err error, setting string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: another program has that port; choose one with -%s", err, setting)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: ports below 1024 want CAP_NET_BIND_SERVICE (see deploy/shoebox.service) or root; or choose another with -%s", err, setting)
	}
	return err
}
