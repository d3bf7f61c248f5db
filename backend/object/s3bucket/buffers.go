package s3bucket

import (
	"context"
	"io"
	"sync"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// pool bounds the part buffers of all uploads together. A few are kept for the
// next upload; what a burst needed more is left to the garbage collector.
type pool struct {
	slots chan struct{} // full when all buffers are in use
	size  int

	mu   sync.Mutex
	free [][]byte // newest last
}

const keepFree = 4

func newPool(n, size int) *pool {
	return &pool{slots: make(chan struct{}, n), size: size}
}

// get waits for a buffer. To be free of deadlock, whoever waits must hold no
// other buffer but those that are being sent.
func (p *pool) get(ctx context.Context) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		buf := p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		return buf, nil
	}
	return make([]byte, p.size), nil
}

func (p *pool) put(buf []byte) {
	p.mu.Lock()
	if len(p.free) < keepFree {
		p.free = append(p.free, buf[:cap(buf)])
	}
	p.mu.Unlock()
	<-p.slots
}

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
