/* SPDX-License-Identifier: MIT */
/*
 * ring.h - a channel's two rings in guest memory
 *
 * A ring is a control page and data pages that need not be contiguous. For each
 * data page it is known how many bytes follow it in host addresses before the
 * next gap, so a range costs one step per gap, and none in the usual case.
 *
 * Of the control page only what is the host's is written: the read index, the
 * interrupt mask of the ring it reads; the write index, the pending send size
 * and the feature bits of the one it writes. The other side's indices are
 * loaded once and checked; the host's own are private, and only copied there.
 *
 * ring_in is guest to host, ring_out host to guest. Nothing here knows
 * channels; a function that returns true through @ret_ring asks for a doorbell.
 */
#ifndef VMBUS_RING_H
#define VMBUS_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define RING_PAGE 4096u
#define RING_PACKET 16u		     /* bytes of a packet's header */
#define RING_PIPE 8u		     /* of a pipe header */
#define RING_TRAILER 8u		     /* behind each packet */
#define RING_OVERHEAD 32u	     /* all of them */
#define RING_INBAND 6u		     /* the packet type of data */
#define RING_PAYLOAD_MAX 16384u	     /* Linux takes no more in a packet */
#define RING_FEATURE_PENDING_SEND 1u /* in the control page, at 64 */

struct ring_page {
	uint8_t *p;
	uint32_t run; /* bytes from p on that are contiguous */
};

struct ring {
	uint8_t *control;
	struct ring_page *pages; /* of data */
	const uint64_t *gfn;	 /* of the control page, then of these */
	uint32_t size;		 /* data bytes */
	void (*written)(void *ctx, uint64_t gpa, size_t len); /* or NULL */
	void *ctx;
};

/* A packet of a pipe that has been checked and not been given back. */
struct ring_packet {
	uint32_t data;	/* where its payload begins */
	uint32_t len;	/* of it */
	uint32_t total; /* ring bytes of the whole packet */
};

#define RING_IN_INLINE 6u /* what a ring of 24 KiB holds of a busy guest's */

struct ring_in {
	struct ring r;
	uint32_t read;	/* as the guest knows it */
	uint32_t parse; /* behind the last packet that was checked */
	uint32_t seen;	/* the guest's write index, when it was looked at */
	uint32_t off;	/* bytes of the first packet that were consumed */
	bool masked;	/* the guest is asked not to ring */
	bool held;	/* and is not asked to, when nothing is there */
	bool fin;	/* the zero-length packet was parsed: nothing follows */
	unsigned int head, count, cap;
	struct ring_packet *packets, few[RING_IN_INLINE];
};

struct ring_out {
	struct ring r;
	uint32_t write;
	uint32_t offered; /* payload bytes that ring_out_room() described */
	uint32_t usable;  /* ring bytes that it counted on */
	uint32_t packet;  /* most payload of one packet */
	uint32_t pending; /* pending send size as set; 0: not blocked */
	bool held;	  /* the guest is not asked to ring when it is full */
	bool fin_wanted, fin_sent;
};

/** ring_init() - data pages as @map, which has the control page first
 * @pages:	room for @n - 1 entries */
void ring_init(struct ring *r, void *const *map, const uint64_t *gfn,
	       uint32_t n, struct ring_page *pages);
/** ring_in_start(), ring_out_start() - from the indices in guest memory.
 * Return: 0 or -EPROTO */
int ring_in_start(struct ring_in *in);
int ring_out_start(struct ring_out *out, uint32_t packet);
void ring_in_free(struct ring_in *in);
/** ring_in_restore(), ring_out_restore() - as they were; @off is checked by
 * ring_in_check(). Return: 0 or -EPROTO */
int ring_in_restore(struct ring_in *in, uint32_t read, uint32_t off,
		    bool masked, bool fin);
int ring_out_restore(struct ring_out *out, uint32_t packet, uint32_t write,
		     uint32_t pending);
/** ring_in_check() - is the packet there that was consumed in part? Return: 0
 * or -EPROTO */
int ring_in_check(struct ring_in *in);

/** ring_in_news() - is there something that was not parsed yet, good or bad? */
bool ring_in_news(const struct ring_in *in);
/** ring_in_used() - has the guest written since the ring was zero? */
bool ring_in_used(const struct ring_in *in);
/** ring_in_awaited() - has it said what room it will wait for? */
bool ring_in_awaited(const struct ring_in *in);
/** ring_in_release() - no longer held. Return: there is news */
bool ring_in_release(struct ring_in *in);
/** ring_in_peek() - see vmbh_sock_peek(). Return: bytes or -EPROTO */
ssize_t ring_in_peek(struct ring_in *in, struct iovec *iov, unsigned int max,
		     unsigned int *ret_n, bool *ret_ring);
/** ring_in_consume() - Return: 0, -EINVAL (more than was described) */
int ring_in_consume(struct ring_in *in, size_t bytes, bool *ret_ring);
/** ring_in_eof() - FIN, and all before it consumed */
static inline bool ring_in_eof(const struct ring_in *in)
{
	return in->fin && !in->count;
}
/** ring_in_packet() - one packet as it is, copied out. Return: payload bytes,
 * -EAGAIN, -EMSGSIZE (it is dropped), -EPROTO */
ssize_t ring_in_packet(struct ring_in *in, void *buf, size_t size,
		       uint64_t *ret_transaction, bool *ret_ring);

/** ring_out_room() - see vmbh_sock_room(). Return: bytes or -EPROTO */
ssize_t ring_out_room(struct ring_out *out, struct iovec *iov, unsigned int max,
		      unsigned int *ret_n, size_t want);
/** ring_out_produce() - Return: 0, -EINVAL (more than was offered) */
int ring_out_produce(struct ring_out *out, size_t bytes, bool *ret_ring);
/** ring_out_fin() - Return: 0, -EAGAIN (no room yet), -EPROTO */
int ring_out_fin(struct ring_out *out, bool *ret_ring);
/** ring_out_packet() - Return: 0, -EAGAIN, -EMSGSIZE, -EPROTO */
int ring_out_packet(struct ring_out *out, const void *buf, size_t len,
		    uint64_t transaction, bool *ret_ring);
/** ring_out_unblocked() - blocked, and there is as much room as was asked for?
 * Return: 1, 0, -EPROTO */
int ring_out_unblocked(struct ring_out *out);
/** ring_out_lump() - is there as much room as it would be asked for? */
bool ring_out_lump(const struct ring_out *out);
/** ring_out_release() - no longer held, @blocked: as if the last room had been
 * too little only now. Return: as ring_out_unblocked() */
int ring_out_release(struct ring_out *out, bool blocked);
/** ring_out_read_index() - the guest's; 0 if it is not valid */
uint32_t ring_out_read_index(const struct ring_out *out);
/** ring_out_empty() - has the guest taken all? */
static inline bool ring_out_empty(const struct ring_out *out)
{
	return ring_out_read_index(out) == out->write;
}

#endif /* VMBUS_RING_H */
