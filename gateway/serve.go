package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Serve answers the connections of l with h until ctx ends, then lets requests
// under way finish for the Drain time, and returns nil. It closes l.
// A certificate makes it HTTPS, with HTTP/2.
func (g *Gateway) Serve(ctx context.Context, l net.Listener, h http.Handler, cert *Certificate) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), // hand-shakes that fail and the like
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
	}
	l = netutil.LimitListener(l, g.opt.MaxConns)
	if cert != nil {
		s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
	}
	done := make(chan error, 1)
	go func() {
		if cert != nil {
			done <- s.ServeTLS(l, "", "")
		} else {
			done <- s.Serve(l)
		}
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.opt.Drain)
	defer cancel()
	if err := s.Shutdown(drain); err != nil {
		s.Close()
		if !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("stop serving %s: %w", l.Addr(), err)
		}
		g.log.Warn("requests were cut off at the end", "addr", l.Addr().String())
	}
	return nil
}

// A Certificate is a TLS certificate with its key, in files that are read again
// when they change, so that a renewal needs no restart. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // when the files last changed, as of current
	checked time.Time
}

// OpenCertificate reads the certificate, with its chain, and the key, both PEM. log may be nil.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Certificate) load() error {
	changed, err := c.lastChange()
	if err != nil {
		return fmt.Errorf("read the TLS certificate: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the TLS certificate: %w", err)
	}
	c.current, c.changed = &cert, changed
	return nil
}

func (c *Certificate) lastChange() (t time.Time, err error) {
	for _, name := range []string{c.certFile, c.keyFile} {
		st, err := os.Stat(name)
		if err != nil {
			return t, err
		}
		if st.ModTime().After(t) {
			t = st.ModTime()
		}
	}
	return t, nil
}

// get looks at the files at most once a minute. One that can not be read leaves the
// certificate as it is.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) > time.Minute {
		c.checked = now
		if changed, err := c.lastChange(); err != nil || !changed.Equal(c.changed) {
			if err := c.load(); err != nil {
				c.log.Warn("the renewed TLS certificate can not be read; the old one stays", "err", err)
			} else {
				c.log.Info("the TLS certificate was renewed")
			}
		}
	}
	return c.current, nil
}
