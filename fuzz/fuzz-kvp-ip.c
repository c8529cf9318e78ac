/* SPDX-License-Identifier: MIT */
/*
 * fuzz-kvp-ip.c - adapters and addresses, as they are typed
 *
 * The first byte says which it is: an adapter, a list, masks. What comes out
 * for an adapter comes out again for itself; and a list of one that is refused
 * is refused.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmbus/ic/services.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly as long as it is, so that sanitizers see the end. (strndup() itself
 * is too much for their strict checks.) */
static char *text_of(const char *data, size_t len)
{
	const char *zero = memchr(data, '\0', len);
	size_t n = zero ? (size_t)(zero - data) : len;
	char *text = malloc(n + 1);

	if (!text)
		abort();
	memcpy(text, data, n);
	text[n] = '\0';
	return text;
}

static void adapter(const char *text)
{
	char once[64], twice[64], small[4];

	if (kvp_adapter(text, once, sizeof(once)) < 0)
		return;
	if (kvp_adapter(once, twice, sizeof(twice)) < 0 ||
	    strcmp(once, twice) != 0 ||
	    kvp_adapter(text, small, sizeof(small)) == 0)
		abort();
}

static void list(const char *text, bool mask)
{
	struct kvp_list l, one;
	char *bad;

	if (kvp_addresses(text, mask, &l) == 0) {
		if (!l.count != !*text || !l.count != !l.families ||
		    strspn(text, "0123456789abcdefABCDEF:./;") != strlen(text))
			abort();
		return;
	}
	if (l.bad < text || l.bad + l.bad_len > text + strlen(text))
		abort();
	if (!l.bad_len)
		return; /* nothing between two semicolons */
	bad = text_of(l.bad, l.bad_len);
	if (kvp_addresses(bad, mask, &one) == 0)
		abort();
	free(bad);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	text = text_of((const char *)data + 1, size - 1);
	if (data[0] % 3 == 0)
		adapter(text);
	else
		list(text, data[0] % 3 == 2);
	free(text);
	return 0;
}
