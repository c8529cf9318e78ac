/* SPDX-License-Identifier: MIT */
/*
 * message.h - frames of the broker protocol (docs/protocol.md)
 *
 * Pure functions: a frame in, a checked struct out, or the reverse. Each
 * decode function takes the whole frame and accepts exactly the lengths that
 * the specification allows; on failure the output is untouched.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hvsocket.h>

#define MSG_VERSION 1
#define MSG_MAX 65536 /* largest frame */
#define MSG_HEADER 8
#define MSG_REPLY_HEADER 16
#define MSG_REPLY 0x8000 /* bit in the type */
#define MSG_FLAG_FD 1 /* the reply's payload is in a memfd */
#define MSG_TEXT_MAX 400 /* a refusal's sentence */

enum msg_type {
	MSG_HELLO = 1,
	MSG_BIND = 2,
	MSG_CONNECT = 3,
	MSG_LISTEN = 4,
	MSG_RESULT = 5,
	MSG_CALL = 6,
	MSG_RESOLVE = 7,
	MSG_NAMES = 8,
	MSG_REACH = 9,
	MSG_KEEP = 10,
	MSG_ATTACH = 16,
	MSG_STATE = 17,
	MSG_DIAL = 18,
	MSG_OPEN = 19,
	MSG_PARKED = 20,
	MSG_CLOSE = 21,
	MSG_CLOSED = 22,
	MSG_LIVE = 23,
	MSG_COUNTERS = 24,
	MSG_STALL = 25,
	MSG_SERVICES = 28,
	MSG_CIDS = 29,
	MSG_CONTROL = 30,
	MSG_LEAVE = 31,
	MSG_RELAY = 32,
	MSG_SOCKET = 33,
	MSG_KNOWN = 34,
	MSG_ROUTE = 35,
	MSG_FLUSH = 36,
	MSG_GONE = 37,
	MSG_DROPS = 38,
	MSG_PROBE = 39,
	MSG_UPLINK = 40,
	MSG_JOIN = 41,
	MSG_JOINED = 42,
	MSG_ASK = 43,
};

struct msg_header {
	uint16_t type; /* without MSG_REPLY */
	bool reply;
	uint16_t flags;
	uint32_t serial;
};

struct msg_hello {
	uint32_t lowest, highest;
	const char *profile; /* in the frame, not zero-ended */
	size_t profile_len;
};

struct msg_hello_reply {
	uint32_t version, max_frame;
	GUID epoch, partition;
	const char *name; /* in the frame, not zero-ended */
	size_t name_len;
};

struct msg_bind {
	SOCKADDR_HV addr;
	uint32_t flags;
};

#define BIND_NATIVE 2u /* the connections of guests themselves are wanted */
#define BIND_DATAGRAM 1u
#define BIND_REPLY_DISABLED 1u

struct msg_connect {
	SOCKADDR_HV dest, local;
	uint32_t timeout_ms, flags;
};

#define CONNECT_NONBLOCK 1u
#define CONNECT_WAIT 2u
#define CONNECT_PASSTHRU 4u
#define CONNECT_SUSPEND 8u
#define CONNECT_HIGH_VTL 16u
#define CONNECT_NATIVE 32u
#define CONNECT_FLAGS 63u

#define CONNECT_STATE_CONNECTED 0u
#define CONNECT_STATE_PARKED 1u
#define CONNECT_STATE_NATIVE 2u /* with a descriptor */

struct msg_connect_reply {
	uint32_t state;
	uint64_t token;
};

struct msg_listen {
	uint16_t type;
	SOCKADDR_HV addr;
	uint32_t flags;
};

#define LISTEN_NOTICE 1u

struct msg_result_reply {
	uint32_t state;
	uint32_t error, reason;
	const char *text;
	size_t text_len;
};

enum result_state {
	RESULT_UNKNOWN,
	RESULT_PENDING,
	RESULT_CONNECTED,
	RESULT_FAILED,
};

