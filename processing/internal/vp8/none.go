//go:build !cgo || !amd64

// Package vp8 makes libwebp's encoder of lossy pictures faster on processors with AVX2;
// in this build there is none.
package vp8

// Use does nothing, and says so.
func Use() bool { return false }
