//go:build cgo && amd64

// Package vp8 makes libwebp's encoder of lossy pictures faster on processors with AVX2,
// without a change of a single byte of what it makes.
//
// libwebp calls the functions that do most of an encoder's work through variables, so
// that each processor gets those that suit it. For x86-64 it has them for SSE 4.1 at
// most. [Use] puts ours, for AVX2, in the place of seven of them. They are in avx2.c.
//
// The variables are libwebp's own affair and could change with any release. So Use does
// nothing unless libwebp is the release that avx2.c was written for, and each function
// gave the same as the one that it takes the place of, on blocks of noise.
package vp8

// #cgo CFLAGS: -O3
// #include "avx2.h"
import "C"

import (
	"fmt"
	"sync"

	_ "github.com/chai2010/webp" // links libwebp, whose symbols avx2.c wants
)

// Use makes the encoder faster, for all of this process, and says whether it did.
// It may be called any number of times, from several goroutines; pictures that are
// encoded meanwhile come out right.
func Use() bool { return use() }

var use = sync.OnceValue(func() bool {
	if !there() || differing(1, 50) != nil {
		return false
	}
	enable(true)
	return true
})

// differing compares our functions with libwebp's on so many random blocks each.
func differing(seed uint64, blocks int) error {
	if name := C.sb_vp8_differs(C.uint64_t(seed), C.int(blocks)); name != nil {
		return fmt.Errorf("vp8: %s of avx2.c and libwebp's own differ, seed %d", C.GoString(name), seed)
	}
	return nil
}

// suits says whether the processor has AVX2.
func suits() bool { return C.sb_vp8_processor() != 0 }

// there says whether our functions can be used at all.
func there() bool { return C.sb_vp8_there() != 0 }

// enable has libwebp call our functions or, again, its own.
func enable(ours bool) {
	on := C.int(0)
	if ours {
		on = 1
	}
	C.sb_vp8_use(on)
}
