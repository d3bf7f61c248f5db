package badgerkv

import (
	"fmt"

	"github.com/shoebox-photos/shoebox/backend/kv"
)

const (
	defaultMinFree = 256 << 20
	// openMin is what Badger needs to start at all: it makes a write-ahead log,
	// and flushes those that were left.
	openMin = 64 << 20
)

// A space guards against a full disk.
type space struct {
	free func() (uint64, error)
	min  uint64 // 0 means that nothing is checked
}

func newSpace(dir string, opt *Options) *space {
	s := &space{free: opt.Free, min: defaultMinFree}
	if opt.MinFree != 0 {
		s.min = uint64(max(opt.MinFree, 0))
	}
	if s.free == nil {
		s.free = func() (uint64, error) { return Free(dir) }
	}
	return s
}

// check says whether a commit may be made. It asks each time, which takes a microsecond:
// another program may fill a disk in less than one.
func (s *space) check() error { return s.below(s.min) }

func (s *space) checkOpen() error { return s.below(min(s.min, openMin)) }

// below is kv.ErrNoSpace if fewer than n bytes are free. That the question
// cannot be answered is no reason to refuse.
func (s *space) below(n uint64) error {
	if n == 0 {
		return nil
	}
	free, err := s.free()
	if err != nil || free >= n {
		return nil
	}
	return fmt.Errorf("%w: %d MiB free under the index, %d MiB needed", kv.ErrNoSpace, free>>20, n>>20)
}

// Room implements kv.Guard.
func (s *Store) Room() error { return s.space.check() }
