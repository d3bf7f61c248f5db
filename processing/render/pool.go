//go:build unix

package render

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

// ErrCrashed says that the child which rendered a picture died, took too long, or
// answered nonsense, and was killed. As a rule that is the picture's doing, but it may
// be the machine's: trying once more is right, trying for ever is not.
var ErrCrashed = errors.New("the renderer died of it")

// ErrStart says that no child could be started: that is the installation's fault or
// the machine's, not the picture's.
var ErrStart = errors.New("renderer does not start")

// ErrClosed is returned by a Pool after Close.
var ErrClosed = errors.New("render: pool is closed")

// PoolOptions adjusts a Pool. The zero value, and nil, are ready for use.
type PoolOptions struct {
	Logger   *slog.Logger  // nil means slog.DiscardHandler
	Children int           // most at once; 0 means runtime.GOMAXPROCS(0)
	Memory   int64         // bytes a child may take; 0 means 1.5 GiB
	Total    int64         // bytes that the pictures under way are expected to take, at most, unless it is only one; 0 means Memory
	Timeout  time.Duration // for one picture; 0 means one minute
	Pictures int           // after so many a child is replaced; 0 means 200
	Idle     time.Duration // after so long without work a child ends; 0 means 20 seconds
	TempDir  string        // for pictures on their way from one program to another; "" means os.TempDir()
	Options                // of Render; Admit is the Pool's own
}

// A Pool renders in child processes, each with limits of memory, time and rights,
// and one picture at a time. A child that fails in any way is replaced. The methods
// may be called at once from several goroutines.
type Pool struct {
	command []string
	opt     PoolOptions
	slots   chan struct{}
	room    *semaphore.Weighted // of opt.Total

	mu     sync.Mutex
	idle   []*child // last used last
	closed bool
	found  map[string]string // programs and where they are; "" if not there
}

// NewPool makes a Pool whose children run command, which is to call ChildMain:
// os.Executable and "render" in this program. The environment of children is empty.
// No child is started before there is a picture.
func NewPool(command []string, opt *PoolOptions) *Pool {
	p := &Pool{command: command}
	if opt != nil {
		p.opt = *opt
	}
	if p.opt.Logger == nil {
		p.opt.Logger = slog.New(slog.DiscardHandler)
	}
	if p.opt.Children <= 0 {
		p.opt.Children = runtime.GOMAXPROCS(0)
	}
	if p.opt.Memory <= 0 {
		p.opt.Memory = 3 << 29
	}
	if p.opt.Timeout <= 0 {
		p.opt.Timeout = time.Minute
	}
	if p.opt.Pictures <= 0 {
		p.opt.Pictures = 200
	}
	if p.opt.Idle <= 0 {
		p.opt.Idle = 20 * time.Second
	}
	if p.opt.Total <= 0 {
		p.opt.Total = p.opt.Memory
	}
	p.slots = make(chan struct{}, p.opt.Children)
	p.room = semaphore.NewWeighted(p.opt.Total)
	return p
}

// Render is the function Render in a child. The child reads from the open file
// itself, at offsets of its own: file may be larger than memory, is not closed,
// and must not change meanwhile. Render waits for a child to be free; when ctx ends, the child
// is killed. The result is never nil.
//
// Of films and JPEG XL, programs of the system make pictures if they are installed:
// see Capabilities.
//
// Beside the errors of Render there are ErrCrashed, ErrStart, ErrClosed, and ctx's.
func (p *Pool) Render(ctx context.Context, file *os.File, size int64) (*Result, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return new(Result), context.Cause(ctx)
	}
	res, err := p.inChild(ctx, file, size)
	if errors.Is(err, ErrUnsupported) {
		return p.poster(ctx, res, err, file)
	}
	return res, err
}

// inChild is Render by a child alone.
func (p *Pool) inChild(ctx context.Context, file *os.File, size int64) (*Result, error) {
	c, err := p.get()
	if err != nil {
		return new(Result), err
	}
	if err := c.ready(ctx); err != nil { // it has not seen the picture yet
		c.kill()
		ended := c.ended()
		if ctx.Err() != nil {
			return new(Result), context.Cause(ctx)
		}
		err = fmt.Errorf("%w: %s: %w", ErrStart, ended, err)
		p.opt.Logger.Error("renderer does not start", "err", err, "stderr", printable(c.stderr.String()))
		return new(Result), err
	}
	clock := newStopwatch(ctx, p.opt.Timeout)
	defer clock.cancel()
	res, failure, err := c.render(clock, file, size, p.room, p.opt.Total)
	if err == nil {
		p.put(c)
		return res, failure
	}
	c.kill()
	ended := c.ended()
	switch {
	case ctx.Err() != nil:
		return new(Result), context.Cause(ctx)
	case clock.Err() != nil:
		err = fmt.Errorf("%w: took longer than %v", ErrCrashed, p.opt.Timeout)
	default:
		err = fmt.Errorf("%w: %s: %w", ErrCrashed, ended, err)
	}
	p.opt.Logger.Warn("renderer replaced", "err", err, "stderr", printable(c.stderr.String()))
	return new(Result), err
}

// A stopwatch is a context that ends after so much time in which it was not stopped.
type stopwatch struct {
	context.Context
	cancel context.CancelFunc
	timer  *time.Timer
	left   time.Duration
	since  time.Time
}

func newStopwatch(ctx context.Context, d time.Duration) *stopwatch {
	s := &stopwatch{left: d, since: time.Now()}
	s.Context, s.cancel = context.WithCancel(ctx)
	s.timer = time.AfterFunc(d, s.cancel)
	return s
}

func (s *stopwatch) stop() {
	if s.timer.Stop() {
		s.left -= time.Since(s.since)
	}
}

