package backend

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"hash/crc64"
	"io"
	"sync"
	"sync/atomic"

	"github.com/shoebox-photos/shoebox/backend/fail"
)

// crc64NVME is the CRC of the NVM Express specification (Amazon S3: CRC64NVME),
// reflected.
var crc64NVME = sync.OnceValue(func() *crc64.Table { return crc64.MakeTable(0x9a6c9329ac4bc9b5) })

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// joinCRC32C is the CRC-32C of two pieces one after the other, of which the second has n
// bytes. A CRC is the rest of a division of polynomials over GF(2), so that n bytes that
// follow multiply what came before by x^(8n).
func joinCRC32C(first, second uint32, n int64) uint32 {
	power := uint32(1 << 31)  // 1; the highest bit is that of x^0
	square := uint32(1 << 23) // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			power = timesCRC32C(power, square)
		}
		square = timesCRC32C(square, square)
	}
	return timesCRC32C(first, power) ^ second
}

// A joinedCRC32C is the CRC-32C of parts that are added one after the other. Its zero
// value is ready for use.
type joinedCRC32C struct {
	sum     uint32
	unknown bool // that of a part is not
}

func (j *joinedCRC32C) add(p *partRow) {
	raw, err := hex.DecodeString(p.CRC32C)
	if j.unknown = j.unknown || err != nil || len(raw) != crc32.Size; !j.unknown {
		j.sum = joinCRC32C(j.sum, binary.BigEndian.Uint32(raw), p.Size)
	}
}

// hex is "" if the sum is not known.
func (j *joinedCRC32C) hex() string {
	if j.unknown {
		return ""
	}
	return fmt.Sprintf("%08x", j.sum)
}

// timesCRC32C is the product of a and b modulo the polynomial of CRC-32C.
func timesCRC32C(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		carry := b & 1
		b = b>>1 ^ carry*crc32.Castagnoli
	}
	return product
}

// NewHash makes the hash that a Checksum names; nil if it is not one we know.
func NewHash(algorithm string) hash.Hash {
	switch algorithm {
	case "md5":
		return md5.New()
	case "sha1":
		return sha1.New()
	case "sha256":
		return sha256.New()
	case "adler32":
		return adler32.New()
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(castagnoli)
	case "crc64nvme":
		return crc64.New(crc64NVME())
	}
	return nil
}

// headSize is how much of a body's beginning is kept to tell what it is.
const headSize = 4 << 10

// A summer reads a body through, hashing beside the reading, and answers io.EOF only if
// length and checksums are right. MD5 is the dearest step on a PUT's way, so that it has
// a goroutine of its own.
type summer struct {
	src    io.Reader
	size   int64 // expected; < 0 unknown
	max    int64
	expect []Checksum

	n      int64
	head   []byte
	hashes map[string]hash.Hash
	lanes  []chan *piece
	done   sync.WaitGroup
	end    error
}

// A piece is some of a body on its way through the lanes.
type piece struct {
	data []byte
	left atomic.Int32 // lanes that have not hashed it
}

var pieces = sync.Pool{New: func() any { return &piece{data: make([]byte, 0, 128<<10)} }}

// newSummer hashes with md5, sha256 and crc32c, and what expect and also name. The
// caller calls close.
func newSummer(src io.Reader, size, max int64, expect []Checksum, also ...string) (*summer, error) {
	s := &summer{src: src, size: size, max: max, expect: expect, hashes: map[string]hash.Hash{"md5": md5.New(), "sha256": sha256.New(), "crc32c": crc32.New(castagnoli)}}
	for _, c := range expect {
		also = append(also, c.Algorithm)
	}
	for _, a := range also {
		if s.hashes[a] == nil {
			h := NewHash(a)
			if h == nil {
				return nil, fmt.Errorf("%w: algorithm %q is not known", ErrChecksum, a)
			}
			s.hashes[a] = h
		}
	}
	var others []hash.Hash
	for a, h := range s.hashes {
		if a != "md5" {
			others = append(others, h)
		}
	}
	s.lane(s.hashes["md5"])
	s.lane(others...)
	return s, nil
}

// lane begins to hash with some of the hashes.
func (s *summer) lane(hashes ...hash.Hash) {
	work := make(chan *piece, 4)
	s.lanes = append(s.lanes, work)
	s.done.Go(func() {
		for p := range work {
			for _, h := range hashes {
				h.Write(p.data)
			}
			if p.left.Add(-1) == 0 {
				pieces.Put(p)
			}
		}
	})
}

// hash gives a copy of p to the lanes.
func (s *summer) hash(p []byte) {
	for len(p) > 0 {
		c := pieces.Get().(*piece)
		k := min(len(p), cap(c.data))
		c.data = append(c.data[:0], p[:k]...)
		c.left.Store(int32(len(s.lanes)))
		for _, work := range s.lanes {
			work <- c
		}
		p = p[k:]
	}
}

func (s *summer) Read(p []byte) (int, error) {
	if s.end != nil {
		return 0, s.end
	}
	fail.Point("W2.body")
	n, err := s.src.Read(p)
	s.n += int64(n)
	if n > 0 {
		if room := headSize - len(s.head); room > 0 {
			s.head = append(s.head, p[:min(n, room)]...)
		}
		s.hash(p[:n])
	}
	switch {
	case s.n > s.max:
		s.end = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, s.max)
	case s.size >= 0 && s.n > s.size:
		s.end = fmt.Errorf("%w: it is longer than the %d bytes announced", ErrIncomplete, s.size)
	case err == io.EOF:
		s.end = s.finish()
	case errors.Is(err, io.ErrUnexpectedEOF):
		s.end = fmt.Errorf("%w: %w", ErrIncomplete, err)
	case err != nil:
		s.end = err
	}
	if s.end == io.EOF && n > 0 {
		return n, nil
	}
	return n, s.end
}

// finish is io.EOF if the body is what was announced.
func (s *summer) finish() error {
	s.close()
	if s.size >= 0 && s.n != s.size {
		return fmt.Errorf("%w: %d of %d bytes came", ErrIncomplete, s.n, s.size)
	}
	for _, c := range s.expect {
		if got := s.hashes[c.Algorithm].Sum(nil); !bytes.Equal(got, c.Sum) {
			return fmt.Errorf("%w: %s is %x", ErrChecksum, c.Algorithm, got)
		}
	}
	return io.EOF
}

// close waits for the hashing to end. It may be called again.
func (s *summer) close() {
	for _, work := range s.lanes {
		close(work)
	}
	s.lanes = nil
	s.done.Wait()
}

// sum is a sum of the whole body, nil if it was not asked for; call it after the end.
func (s *summer) sum(algorithm string) []byte {
	if h := s.hashes[algorithm]; h != nil {
		return h.Sum(nil)
	}
	return nil
}

// hex is sum in lower-case hex.
func (s *summer) hex(algorithm string) string { return hex.EncodeToString(s.sum(algorithm)) }
