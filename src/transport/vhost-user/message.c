/* SPDX-License-Identifier: MIT */
/* message.c - see message.h */
#include "transport/vhost-user/message.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define CONFIG_HEAD 12u
#define REGION_SIZE 32u
#define VRING_INDEX_MASK 0xffu
#define VRING_NOFD 0x100u

static const struct {
	const char *name;
	enum vu_payload kind;
	uint16_t min, max; /* payload */
	uint8_t fds_min, fds_max;
	bool reply;
} requests[] = {
	[VU_GET_FEATURES] = { "GET_FEATURES", VU_PAYLOAD_NONE, 0, 0, 0, 0,
			      true },
	[VU_SET_FEATURES] = { "SET_FEATURES", VU_PAYLOAD_U64, 8, 8, 0, 0,
			      false },
	[VU_SET_OWNER] = { "SET_OWNER", VU_PAYLOAD_NONE, 0, 0, 0, 0, false },
	[VU_RESET_OWNER] = { "RESET_OWNER", VU_PAYLOAD_NONE, 0, 0, 0, 0,
			     false },
	[VU_SET_MEM_TABLE] = { "SET_MEM_TABLE", VU_PAYLOAD_REGIONS,
			       8 + REGION_SIZE, 8 + REGION_SIZE *VU_REGIONS_MAX,
			       1, VU_REGIONS_MAX, false },
	[VU_SET_LOG_BASE] = { "SET_LOG_BASE", VU_PAYLOAD_LOG, 8, 16, 0, 1,
			      false },
	[VU_SET_LOG_FD] = { "SET_LOG_FD", VU_PAYLOAD_LOG, 0, 8, 0, 1, false },
	[VU_SET_VRING_NUM] = { "SET_VRING_NUM", VU_PAYLOAD_STATE, 8, 8, 0, 0,
			       false },
	[VU_SET_VRING_ADDR] = { "SET_VRING_ADDR", VU_PAYLOAD_ADDR, 40, 40, 0, 0,
				false },
	[VU_SET_VRING_BASE] = { "SET_VRING_BASE", VU_PAYLOAD_STATE, 8, 8, 0, 0,
				false },
	[VU_GET_VRING_BASE] = { "GET_VRING_BASE", VU_PAYLOAD_STATE, 8, 8, 0, 0,
				true },
	[VU_SET_VRING_KICK] = { "SET_VRING_KICK", VU_PAYLOAD_VRING_FD, 8, 8, 0,
				1, false },
	[VU_SET_VRING_CALL] = { "SET_VRING_CALL", VU_PAYLOAD_VRING_FD, 8, 8, 0,
				1, false },
	[VU_SET_VRING_ERR] = { "SET_VRING_ERR", VU_PAYLOAD_VRING_FD, 8, 8, 0, 1,
			       false },
	[VU_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", VU_PAYLOAD_NONE,
				       0, 0, 0, 0, true },
	[VU_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", VU_PAYLOAD_U64,
				       8, 8, 0, 0, false },
	[VU_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", VU_PAYLOAD_NONE, 0, 0, 0, 0,
			       true },
	[VU_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", VU_PAYLOAD_STATE, 8, 8, 0,
				  0, false },
	[VU_GET_CONFIG] = { "GET_CONFIG", VU_PAYLOAD_CONFIG, CONFIG_HEAD,
			    CONFIG_HEAD + VU_CONFIG_MAX, 0, 0, true },
	[VU_SET_CONFIG] = { "SET_CONFIG", VU_PAYLOAD_CONFIG, CONFIG_HEAD,
			    CONFIG_HEAD + VU_CONFIG_MAX, 0, 0, false },
	[VU_RESET_DEVICE] = { "RESET_DEVICE", VU_PAYLOAD_NONE, 0, 0, 0, 0,
			      false },
	[VU_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", VU_PAYLOAD_NONE, 0, 0,
				   0, 0, true },
	[VU_ADD_MEM_REG] = { "ADD_MEM_REG", VU_PAYLOAD_REGIONS, 8 + REGION_SIZE,
			     8 + REGION_SIZE, 1, 1, false },
	[VU_REM_MEM_REG] = { "REM_MEM_REG", VU_PAYLOAD_REGIONS, 8 + REGION_SIZE,
			     8 + REGION_SIZE, 0, 1, false },
	[VU_SET_DEVICE_STATE_FD] = { "SET_DEVICE_STATE_FD", VU_PAYLOAD_MOVE, 8,
				     8, 1, 1, true },
	[VU_CHECK_DEVICE_STATE] = { "CHECK_DEVICE_STATE", VU_PAYLOAD_NONE, 0, 0,
				    0, 0, true },
};

static bool known(uint32_t request)
{
	return request < ARRAY_LEN(requests) && requests[request].name;
}