func (s *stopwatch) resume() {
	s.since = time.Now()
	s.timer.Reset(max(s.left, 0))
}

// Close ends the children that are idle and lets those at work finish; they end
// when they have. After it, Render returns ErrClosed.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.retire()
	}
	return nil
}

// get takes a child off the idle ones, or starts one.
func (p *Pool) get() (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		c.timer.Stop()
		if !c.dead() {
			return c, nil
		}
		c.retire()
	}
	return p.start()
}

// put gives a child back that has answered.
func (p *Pool) put(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.served++
	if p.closed || c.spent || c.served >= p.opt.Pictures {
		go c.retire() // it may take a moment
		return
	}
	p.idle = append(p.idle, c)
	c.timer = time.AfterFunc(p.opt.Idle, func() { p.drop(c) })
}

// drop ends a child that has been idle for long, unless it has been taken meanwhile.
func (p *Pool) drop(c *child) {
	p.mu.Lock()
	found := false
	for i, other := range p.idle {
		if other == c {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			found = true
			break
		}
	}
	p.mu.Unlock()
	if found {
		c.retire()
	}
}

// A child is a process that renders. One goroutine at a time uses it.
type child struct {
	process *os.Process
	socket  *net.UnixConn // to it
	pipe    *os.File      // from it
	stderr  *tail
	isReady bool
	spent   bool // it has more memory than it can give back
	served  int
	timer   *time.Timer
	exited  chan struct{} // closed after exit was set
	exit    error
}

// start starts a child and sends it its settings; it does not wait for the answer.
func (p *Pool) start() (*child, error) {
	pair, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	ours, theirs := pair[0], pair[1]
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	out, outTheirs, err := os.Pipe()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	defer outTheirs.Close()
	c := &child{socket: conn.(*net.UnixConn), pipe: out, stderr: new(tail), exited: make(chan struct{})}
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, outTheirs, c.stderr
	cmd.WaitDelay = time.Second
	// Ctrl-C is for the parent, which then lets its children finish.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		c.close()
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	c.process = cmd.Process
	go func() {
		c.exit = cmd.Wait()
		close(c.exited)
	}()
	head, err := json.Marshal(settings{
		Memory:    p.opt.Memory,
		CPU:       int64(p.opt.Timeout.Seconds()+1) * int64(p.opt.Pictures),
		MaxPixels: p.opt.MaxPixels,
	})
	if err == nil {
		_, err = c.socket.Write(appendFrame(nil, head))
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	return c, nil
}

// ready waits for a new child to have taken on its limits.
func (c *child) ready(ctx context.Context) error {
	if c.isReady {
		return nil
	}
	const most = 30 * time.Second // on the busiest machine
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	defer context.AfterFunc(ctx, c.kill)()
	if _, err := readFrame(c.pipe, 0); err != nil {
		return err
	}
	c.isReady = true
	return nil
}

// render hands a file over and reads the answer. Decoding begins when there is room;
// waiting for that does not count as time. err says that there was no answer, and that
// the child is of no use any more.
func (c *child) render(clock *stopwatch, file *os.File, size int64, room *semaphore.Weighted, total int64) (res *Result, failure, err error) {
	stop := context.AfterFunc(clock, c.kill)
	defer stop()
	body, err := json.Marshal(request{size})
	if err != nil {
		return nil, nil, err
	}
	frame := appendFrame(nil, body)
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	err2 := raw.Control(func(fd uintptr) {
		_, _, err = c.socket.WriteMsgUnix(frame, syscall.UnixRights(int(fd)), nil)
	})
	if err = errors.Join(err, err2); err != nil {
		return nil, nil, fmt.Errorf("hand over the file: %w", err)
	}
	a, err := readReply(c.pipe)
	if err == nil && a.Weight > 0 {
		weight := min(a.Weight, total) // what is larger goes alone
		clock.stop()
		err = room.Acquire(clock, weight)
		clock.resume()
		if err != nil {
			return nil, nil, err
		}
		defer room.Release(weight)
		if _, err = c.socket.Write(appendFrame(nil, nil)); err == nil {
			a, err = readReply(c.pipe)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	c.spent = a.Spent
	res, failure, err = readResult(c.pipe, a)
	if err == nil && !stop() {
		err = context.Cause(clock) // it is being killed
	}
	return res, failure, err
}

// kill ends the child at once. It may be called more than once, and from several
// goroutines.
func (c *child) kill() {
	c.process.Kill()
	c.close()
}

// retire lets the child end by itself, and makes sure.
func (c *child) retire() {
	c.close()
	select {
	case <-c.exited:
	case <-time.After(5 * time.Second):
		c.process.Kill()
	}
}

// close closes both ways to the child, which it takes as the end.
func (c *child) close() {
	c.socket.Close()
	c.pipe.Close()
}

func (c *child) dead() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// ended tells how the child ended.
func (c *child) ended() string {
	<-c.exited
	var exit *exec.ExitError
	switch {
	case c.exit == nil:
		return "it ended"
	case errors.As(c.exit, &exit):
		return exit.ProcessState.String()
	}
	return c.exit.Error()
}

// socketPair makes two connected Unix sockets, which no other child inherits.
func socketPair() (pair [2]*os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return pair, os.NewSyscallError("socketpair", err)
	}
	return [2]*os.File{os.NewFile(uintptr(fds[0]), "renderer"), os.NewFile(uintptr(fds[1]), "renderer")}, nil
}

// tail keeps the beginning of what a child says on its way out: the reason comes
// first, then the stacks.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 4<<10 - t.buf.Len(); room > 0 {
		t.buf.Write(b[:min(len(b), room)])
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

var _ io.Writer = (*tail)(nil)
