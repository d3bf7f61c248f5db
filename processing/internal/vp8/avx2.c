//go:build cgo && amd64

/* The functions of VP8's encoder (RFC 6386) that take most of its time, for AVX2, with the
 * interfaces and the results, bit by bit, of those that libwebp 1.4 has in src/dsp/enc.c.
 *
 * What makes them faster, beside the longer registers: a block of four by four pixels is
 * read as four words of four bytes, which is how it was written a moment ago. Longer words
 * would have to wait until what was written has reached the cache. And of a block that was
 * quantized to nothing, as most are where a picture is smooth, the inverse transform is the
 * prediction itself.
 *
 * Between rows of pixels there are 32 bytes always. */

#include "avx2.h"
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))
/* The same constants in both halves of a register. */
#define BYTES(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)
#define SHORTS(...) _mm256_setr_epi16(__VA_ARGS__, __VA_ARGS__)
#define INTS(...) _mm256_setr_epi32(__VA_ARGS__, __VA_ARGS__)

enum { stride = 32 };

/* block is the pixels of a block, row after row. */
AVX2 static inline __m128i block(const uint8_t *p) {
	int32_t row[4];
	for (int y = 0; y < 4; y++)
		memcpy(&row[y], p + y * stride, 4);
	return _mm_insert_epi32(_mm_insert_epi32(_mm_insert_epi32(_mm_cvtsi32_si128(row[0]), row[1], 1), row[2], 2), row[3], 3);
}

AVX2 static inline void put(uint8_t *p, __m128i v) {
	const int32_t row[4] = {_mm_cvtsi128_si32(v), _mm_extract_epi32(v, 1), _mm_extract_epi32(v, 2), _mm_extract_epi32(v, 3)};
	for (int y = 0; y < 4; y++)
		memcpy(p + y * stride, &row[y], 4);
}

AVX2 static inline int32_t sum(__m128i v) {
	v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
	v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1));
	return _mm_cvtsi128_si32(v);
}

/* squares is the sum of the squared differences of two blocks. */
AVX2 static int squares(const uint8_t *a, const uint8_t *b) {
	const __m128i zero = _mm_setzero_si128(), p = block(a), q = block(b);
	const __m128i low = _mm_sub_epi16(_mm_unpacklo_epi8(p, zero), _mm_unpacklo_epi8(q, zero));
	const __m128i high = _mm_sub_epi16(_mm_unpackhi_epi8(p, zero), _mm_unpackhi_epi8(q, zero));
	return sum(_mm_add_epi32(_mm_madd_epi16(low, low), _mm_madd_epi16(high, high)));
}

/* The forward transform of the difference of two blocks: along the rows, then down the
 * columns. (RFC 6386, 14.3, has the inverse.) */
