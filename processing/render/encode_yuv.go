//go:build cgo && turbo

package render

// The library is chai2010/webp's copy of libwebp: encode_webp.go links it in. Only
// the declarations come from the system, and the symbols are weak, so that this
// package's own objects can be linked without it, as cgo does to look at them.

// #include <stdlib.h>
// #include <webp/encode.h>
//
// #pragma weak WebPConfigInitInternal
// #pragma weak WebPValidateConfig
// #pragma weak WebPPictureInitInternal
// #pragma weak WebPPictureFree
// #pragma weak WebPEncode
// #pragma weak WebPMemoryWriterInit
// #pragma weak WebPMemoryWriterClear
// #pragma weak WebPMemoryWrite
// #pragma weak WebPGetEncoderVersion
//
// static int sb_present(void) {
// 	return WebPConfigInitInternal && WebPValidateConfig && WebPPictureInitInternal && WebPPictureFree &&
// 		WebPEncode && WebPMemoryWriterInit && WebPMemoryWriterClear && WebPMemoryWrite && WebPGetEncoderVersion;
// }
//
// static int sb_encode(uint8_t *y, uint8_t *u, uint8_t *v, int ystride, int cstride, int w, int h,
// 	float quality, int method, WebPMemoryWriter *out) {
// 	WebPConfig config;
// 	WebPPicture picture;
// 	if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
// 		return -1;
// 	config.quality = quality;
// 	config.method = method;
// 	if (!WebPValidateConfig(&config))
// 		return -1;
// 	WebPMemoryWriterInit(out);
// 	picture.use_argb = 0;
// 	picture.colorspace = WEBP_YUV420;
// 	picture.width = w;
// 	picture.height = h;
// 	picture.y = y;
// 	picture.u = u;
// 	picture.v = v;
// 	picture.y_stride = ystride;
// 	picture.uv_stride = cstride;
// 	picture.writer = WebPMemoryWrite;
// 	picture.custom_ptr = out;
// 	int ok = WebPEncode(&config, &picture);
// 	WebPPictureFree(&picture);
// 	return ok ? 0 : picture.error_code;
// }
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// encodesVideo says which range encodePlanes wants.
const encodesVideo = true

// method is libwebp's trade of time for size, 0 to 6.
const method = 4

// encodePlanes makes a WebP of planes of two by two pixels, with a colour profile
// if there is one.
func encodePlanes(p *planes, quality int, profile []byte) ([]byte, error) {
	if C.sb_present() == 0 {
		return nil, errors.New("internal error: libwebp was not linked in")
	}
	var out C.WebPMemoryWriter
	code := C.sb_encode((*C.uint8_t)(&p.c[0].pix[0]), (*C.uint8_t)(&p.c[1].pix[0]), (*C.uint8_t)(&p.c[2].pix[0]),
		C.int(p.c[0].stride), C.int(p.c[1].stride), C.int(p.w), C.int(p.h), C.float(quality), method, &out)
	defer C.WebPMemoryWriterClear(&out)
	if code != 0 {
		return nil, fmt.Errorf("libwebp: error %d", code)
	}
	data := C.GoBytes(unsafe.Pointer(out.mem), C.int(out.size))
	return withProfile(data, profile, nil)
}
