//go:build !linux && !darwin

package diskbucket

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

var errNoXattr = errors.New("no extended attributes on this system")

func setXattr(*os.File, []byte) error   { return errNoXattr }
func getXattr(*os.File) ([]byte, error) { return nil, errNoXattr }
func getXattrAt(string) ([]byte, error) { return nil, errNoXattr }
func isNoXattr(err error) bool          { return errors.Is(err, errNoXattr) }
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.Errno(112)) && runtime.GOOS == "windows"
}
func isNotDir(err error) bool               { return errors.Is(err, syscall.ENOTDIR) }
func isNameTooLong(err error) bool          { return errors.Is(err, syscall.ENAMETOOLONG) }
func statfs(string) (uint64, uint64, error) { return 0, 0, errors.ErrUnsupported }

// syncAll would make everything durable; there is no such call here.
func syncAll(string) error { return nil }

// syncDir makes the entries of a directory durable; Windows can not be asked to.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
