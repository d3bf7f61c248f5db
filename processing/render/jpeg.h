#ifndef SB_JPEG_H
#define SB_JPEG_H

#include "resize.h"
#include <stddef.h>

/* A sb_jpeg is a JPEG that is decoded by libjpeg-turbo. */
typedef struct sb_jpeg sb_jpeg;

/* A sb_channel is one plane of a JPEG as it will be decoded. */
typedef struct {
	int w, h;         /* samples */
	int across, down; /* samples of the first plane for one of this; 0 if that is no whole number */
} sb_channel;

/* sb_jpeg_open reads the header of the JPEG in data, which must stay where it is until sb_jpeg_close.
 * NULL: there was no memory. */
sb_jpeg *sb_jpeg_open(const uint8_t *data, size_t size);
void sb_jpeg_close(sb_jpeg *j);

/* sb_jpeg_error says why the JPEG can't be decoded; NULL if nothing is known against it. */
const char *sb_jpeg_error(const sb_jpeg *j);

/* sb_jpeg_damaged says whether something of the picture was missing or made no sense so far. */
int sb_jpeg_damaged(const sb_jpeg *j);

int sb_jpeg_width(const sb_jpeg *j);
int sb_jpeg_height(const sb_jpeg *j);

/* sb_jpeg_planes is how many planes there are: 1 of grey, 3 of YCbCr, 0 of what else there is. */
int sb_jpeg_planes(const sb_jpeg *j);

/* sb_jpeg_scale has the picture decoded at a fraction, 1, 2, 4 or 8, and tells of the planes that it
 * will have. Not 0: see sb_jpeg_error. */
int sb_jpeg_scale(sb_jpeg *j, int part, sb_channel *channels);

/* sb_jpeg_decode decodes all planes and resizes each to its target. Not 0: see sb_jpeg_error. */
int sb_jpeg_decode(sb_jpeg *j, const sb_target *targets);

#endif
