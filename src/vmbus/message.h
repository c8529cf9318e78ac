/* SPDX-License-Identifier: MIT */
/*
 * message.h - VMBus control messages: numbers, sizes, and bytes to values
 *
 * Pure functions over private copies of messages. Offsets are from the start
 * of the message, whose first 8 bytes are its type and a zero.
 */
#ifndef VMBUS_MESSAGE_H
#define VMBUS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmbus-host.h>

enum message_type {
	MSG_OFFER_CHANNEL = 1,
	MSG_RESCIND_CHANNEL_OFFER = 2,
	MSG_REQUEST_OFFERS = 3,
	MSG_ALL_OFFERS_DELIVERED = 4,
	MSG_OPEN_CHANNEL = 5,
	MSG_OPEN_CHANNEL_RESULT = 6,
	MSG_CLOSE_CHANNEL = 7,
	MSG_GPADL_HEADER = 8,
	MSG_GPADL_BODY = 9,
	MSG_GPADL_CREATED = 10,
	MSG_GPADL_TEARDOWN = 11,
	MSG_GPADL_TORNDOWN = 12,
	MSG_RELID_RELEASED = 13,
	MSG_INITIATE_CONTACT = 14,
	MSG_VERSION_RESPONSE = 15,
	MSG_UNLOAD = 16,
	MSG_UNLOAD_COMPLETE = 17,
	MSG_TL_CONNECT_REQUEST = 21,
	MSG_MODIFY_CHANNEL = 22,
	MSG_TL_CONNECT_RESULT = 23,
	MSG_MODIFY_CHANNEL_RESPONSE = 24,
};

#define MSG_HEADER 8u
#define MSG_OFFER_SIZE 196u
#define MSG_NO_VP 0xffffffffu /* OPEN_CHANNEL: no doorbells */

/* results that messages carry; any but 0 is a failure to Linux */
#define MSG_STATUS_FAILED 0xc0000001u
#define MSG_STATUS_REFUSED 0xc0000236u
#define MSG_GPADL_FAILED 0x8000ffffu

/* flags of an offer */
#define OFFER_ENUMERATE 0x0001u
#define OFFER_PIPE 0x0010u
#define OFFER_TLNPI 0x2000u
#define OFFER_HVSOCK (OFFER_ENUMERATE | OFFER_PIPE | OFFER_TLNPI)

/* Is @len enough for a message of the guest's, of this type? */
bool message_complete(uint32_t type, size_t len);

struct initiate_contact {
	uint32_t version, vp;
	uint8_t sint, vtl; /* from 5.0 */
};

struct open_channel {
	uint32_t relid, open_id, gpadl, vp, downstream;
};

struct gpadl_header {
	uint32_t relid, gpadl;
	uint16_t bytes, ranges;
	uint32_t byte_count, byte_offset; /* of range 0 */
};

struct offer {
	GUID type, instance;
	uint16_t flags;
	const uint8_t *user_data; /* 120 bytes */
	uint32_t relid;
};

/* All of these want message_complete(). */
void get_initiate_contact(const uint8_t *m, struct initiate_contact *ret);
void get_open_channel(const uint8_t *m, struct open_channel *ret);
void get_gpadl_header(const uint8_t *m, struct gpadl_header *ret);

/* Each writes a whole message. Return: its bytes. */
size_t put_offer(uint8_t *m, const struct offer *o);
size_t put_version_response(uint8_t *m, bool supported, uint32_t value);
size_t put_tl_result(uint8_t *m, const GUID *endpoint, const GUID *service,
		     uint32_t status);
/* @type and up to three u32 */
size_t put_words(uint8_t *m, uint32_t type, unsigned int n, uint32_t a,
		 uint32_t b, uint32_t c);

/* The 120 bytes of an hv_sock offer: shall the guest accept, or has it asked?
 */
void put_hvsock_user_data(uint8_t *user_data, bool accept);

#endif /* VMBUS_MESSAGE_H */
