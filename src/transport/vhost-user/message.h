/* SPDX-License-Identifier: MIT */
/*
 * message.h - messages of vhost-user: pure functions
 *
 * A front-end's message is decoded only if its version, size, descriptor count
 * and contents can be right; what depends on the device's state is checked
 * where the state is.
 */
#ifndef VHOST_USER_MESSAGE_H
#define VHOST_USER_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/gmem.h" /* struct gmem_range */

#define VU_HEADER 12
#define VU_PAYLOAD_MAX 276 /* the largest known: GET_CONFIG, with room */
#define VU_REGIONS_MAX 8
#define VU_CONFIG_MAX 256
#define VU_FDS_MAX 8

#define VU_FLAG_VERSION 1u
#define VU_FLAG_VERSION_MASK 3u
#define VU_FLAG_REPLY 4u
#define VU_FLAG_NEED_REPLY 8u

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_LOG_BASE = 6,
	VU_SET_LOG_FD = 7,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_BACKEND_REQ_FD = 21,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_RESET_DEVICE = 34,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_SET_DEVICE_STATE_FD = 42,
	VU_CHECK_DEVICE_STATE = 43,
	/* not of vhost-user: all to the process that asks (handover.h) */
	VU_HAND_OVER = 0x48565321,
};

enum vu_payload {
	VU_PAYLOAD_UNKNOWN, /* a request that we do not know */
	VU_PAYLOAD_NONE,
	VU_PAYLOAD_U64,
	VU_PAYLOAD_STATE,
	VU_PAYLOAD_ADDR,
	VU_PAYLOAD_REGIONS,  /* also a single one */
	VU_PAYLOAD_VRING_FD, /* kick, call, err */
	VU_PAYLOAD_CONFIG,
	VU_PAYLOAD_LOG,
	VU_PAYLOAD_MOVE,
};

struct vu_header {
	uint32_t request, flags, size;
};

struct vu_message {
	struct vu_header header;
	enum vu_payload kind;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t count;
			struct gmem_range at[VU_REGIONS_MAX];
		} regions;
		struct {
			uint32_t index;
			bool has_fd;
		} vring_fd;
		struct {
			uint32_t offset, size, flags;
		} config;
		struct {
			uint32_t direction, phase;
		} move;
	} u;
};

/** vu_header_decode() - the first 12 bytes. Return: 0; -EPROTO (version, reply
 * bit); -EMSGSIZE (the payload is larger than any) */
int vu_header_decode(const uint8_t p[VU_HEADER], struct vu_header *ret);

/**
 * vu_message_decode() - a whole message
 * @h:		from vu_header_decode()
 * @p:		h->size bytes
 * @nfds:	descriptors that came with it
 *
 * Return: 0; -EOPNOTSUPP (unknown request: ret has kind UNKNOWN); -EMSGSIZE
 * (size does not fit the request), -EBADF (too many or too few descriptors),
 * -EINVAL (contents). The message as a whole is in all cases off the wire.
 */
int vu_message_decode(const struct vu_header *h, const uint8_t *p, int nfds,
		      struct vu_message *ret);

/** vu_request_name() - for messages to people; "request" where unknown */
const char *vu_request_name(uint32_t request);
/** vu_has_reply() - a reply of its own, whatever need-reply says? */
bool vu_has_reply(uint32_t request);

/** vu_reply_encode() - header of a reply with @size bytes of payload */
void vu_reply_encode(uint32_t request, uint32_t size, uint8_t p[VU_HEADER]);

#endif /* VHOST_USER_MESSAGE_H */
