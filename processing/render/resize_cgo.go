//go:build cgo

package render

// #cgo CFLAGS: -O3
// #include "resize.h"
import "C"

import "runtime"

// resize is resizeGo, in C.
func resize(dst, src *plane, columns, rows *weights, offset int32) {
	var pin runtime.Pinner
	defer pin.Unpin()
	given := func(w *weights) C.sb_weights {
		pin.Pin(&w.start[0])
		pin.Pin(&w.weight[0])
		return C.sb_weights{taps: C.int(w.taps), start: (*C.int32_t)(&w.start[0]), weight: (*C.int16_t)(&w.weight[0])}
	}
	row := make([]int16, src.w+rows.taps)
	C.sb_resize((*C.uint8_t)(&dst.pix[0]), C.int(dst.stride), C.int(dst.w), C.int(dst.h),
		(*C.uint8_t)(&src.pix[0]), C.int(src.stride), C.int(src.w), given(columns), given(rows), C.int32_t(offset), (*C.int16_t)(&row[0]))
}