AVX2 static inline __m256i forward(const uint8_t *src, const uint8_t *ref) {
	const __m256i d = _mm256_sub_epi16(_mm256_cvtepu8_epi16(block(src)), _mm256_cvtepu8_epi16(block(ref)));
	/* Of each row: d0 d1 d0 d1 and d3 d2 d3 d2, whose sums and differences are the butterfly. */
	const __m256i front = _mm256_shuffle_epi8(d, BYTES(0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11));
	const __m256i back = _mm256_shuffle_epi8(d, BYTES(6, 7, 4, 5, 6, 7, 4, 5, 14, 15, 12, 13, 14, 15, 12, 13));
	const __m256i even = _mm256_madd_epi16(_mm256_add_epi16(front, back), SHORTS(8, 8, 8, -8, 8, 8, 8, -8));
	__m256i odd = _mm256_madd_epi16(_mm256_sub_epi16(front, back), SHORTS(5352, 2217, 2217, -5352, 5352, 2217, 2217, -5352));
	odd = _mm256_srai_epi32(_mm256_add_epi32(odd, INTS(1812, 937, 1812, 937)), 9);
	/* Columns 0 2 of a row and of the next, then 1 3 of both: put into pairs down the columns, of
	 * rows 0 1 in the lower half of the register, of rows 3 2 in the upper. */
	const __m256i outer = _mm256_shuffle_epi8(_mm256_packs_epi32(even, odd), _mm256_setr_epi8(
		0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
		4, 5, 0, 1, 12, 13, 8, 9, 6, 7, 2, 3, 14, 15, 10, 11));
	const __m256i inner = _mm256_permute2x128_si256(outer, outer, 1);
	const __m256i sums = _mm256_add_epi16(outer, inner);
	const __m256i differences = _mm256_sub_epi16(outer, inner); /* with the other sign in the upper half */
	__m256i r02 = _mm256_madd_epi16(sums, _mm256_setr_epi16(1, 1, 1, 1, 1, 1, 1, 1, 1, -1, 1, -1, 1, -1, 1, -1));
	r02 = _mm256_srai_epi32(_mm256_add_epi32(r02, INTS(7, 7, 7, 7)), 4);
	__m256i r13 = _mm256_madd_epi16(differences, _mm256_setr_epi16(
		5352, 2217, 5352, 2217, 5352, 2217, 5352, 2217, -2217, 5352, -2217, 5352, -2217, 5352, -2217, 5352));
	/* Row 1 is one more where the outer difference is not 0: one more everywhere, and one less where it is. */
	enum { one = 1 << 16 };
	const __m256i half = _mm256_setr_epi32(12000 + one, 12000 + one, 12000 + one, 12000 + one, 51000 + one, 51000 + one, 51000 + one, 51000 + one);
	r13 = _mm256_srai_epi32(_mm256_add_epi32(r13, half), 16);
	const __m256i first = _mm256_and_si256(differences, _mm256_setr_epi32(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0));
	r13 = _mm256_add_epi32(r13, _mm256_cmpeq_epi32(first, _mm256_setzero_si256()));
	return _mm256_packs_epi32(r02, r13);
}

AVX2 static void transform(const uint8_t *src, const uint8_t *ref, int16_t *out) {
	_mm256_storeu_si256((__m256i *)out, forward(src, ref));
}

AVX2 static void transform_two(const uint8_t *src, const uint8_t *ref, int16_t *out) {
	transform(src, ref, out);
	transform(src + 4, ref + 4, out + 16);
}

/* inverse is the inverse transform (RFC 6386, 14.3) of two blocks, one in each half of the
 * registers: down the columns, then along the rows. It takes and gives rows 0 1 and rows 2 3. */
