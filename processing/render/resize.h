#ifndef SB_RESIZE_H
#define SB_RESIZE_H

#include <stdint.h>

/* sb_weights is the weights of lanczos.go. */
typedef struct {
	int taps;
	const int32_t *start;
	const int16_t *weight;
} sb_weights;

/* sb_target is a plane and the fitting that it is filled by, of planes.go. */
typedef struct {
	uint8_t *pix;
	int stride, w, h;
	sb_weights columns, rows;
	int32_t offset;
} sb_target;

/* sb_resize is resizeGo of lanczos.go: the same sums, the same rounding. The source
 * has sw by sh samples. Not 0: there was no memory. */
int sb_resize(const sb_target *to, const uint8_t *src, int sstride, int sw, int sh);

/* A sb_stream is sb_resize of a source that comes a few lines at a time, of which no
 * more are kept than are needed. */
typedef struct {
	const sb_target *to;
	int sw, sh;
	int have;      /* lines of the source that came */
	int next;      /* line of the target to be made */
	int room;      /* lines that are kept */
	int stride;    /* of them */
	uint8_t *kept; /* line i of the source lies in place i % room */
	const uint8_t **lines;
	int16_t *row;
} sb_stream;

/* sb_open makes a stream for lines that come up to burst at a time and have room for stride
 * samples. Not 0: there was no memory. Whatever it says, and of a stream of zeros, too,
 * sb_close gives back what it took. */
int sb_open(sb_stream *s, const sb_target *to, int sw, int sh, int stride, int burst);
void sb_close(sb_stream *s);

/* sb_line is where line i from now of the source goes; sb_came says that so many came
 * (those beyond the last are ignored), and makes what can be made of them. */
uint8_t *sb_line(const sb_stream *s, int i);
void sb_came(sb_stream *s, int n);

/* sb_rgb makes a line of RGB of one of full-range YCbCr, a sample of chroma for
 * every two pixels, by the numbers of image/color. */
void sb_rgb(uint8_t *dst, const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int w);

#endif
