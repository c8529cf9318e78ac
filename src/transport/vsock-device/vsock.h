/* SPDX-License-Identifier: MIT */
/*
 * vsock.h - the virtio-vsock device: packets of one guest in, packets out
 *
 * A state machine without descriptors, threads or clock of its own. Packets of
 * the guest come in through vsock_tx() as they lie in guest memory; packets
 * for it are written by vsock_rx() into the buffers that it is given. Payload
 * is not looked at and not copied: the host end of a connection (an opaque
 * pointer, "host" below) is asked to move bytes directly from and to the
 * guest's buffers.
 *
 * Memory is bounded whatever the guest does: VSOCK_CONNS_MAX connections, of
 * which VSOCK_OPENING_MAX may be opening; VSOCK_REPLIES_MAX resets for
 * packets that belong to no connection, and when these wait no packet is
 * taken (vsock_tx_ready()); everything else that is to be sent is a flag in
 * its connection. What a host end does not take at once it holds, and credit
 * bounds that to VSOCK_BUF_ALLOC per connection; all together hold
 * VSOCK_HELD_MAX, and who wants more is reset.
 *
 * Connections are streams, or keep the bounds of messages (SEQPACKET), if the
 * driver has negotiated that. The other end is the host (VSOCK_CID_HOST), or
 * whoever has another CID, but for the guest itself: who that is, if anybody,
 * is the host ends' business. A message may come in pieces and go in pieces; a
 * host end only ever sees a whole one. The pieces that are here are held by
 * the device, and count against VSOCK_BUF_ALLOC too. MSG_EOR does not reach
 * the host end and is never set: AF_UNIX does not carry it.
 */
#ifndef VSOCK_DEVICE_VSOCK_H
#define VSOCK_DEVICE_VSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "transport/vsock-device/packet.h"

#define VSOCK_BUF_ALLOC (256u * 1024)
#define VSOCK_CONNS_MAX 16384u
#define VSOCK_HELD_MAX (256u << 20) /* of all connections together */
#define VSOCK_OPENING_MAX 256u
#define VSOCK_REPLIES_MAX 256u
#define VSOCK_QUANTUM (64u * 1024) /* of one connection, per round */
#define VSOCK_LINGER_MS 2000u /* both sides shut: wait for the guest's RST */
#define VSOCK_GATHER_MS 3u    /* what small packets wait to become larger */
#define VSOCK_STALL_MS 50u    /* without credit: then ask for it, once */
#define VSOCK_IOV_MAX 1024u

struct vsock;
struct vsock_conn;

enum vsock_end {
	VSOCK_END_CLOSED, /* in order: both sides shut */
	VSOCK_END_RESET,  /* by the guest, or it broke a rule */
	VSOCK_END_DEVICE, /* the device was reset */
	/* a message does not fit: the guest's buffer, or ours, or the host
	 * end's */
	VSOCK_END_TOO_LONG,
	VSOCK_END_QUOTA,  /* VSOCK_HELD_MAX */
	VSOCK_END_MEMORY, /* of the guest is not there, or ours is used up */
};

/*
 * What the device asks of the host ends. No call may come back into the
 * device, but: dial() sets the host end, and answered(host, true) may do what
 * vsock_readable() and its like are for.
 */
struct vsock_ops {
	/* The guest connects to port vsock_host_port() of vsock_peer_cid(),
	 * from vsock_guest_port(). 0: the answer follows, by vsock_accept() or
	 * vsock_abort(); else: refused. */
	int (*dial)(void *ctx, struct vsock_conn *c);
	/* The guest's answer to vsock_open(): accepted, or not, and then
	 * ended() is not called and @host is the caller's again. */
	void (*answered)(void *host, bool accepted);
	/* Read into @iov; of messages exactly the one that next() told of.
	 * Bytes; 0: end of file; -EAGAIN; -errno */
	ssize_t (*pull)(void *host, const struct iovec *iov, unsigned int n);
	/* SEQPACKET: the next message's length; 0: end of file; -EAGAIN;
	 * -errno */
	ssize_t (*next)(void *host);
	/* How much pull() would find, roughly */
	size_t (*waiting)(void *host);
	/* Take all of @iov; with SEQPACKET it is one message. How much has gone
	 * to the reader (the rest is held, a copy); -errno: nothing is held,
	 * and nobody will read any more, but -EMSGSIZE: no such message can
	 * be sent, -EFAULT: of @iov, -ENOMEM */
	ssize_t (*push)(void *host, const struct iovec *iov, unsigned int n);
	/* Move what is held. How much went to the reader; -errno as push() */
	ssize_t (*flush)(void *host);
	/* Bytes held */
	size_t (*held)(void *host);
	/* The guest will send no more (and nothing is held) / receive no more
	 */
	void (*shut)(void *host, bool no_more_data, bool no_more_reading);
	/* The connection is over; @host is not used again. */
	void (*ended)(void *host, enum vsock_end why);
	/* There is something to write: vsock_rx() should be called. */
	void (*wake)(void *ctx);
};

