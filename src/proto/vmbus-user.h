/* SPDX-License-Identifier: MIT */
/*
 * vmbus-user.h - frames between a VMM and its guest's VMBus back-end
 *
 * Pure functions over bytes, both directions, as docs/vmbus-user.md has them.
 * A decoder accepts exactly the lengths and counts of that page; what the
 * numbers mean is for the caller to judge.
 */
#ifndef PROTO_VMBUS_USER_H
#define PROTO_VMBUS_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

#include "proto/message.h" /* struct msg_buf */

#define VMBU_VERSION 1u
#define VMBU_FRAME_MAX 8192u
#define VMBU_REGIONS_MAX 64u
#define VMBU_FDS_MAX 250u /* of one TAKE or GIVE */
#define VMBU_PAYLOAD_MAX 240u
#define VMBU_JOURNAL_SIZE 4096u

#define VMBU_FEATURE_LOG 1u
#define VMBU_FEATURE_HANDOVER 2u
#define VMBU_FEATURE_JOURNAL 4u
#define VMBU_FEATURE_SAVE 8u
#define VMBU_FEATURE_AHEAD 16u
#define VMBU_FEATURE_CLOCK 32u
#define VMBU_FEATURES 63u

enum vmbu_type {
	VMBU_HELLO = 1,
	VMBU_MEMORY,
	VMBU_VP,
	VMBU_SYNIC,
	VMBU_POST,
	VMBU_SIGNAL,
	VMBU_RESET,
	VMBU_SAVE,
	VMBU_TAKE,
	VMBU_LOAD,
	VMBU_GIVE,
	VMBU_RUN,
	VMBU_LOG,
	VMBU_JOURNAL,
	VMBU_POST_AHEAD,
	VMBU_CLOCK,
	VMBU_TYPES /* the first number that is none */
};

struct vmbu_region {
	uint64_t gpa, size, offset;
};

struct vmbu_request {
	uint16_t type;
	uint32_t serial;
	union {
		struct {
			uint32_t lowest, highest;
			uint64_t features;
			GUID vmid;
		} hello;
		struct {
			uint32_t count;
			struct vmbu_region at[VMBU_REGIONS_MAX];
		} memory;
		struct {
			uint32_t vp;
		} vp;
		struct {
			uint32_t vp;
			uint64_t scontrol, simp, siefp;
		} synic;
		struct {
			uint32_t vp, connection, type, size;
			uint32_t len; /* of payload: size, at most 240 */
			uint8_t payload[VMBU_PAYLOAD_MAX];
		} post; /* POST, POST_AHEAD */
		struct {
			uint32_t vp, connection, flag;
		} signal;
		struct {
			bool handover;
		} save;
		struct {
			uint32_t first;
		} take;
		struct {
			uint64_t length;
			bool handover;
			uint32_t fds;
		} load;
		struct {
			uint32_t first, count;
		} give;
		struct {
			uint64_t size;
		} log;
		struct {
			bool recover;
		} journal;
		struct {
			uint64_t reference; /* 100 ns */
			uint64_t raw;	    /* ns, at that moment */
		} clock;
	} u;
};

struct vmbu_reply {
	uint16_t type;
	uint32_t serial;
	uint32_t error;
	const char *text; /* the sentence, within the frame; if error */
	size_t text_len;
	union {
		struct {
			uint32_t version, regions;
			uint64_t features;
			uint32_t vps;
			GUID vmid;
		} hello;
		struct {
			uint32_t status;
			uint32_t ahead; /* POST: so many without an answer */
		} result;		/* POST, SIGNAL */
		struct {
			uint64_t length;
			uint32_t fds;
		} save;
		uint32_t count; /* TAKE */
	} u;
};

/** vmbu_header_decode() - Return: 0; -EINVAL: the connection is over */
int vmbu_header_decode(const uint8_t *p, size_t len, uint16_t *ret_type,
		       bool *ret_reply, uint32_t *ret_serial);
/** vmbu_request_decode() - Return: 0; -EINVAL: type, length, padding, or the
 * number of descriptors is wrong; type and serial are set all the same if the
 * frame has a header */
int vmbu_request_decode(const uint8_t *p, size_t len, unsigned int nfds,
			struct vmbu_request *ret);
/** vmbu_reply_decode() - Return: 0 or -EINVAL */
int vmbu_reply_decode(const uint8_t *p, size_t len, unsigned int nfds,
		      struct vmbu_reply *ret);
/** vmbu_request_encode(), vmbu_reply_encode() - into an empty @b, of
 * VMBU_FRAME_MAX bytes */
void vmbu_request_encode(const struct vmbu_request *r, struct msg_buf *b);
void vmbu_reply_encode(const struct vmbu_reply *r, struct msg_buf *b);
/** vmbu_type_name() - "SYNIC"; NULL: no such type */
const char *vmbu_type_name(uint16_t type);

#endif /* PROTO_VMBUS_USER_H */
