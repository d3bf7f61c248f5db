//go:build linux || darwin

package diskbucket

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/shoebox-photos/shoebox/backend/fail"
)

// xattrName is the extended attribute that describes an object.
const xattrName = "user.sb"

func setXattr(f *os.File, p []byte) error {
	return unix.Fsetxattr(int(f.Fd()), xattrName, p, 0)
}

func getXattr(f *os.File) ([]byte, error) {
	return readXattr(func(p []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), xattrName, p) })
}

func getXattrAt(path string) ([]byte, error) {
	return readXattr(func(p []byte) (int, error) { return unix.Lgetxattr(path, xattrName, p) })
}

func readXattr(get func([]byte) (int, error)) ([]byte, error) {
	p := make([]byte, 512)
	for {
		n, err := get(p)
		switch {
		case err == nil:
			return p[:n], nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ERANGE) && len(p) < maxAttrs:
			p = make([]byte, maxAttrs)
		default:
			return nil, err
		}
	}
}

// isNoXattr reports that there is no such attribute, or no attributes at all.
func isNoXattr(err error) bool {
	return errors.Is(err, noAttr) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM)
}

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

func isNameTooLong(err error) bool { return errors.Is(err, unix.ENAMETOOLONG) }

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	if fail.Skip("fsync") {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil // filesystems that keep directories without being asked
	}
	return errors.Join(err, f.Close())
}

func statfs(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