#define ATTACH_STALLS 1u /* flag: it understands STALL */
#define ATTACH_SERVICES 2u /* flag: SERVICES is wanted */
#define ATTACH_PARTITIONS 4u /* flag: OPEN and LIVE have the partition */
#define ATTACH_NATIVE 8u /* flag: it hands over what the guest dialled */
#define ATTACH_CIDS 16u /* flag: its guest has siblings, by their CIDs */
#define ATTACH_CONTROL 32u /* flag: it answers CONTROL */

struct msg_attach {
	GUID vmid;
	uint16_t kind, types;
	uint32_t flags;
	const char *name;
	size_t name_len;
};

enum transport_kind {
	TRANSPORT_LOCAL = 0,
	TRANSPORT_VHOST_USER = 1,
	TRANSPORT_VSOCK = 2,
	TRANSPORT_HYBRID = 3,
	TRANSPORT_VMBUS = 4,
	TRANSPORT_UPLINK = 5,
};

#define ATTACH_STREAM 1u
#define ATTACH_RAW 2u

struct msg_dial {
	uint16_t type, flags;
	uint32_t timeout_ms;
	GUID vmid; /* of DIAL_CID: what dial_vmid_of_cid() makes */
	GUID service, source;
};

#define DIAL_CID 1u /* flag: whom, is said by a CID */
/** dial_vmid_of_cid() - u32 CID, zeros; dial_cid(): back, 0 if it is none */
GUID dial_vmid_of_cid(uint32_t cid);
uint32_t dial_cid(const GUID *vmid);

struct msg_dial_reply {
	uint64_t token;
	uint32_t flags; /* 0 where there are none */
	GUID vmid; /* with ATTACH_CIDS only: whom it reaches, as dialled */
};

#define DIAL_NATIVE 1u /* the listener takes the guest's connection itself */

struct msg_open {
	uint64_t token;
	uint16_t type, flags;
	uint32_t timeout_ms;
	GUID service, source;
	uint32_t uid;
	GUID partition; /* with ATTACH_PARTITIONS only */
	uint32_t cid; /* with ATTACH_CIDS only: its, if it is a sibling */
};

#define OPEN_PARKED 1u
#define OPEN_NATIVE 2u

struct msg_token_u64 { /* PARKED: value = filler */
	uint64_t token, value;
};

struct msg_close {
	uint64_t token;
	uint32_t reason;
};

struct msg_closed { /* CLOSED, and each entry of COUNTERS */
	uint64_t token, to_guest, from_guest;
};

struct msg_live {
	uint64_t token;
	uint16_t type, direction;
	uint32_t uid;
	GUID service, source;
	GUID partition; /* as in OPEN; direction 0: the sibling dialled */
};

struct msg_services {
	uint32_t flags;
	const uint8_t *ids; /* in the frame, 16 bytes each */
	size_t n;
};

#define SERVICES_FIRST 1u
#define SERVICES_LAST 2u
/* ServiceIds in one frame */
#define SERVICES_MAX ((MSG_MAX - MSG_HEADER - 4) / 16)

struct msg_cids { /* the broker's */
	uint32_t flags; /* SERVICES_FIRST, SERVICES_LAST */
	const uint8_t *entries; /* in the frame, CIDS_ENTRY bytes each */
	size_t n;
};

#define CIDS_ENTRY 20 /* u32 CID, VmId */

struct msg_control {
	uint64_t session;
	const char *text; /* JSON, in the frame */
	size_t len;
};

struct msg_reply { /* the common head of a reply */
	uint32_t error, reason;
	const uint8_t *payload; /* or the sentence if error is not 0 */
	size_t len;
};

/* All: 0 or -EINVAL. @len is the whole frame's. */
int msg_header_decode(const uint8_t *p, size_t len, struct msg_header *ret);
int msg_reply_decode(const uint8_t *p, size_t len, struct msg_reply *ret);
int msg_hello_decode(const uint8_t *p, size_t len, struct msg_hello *ret);
int msg_hello_reply_decode(const uint8_t *p, size_t len,
			   struct msg_hello_reply *ret);
