package s3bucket

import (
	"context"
	"io"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// pool bounds the part buffers of all uploads together. A buffer is made when it
// is first needed and then kept.
type pool struct {
	free chan []byte // nil: not made yet
	size int
}

func newPool(n, size int) *pool {
	p := &pool{free: make(chan []byte, n), size: size}
	for range n {
		p.free <- nil
	}
	return p
}

// get waits for a buffer. To be free of deadlock, whoever waits must hold no
// other buffer but those that are being sent.
func (p *pool) get(ctx context.Context) ([]byte, error) {
	select {
	case buf := <-p.free:
		if buf == nil {
			buf = make([]byte, p.size)
		}
		return buf, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pool) put(buf []byte) { p.free <- buf[:cap(buf)] }

// small bodies do not take a buffer of the pool: log segments and thumbnails
// must not wait behind originals that come slowly.
const small = 1 << 20

// buffer returns where the first size bytes of a body go, and how to give it back.
func (b *Bucket) buffer(ctx context.Context, size int64) (buf []byte, release func(), err error) {
	if size >= 0 && size <= small {
		return make([]byte, size), func() {}, nil
	}
	buf, err = b.pool.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	return buf, func() { b.pool.put(buf) }, nil
}

// source cuts a body into parts.
type source struct {
	body   *object.Body
	peeked [1]byte
	n      int // bytes in peeked
}

// fill reads until buf is full or the body ends. Last says that nothing follows,
// which only the byte after a full buffer can tell.
func (s *source) fill(buf []byte) (n int, last bool, err error) {
	n = copy(buf, s.peeked[:s.n])
	s.n -= n
	for n < len(buf) {
		m, err := s.body.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, bodyError{err}
		}
	}
	for s.n == 0 {
		m, err := s.body.Read(s.peeked[:])
		s.n += m
		if err == io.EOF {
			return n, s.n == 0, nil
		}
		if err != nil {
			return n, false, bodyError{err}
		}
	}
	return n, false, nil
}
