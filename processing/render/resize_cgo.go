//go:build cgo

package render

// #cgo CFLAGS: -O3
// #include "resize.h"
import "C"

import (
	"errors"
	"runtime"
)

// resize is resizeGo, in C.
func resize(dst, src *plane, f *fitting) {
	var pin runtime.Pinner
	defer pin.Unpin()
	to := target(&pin, dst, f)
	pin.Pin(&src.pix[0])
	if C.sb_resize(&to, (*C.uint8_t)(&src.pix[0]), C.int(src.stride), C.int(src.w), C.int(src.h)) != 0 {
		panic(errMemory)
	}
}

var errMemory = errors.New("out of memory")

// target is dst and how it is filled, for C, as long as pin holds.
func target(pin *runtime.Pinner, dst *plane, f *fitting) C.sb_target {
	given := func(w *weights) C.sb_weights {
		pin.Pin(&w.start[0])
		pin.Pin(&w.weight[0])
		return C.sb_weights{taps: C.int(w.taps), start: (*C.int32_t)(&w.start[0]), weight: (*C.int16_t)(&w.weight[0])}
	}
	pin.Pin(&dst.pix[0])
	return C.sb_target{
		pix: (*C.uint8_t)(&dst.pix[0]), stride: C.int(dst.stride), w: C.int(dst.w), h: C.int(dst.h),
		columns: given(&f.columns), rows: given(&f.rows), offset: C.int32_t(f.offset),
	}
}
