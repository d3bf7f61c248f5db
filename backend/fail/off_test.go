//go:build !failpoints

package fail

import "testing"

// A point is no call: the compiler has put nothing in its place.
func TestCostsNothing(t *testing.T) {
	if testing.AllocsPerRun(100, func() { Point("W5.sent"); _ = Error("W5.sent") }) != 0 || Enabled {
		t.Error("a point costs something without the tag")
	}
}
