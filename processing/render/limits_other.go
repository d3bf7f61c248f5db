//go:build unix && !linux

package render

import "syscall"

// confine sets what limits this system has in common with Linux: enough to develop
// on. There is none on memory; the limit on pixels stands alone.
func confine(set settings) error {
	for _, l := range []struct {
		resource int
		value    uint64
	}{
		{syscall.RLIMIT_CPU, uint64(set.CPU)},
		{syscall.RLIMIT_FSIZE, 0},
		{syscall.RLIMIT_CORE, 0},
	} {
		limit := syscall.Rlimit{}
		setLimit(&limit, l.value)
		if err := syscall.Setrlimit(l.resource, &limit); err != nil {
			return err
		}
	}
	return nil
}

// setLimit sets both values, of whichever type they are on this system.
func setLimit[T uint64 | int64](l *T, v uint64) { *l = T(v) }
