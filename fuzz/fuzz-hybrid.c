/* SPDX-License-Identifier: MIT */
/*
 * fuzz-hybrid.c - lines of the Unix-socket convention
 *
 * The first byte says which line is expected. In one piece and byte by byte
 * the outcome is the same, and what is read is written as a line that is read
 * as the same again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/guid.h"
#include "proto/hybrid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void again(const struct hybrid_parser *p)
{
	char line[HYBRID_LINE_SIZE], suffix[HYBRID_SUFFIX_SIZE];
	struct hybrid_parser q;
	size_t len, used;
	GUID g;

	len = hybrid_format(p->kind, &p->service, p->by_guid, line);
	check(len < sizeof(line) && strlen(line) == len);
	hybrid_parser_init(&q, p->kind);
	check(hybrid_parse(&q, line, len, &used) == HYBRID_DONE && used == len);
	check(guid_equal(&p->service, &q.service) && p->by_guid == q.by_guid);
	hybrid_suffix(&p->service, p->by_guid, suffix);
	check(hybrid_suffix_parse(suffix, &g));
	check(guid_equal(&g, &p->service));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hybrid_parser whole, bytes;
	size_t used = 0, sum = 0;
	char *text;

	if (!size)
		return 0;
	hybrid_parser_init(&whole, data[0] & 1 ? HYBRID_OK : HYBRID_CONNECT);
	bytes = whole;
	/* memory that ends exactly behind them */
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	hybrid_parse(&whole, text, size - 1, &used);
	for (size_t i = 0; i < size - 1; i++) {
		size_t one;

		hybrid_parse(&bytes, text + i, 1, &one);
		sum += one;
	}
	check(whole.status == bytes.status && used == sum && used <= size - 1);
	if (whole.status == HYBRID_DONE)
		again(&whole);
	else
		check(whole.status == HYBRID_BAD || used == size - 1);
	text[size - 1] = '\0';
	if (hybrid_suffix_parse(text, &whole.service))
		check(text[0] == '_');
	free(text);
	return 0;
}
