//go:build cgo

#include "resize.h"
#include <string.h>

enum { weight_bits = 14, column_bits = 6, row_bits = weight_bits + column_bits };

/* Written so that a compiler makes vector code of it: the sums down the columns of
 * a strip of 32 stay in registers, and those along the rows are of 16-bit products. */
static inline __attribute__((always_inline)) void resize(uint8_t *dst, int dstride, int dw, int dh,
	const uint8_t *src, int sstride, int sw, sb_weights columns, sb_weights rows, int32_t offset, int16_t *restrict row) {
	enum { strip = 32 };
	const int32_t half = 1 << (weight_bits - column_bits - 1);
	for (int y = 0; y < dh; y++) {
		const uint8_t *top = src + (int64_t)columns.start[y] * sstride;
		const int16_t *weight = columns.weight + (int64_t)y * columns.taps;
		int taps = columns.taps;
		while (taps > 1 && weight[taps - 1] == 0)
			taps--; /* there may be no such rows */
		int x = 0;
		for (; x + strip <= sw; x += strip) {
			int32_t sum[strip];
			for (int i = 0; i < strip; i++)
				sum[i] = half;
			const uint8_t *p = top + x;
			for (int k = 0; k < taps; k++, p += sstride) {
				const int16_t w = weight[k];
				for (int i = 0; i < strip; i++)
					sum[i] += (int32_t)w * (int16_t)p[i];
			}
			for (int i = 0; i < strip; i++)
				row[x + i] = sum[i] >> (weight_bits - column_bits);
		}
		for (; x < sw; x++) {
			int32_t sum = half;
			for (int k = 0; k < taps; k++)
				sum += (int32_t)weight[k] * top[(int64_t)k * sstride + x];
			row[x] = sum >> (weight_bits - column_bits);
		}
		const int16_t *restrict w = rows.weight;
		for (int x = 0; x < dw; x++, w += rows.taps) {
			const int16_t *restrict from = row + rows.start[x];
			int32_t sum = 0;
			for (int k = 0; k < rows.taps; k += 8)
				for (int i = 0; i < 8; i++)
					sum += (int32_t)from[k + i] * w[k + i];
			sum = (sum + offset + (1 << (row_bits - 1))) >> row_bits;
			dst[x] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
		}
		dst += dstride;
	}
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx2"))) static void resize_avx2(uint8_t *dst, int dstride, int dw, int dh,
	const uint8_t *src, int sstride, int sw, sb_weights columns, sb_weights rows, int32_t offset, int16_t *row) {
	resize(dst, dstride, dw, dh, src, sstride, sw, columns, rows, offset, row);
}
#endif

void sb_resize(uint8_t *dst, int dstride, int dw, int dh, const uint8_t *src, int sstride, int sw,
	sb_weights columns, sb_weights rows, int32_t offset, int16_t *row) {
#if defined(__x86_64__) && defined(__GNUC__)
	if (__builtin_cpu_supports("avx2")) {
		resize_avx2(dst, dstride, dw, dh, src, sstride, sw, columns, rows, offset, row);
		return;
	}
#endif
	resize(dst, dstride, dw, dh, src, sstride, sw, columns, rows, offset, row);
}

static inline uint8_t clip(int32_t v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

void sb_rgb(uint8_t *restrict dst, const uint8_t *restrict y, const uint8_t *restrict cb, const uint8_t *restrict cr, int w) {
	for (int x = 0; x < w; x++) {
		int32_t l = y[x] * 0x10101, b = cb[x / 2] - 128, r = cr[x / 2] - 128;
		dst[3 * x] = clip((l + 91881 * r) >> 16);
		dst[3 * x + 1] = clip((l - 22554 * b - 46802 * r) >> 16);
		dst[3 * x + 2] = clip((l + 116130 * b) >> 16);
	}
}
