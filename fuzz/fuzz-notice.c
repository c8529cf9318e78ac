/* SPDX-License-Identifier: MIT */
/*
 * fuzz-notice.c - what a guest says of how far it is
 *
 * The first byte says into which pieces the text is cut. However it is cut, the
 * same is understood; what is kept of it is printable and ends.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "proto/notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(struct notice *n, const uint8_t *data, size_t size,
		size_t piece)
{
	int r = 0;

	notice_init(n);
	while (size) {
		size_t len = piece && piece < size ? piece : size;

		r = notice_feed(n, data, len);
		data += len;
		size -= len;
	}
	notice_end(n);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct notice whole, cut;
	int r;

	if (!size)
		return 0;
	r = take(&whole, data + 1, size - 1, 0);
	if ((size - 1 > NOTICE_MAX) != (r < 0) ||
	    (take(&cut, data + 1, size - 1, data[0]) < 0) != (r < 0) ||
	    cut.state != whole.state || cut.has_status != whole.has_status ||
	    strcmp(cut.status, whole.status) != 0 ||
	    strlen(whole.status) >= NOTICE_STATUS_SIZE ||
	    !utf8_printable(whole.status, strlen(whole.status)) ||
	    (!whole.has_status && whole.status[0]))
		abort();
	return 0;
}
