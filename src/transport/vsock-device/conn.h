/* SPDX-License-Identifier: MIT */
/* conn.h - connections of the device: inside vsock-device/ only */
#ifndef VSOCK_DEVICE_CONN_H
#define VSOCK_DEVICE_CONN_H

#include <sys/queue.h>

#include "transport/vsock-device/vsock.h"

#define BUCKETS 4096u

enum conn_state {
	CONN_DIALLING, /* the guest's REQUEST, not answered */
	CONN_ASKED,    /* our REQUEST, not answered */
	CONN_OPEN,
	CONN_CLOSING,  /* no host end; both flags sent; waits for RST */
	CONN_DEAD,     /* no host end; RST is to be sent */
	CONN_DRAINING, /* not in the table: the host end takes what is held */
};

/* what is to be sent */
#define SEND_REQUEST 1u
#define SEND_RESPONSE 2u
#define SEND_SHUTDOWN 4u
#define SEND_CREDIT 8u
#define SEND_RST 16u
#define SEND_CREDIT_REQUEST 32u

struct vsock_conn {
	TAILQ_ENTRY(vsock_conn) all;
	LIST_ENTRY(vsock_conn) bucket;
	TAILQ_ENTRY(vsock_conn) control; /* pending != 0 */
	TAILQ_ENTRY(vsock_conn) ready;	 /* is_ready */
	TAILQ_ENTRY(vsock_conn) linger;	 /* CONN_CLOSING */
	void *host;			 /* NULL: none (any more) */
	enum conn_state state;
	enum vsock_type type;
	uint32_t peer_cid; /* VSOCK_CID_HOST, or a sibling's */
	uint32_t guest_port, host_port;
	uint64_t linger_ns;
	TAILQ_ENTRY(vsock_conn) gathering; /* gather_ns: see put_data() */
	TAILQ_ENTRY(vsock_conn) stalled;   /* stall_ns: blocked since then */
	uint64_t gather_ns, stall_ns;	   /* until; 0: not in the list */

	uint8_t pending; /* SEND_* */
	bool is_ready;
	bool gathered; /* has waited long enough */
	bool blocked;  /* readable, but no credit or too many packets */
	bool shut_when_flushed;
	bool unread;		       /* nobody reads what the guest sends */
	uint8_t guest_shut, host_shut; /* VSOCK_SHUT_* */

	/* to the guest */
	uint32_t peer_buf_alloc, peer_fwd_cnt;
	uint32_t sent;	 /* bytes, mod 2^32 */
	uint32_t *marks; /* sent after each packet that it has not consumed */
	uint16_t mark_size, mark_first, mark_count;
	/* SEQPACKET: what has to be free for the next message to begin; the
	 * message that is on its way: its length, and what is left of it */
	uint32_t need, message_len;
	uint8_t *tail;
	uint32_t tail_at, tail_len;

	uint32_t charged; /* of v->held */

	/* from the guest */
	uint32_t received, fwd_cnt;
	/* SEQPACKET: the beginning of a message that has not ended */
	uint8_t *part;
	uint32_t part_len, part_size;
	uint32_t told_fwd_cnt; /* in the last packet sent */
};

TAILQ_HEAD(conn_list, vsock_conn);
LIST_HEAD(conn_bucket, vsock_conn);

struct reply {
	uint64_t cid; /* of the guest's packet */
	uint32_t guest_port, host_port;
	uint16_t type;
};

struct vsock {
	uint64_t guest_cid;
	bool seqpacket;
	const struct vsock_ops *ops;
	void *ctx;
	uint64_t now_ns;
	uint64_t seed; /* of the hash */
	uint32_t next_port;
	unsigned int conns, opening;
	size_t held; /* bytes that wait for readers, or are a tail */
	struct conn_list all, control, ready, linger, gathering, stalled;
	struct conn_bucket buckets[BUCKETS];
	struct reply replies[VSOCK_REPLIES_MAX];
	unsigned int reply_first, reply_count;
	struct vsock_stats stats;

	/* consecutive payload of one connection, not yet pushed */
	struct vsock_conn *gather;
	struct iovec gather_iov[VSOCK_IOV_MAX];
	unsigned int gather_n;
	size_t gather_len;
};

