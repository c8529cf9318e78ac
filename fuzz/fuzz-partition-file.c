/* SPDX-License-Identifier: MIT */
/* fuzz-partition-file.c - the text of a partition file */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "registry/partition-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int look_up(const char *name, uint32_t *ret)
{
	*ret = 1;
	return name[0] == 'x' ? -ENOENT : 0;
}

static const struct name_lookup names = { look_up, look_up };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct partition_file f;
	struct parse_error e = { 0 };

	if (partition_file_parse((const char *)data, size, "stem", &names, &f,
				 &e) < 0) {
		if (!e.reason[0])
			abort();
		return 0;
	}
	if (name_check("", f.p.name, 0, &e) < 0)
		abort();
	partition_file_fini(&f);
	return 0;
}
