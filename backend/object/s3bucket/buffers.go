package s3bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"

	"github.com/shoebox-photos/shoebox/backend/object"
)

// pool bounds the part buffers of all uploads together. A few are kept for the
// next upload; what a burst needed more is left to the garbage collector.
//
// A body that comes slowly keeps its buffer for long, and as many of them as there are
// buffers would stop all other uploads. So who has waited for a while gets one that is a
// file, as soon as there can be one, if there is a directory for it.
type pool struct {
	slots    chan struct{} // full when all buffers are in use
	files    chan struct{} // full when as many more are files
	dir      string        // of the files; "" for none
	tempFree func() (uint64, error)
	patience time.Duration
	size     int

	mu   sync.Mutex
	free [][]byte // newest last
}

const (
	keepFree        = 4
	maxFiles        = 256     // 2 GiB of disk with parts of 8 MiB
	keepDisk        = 1 << 30 // bytes that files leave free
	defaultPatience = 2 * time.Second
)

func newPool(opt *Options) *pool {
	return &pool{
		slots: make(chan struct{}, opt.MaxBuffers), files: make(chan struct{}, maxFiles),
		dir: opt.TempDir, tempFree: opt.TempFree, patience: opt.patience, size: opt.PartSize,
	}
}

// get waits for a buffer. To be free of deadlock, whoever waits must hold no
// other buffer but those that are being sent.
func (p *pool) get(ctx context.Context) (*part, error) {
	var impatient <-chan time.Time
	if p.dir != "" {
		t := time.NewTicker(p.patience)
		defer t.Stop()
		impatient = t.C
	}
	for {
		select {
		case p.slots <- struct{}{}:
			buf := p.take()
			return &part{buf: buf, size: int64(p.size), release: func() { p.put(buf) }}, nil
		case <-impatient:
			select {
			case p.files <- struct{}{}:
				if p.room() {
					if f, err := p.file(); err == nil {
						return &part{file: f, size: int64(p.size), release: func() { f.Close(); <-p.files }}, nil
					}
				}
				<-p.files
			default:
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// room says whether the disk has it for all files there are, the next one too, full.
func (p *pool) room() bool {
	if p.tempFree == nil {
		return true
	}
	free, err := p.tempFree()
	return err != nil || free >= keepDisk+uint64(len(p.files))*uint64(p.size)
}

// file makes a file that has no name any more, and goes when it is closed or the process ends.
func (p *pool) file() (*os.File, error) {
	f, err := os.CreateTemp(p.dir, "part-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil { // some systems want it closed
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// fileError is why a file cannot be written, without its name.
func fileError(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%w: a part cannot be kept in a temporary file: %w", object.ErrUnavailable, err)
}

func (p *pool) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		buf := p.free[n-1]
		p.free[n-1] = nil
		p.free = p.free[:n-1]
		return buf
	}
	return make([]byte, p.size)
}

func (p *pool) put(buf []byte) {
	p.mu.Lock()
	if len(p.free) < keepFree {
		p.free = append(p.free, buf)
	}
	p.mu.Unlock()
	<-p.slots
}

// A part is some bytes of a body, kept so that they can be sent again: in memory, or in a file.
type part struct {
	buf     []byte
	file    *os.File
	size    int64 // room
	n       int64 // bytes that are there
	release func()
}

// reader reads the part from its beginning.
func (p *part) reader() io.ReadSeeker {
	if p.file != nil {
		return io.NewSectionReader(p.file, 0, p.n)
	}
	return bytes.NewReader(p.buf[:p.n])
}

// sum is the part's hash.
func (p *part) sum(h hash.Hash) ([]byte, error) {
	_, err := io.Copy(h, p.reader())
	return h.Sum(nil), err
}

// equals compares the part with what r gives.
func (p *part) equals(r io.Reader) (bool, error) {
	ours, theirs := make([]byte, 32<<10), make([]byte, 32<<10)
	for mine := p.reader(); ; {
		n, err := io.ReadFull(mine, ours)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		m, err := io.ReadFull(r, theirs)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		if !bytes.Equal(ours[:n], theirs[:m]) {
			return false, nil
		}
		if n < len(ours) {
			return true, nil
		}
	}
}

// small bodies do not take a buffer of the pool: log segments and thumbnails
// must not wait behind originals that come slowly.
const small = 1 << 20

// buffer returns where the first size bytes of a body go, to be released.
func (b *Bucket) buffer(ctx context.Context, size int64) (*part, error) {
	if size >= 0 && size <= small {
		return &part{buf: make([]byte, size), size: size, release: func() {}}, nil
	}
	return b.pool.get(ctx)
}

// source cuts a body into parts.
type source struct {
	body    *object.Body
	peeked  [1]byte
	n       int    // bytes in peeked
	scratch []byte // on the way into a file
}

// fill reads until p is full or the body ends. Last says that nothing follows,
// which only the byte after a full part can tell.
func (s *source) fill(p *part) (last bool, err error) {
	for p.n < p.size {
		end, err := s.read(p)
		if end || err != nil {
			return end, err
		}
	}
	for s.n == 0 {
		m, err := s.body.Read(s.peeked[:])
		s.n += m
		if err == io.EOF {
			return s.n == 0, nil
		}
		if err != nil {
			return false, bodyError{err}
		}
	}
	return false, nil
}

// read adds some bytes to p, which has room, and says whether they are the last.
func (s *source) read(p *part) (end bool, err error) {
	to := p.buf
	if p.file != nil {
		if s.scratch == nil {
			s.scratch = make([]byte, 64<<10)
		}
		to = s.scratch[:min(int64(len(s.scratch)), p.size-p.n)]
	} else {
		to = to[p.n:p.size]
	}
	n := copy(to, s.peeked[:s.n])
	s.n -= n
	m, err := s.body.Read(to[n:])
	n += m
	if p.file != nil && n > 0 {
		if _, err := p.file.WriteAt(to[:n], p.n); err != nil {
			return false, fileError(err)
		}
	}
	p.n += int64(n)
	if err != nil && err != io.EOF {
		return false, bodyError{err}
	}
	return err == io.EOF, nil
}