AVX2 static inline void inverse(__m256i *r01, __m256i *r23) {
	/* The two factors are (1 << 16) + 20091 and (1 << 16) - 30068. */
	const __m256i k12 = SHORTS(20091, 20091, 20091, 20091, -30068, -30068, -30068, -30068);
	const __m256i k21 = SHORTS(-30068, -30068, -30068, -30068, 20091, 20091, 20091, 20091);
	const __m256i sign = SHORTS(1, 1, 1, 1, -1, -1, -1, -1);
	/* They transpose: pairs of rows 0 1, and of rows 3 2 in their order. */
	const __m256i pairs = BYTES(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
	const __m256i swapped = BYTES(8, 9, 0, 1, 10, 11, 2, 3, 12, 13, 4, 5, 14, 15, 6, 7);
	__m256i x01 = _mm256_add_epi16(*r01, SHORTS(4, 0, 0, 0, 0, 0, 0, 0)), x23 = *r23;
	for (int pass = 0; pass < 2; pass++) {
		const __m256i ab = _mm256_unpacklo_epi64(_mm256_add_epi16(x01, x23), _mm256_sub_epi16(x01, x23));
		const __m256i x1 = _mm256_unpackhi_epi64(x01, x01), x3 = _mm256_unpackhi_epi64(x23, x23);
		const __m256i y1 = _mm256_add_epi16(_mm256_mulhi_epi16(x1, k12), x1), y3 = _mm256_add_epi16(_mm256_mulhi_epi16(x3, k21), x3);
		const __m256i dc = _mm256_add_epi16(y1, _mm256_sign_epi16(y3, sign));
		__m256i r01 = _mm256_add_epi16(ab, dc), r32 = _mm256_sub_epi16(ab, dc);
		if (pass == 1) {
			r01 = _mm256_srai_epi16(r01, 3);
			r32 = _mm256_srai_epi16(r32, 3);
		}
		r01 = _mm256_shuffle_epi8(r01, pairs);
		r32 = _mm256_shuffle_epi8(r32, swapped);
		x01 = _mm256_unpacklo_epi32(r01, r32);
		x23 = _mm256_unpackhi_epi32(r01, r32);
	}
	*r01 = x01;
	*r23 = x23;
}

/* add is a block and what its rows 0 1 and 2 3 are to be changed by. */
AVX2 static inline __m128i add(__m128i to, __m128i r01, __m128i r23) {
	const __m128i zero = _mm_setzero_si128();
	return _mm_packus_epi16(_mm_add_epi16(_mm_unpacklo_epi8(to, zero), r01), _mm_add_epi16(_mm_unpackhi_epi8(to, zero), r23));
}

AVX2 static inline __m128i load(const int16_t *p) { return _mm_loadu_si128((const __m128i *)p); }

AVX2 static void inverse_transform(const uint8_t *ref, const int16_t *in, uint8_t *dst, int two) {
	if (two) {
		__m256i r01 = _mm256_inserti128_si256(_mm256_castsi128_si256(load(in)), load(in + 16), 1);
		__m256i r23 = _mm256_inserti128_si256(_mm256_castsi128_si256(load(in + 8)), load(in + 24), 1);
		const __m256i any = _mm256_or_si256(r01, r23);
		const __m128i a = block(ref), b = block(ref + 4);
		if (_mm256_testz_si256(any, any)) {
			put(dst, a);
			put(dst + 4, b);
			return;
		}
		inverse(&r01, &r23);
		put(dst, add(a, _mm256_castsi256_si128(r01), _mm256_castsi256_si128(r23)));
		put(dst + 4, add(b, _mm256_extracti128_si256(r01, 1), _mm256_extracti128_si256(r23, 1)));
		return;
	}
	__m256i r01 = _mm256_castsi128_si256(load(in)), r23 = _mm256_castsi128_si256(load(in + 8));
	const __m128i a = block(ref), any = _mm256_castsi256_si128(_mm256_or_si256(r01, r23));
	if (_mm_testz_si128(any, any)) {
		put(dst, a);
		return;
	}
	inverse(&r01, &r23);
	put(dst, add(a, _mm256_castsi256_si128(r01), _mm256_castsi256_si128(r23)));
}

/* texture is how far the weighted Hadamard transforms of two blocks are apart. One is in the lower
 * half of the registers, the other in the upper. The weights are symmetric, so that columns may
 * come first. */
AVX2 static inline int texture(const uint8_t *a, const uint8_t *b, __m256i weights01, __m256i weights32) {
	const __m256i pairs = BYTES(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
	const __m256i swapped = BYTES(8, 9, 0, 1, 10, 11, 2, 3, 12, 13, 4, 5, 14, 15, 6, 7);
	const __m128i p = block(a), q = block(b);
	__m256i x01 = _mm256_cvtepu8_epi16(_mm_unpacklo_epi64(p, q)), x23 = _mm256_cvtepu8_epi16(_mm_unpackhi_epi64(p, q));
	__m256i y01, y32;
	for (int pass = 0; pass < 2; pass++) {
		const __m256i s = _mm256_add_epi16(x01, x23), d = _mm256_sub_epi16(x01, x23);
		const __m256i outer = _mm256_unpacklo_epi64(s, d), inner = _mm256_unpackhi_epi64(s, d);
		y01 = _mm256_add_epi16(outer, inner);
		y32 = _mm256_sub_epi16(outer, inner);
		if (pass == 0) {
			y01 = _mm256_shuffle_epi8(y01, pairs);
			y32 = _mm256_shuffle_epi8(y32, swapped);
			x01 = _mm256_unpacklo_epi32(y01, y32);
			x23 = _mm256_unpackhi_epi32(y01, y32);
		}
	}
	const __m256i both = _mm256_add_epi32(_mm256_madd_epi16(_mm256_abs_epi16(y01), weights01), _mm256_madd_epi16(_mm256_abs_epi16(y32), weights32));
	return abs(sum(_mm_sub_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1)))) >> 5;
}

