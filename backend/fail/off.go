//go:build !failpoints

package fail

import "time"

// Enabled says whether the program was built with the tag failpoints.
const Enabled = false

// Point is a place at which a test may end the process.
func Point(string) {}

// Error is a Point that may also return ErrInjected.
func Error(string) error { return nil }

// Duration is d, unless a test has set another for name.
func Duration(_ string, d time.Duration) time.Duration { return d }

// Skip says whether a test wants something left out, to show that it is needed.
func Skip(string) bool { return false }
