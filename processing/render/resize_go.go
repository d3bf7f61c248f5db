//go:build !cgo

package render

func resize(dst, src *plane, f *fitting) { resizeGo(dst, src, f) }
