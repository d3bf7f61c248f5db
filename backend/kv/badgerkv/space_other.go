//go:build !linux && !darwin && !freebsd && !windows

package badgerkv

import "errors"

// freeBytes is not known here: Options.Free can tell.
func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
