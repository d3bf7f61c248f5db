//go:build !linux

package badgerkv

import "errors"

// allocate is not to be had here: what remains is the check before each commit.
func allocate(string) error { return errors.ErrUnsupported }
