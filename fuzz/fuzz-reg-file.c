/* SPDX-License-Identifier: MIT */
/* fuzz-reg-file.c - a .reg file; what is read is written and read again */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "base/utf8.h"
#include "registry/reg-file.h"
#include "registry/service-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int same(const struct reg_service *s, void *arg)
{
	const struct reg_service *want = arg;

	if (!guid_equal(&s->id, &want->id) || !s->name != !want->name ||
	    (s->name && strcmp(s->name, want->name) != 0))
		abort();
	return 0;
}

static int check(const struct reg_service *s, void *arg)
{
	struct reg_service want = *s;
	struct reg_entry entry = { s->id, s->name };
	char clean[SERVICE_NAME_SIZE];
	struct parse_error e;
	size_t len;
	char *out;

	if (s->name && !utf8_valid(s->name, strlen(s->name)))
		abort();
	if (s->name && *service_name_clean(s->name, clean) &&
	    name_check("", clean, 0, &e) < 0)
		abort();
	(*(unsigned int *)arg)++;
	for (int utf8 = 0; utf8 < 2; utf8++) {
		if (reg_file_format(&entry, 1, utf8, &out, &len) < 0)
			break; /* a name of two lines */
		if (reg_file_parse(out, len, same, &want, &e) < 0)
			abort();
		free(out);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parse_error e = { 0 };
	unsigned int n = 0;

	if (reg_file_parse(data, size, check, &n, &e) < 0 && !e.reason[0])
		abort();
	return 0;
}
