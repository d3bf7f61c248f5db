package diskbucket

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const noAttr = unix.ENODATA

// syncAll makes everything durable that is on the filesystem of dir.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