int msg_bind_decode(const uint8_t *p, size_t len, struct msg_bind *ret);
int msg_bind_reply_decode(const uint8_t *p, size_t len, struct msg_bind *ret);
int msg_connect_decode(const uint8_t *p, size_t len, struct msg_connect *ret);
int msg_connect_reply_decode(const uint8_t *p, size_t len,
			     struct msg_connect_reply *ret);
int msg_listen_decode(const uint8_t *p, size_t len, struct msg_listen *ret);
int msg_u64_decode(const uint8_t *p, size_t len, uint64_t *ret); /* RESULT */
int msg_result_reply_decode(const uint8_t *p, size_t len,
			    struct msg_result_reply *ret);
/* @ret_a and @ret_b point into the frame */
int msg_strings_decode(const uint8_t *p, size_t len, bool reply,
		       const char **ret_a, const char **ret_b);
/* NAMES request (@reply false), RESOLVE reply (true) */
int msg_address_decode(const uint8_t *p, size_t len, bool reply,
		       SOCKADDR_HV *ret);
int msg_attach_decode(const uint8_t *p, size_t len, struct msg_attach *ret);
/* ATTACH's reply: VmId, name */
int msg_attach_reply_decode(const uint8_t *p, size_t len, GUID *ret_vmid,
			    const char **ret_name, size_t *ret_name_len);
int msg_u32_decode(const uint8_t *p, size_t len, uint32_t *ret); /* STATE */
int msg_dial_decode(const uint8_t *p, size_t len, struct msg_dial *ret);
int msg_dial_reply_decode(const uint8_t *p, size_t len,
			  struct msg_dial_reply *ret);
int msg_open_decode(const uint8_t *p, size_t len, struct msg_open *ret);
int msg_token_u64_decode(const uint8_t *p, size_t len,
			 struct msg_token_u64 *ret);
int msg_close_decode(const uint8_t *p, size_t len, struct msg_close *ret);
int msg_closed_decode(const uint8_t *p, size_t len, struct msg_closed *ret);
int msg_services_decode(const uint8_t *p, size_t len, struct msg_services *ret);
int msg_cids_decode(const uint8_t *p, size_t len, struct msg_cids *ret);
int msg_control_decode(const uint8_t *p, size_t len, struct msg_control *ret);
/* The @i-th entry of a list that was decoded. */
void msg_cids_entry(const struct msg_cids *m, size_t i, uint32_t *ret_cid,
		    GUID *ret_vmid);
int msg_live_decode(const uint8_t *p, size_t len, struct msg_live *ret);

/*
 * Writing. A frame is put together in a buffer of the caller's, of any size up
 * to MSG_MAX; what does not fit sets the overflow flag, which the sender
 * checks once at the end.
 */
struct msg_buf {
	uint8_t *data;
	size_t size, len;
	bool overflow;
};

/** msg_buf() - an empty frame over @data, which has @size bytes */
static inline struct msg_buf msg_buf(uint8_t *data, size_t size)
{
	return (struct msg_buf){ .data = data, .size = size };
}

void msg_begin(struct msg_buf *b, enum msg_type type, uint32_t serial);
void msg_begin_reply(struct msg_buf *b, uint16_t type, uint32_t serial,
		     uint16_t flags, uint32_t error, uint32_t reason);
void msg_put_u16(struct msg_buf *b, uint16_t v);
void msg_put_u32(struct msg_buf *b, uint32_t v);
void msg_put_u64(struct msg_buf *b, uint64_t v);
void msg_put_guid(struct msg_buf *b, const GUID *g);
void msg_put_address(struct msg_buf *b, const SOCKADDR_HV *a);
void msg_put_bytes(struct msg_buf *b, const void *p, size_t len);
void msg_put_string(struct msg_buf *b, const char *s); /* with its zero */

/* Reason numbers (7 of the protocol): enum hvs_reason_code of <hvsocket.h>. */
const char *reason_name(uint32_t reason);
/* The errno that goes with a reason. */
int reason_errno(uint32_t reason);

#endif /* PROTO_MESSAGE_H */
