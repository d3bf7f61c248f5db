#ifndef SB_AVX2_H
#define SB_AVX2_H

#include <stdint.h>

/* sb_vp8_processor is not 0 if the processor has AVX2. */
int sb_vp8_processor(void);

/* sb_vp8_there is not 0 if libwebp is linked in, of the release that avx2.c was written
 * for, and the processor has AVX2. The others must not be called without. */
int sb_vp8_there(void);

/* sb_vp8_use has libwebp call the functions of avx2.c, or its own again. */
void sb_vp8_use(int ours);

/* sb_vp8_differs compares them with libwebp's own, each on so many blocks of noise, and
 * gives the name of the first that differs, or NULL. */
const char *sb_vp8_differs(uint64_t seed, int blocks);

#endif
