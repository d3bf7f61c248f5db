//go:build cgo

#include "resize.h"
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define SB_AVX2
#endif

enum { weight_bits = 14, column_bits = 6, row_bits = weight_bits + column_bits };

/* down makes the sums down the columns, of so many lines: row[x] for x from x0 to w. */
static void down(int16_t *restrict row, const uint8_t *const *lines, const int16_t *weight, int taps, int x0, int w) {
	enum { strip = 32 };
	const int32_t half = 1 << (weight_bits - column_bits - 1);
	int x = x0;
	for (; x + strip <= w; x += strip) { /* written so that a compiler makes vector code of it */
		int32_t sum[strip];
		for (int i = 0; i < strip; i++)
			sum[i] = half;
		for (int k = 0; k < taps; k++) {
			const uint8_t *p = lines[k] + x;
			const int16_t v = weight[k];
			for (int i = 0; i < strip; i++)
				sum[i] += (int32_t)v * (int16_t)p[i];
		}
		for (int i = 0; i < strip; i++)
			row[x + i] = sum[i] >> (weight_bits - column_bits);
	}
	for (; x < w; x++) {
		int32_t sum = half;
		for (int k = 0; k < taps; k++)
			sum += (int32_t)weight[k] * lines[k][x];
		row[x] = sum >> (weight_bits - column_bits);
	}
}

/* along makes the sums along the row: dst[x] for x from x0 to w. */
static void along(uint8_t *restrict dst, const int16_t *restrict row, const sb_weights *rows, int32_t offset, int x0, int w) {
	const int16_t *restrict weight = rows->weight + (int64_t)x0 * rows->taps;
	for (int x = x0; x < w; x++, weight += rows->taps) {
		const int16_t *restrict from = row + rows->start[x];
		int32_t sum = 0;
		for (int k = 0; k < rows->taps; k += 8)
			for (int i = 0; i < 8; i++)
				sum += (int32_t)from[k + i] * weight[k + i];
		sum = (sum + offset + (1 << (row_bits - 1))) >> row_bits;
		dst[x] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
	}
}

#ifdef SB_AVX2
#define AVX2 __attribute__((target("avx2")))

/* The same with the instruction that multiplies pairs of 16 bits and adds them up: of two lines
 * at a time, their samples side by side. */
AVX2 static void down_avx2(int16_t *restrict row, const uint8_t *const *lines, const int16_t *weight, int taps, int w) {
	const __m256i zero = _mm256_setzero_si256();
	const __m256i half = _mm256_set1_epi32(1 << (weight_bits - column_bits - 1));
	if (w < 32) {
		down(row, lines, weight, taps, 0, w);
		return;
	}
	for (int x = 0; x < w; x += 32) {
		if (x > w - 32)
			x = w - 32; /* some of them once more */
		__m256i a = half, b = half, c = half, d = half;
		for (int k = 0; k < taps; k += 2) {
			const int more = k + 1 < taps;
			const __m256i v = _mm256_set1_epi32((uint16_t)weight[k] | (more ? (uint32_t)(uint16_t)weight[k + 1] << 16 : 0));
			const __m256i p = _mm256_loadu_si256((const __m256i *)(lines[k] + x));
			const __m256i q = _mm256_loadu_si256((const __m256i *)(lines[k + more] + x));
			const __m256i low = _mm256_unpacklo_epi8(p, q), high = _mm256_unpackhi_epi8(p, q);
			a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), v));
			b = _mm256_add_epi32(b, _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), v));
			c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), v));
			d = _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), v));
		}
		enum { shift = weight_bits - column_bits };
		/* In each half of a register: a has samples 0 to 3 and 16 to 19, b 4 to 7 and 20 to 23, … */
		const __m256i ab = _mm256_packs_epi32(_mm256_srai_epi32(a, shift), _mm256_srai_epi32(b, shift));
		const __m256i cd = _mm256_packs_epi32(_mm256_srai_epi32(c, shift), _mm256_srai_epi32(d, shift));
		_mm256_storeu_si256((__m256i *)(row + x), _mm256_permute2x128_si256(ab, cd, 0x20));
		_mm256_storeu_si256((__m256i *)(row + x + 16), _mm256_permute2x128_si256(ab, cd, 0x31));
	}
}

AVX2 static inline __m128i sum_avx2(const int16_t *from, const int16_t *weight, int taps) {
	__m128i sum = _mm_madd_epi16(_mm_loadu_si128((const __m128i *)from), _mm_loadu_si128((const __m128i *)weight));
	for (int k = 8; k < taps; k += 8)
		sum = _mm_add_epi32(sum, _mm_madd_epi16(_mm_loadu_si128((const __m128i *)(from + k)), _mm_loadu_si128((const __m128i *)(weight + k))));
	return sum;
}