AVX2 static inline __m256i weights01(const uint16_t *w) {
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)w));
}

AVX2 static inline __m256i weights32(const uint16_t *w) {
	return _mm256_broadcastsi128_si256(_mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(w + 8)), 0x4e));
}

AVX2 static int texture4(const uint8_t *a, const uint8_t *b, const uint16_t *w) { return texture(a, b, weights01(w), weights32(w)); }

AVX2 static int texture16(const uint8_t *a, const uint8_t *b, const uint16_t *w) {
	const __m256i w01 = weights01(w), w32 = weights32(w);
	int all = 0;
	for (int y = 0; y < 16; y += 4)
		for (int x = 0; x < 16; x += 4)
			all += texture(a + y * stride + x, b + y * stride + x, w01, w32);
	return all;
}

/* What there is in libwebp, weak, so that this package's own objects can be linked without it,
 * as cgo does to look at them. */
#define WEAK __attribute__((weak))

typedef struct histogram histogram; /* libwebp's own affair */

extern WEAK int WebPGetEncoderVersion(void);
extern WEAK void VP8EncDspInit(void);
extern WEAK const int VP8DspScan[16 + 4 + 4]; /* where the blocks of a macroblock are */
extern WEAK void VP8SetHistogramData(const int *bins, histogram *);

extern WEAK int (*VP8SSE4x4)(const uint8_t *, const uint8_t *);
extern WEAK void (*VP8FTransform)(const uint8_t *, const uint8_t *, int16_t *);
extern WEAK void (*VP8FTransform2)(const uint8_t *, const uint8_t *, int16_t *);
extern WEAK void (*VP8ITransform)(const uint8_t *, const int16_t *, uint8_t *, int);
extern WEAK int (*VP8TDisto4x4)(const uint8_t *, const uint8_t *, const uint16_t *);
extern WEAK int (*VP8TDisto16x16)(const uint8_t *, const uint8_t *, const uint16_t *);
extern WEAK void (*VP8CollectHistogram)(const uint8_t *, const uint8_t *, int, int, histogram *);

enum { bins = 32, last = bins - 1 };

/* collect counts how large the coefficients of some blocks are. Neighbours are counted apart, for
 * a counter that was written a moment ago would have to be waited for. */
AVX2 static void collect(const uint8_t *src, const uint8_t *ref, int from, int to, histogram *h) {
	uint16_t count[4][bins] = {{0}};
	for (int i = from; i < to; i++) {
		const __m256i size = _mm256_srli_epi16(_mm256_abs_epi16(forward(src + VP8DspScan[i], ref + VP8DspScan[i])), 3);
		uint16_t bin[16];
		_mm256_storeu_si256((__m256i *)bin, _mm256_min_epu16(size, SHORTS(last, last, last, last, last, last, last, last)));
		for (int k = 0; k < 16; k++)
			count[k % 4][bin[k]]++;
	}
	int all[bins];
	for (int k = 0; k < bins; k++)
		all[k] = count[0][k] + count[1][k] + count[2][k] + count[3][k];
	VP8SetHistogramData(all, h);
}

int sb_vp8_processor(void) { return __builtin_cpu_supports("avx2"); }

int sb_vp8_there(void) {
	enum { release = 0x10400 };
	return WebPGetEncoderVersion && VP8EncDspInit && VP8DspScan && VP8SetHistogramData && &VP8SSE4x4 && &VP8FTransform &&
		&VP8FTransform2 && &VP8ITransform && &VP8TDisto4x4 && &VP8TDisto16x16 && &VP8CollectHistogram &&
		WebPGetEncoderVersion() >> 8 == release >> 8 && sb_vp8_processor();
}

