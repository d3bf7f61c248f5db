package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
)

// A Body reads what is to be stored as the contract of Put asks: exactly the
// promised size, no further than ctx lasts, and with the source's own error in
// the chain of the one it returns. Drivers read their bodies through it.
type Body struct {
	ctx  context.Context // a Body lives for one call of Put
	r    io.Reader
	size int64 // < 0: unknown
	n    int64
	err  error // sticky, io.EOF at a good end
}

// NewBody returns a Body of size bytes from r, or of all that come if size < 0.
func NewBody(ctx context.Context, r io.Reader, size int64) *Body {
	if r == nil {
		r = eof{}
	}
	return &Body{ctx: ctx, r: r, size: size}
}

// Len returns the number of bytes read so far.
func (b *Body) Len() int64 { return b.n }

// Read implements io.Reader. io.EOF means that the body is whole: it has the
// promised size, and its source said so too (a source that verifies a checksum
// gets to speak). A body of another size ends in an error that wraps ErrIncomplete.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if err := b.ctx.Err(); err != nil {
		b.err = err
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.size >= 0 {
		if left := b.size - b.n; left == 0 {
			return 0, b.end()
		} else if int64(len(p)) > left {
			p = p[:left]
		}
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	if err != nil {
		b.fail(err)
		return n, b.err
	}
	return n, nil
}

// end reads past the promised size, where there must be nothing but io.EOF.
func (b *Body) end() error {
	var one [1]byte
	for range 100 {
		n, err := b.r.Read(one[:])
		if n > 0 {
			b.err = fmt.Errorf("%w: goes on after %d bytes", ErrIncomplete, b.size)
			return b.err
		}
		if err != nil {
			b.fail(err)
			return b.err
		}
	}
	b.err = fmt.Errorf("read body: %w", io.ErrNoProgress)
	return b.err
}

func (b *Body) fail(err error) {
	switch {
	case err != io.EOF && errors.Is(err, io.ErrUnexpectedEOF):
		b.err = fmt.Errorf("%w: cut after %d bytes: %w", ErrIncomplete, b.n, err)
	case err != io.EOF:
		b.err = fmt.Errorf("read body: %w", err)
	case b.size >= 0 && b.n < b.size:
		b.err = fmt.Errorf("%w: %d bytes of %d", ErrIncomplete, b.n, b.size)
	default:
		b.err = io.EOF
	}
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// Check reports what is wrong with the options of a Put: see CheckMeta. o may be nil.
func (o *PutOptions) Check() error {
	if o == nil {
		return nil
	}
	for i := 0; i < len(o.Type); i++ {
		if o.Type[i] < ' ' || o.Type[i] > '~' || len(o.Type) > MaxSegment {
			return fmt.Errorf("%w: media type is not at most %d bytes of printable ASCII", ErrMeta, MaxSegment)
		}
	}
	return CheckMeta(o.Meta)
}

// Final returns Meta and what FinalMeta adds to it, checked, for a driver that
// has read the body to its end. o may be nil.
func (o *PutOptions) Final() (map[string]string, error) {
	if o == nil {
		return nil, nil
	}
	meta := maps.Clone(o.Meta)
	if o.FinalMeta != nil {
		more := o.FinalMeta()
		if meta == nil && len(more) > 0 {
			meta = make(map[string]string, len(more))
		}
		maps.Copy(meta, more)
	}
	return meta, CheckMeta(meta)
}
