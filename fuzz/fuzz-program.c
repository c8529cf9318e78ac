/* SPDX-License-Identifier: MIT */
/* fuzz-program.c - the file that hvctl as is to run */
#include <stdlib.h>
#include <string.h>

#include "hvctl/as-program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* exactly as large, so that one byte more is seen */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy || size > PROGRAM_HEAD) {
		free(copy);
		return 0;
	}
	if (size)
		memcpy(copy, data, size);
	if (program_kind(copy, size) > PROGRAM_FOREIGN)
		abort();
	free(copy);
	return 0;
}
