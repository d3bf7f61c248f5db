//go:build linux && !amd64 && !arm64

package render

// Where the numbers of the system calls have not been looked up, none are denied.
var denied, deniedTools []uint32

// denyCalls does nothing here: it is one wall of several.
func denyCalls([]uint32) error { return nil }
