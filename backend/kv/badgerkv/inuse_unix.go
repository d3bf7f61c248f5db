//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package badgerkv

import (
	"os"

	"golang.org/x/sys/unix"
)

// inUse says whether a process has the store in dir open: Badger locks the
// directory itself.
func inUse(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close() // gives the lock back
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == unix.EWOULDBLOCK
}
