//go:build !linux && !darwin && !freebsd && !windows

package badgerkv

import "errors"

// Free is not known here: [Options] can have a function that tells.
func Free(string) (uint64, error) { return 0, errors.ErrUnsupported }
