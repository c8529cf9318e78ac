/* SPDX-License-Identifier: MIT */
/*
 * icmsg.h - messages of integration components: framing, and the negotiation
 *
 * Pure functions over one packet's payload: 8 bytes of pipe header, 20 of
 * message header, the body. docs/vmbus.md, 9, has the layout.
 */
#ifndef VMBUS_IC_ICMSG_H
#define VMBUS_IC_ICMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_HEAD 28u	   /* before the body */
#define IC_BODY_MAX 8192u  /* the largest is an IP configuration */
#define IC_PACKET_MAX (IC_HEAD + IC_BODY_MAX)
#define IC_NEGOTIATE 0u	   /* its message type */
#define IC_VERSION(major, minor) ((uint32_t)(major) << 16 | (minor))
#define IC_VERSIONS_MAX 8u

enum { IC_FLAG_TRANSACTION = 1, IC_FLAG_REQUEST = 2, IC_FLAG_RESPONSE = 4 };

/* Results, as the guest gives them. */
#define IC_OK 0u
#define IC_FAIL 0x80004005u
#define IC_NOT_SUPPORTED 0x80070032u
#define IC_NO_MORE 0x80070103u
#define IC_NOT_FOUND 0x80041002u
#define IC_INVALID 0x80070057u
#define IC_EXISTS 0x80070050u
#define IC_DISK_FULL 0x80070070u

struct icmsg {
	uint32_t framework, version; /* IC_VERSION() */
	uint16_t type;
	uint32_t status;
	uint8_t transaction, flags;
	const uint8_t *body;
	size_t len;
};

/** icmsg_put() - the header before a body of @m->len bytes that follows it in
 * @p already. Return: bytes of the whole */
size_t icmsg_put(uint8_t *p, const struct icmsg *m);
/** icmsg_get() - @ret->body points into @p. Return: 0; -EPROTO */
int icmsg_get(const uint8_t *p, size_t len, struct icmsg *ret);

/** ic_negotiate_put() - the body that asks. Return: its length */
size_t ic_negotiate_put(uint8_t *body, const uint32_t *frameworks, size_t nf,
			const uint32_t *versions, size_t nv);
/** ic_negotiate_get() - the guest's choice. Return: 0; -ENOTSUP: none; -EPROTO
 */
int ic_negotiate_get(const uint8_t *body, size_t len, uint32_t *ret_framework,
		     uint32_t *ret_version);

#endif /* VMBUS_IC_ICMSG_H */
