//go:build !cgo

package render

func resize(dst, src *plane, columns, rows *weights, offset int32) {
	resizeGo(dst, src, columns, rows, offset)
}