const char *vu_request_name(uint32_t request)
{
	return known(request) ? requests[request].name : "request";
}

bool vu_has_reply(uint32_t request)
{
	return known(request) && requests[request].reply;
}

/* Integers are in the host's order, which hvsocket.h says is little-endian. */
int vu_header_decode(const uint8_t p[VU_HEADER], struct vu_header *ret)
{
	const struct vu_header h = {
		.request = le32_get(p),
		.flags = le32_get(p + 4),
		.size = le32_get(p + 8),
	};

	if ((h.flags & VU_FLAG_VERSION_MASK) != VU_FLAG_VERSION ||
	    h.flags & VU_FLAG_REPLY)
		return -EPROTO;
	if (h.size > VU_PAYLOAD_MAX)
		return -EMSGSIZE;
	*ret = h;
	return 0;
}

static struct gmem_range region_get(const uint8_t *p)
{
	return (struct gmem_range) {
		.gpa = le64_get(p),
		.size = le64_get(p + 8),
		.uva = le64_get(p + 16),
		.offset = le64_get(p + 24),
	};
}

static int regions_decode(const struct vu_header *h, const uint8_t *p, int nfds,
			  struct vu_message *m)
{
	bool table = h->request == VU_SET_MEM_TABLE;
	uint32_t count = table ? le32_get(p) : 1;

	if (!count || count > VU_REGIONS_MAX)
		return -EINVAL;
	/* QEMU sends the padding of a table's header unset */
	if (h->size != 8 + count * REGION_SIZE)
		return -EMSGSIZE;
	if (table && (uint32_t)nfds != count)
		return -EBADF;
	m->u.regions.count = count;
	for (uint32_t i = 0; i < count; i++) {
		m->u.regions.at[i] = region_get(p + 8 + i * REGION_SIZE);
		if (!gmem_range_ok(&m->u.regions.at[i]))
			return -EINVAL;
	}
	return 0;
}

static int payload_decode(const struct vu_header *h, const uint8_t *p, int nfds,
			  struct vu_message *m)
{
	uint64_t v;

	switch (m->kind) {
	case VU_PAYLOAD_UNKNOWN:
	case VU_PAYLOAD_NONE:
	case VU_PAYLOAD_LOG:
		return 0;
	case VU_PAYLOAD_U64:
		m->u.u64 = le64_get(p);
		return 0;
	case VU_PAYLOAD_STATE:
		m->u.state.index = le32_get(p);
		m->u.state.num = le32_get(p + 4);
		return 0;
	case VU_PAYLOAD_MOVE:
		m->u.move.direction = le32_get(p);
		m->u.move.phase = le32_get(p + 4);
		return 0;
	case VU_PAYLOAD_ADDR:
		m->u.addr.index = le32_get(p);
		m->u.addr.flags = le32_get(p + 4);
		m->u.addr.desc = le64_get(p + 8);
		m->u.addr.used = le64_get(p + 16);
		m->u.addr.avail = le64_get(p + 24);
		m->u.addr.log = le64_get(p + 32);
		return 0;
	case VU_PAYLOAD_REGIONS:
		return regions_decode(h, p, nfds, m);
	case VU_PAYLOAD_VRING_FD:
		v = le64_get(p);
		if (v & ~(uint64_t)(VRING_INDEX_MASK | VRING_NOFD))
			return -EINVAL;
		m->u.vring_fd.index = (uint32_t)(v & VRING_INDEX_MASK);
		m->u.vring_fd.has_fd = !(v & VRING_NOFD);
		return m->u.vring_fd.has_fd == (nfds == 1) ? 0 : -EBADF;
	case VU_PAYLOAD_CONFIG:
		m->u.config.offset = le32_get(p);
		m->u.config.size = le32_get(p + 4);
		m->u.config.flags = le32_get(p + 8);
		return m->u.config.size == h->size - CONFIG_HEAD ? 0
								 : -EMSGSIZE;
	}
	return -EINVAL;
}

int vu_message_decode(const struct vu_header *h, const uint8_t *p, int nfds,
		      struct vu_message *ret)
{
	*ret = (struct vu_message) { .header = *h };
	if (!known(h->request))
		return -EOPNOTSUPP;
	ret->kind = requests[h->request].kind;
	if (h->size < requests[h->request].min ||
	    h->size > requests[h->request].max)
		return -EMSGSIZE;
	if (nfds < requests[h->request].fds_min ||
	    nfds > requests[h->request].fds_max)
		return -EBADF;
	return payload_decode(h, p, nfds, ret);
}

void vu_reply_encode(uint32_t request, uint32_t size, uint8_t p[VU_HEADER])
{
	le32_put(p, request);
	le32_put(p + 4, VU_FLAG_VERSION | VU_FLAG_REPLY);
	le32_put(p + 8, size);
}
