package backend

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

// numbered is how many characters of an Ino make its Number.
const numbered = 12

// Number is the first 60 bits of i: for clients that call files by a number (ownCloud,
// Nextcloud). It is never 0. Of a million files, two have the same with a chance of
// less than one in a million.
func (i Ino) Number() uint64 {
	if i == RootIno {
		return 1
	}
	var b [10]byte
	if _, err := inoAlphabet.Decode(b[:], []byte(i)); err != nil {
		return 1<<60 - 1 // nothing that newIno or ParseIno lets through
	}
	return max(binary.BigEndian.Uint64(b[:])>>4, 1)
}

// StatNumber is StatIno by Number.
func (l *Library) StatNumber(ctx context.Context, n uint64) (*Entry, error) {
	if n == RootIno.Number() {
		return l.StatIno(ctx, RootIno)
	}
	d, ok := l.b.x.(kv.Dumper)
	if !ok || n >= 1<<60 {
		return nil, ErrNotExist
	}
	var b [10]byte
	binary.BigEndian.PutUint64(b[:], n<<4)
	first := Ino(inoAlphabet.EncodeToString(b[:])[:numbered])
	all := pointerKey(l.t.uid, "").P
	for row, err := range d.Dump(ctx, all+string(first)) {
		if err != nil {
			return nil, fault(fmt.Errorf("read index: %w", err))
		}
		return l.StatIno(ctx, Ino(row.P[len(all):]))
	}
	return nil, ErrNotExist
}