AVX2 static void along_avx2(uint8_t *restrict dst, const int16_t *restrict row, const sb_weights *rows, int32_t offset, int w) {
	const int taps = rows->taps;
	const int16_t *restrict weight = rows->weight;
	const int32_t *start = rows->start;
	const __m128i add = _mm_set1_epi32(offset + (1 << (row_bits - 1)));
	int x = 0;
	for (; x + 4 <= w; x += 4, weight += 4 * taps) {
		const __m128i a = sum_avx2(row + start[x], weight, taps);
		const __m128i b = sum_avx2(row + start[x + 1], weight + taps, taps);
		const __m128i c = sum_avx2(row + start[x + 2], weight + 2 * taps, taps);
		const __m128i d = sum_avx2(row + start[x + 3], weight + 3 * taps, taps);
		__m128i sum = _mm_hadd_epi32(_mm_hadd_epi32(a, b), _mm_hadd_epi32(c, d));
		sum = _mm_srai_epi32(_mm_add_epi32(sum, add), row_bits);
		sum = _mm_packs_epi32(sum, sum);
		const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
		memcpy(dst + x, &four, 4);
	}
	along(dst, row, rows, offset, x, w);
}
#endif

/* line makes line y of the target, of those lines of the source that it is made of. row has room
 * for sw + rows.taps samples, those after the first sw of which are zero. */
static void line(const sb_target *to, int y, const uint8_t *const *lines, int sw, int16_t *row) {
	const int16_t *weight = to->columns.weight + (int64_t)y * to->columns.taps;
	int taps = to->columns.taps;
	while (taps > 1 && weight[taps - 1] == 0)
		taps--; /* there may be no such lines */
	uint8_t *dst = to->pix + (int64_t)y * to->stride;
#ifdef SB_AVX2
	if (__builtin_cpu_supports("avx2")) {
		down_avx2(row, lines, weight, taps, sw);
		along_avx2(dst, row, &to->rows, to->offset, to->w);
		return;
	}
#endif
	down(row, lines, weight, taps, 0, sw);
	along(dst, row, &to->rows, to->offset, 0, to->w);
}

int sb_resize(const sb_target *to, const uint8_t *src, int sstride, int sw, int sh) {
	int16_t *row = calloc(sw + to->rows.taps, sizeof *row);
	const uint8_t **lines = malloc(to->columns.taps * sizeof *lines);
	int failed = row == NULL || lines == NULL;
	for (int y = 0; y < to->h && !failed; y++) {
		for (int k = 0; k < to->columns.taps; k++) {
			int i = to->columns.start[y] + k;
			lines[k] = src + (int64_t)(i < sh ? i : sh - 1) * sstride;
		}
		line(to, y, lines, sw, row);
	}
	free(row);
	free(lines);
	return failed;
}

int sb_open(sb_stream *s, const sb_target *to, int sw, int sh, int stride, int burst) {
	memset(s, 0, sizeof *s);
	s->to = to;
	s->sw = sw;
	s->sh = sh;
	/* A line of the target may begin a little before the one above it: its outer weights that are
	 * zero are left out. */
	s->room = 2 * to->columns.taps + burst;
	s->stride = stride;
	s->kept = calloc(s->room, stride);
	s->row = calloc(sw + to->rows.taps, sizeof *s->row);
	s->lines = malloc(to->columns.taps * sizeof *s->lines);
	return s->kept == NULL || s->row == NULL || s->lines == NULL;
}

void sb_close(sb_stream *s) {
	free(s->kept);
	free(s->row);
	free(s->lines);
	memset(s, 0, sizeof *s);
}

uint8_t *sb_line(const sb_stream *s, int i) { return s->kept + (int64_t)((s->have + i) % s->room) * s->stride; }

void sb_came(sb_stream *s, int n) {
	s->have = n < s->sh - s->have ? s->have + n : s->sh;
	const sb_weights *columns = &s->to->columns;
	for (; s->next < s->to->h; s->next++) {
		const int from = columns->start[s->next];
		if (from + columns->taps > s->have && s->have < s->sh)
			return;
		for (int k = 0; k < columns->taps; k++) {
			int i = from + k < s->sh ? from + k : s->sh - 1;
			s->lines[k] = s->kept + (int64_t)(i % s->room) * s->stride;
		}
		line(s->to, s->next, s->lines, s->sw, s->row);
	}
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
