//go:build cgo && turbo

#include "jpeg.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <jpeglib.h>
#include <jerror.h>

#if JPEG_LIB_VERSION >= 70
#define SCALED(c) ((c).DCT_v_scaled_size)
#define MIN_SCALED(j) ((j).min_DCT_v_scaled_size)
#else
#define SCALED(c) ((c).DCT_scaled_size)
#define MIN_SCALED(j) ((j).min_DCT_scaled_size)
#endif

enum { most_planes = 3 };

struct sb_jpeg {
	struct jpeg_decompress_struct lib;
	struct jpeg_error_mgr errors;
	jmp_buf back; /* where the library's fatal errors go */
	int failed, damaged;
	char text[JMSG_LENGTH_MAX];
	sb_stream streams[most_planes];
};

static void fatal(j_common_ptr lib) {
	sb_jpeg *j = lib->client_data;
	j->failed = 1;
	lib->err->format_message(lib, j->text);
	longjmp(j->back, 1);
}

static void message(j_common_ptr lib, int level) {
	sb_jpeg *j = lib->client_data;
	if (level >= 0)
		return; /* it only talks */
	/* More than the whole picture, before its end, is no damage. */
	if (lib->err->msg_code != JWRN_EXTRANEOUS_DATA || lib->err->msg_parm.i[1] != JPEG_EOI)
		j->damaged = 1;
}

static void silent(j_common_ptr lib) { (void)lib; }

sb_jpeg *sb_jpeg_open(const uint8_t *data, size_t size) {
	sb_jpeg *j = calloc(1, sizeof *j);
	if (j == NULL)
		return NULL;
	j->lib.err = jpeg_std_error(&j->errors);
	j->errors.error_exit = fatal;
	j->errors.emit_message = message;
	j->errors.output_message = silent;
	j->lib.client_data = j;
	if (setjmp(j->back))
		return j;
	jpeg_create_decompress(&j->lib);
	jpeg_mem_src(&j->lib, data, size);
	jpeg_read_header(&j->lib, TRUE);
	return j;
}

void sb_jpeg_close(sb_jpeg *j) {
	jpeg_destroy_decompress(&j->lib);
	for (int i = 0; i < most_planes; i++)
		sb_close(&j->streams[i]);
	free(j);
}

const char *sb_jpeg_error(const sb_jpeg *j) { return j->failed ? j->text : NULL; }
int sb_jpeg_damaged(const sb_jpeg *j) { return j->damaged; }
int sb_jpeg_width(const sb_jpeg *j) { return j->lib.image_width; }
int sb_jpeg_height(const sb_jpeg *j) { return j->lib.image_height; }

int sb_jpeg_planes(const sb_jpeg *j) {
	switch (j->lib.jpeg_color_space) {
	case JCS_GRAYSCALE:
		return 1;
	case JCS_YCbCr:
		return 3;
	default:
		return 0;
	}
}

static int whole(int a, int b) { return a % b == 0 ? a / b : 0; }

int sb_jpeg_scale(sb_jpeg *j, int part, sb_channel *channels) {
	struct jpeg_decompress_struct *lib = &j->lib;
	if (setjmp(j->back))
		return -1;
	lib->raw_data_out = TRUE;
	lib->out_color_space = lib->jpeg_color_space;
	lib->dct_method = JDCT_ISLOW;
	lib->scale_num = 1;
	lib->scale_denom = part;
	jpeg_calc_output_dimensions(lib);
	const jpeg_component_info *first = lib->comp_info;
	for (int i = 0; i < lib->num_components; i++) {
		const jpeg_component_info *c = &lib->comp_info[i];
		channels[i] = (sb_channel){
			.w = c->downsampled_width,
			.h = c->downsampled_height,
			.across = whole(first->h_samp_factor * SCALED(*first), c->h_samp_factor * SCALED(*c)),
			.down = whole(first->v_samp_factor * SCALED(*first), c->v_samp_factor * SCALED(*c)),
		};
	}
	return 0;
}

int sb_jpeg_decode(sb_jpeg *j, const sb_target *targets) {
	enum { most_lines = MAX_SAMP_FACTOR * DCTSIZE };
	struct jpeg_decompress_struct *lib = &j->lib;
	JSAMPROW lines[most_planes][most_lines];
	JSAMPARRAY planes[most_planes] = {lines[0], lines[1], lines[2]};
	if (setjmp(j->back))
		return -1;
	jpeg_start_decompress(lib);
	for (int i = 0; i < lib->num_components; i++) {
		const jpeg_component_info *c = &lib->comp_info[i];
		if (sb_open(&j->streams[i], &targets[i], c->downsampled_width, c->downsampled_height,
				c->width_in_blocks * SCALED(*c), c->v_samp_factor * SCALED(*c)))
			ERREXIT1(lib, JERR_OUT_OF_MEMORY, 0);
	}
	while (lib->output_scanline < lib->output_height) {
		for (int i = 0; i < lib->num_components; i++)
			for (int k = 0; k < lib->comp_info[i].v_samp_factor * SCALED(lib->comp_info[i]); k++)
				lines[i][k] = sb_line(&j->streams[i], k);
		jpeg_read_raw_data(lib, planes, lib->max_v_samp_factor * MIN_SCALED(*lib));
		for (int i = 0; i < lib->num_components; i++)
			sb_came(&j->streams[i], lib->comp_info[i].v_samp_factor * SCALED(lib->comp_info[i]));
	}
	jpeg_finish_decompress(lib);
	return 0;
}