/* All functions, ours or libwebp's. */
typedef struct {
	int (*squares)(const uint8_t *, const uint8_t *);
	void (*transform)(const uint8_t *, const uint8_t *, int16_t *);
	void (*transform_two)(const uint8_t *, const uint8_t *, int16_t *);
	void (*inverse_transform)(const uint8_t *, const int16_t *, uint8_t *, int);
	int (*texture4)(const uint8_t *, const uint8_t *, const uint16_t *);
	int (*texture16)(const uint8_t *, const uint8_t *, const uint16_t *);
	void (*collect)(const uint8_t *, const uint8_t *, int, int, histogram *);
} functions;

static const functions ours = {squares, transform, transform_two, inverse_transform, texture4, texture16, collect};

static functions used(void) {
	VP8EncDspInit(); /* sets them, the first time */
	return (functions){VP8SSE4x4, VP8FTransform, VP8FTransform2, VP8ITransform, VP8TDisto4x4, VP8TDisto16x16, VP8CollectHistogram};
}

static void use(functions f) {
	VP8SSE4x4 = f.squares;
	VP8FTransform = f.transform;
	VP8FTransform2 = f.transform_two;
	VP8ITransform = f.inverse_transform;
	VP8TDisto4x4 = f.texture4;
	VP8TDisto16x16 = f.texture16;
	VP8CollectHistogram = f.collect;
}

static functions own; /* libwebp's, while ours are used */

void sb_vp8_use(int on) {
	const functions now = used();
	const int are = now.squares == ours.squares;
	if (on && !are) {
		own = now;
		use(ours);
	} else if (!on && are)
		use(own);
}

/* noise is the next of a series of random numbers (xorshift64). */
static uint64_t noise(uint64_t *seed) {
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	return *seed ^= *seed << 17;
}

const char *sb_vp8_differs(uint64_t seed, int blocks) {
	enum { macroblock = 16 * stride };
	const functions theirs = used().squares == ours.squares ? own : used();
	if (seed == 0)
		seed = 1;
	for (int i = 0; i < blocks; i++) {
		uint8_t a[macroblock], b[macroblock], c[macroblock] = {0}, d[macroblock] = {0};
		int16_t in[32], s[32], t[32];
		uint16_t w[16];
		/* Like or unlike, with few coefficients or many, of a picture's size or of any. */
		const uint64_t kind = noise(&seed);
		const int near = kind & 15, few = kind >> 4 & 7, small = kind >> 7 & 15;
		for (int k = 0; k < macroblock; k++) {
			a[k] = noise(&seed) >> 32;
			b[k] = near < 8 ? a[k] ^ (noise(&seed) >> 32 & 255 >> near) : noise(&seed) >> 32;
		}
		for (int k = 0; k < 32; k++) {
			in[k] = (int16_t)(noise(&seed) >> 32) >> small;
			if ((noise(&seed) >> 32 & 7) < few || few == 7)
				in[k] = 0;
		}
		for (int y = 0; y < 4; y++) /* symmetric */
			for (int x = 0; x <= y; x++)
				w[4 * y + x] = w[4 * x + y] = noise(&seed) >> 32 & 63;

		if (ours.squares(a, b) != theirs.squares(a, b))
			return "squares";
		ours.transform(a, b, s);
		theirs.transform(a, b, t);
		if (memcmp(s, t, sizeof s / 2) != 0)
			return "transform";
		ours.transform_two(a, b, s);
		theirs.transform_two(a, b, t);
		if (memcmp(s, t, sizeof s) != 0)
			return "transform_two";
		for (int two = 0; two < 2; two++) {
			ours.inverse_transform(a, in, c, two);
			theirs.inverse_transform(a, in, d, two);
			if (memcmp(c, d, sizeof c) != 0)
				return "inverse_transform";
		}
		if (ours.texture4(a, b, w) != theirs.texture4(a, b, w))
			return "texture4";
		if (ours.texture16(a, b, w) != theirs.texture16(a, b, w))
			return "texture16";
		int32_t h[16] = {0}, g[16] = {0}; /* room for a histogram, which is two of them */
		ours.collect(a, b, 0, 16, (histogram *)h);
		theirs.collect(a, b, 0, 16, (histogram *)g);
		if (memcmp(h, g, sizeof h) != 0)
			return "collect";
	}
	return NULL;
}
