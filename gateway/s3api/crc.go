package s3api

import (
	"hash/crc32"

	"github.com/shoebox-photos/shoebox/gateway/auth/sigv4"
)

// polynomials of the CRCs, reflected.
var polynomials = map[sigv4.Algorithm]uint64{
	sigv4.CRC32:     crc32.IEEE,
	sigv4.CRC32C:    crc32.Castagnoli,
	sigv4.CRC64NVME: 0x9a6c9329ac4bc9b5,
}

// linear says whether the checksum of a whole follows from those of its parts.
func linear(a sigv4.Algorithm) bool { return polynomials[a] != 0 }

// combineCRC is the CRC of two pieces of data from their CRCs and the size of the
// second. A CRC is linear over GF(2): that of the first piece, with as many zero
// bytes fed in as the second is long, is added to that of the second. Feeding in
// 2^k zero bits is a matrix, the square of that for 2^(k-1); this takes as many
// squarings as size has binary digits. (The constants that the CRC begins and ends
// with cancel out.)
func combineCRC(a sigv4.Algorithm, first, second uint64, size int64) uint64 {
	width := a.New().Size() * 8
	// Column i of the matrix is what becomes of bit i.
	m := make([]uint64, width)
	m[0] = polynomials[a]
	for i := 1; i < width; i++ {
		m[i] = 1 << (i - 1)
	}
	times := func(m []uint64, v uint64) (sum uint64) {
		for i := 0; v != 0; i, v = i+1, v>>1 {
			if v&1 != 0 {
				sum ^= m[i]
			}
		}
		return sum
	}
	square := func(m []uint64) []uint64 {
		s := make([]uint64, width)
		for i := range m {
			s[i] = times(m, m[i])
		}
		return s
	}
	for range 3 { // one bit, then 2, 4, 8: a byte
		m = square(m)
	}
	for ; size > 0; size >>= 1 {
		if size&1 != 0 {
			first = times(m, first)
		}
		m = square(m)
	}
	return first ^ second
}
