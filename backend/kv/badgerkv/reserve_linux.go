package badgerkv

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate gives every byte of a file a block. Its size and content stay.
func allocate(name string) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 {
		return err
	}
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, fi.Size())
}
