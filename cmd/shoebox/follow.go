package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// An operation that takes long tells how far it is, a line of JSON each, and its result in
// the last:
//
//	{"progress": "ana: 12,000 originals"}
//	{"result": …}            or {"error": "…"}
type told[Out any] struct {
	Progress string `json:"progress,omitempty"`
	Result   *Out   `json:"result,omitempty"`
	Error    string `json:"error,omitempty"`
}

// telling makes an operation of a method that tells how far it is.
func telling[In, Out any](f func(*node, context.Context, In, func(string)) (Out, error)) operation {
	return func(ctx context.Context, n *node, in []byte, out io.Writer) error {
		var args In
		if err := json.Unmarshal(in, &args); err != nil {
			return fmt.Errorf("arguments: %w", err)
		}
		enc := json.NewEncoder(out)
		var last time.Time
		result, err := f(n, ctx, args, func(line string) {
			if time.Since(last) < 200*time.Millisecond {
				return
			}
			last = time.Now()
			if enc.Encode(told[Out]{Progress: line}) == nil {
				if f, ok := out.(interface{ Flush() }); ok {
					f.Flush()
				}
			}
		})
		if err != nil {
			return enc.Encode(told[Out]{Error: err.Error()})
		}
		return enc.Encode(told[Out]{Result: &result})
	}
}

// Flush sends what was written so far.
func (s *started) Flush() {
	if f, ok := s.w.(interface{ Flush() }); ok {
		f.Flush()
	}
}

// follow does an operation that tells how far it is, and shows that on a terminal.
func follow[Out any](ctx context.Context, in *invocation, op string, args any) (out Out, err error) {
	bar := newBar(in.stderr)
	defer bar.done()
	err = operate(ctx, in, func(o *operator) error {
		r, err := o.open(ctx, op, args)
		if err != nil {
			return err
		}
		defer r.Close()
		dec := json.NewDecoder(bufio.NewReader(r))
		for {
			var line told[Out]
			if err := dec.Decode(&line); err != nil {
				return fmt.Errorf("the answer broke off: %w", err)
			}
			switch {
			case line.Error != "":
				return errors.New(line.Error)
			case line.Result != nil:
				out = *line.Result
				return nil
			}
			bar.show(line.Progress)
		}
	})
	return out, err
}

// A bar is one line of a terminal that says how far something is. What is no terminal
// shows nothing.
type bar struct {
	w     io.Writer // nil if it is none
	width int       // of what it shows
}

func newBar(w io.Writer) *bar {
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			return &bar{w: w}
		}
	}
	return &bar{}
}

func (b *bar) show(line string) {
	if b.w == nil {
		return
	}
	line = printable(line)
	fmt.Fprintf(b.w, "\r%-*s", b.width, line)
	b.width = len(line)
}

func (b *bar) done() {
	if b.width > 0 {
		fmt.Fprintf(b.w, "\r%*s\r", b.width, "")
		b.width = 0
	}
}
