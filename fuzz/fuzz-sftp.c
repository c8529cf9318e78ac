/* SPDX-License-Identifier: MIT */
/*
 * fuzz-sftp.c - what a guest's sftp server says
 *
 * Packets one after the other, as hvctl cp reads them. What is taken lies
 * within the input; a name that is taken can only be in its directory.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hvctl/sftp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void within(const struct sftp_bytes *b, const uint8_t *p, size_t size)
{
	check(!b->len || (b->p >= p && b->p + b->len <= p + size));
}

static void names(struct sftp_reply *a, const uint8_t *p, size_t size)
{
	struct sftp_entry e;
	uint32_t before = a->count;
	int r;

	while ((r = sftp_next_entry(a, &e))) {
		if (r == -EPROTO)
			return;
		check(a->count < before);
		before = a->count;
		within(&e.name, p, size);
		check((r == 1) == sftp_entry_ok(e.name.p, e.name.len));
		if (r == 1)
			check(!memchr(e.name.p, '/', e.name.len) &&
			      e.name.len <= SFTP_NAME_MAX);
	}
	check(!a->count);
}

static void packet(const uint8_t *p, size_t size)
{
	struct sftp_statvfs fs;
	struct sftp_reply a;
	uint64_t reads, writes;

	if (sftp_decode(p, size, &a) < 0)
		return;
	within(&a.bytes, p, size);
	(void)sftp_decode_limits(&a, &reads, &writes);
	(void)sftp_decode_statvfs(&a, &fs);
	if (a.type == SFTP_HANDLE)
		check(a.bytes.len <= SFTP_HANDLE_MAX);
	if (a.type == SFTP_NAME)
		names(&a, p, size);
	check(strlen(sftp_status_text(a.status)) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n;

	while (sftp_frame(data, size, &n) == 1) {
		/* memory that ends exactly behind it */
		uint8_t *copy = malloc(n);

		check(n <= size && n >= 9);
		if (!copy)
			return 0;
		memcpy(copy, data, n);
		packet(copy, n);
		free(copy);
		data += n;
		size -= n;
	}
	return 0;
}
