#include <stdint.h>

/* sb_weights is the weights of lanczos.go. */
typedef struct {
	int taps;
	const int32_t *start;
	const int16_t *weight;
} sb_weights;

/* sb_resize is resizeGo of lanczos.go: the same sums, the same rounding. row has
 * room for sw + rows.taps samples, those after the first sw of which are zero. */
void sb_resize(uint8_t *dst, int dstride, int dw, int dh, const uint8_t *src, int sstride, int sw,
	sb_weights columns, sb_weights rows, int32_t offset, int16_t *row);

/* sb_rgb makes a line of RGB of one of full-range YCbCr, a sample of chroma for
 * every two pixels, by the numbers of image/color. */
void sb_rgb(uint8_t *dst, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int w);
