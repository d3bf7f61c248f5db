//go:build !cgo

package render_test

import "testing"

// Without cgo there is nothing to make a WebP with.
func formatsWebP(*testing.T) []formatTest { return nil }