struct vsock_buf {
	const struct iovec *iov; /* writable */
	unsigned int n;
	size_t len;  /* of all of iov */
	size_t used; /* set by vsock_rx(): bytes written */
};

struct vsock_stats {
	uint64_t tx_packets, rx_packets;
	uint64_t tx_dropped; /* too short, foreign addresses */
	uint64_t resets;     /* connections that broke a rule */
	uint64_t over_quota;
	uint64_t too_long; /* messages, and with each a connection */
	uint64_t empty;	   /* messages, from the guest, dropped */
};

/** vsock_new() - @ops and @ctx are borrowed. Return: 0 or -errno */
int vsock_new(uint64_t guest_cid, const struct vsock_ops *ops, void *ctx,
	      struct vsock **ret);
/** vsock_free() - forgets all first; NULL is fine. Return: NULL */
struct vsock *vsock_free(struct vsock *v);

/** vsock_reset() - the guest has forgotten: forget, send nothing. What a guest
 * sent and closed before still goes to its reader. */
void vsock_reset(struct vsock *v);

/** vsock_set_seqpacket() - has the driver negotiated it? */
void vsock_set_seqpacket(struct vsock *v, bool on);

/** vsock_time() - the time, before each batch of calls; ends what lingers */
void vsock_time(struct vsock *v, uint64_t now_ns);
/** vsock_deadline() - when to call vsock_time() next; 0: no need */
uint64_t vsock_deadline(const struct vsock *v);

/* ---- from the guest */

/** vsock_tx_ready() - may a packet be taken? If not: vsock_rx() first */
bool vsock_tx_ready(const struct vsock *v);

/**
 * vsock_tx() - one packet of the guest
 * @iov:	the packet in guest memory, header first; @n entries, @len bytes
 *
 * The payload may be looked at until vsock_tx_end(): the buffers must stay.
 */
void vsock_tx(struct vsock *v, const struct iovec *iov, unsigned int n,
	      size_t len);
/** vsock_tx_end() - after some vsock_tx(): all payload has been moved */
void vsock_tx_end(struct vsock *v);

/* ---- to the guest */

/** vsock_rx_wanted() - would vsock_rx() write something? */
bool vsock_rx_wanted(const struct vsock *v);
/**
 * vsock_rx() - write packets
 * @bufs:	the guest's buffers, in order; vsock_buf.used is set
 *
 * Return: how many of them were used up; one with used == 0 was too small for
 * anything.
 */
unsigned int vsock_rx(struct vsock *v, struct vsock_buf *bufs, unsigned int n);

/* ---- host ends */

/** vsock_open() - ask the guest for a connection. @peer_cid: VSOCK_CID_HOST, or
 * that of the sibling that wants it; @host_port: wanted, or 0; another one is
 * taken where it is in use. Return: 0, -ENOBUFS, -ENOMEM, -EPROTONOSUPPORT: the
 * driver does not carry that type */
int vsock_open(struct vsock *v, enum vsock_type type, uint32_t peer_cid,
	       uint32_t guest_port, uint32_t host_port, void *host,
	       struct vsock_conn **ret);
/** vsock_set_host() - the host end of a connection in dial() */
void vsock_set_host(struct vsock_conn *c, void *host);
/** vsock_accept() - dial() has succeeded */
void vsock_accept(struct vsock *v, struct vsock_conn *c);
/** vsock_abort() - RST to the guest, whatever the state; the host end is the
 * caller's again and not told */
void vsock_abort(struct vsock *v, struct vsock_conn *c);
/** vsock_readable() - pull() may have something */
void vsock_readable(struct vsock *v, struct vsock_conn *c);
/** vsock_writable() - flush() may succeed */
void vsock_writable(struct vsock *v, struct vsock_conn *c);
/** vsock_unread() - nobody will read what the guest sends any more */
void vsock_unread(struct vsock *v, struct vsock_conn *c);

enum vsock_type vsock_type(const struct vsock_conn *c);
/** vsock_peer_cid() - VSOCK_CID_HOST, or the sibling's at the other end */
uint32_t vsock_peer_cid(const struct vsock_conn *c);
uint32_t vsock_guest_port(const struct vsock_conn *c);
uint32_t vsock_host_port(const struct vsock_conn *c);
unsigned int vsock_conn_count(const struct vsock *v);
const struct vsock_stats *vsock_stats(const struct vsock *v);

#endif /* VSOCK_DEVICE_VSOCK_H */
