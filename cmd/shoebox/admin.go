package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The index belongs to one process. A command that needs it asks the server that has it
// open, over a socket in the data directory that only its owner can open:
//
//	POST http://shoebox/OPERATION    body: arguments, JSON
//	200  body: result; for most operations one JSON value
//	4xx  body: {"error": "…"}
//
// When no server runs, the command opens the index and does the same operation itself.

// operations is what can be asked, by name.
var operations = map[string]operation{
	"health":          answer((*node).health),
	"login-link":      answer((*node).loginLink),
	"user-add":        answer((*node).userAdd),
	"user-list":       answer((*node).userList),
	"user-state":      answer((*node).userState),
	"user-quota":      answer((*node).userQuota),
	"user-remove":     answer((*node).userRemove),
	"rotate-key":      answer((*node).rotateKey),
	"recovery-code":   answer((*node).recoveryCode),
	"password-create": answer((*node).passwordCreate),
	"password-list":   answer((*node).passwordList),
	"password-revoke": answer((*node).passwordRevoke),
	"jobs-list":       answer((*node).jobsList),
	"jobs-retry":      answer((*node).jobsRetry),
	"fsck":            telling((*node).fsck),
	"gc":              telling((*node).gc),
	"restore":         telling((*node).restore),
	"export-list":     stream((*node).exportList),
	"export-read":     stream((*node).exportRead),
}

// An operation reads its arguments from in and writes its result to out. If it has
// written something before it fails, the result ends early.
type operation func(ctx context.Context, n *node, in []byte, out io.Writer) error

// answer makes an operation of a method that returns one value.
func answer[In, Out any](f func(*node, context.Context, In) (Out, error)) operation {
	return func(ctx context.Context, n *node, in []byte, out io.Writer) error {
		var args In
		if err := json.Unmarshal(in, &args); err != nil {
			return fmt.Errorf("arguments: %w", err)
		}
		result, err := f(n, ctx, args)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(result)
	}
}

// stream makes an operation of a method that writes as it goes.
func stream[In any](f func(*node, context.Context, In, io.Writer) error) operation {
	return func(ctx context.Context, n *node, in []byte, out io.Writer) error {
		var args In
		if err := json.Unmarshal(in, &args); err != nil {
			return fmt.Errorf("arguments: %w", err)
		}
		return f(n, ctx, args, out)
	}
}

// none is for operations without arguments or without a result.
type none struct{}

// adminHandler answers on the admin socket.
func adminHandler(n *node, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		op := operations[name]
		if op == nil || r.Method != http.MethodPost {
			http.Error(w, `{"error":"no such operation: the server is of another version than this command"}`, http.StatusNotFound)
			return
		}
		in, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			return
		}
		out := &started{w: w}
		err = op(asOperator(r.Context()), n, in, out)
		switch {
		case err == nil:
			if name != "health" && name != "export-read" {
				log.Info("operator's request", "op", name)
			}
		case out.any:
			log.Warn("operator's request was cut off", "op", name, "err", err)
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusUnprocessableEntity)
			json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
		}
	})
}

// started notes whether anything was written.
type started struct {
	w   io.Writer
	any bool
}

func (s *started) Write(p []byte) (int, error) {
	s.any = true
	return s.w.Write(p)
}

// listenAdmin makes the socket. The caller has the index open, so a socket that is there
// was left by a process that is gone.
func listenAdmin(cfg *config) (net.Listener, error) {
	path, done, err := socketPath(cfg.adminSocket())
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the admin socket: %w", err)
	}
	// The directory is closed to others already; this is for those who open it.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open the admin socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // path may be a detour that is gone by then
	return l, nil
}

// socketPath gives a path to the socket that is short enough for the system (108 bytes on
// Linux, 104 elsewhere), which is valid until done is called.
func socketPath(path string) (short string, done func(), err error) {
	const most = 100
	if len(path) <= most {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil {
		dir.Close()
		return "", nil, fmt.Errorf("the path of the admin socket, %s, is too long for this system: choose a shorter data-dir", path)
	}
	return short, func() { dir.Close() }, nil
}

var errNoServer = errors.New("no server is running on this data directory")

// call asks the running server. It returns errNoServer if there is none. The caller
// closes the result.
func call(ctx context.Context, cfg *config, op string, args any) (io.ReadCloser, error) {
	path, done, err := socketPath(cfg.adminSocket())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoServer
	}
	if err != nil {
		return nil, err
	}
	defer done()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		},
	}}
	body, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://shoebox/"+op, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, errNoServer
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the server's admin socket is not open to this user: run the command as the user that the server runs as: %w", err)
	case err != nil:
		return nil, fmt.Errorf("ask the running server: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	var fault struct{ Error string }
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&fault); err != nil || fault.Error == "" {
		return nil, fmt.Errorf("ask the running server: it answered %s", res.Status)
	}
	return nil, errors.New(fault.Error)
}

// An operator does operations, through the running server or by itself.
type operator struct {
	in   *invocation
	node *node // nil if a server runs
}

// operate calls f with an operator.
func operate(ctx context.Context, in *invocation, f func(*operator) error) (err error) {
	res, err := call(ctx, in.cfg, "health", none{})
	if err == nil {
		res.Close()
		return f(&operator{in: in})
	}
	if !errors.Is(err, errNoServer) {
		return err
	}
	n := &node{cfg: in.cfg, log: quiet(in), existing: !in.begins}
	if err := n.open(ctx, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	if n.newKey {
		fmt.Fprintf(in.stderr, "A new Shoebox was begun in %s. If yours is elsewhere, -data-dir or -config says where.\n", in.cfg.dataDir)
	}
	return f(&operator{in, n})
}

// quiet is the log of a command that opens the index itself: it is not a server, so only
// what goes wrong is of interest.
func quiet(in *invocation) *slog.Logger {
	if in.cfg.logLevel < slog.LevelWarn && in.cfg.logLevel >= slog.LevelInfo {
		cfg := *in.cfg
		cfg.logLevel = slog.LevelWarn
		return cfg.logger(in.stderr)
	}
	return in.log
}

// open does an operation and returns its result as a stream, which the caller closes.
func (o *operator) open(ctx context.Context, op string, args any) (io.ReadCloser, error) {
	if o.node == nil {
		return call(ctx, o.in.cfg, op, args)
	}
	body, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(operations[op](asOperator(ctx), o.node, body, w)) }()
	return r, nil
}

// ask does an operation whose result is one value.
func ask[Out any](ctx context.Context, in *invocation, op string, args any) (out Out, err error) {
	err = operate(ctx, in, func(o *operator) error {
		r, err := o.open(ctx, op, args)
		if err != nil {
			return err
		}
		defer r.Close()
		return json.NewDecoder(r).Decode(&out)
	})
	return out, err
}
