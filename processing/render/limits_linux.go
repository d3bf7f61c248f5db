package render

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// confine takes away from this process what rendering does not need: more memory
// than was set, writing files, opening any, the network, other programs. It can't be
// taken back. Run before the first byte of a stranger is read.
func confine(set settings) error {
	if err := limit(set, 0); err != nil {
		return err
	}
	return denyCalls(denied)
}

// limit is confine as far as a program can bear it that has yet to load its libraries:
// what it opens is then its own affair, but it has no network, and what it writes is at most so
// many bytes.
func limit(set settings, fileSize uint64) error {
	for _, l := range []struct {
		name     string
		resource int
		value    uint64
	}{
		// RLIMIT_DATA counts what is writable and private: Go's heap, C's, stacks. (RLIMIT_AS
		// would count the address space that Go reserves and never uses.)
		{"memory", unix.RLIMIT_DATA, uint64(set.Memory)},
		{"processor time", unix.RLIMIT_CPU, uint64(set.CPU)},
		{"file size", unix.RLIMIT_FSIZE, fileSize},
		{"core dump", unix.RLIMIT_CORE, 0},
		{"open files", unix.RLIMIT_NOFILE, 32},
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		n := min(l.value, now.Max) // a container's own limit can't be raised, nor need it be
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	if err := beNice(); err != nil {
		return fmt.Errorf("priority: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if fileSize > 0 {
		return denyCalls(deniedTools)
	}
	return nil
}

// beNice lets everything else go first. A priority is a thread's on Linux: those
// there are get it one by one, those to come inherit it.
func beNice() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil { // no /proc: the thread of the moment will do
		return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, niceness); err != nil && err != unix.ESRCH {
			return err
		}
	}
	return nil
}

const niceness = 10
