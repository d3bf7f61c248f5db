//go:build unix && !linux

package render

import "syscall"

// confine sets what limits this system has in common with Linux: enough to develop
// on. There is none on memory; the limit on pixels stands alone.
func confine(to settings) error { return limit(to, 0) }

// limit is confine for a program that may write so many bytes.
func limit(to settings, fileSize uint64) error {
	for _, l := range []struct {
		resource int
		value    uint64
	}{
		{syscall.RLIMIT_CPU, uint64(to.CPU)},
		{syscall.RLIMIT_FSIZE, fileSize},
		{syscall.RLIMIT_CORE, 0},
	} {
		var limit syscall.Rlimit
		set(&limit.Cur, l.value)
		set(&limit.Max, l.value)
		if err := syscall.Setrlimit(l.resource, &limit); err != nil {
			return err
		}
	}
	return nil
}

// set sets a value of whichever type it is on this system.
func set[T uint64 | int64](l *T, v uint64) { *l = T(v) }