/* conn.c */
struct vsock_conn *conn_find(struct vsock *v, enum vsock_type type,
			     uint32_t peer_cid, uint32_t guest_port,
			     uint32_t host_port);
/* NULL: over quota or out of memory */
struct vsock_conn *conn_new(struct vsock *v, enum vsock_type type,
			    uint32_t peer_cid, uint32_t guest_port,
			    uint32_t host_port,
			    enum conn_state state);
void conn_set_state(struct vsock *v, struct vsock_conn *c, enum conn_state s);
void conn_free(struct vsock *v, struct vsock_conn *c);
/* The guest is done with it; the host end takes what is held, and is told. */
void conn_drain(struct vsock *v, struct vsock_conn *c);
/* The host end is told, if there is one, and forgotten. */
void conn_detach(struct vsock *v, struct vsock_conn *c, enum vsock_end why);
/* Something is to be sent. */
void conn_send(struct vsock *v, struct vsock_conn *c, unsigned int what);
/* RST is to be sent, the host end is told. */
void conn_reset(struct vsock *v, struct vsock_conn *c, enum vsock_end why);
void conn_ready(struct vsock *v, struct vsock_conn *c, bool ready);
/* The host end will send no more, or receive no more. */
void conn_host_shut(struct vsock *v, struct vsock_conn *c, unsigned int flags);
/* More data may come before it is sent: wait for a moment. */
void conn_gather(struct vsock *v, struct vsock_conn *c);
/* There is no credit, or there is (@stalled false) again. */
void conn_stalled(struct vsock *v, struct vsock_conn *c, bool stalled);
/* What waits has become more, or less. */
void conn_charge(struct vsock *v, struct vsock_conn *c);
/* The beginning of a message, of which the rest will not come, or not count */
void conn_part_drop(struct vsock_conn *c);
/* push() or flush() failed: nobody reads any more, or it is all over. */
void conn_failed(struct vsock *v, struct vsock_conn *c, ssize_t err);
/* After what is held has become less: finish what waited for it. */
void conn_flushed(struct vsock *v, struct vsock_conn *c);
/* Both flags have been sent: wait for RST. */
void conn_linger(struct vsock *v, struct vsock_conn *c);

/* credit.c */
int credit_update(struct vsock_conn *c, const struct vsock_header *h);
/* bytes that the guest has room for; 0 also where there are too many packets */
uint32_t credit_free(const struct vsock_conn *c);
unsigned int credit_packets(const struct vsock_conn *c);
/* Are so many packets unread that only large ones should be added? */
bool credit_crowded(const struct vsock_conn *c);
/* room to note @n more packets. Return: how many, at least one or 0 */
unsigned int credit_reserve(struct vsock_conn *c, unsigned int n);
void credit_sent(struct vsock_conn *c, uint32_t len);
/* May a message of @len bytes in @packets begin? */
bool credit_fits(struct vsock_conn *c, uint32_t len, unsigned int packets);
/* There is new credit: may what waited for it be tried again? */
bool credit_enough(const struct vsock_conn *c);
/* Should the guest be told how much has been consumed? */
bool credit_due(const struct vsock_conn *c);

/* rx-message.c: some of @c's next message into @bufs, all of which have room.
 * Return: buffers used */
unsigned int rx_message(struct vsock *v, struct vsock_conn *c,
			struct vsock_buf *bufs, unsigned int n);
/* rx.c */
void rx_put(struct vsock *v, struct vsock_conn *c, struct vsock_buf *b,
	    enum vsock_op op, uint32_t len, uint32_t flags);
size_t rx_room(const struct vsock_buf *b);
size_t rx_iov(struct vsock *v, const struct vsock_buf *bufs, unsigned int max,
	      size_t budget, unsigned int *ret_n);
/* next() or pull() had nothing to give: @got */
void rx_ended(struct vsock *v, struct vsock_conn *c, ssize_t got);
/* to the end of the line */
void rx_next(struct vsock *v, struct vsock_conn *c);

#endif /* VSOCK_DEVICE_CONN_H */
