//go:build unix

package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

// ChildMain is the life of a child process of a Pool: it takes on the limits that its
// parent sets, then renders one picture after another, until the parent closes
// stdin, dies, or ctx ends. It is the whole of the hidden command "shoebox render", and
// changes the process it runs in for good: let main return after it.
//
// stdin is a Unix socket, stdout a pipe; nothing but a Pool can make use of it.
func ChildMain(ctx context.Context, stdin, stdout *os.File) error {
	conn, err := net.FileConn(stdin)
	if err != nil {
		return errors.New("this command is started by the server, to render pictures; it is of no use by hand")
	}
	stdin.Close()
	defer conn.Close()
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("standard input is not a Unix socket")
	}
	head, err := readFrame(socket, maxHeader)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	var set settings
	if err := json.Unmarshal(head, &set); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if len(set.Exec) > 0 {
		conn.Close() // the tool has no use for it
		return runTool(set)
	}
	Settle()
	debug.SetMemoryLimit(set.Memory * 3 / 4)
	warmHEIF()
	if err := confine(set); err != nil {
		return fmt.Errorf("take on limits: %w", err)
	}
	ready := appendFrame(nil, nil)
	if _, err := stdout.Write(ready); err != nil {
		return fmt.Errorf("tell that all is ready: %w", err)
	}

	// A reader of its own sees the parent go even while a picture is being made.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work, admitted := make(chan work), make(chan struct{})
	go func() {
		for {
			w, err := readWork(socket)
			if err == nil && w.file == nil {
				select {
				case admitted <- struct{}{}:
				case <-ctx.Done():
					return
				}
				continue
			}
			if err != nil {
				cancel(err)
				return
			}
			select {
			case work <- w:
			case <-ctx.Done():
				return
			}
		}
	}()
	done := make(chan error)
	for {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return err
			}
			return nil // the parent is gone, or has enough
		case w := <-work:
			go func() {
				res, err := Render(w.file, w.size, &Options{MaxPixels: set.MaxPixels, Admit: func(bytes int64) error {
					head, err := json.Marshal(reply{Weight: max(bytes, 1)})
					if err != nil {
						return err
					}
					if _, err := stdout.Write(appendFrame(nil, head)); err != nil {
						return err
					}
					select {
					case <-admitted:
						return nil
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				}})
				w.file.Close()
				done <- writeResult(stdout, res, err)
			}()
			select {
			case <-ctx.Done():
				continue
			case err := <-done:
				if err != nil {
					return fmt.Errorf("write result: %w", err)
				}
				// Now the heap is all but empty: the cheapest moment to make room, so that the
				// next picture does not come on top of this one.
				runtime.GC()
			}
		}
	}
}

// work is a request with its file.
type work struct {
	file *os.File
	size int64
}

// readWork reads a request and the open file that comes with it. Without a file, it is the
// leave to decode.
func readWork(socket *net.UnixConn) (work, error) {
	buf, oob := make([]byte, 4+1<<10), make([]byte, syscall.CmsgSpace(4))
	n, oobn, _, _, err := socket.ReadMsgUnix(buf, oob)
	if err != nil {
		return work{}, err
	}
	if n == 0 {
		return work{}, io.EOF
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return work{}, fmt.Errorf("read request: %w", err)
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return work{}, fmt.Errorf("read request: %w", err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "original"))
		}
	}
	body, err := readFrame(io.MultiReader(newBytes(buf[:n]), socket), maxHeader)
	if err != nil {
		return work{}, fmt.Errorf("read request: %w", err)
	}
	if len(files) == 0 && len(body) == 0 {
		return work{}, nil
	}
	if len(files) != 1 {
		return work{}, fmt.Errorf("read request: %d files came along", len(files))
	}
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return work{}, fmt.Errorf("read request: %w", err)
	}
	return work{files[0], req.Size}, nil
}
