package backend

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestJoinCRC32C(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, 100_000)
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	want := crc32.Checksum(body, castagnoli)
	for _, at := range []int{0, 1, 7, 4096, 65_537, len(body) - 1, len(body)} {
		first, second := body[:at], body[at:]
		if got := joinCRC32C(crc32.Checksum(first, castagnoli), crc32.Checksum(second, castagnoli), int64(len(second))); got != want {
			t.Errorf("cut at %d: got %08x, want %08x", at, got, want)
		}
	}
}
