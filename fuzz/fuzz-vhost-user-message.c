/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vhost-user-message.c - messages of a front-end
 *
 * The first byte is the number of descriptors, then the message. What decodes
 * must be within the limits that the device relies on.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/vhost-user/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct vu_message *m, int nfds)
{
	uint64_t end;

	if (m->kind == VU_PAYLOAD_REGIONS) {
		if (!m->u.regions.count || m->u.regions.count > VU_REGIONS_MAX)
			abort();
		if (m->header.request == VU_SET_MEM_TABLE &&
		    (uint32_t)nfds != m->u.regions.count)
			abort();
		for (uint32_t i = 0; i < m->u.regions.count; i++) {
			const struct gmem_range *r = &m->u.regions.at[i];

			if (!r->size ||
			    __builtin_add_overflow(r->gpa, r->size, &end) ||
			    __builtin_add_overflow(r->uva, r->size, &end) ||
			    __builtin_add_overflow(r->offset, r->size, &end))
				abort();
		}
	}
	if (m->kind == VU_PAYLOAD_CONFIG && m->u.config.size > VU_CONFIG_MAX)
		abort();
	if (m->kind == VU_PAYLOAD_VRING_FD &&
	    m->u.vring_fd.has_fd != (nfds == 1))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vu_header h;
	struct vu_message m;
	uint8_t *payload;
	int nfds;

	if (size < 1 + VU_HEADER)
		return 0;
	nfds = data[0] % (VU_FDS_MAX + 1);
	if (vu_header_decode(data + 1, &h) < 0)
		return 0;
	if (h.size > VU_PAYLOAD_MAX)
		abort();
	data += 1 + VU_HEADER;
	size -= 1 + VU_HEADER;
	if (size < h.size)
		return 0;
	/* exactly as large as it says, so that sanitizers see the end */
	payload = malloc(h.size ? h.size : 1);
	if (!payload)
		return 0;
	memcpy(payload, data, h.size);
	if (vu_message_decode(&h, payload, nfds, &m) == 0)
		check(&m, nfds);
	(void)vu_request_name(h.request);
	free(payload);
	return 0;
}
