//go:build unix && !linux

package render_test

func escape() {}
