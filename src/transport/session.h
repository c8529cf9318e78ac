/* SPDX-License-Identifier: MIT */
/*
 * session.h - host ends of a guest's connections
 *
 * A session joins three: a token, by which the broker knows the connection; a
 * socket, whose other end a program has; and the guest's end, an opaque
 * pointer of the guest's device. It knows how each comes into being:
 *
 *   the guest dials:	DIAL to the broker, the answer brings the socket
 *   a program opens:	OPEN; the guest is asked, and when it has said yes the
 *			socket arrives at the rendezvous
 *   the same, parked:	OPEN; the socket arrives at once, its queue full of
 *			filler; when the guest has said yes, exactly the filler
 *			is taken out; when it says no, the socket is closed
 *			with the filler unread
 *
 * When the broker ends, live sessions stay, the guest's dials wait for the
 * next broker, and what programs had opened without parking is given up.
 *
 * Nothing here is about virtio: other transports use it as it is.
 */
#ifndef TRANSPORT_SESSION_H
#define TRANSPORT_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/ev.h"
#include "transport/link.h"

#define SESSION_DIAL_MS 2000u /* a guest gives up after that */
#define SESSION_ARRIVE_MS 5000u
#define SESSION_BUSY_MS 20u
#define SESSION_PROBE_MS 20u /* of a busy one: does the program read? */
#define SESSION_DIALS_MAX 256u /* that the broker is asked at a time */

struct relay;
struct sessions;
struct session;

/* What is asked of the guest's device. @conn is its end. */
struct session_guest_ops {
	/* A program wants @service. 0 and *@ret_conn: session_answered()
	 * follows; else a reason (enum hvs_reason_code) */
	uint32_t (*open)(void *ctx, struct session *s, const GUID *service,
			 const GUID *source, void **ret_conn,
			 const char **ret_why);
	/* The dial has succeeded. */
	void (*accept)(void *ctx, void *conn);
	/* The guest's connection itself, where the link's config.native says
	 * that there is one: a descriptor, borrowed. abort() follows */
	int (*native)(void *ctx, void *conn);
	/* Reset towards the guest; @conn is not used again. */
	void (*abort)(void *ctx, void *conn);
	void (*readable)(void *ctx, void *conn);
	void (*writable)(void *ctx, void *conn);
	/* Nobody reads what the guest sends any more. */
	void (*unread)(void *ctx, void *conn);
	/* That need not be told before the guest's next write, if the program
	 * sends at the same time: one system call less for each event. */
	bool unread_late;
	/* What a guest may send ahead: see struct relay. For so many sessions
	 * at a time, as it is the kernel's memory that a guest fills. */
	uint32_t burst;
	unsigned int burst_max;
	/* Dials that the guest did not wait for, and the broker has still to
	 * answer: each may fill a listener's backlog. 0: no such limit */
	unsigned int given_up_max;
	/* RAW (SOCK_SEQPACKET) too, not streams only: session_type() */
	bool raw;
	/* A part of the list of what is registered, if the link asks for it
	 * (struct link_config). */
	void (*services)(void *ctx, const struct msg_services *m);
	/* What is asked of the transport itself, if the link says that it
	 * answers that; leave() with 0: of all, as the broker has gone. */
	void (*control)(void *ctx, uint32_t serial,
			const struct msg_control *m);
	void (*leave)(void *ctx, uint64_t session);
};

/** sessions_new() - starts no link: sessions_link_ops() are for link_new() with
 * the result as context, then sessions_set_link(). Return: 0 or -errno */
int sessions_new(struct ev *ev, const struct session_guest_ops *ops, void *ctx,
		 struct sessions **ret);
/** sessions_free() - every guest's end is gone by now. Return: NULL */
struct sessions *sessions_free(struct sessions *ss);
const struct link_ops *sessions_link_ops(void);
void sessions_set_link(struct sessions *ss, struct link *l);

/* System calls so far that moved payload, or tried to, or asked about it */
struct session_calls {
	uint64_t reads, writes, probes;
};

const struct session_calls *sessions_calls(const struct sessions *ss);

/** sessions_running() - can the guest be reached? The broker is told. */
void sessions_running(struct sessions *ss, bool running);

/* ---- what the guest's device does */

/** session_dial() - the guest connects to @service of its parent, from
 * @source, with a socket of type @type; accept() or abort() follows. Return: 0,
 * -ENOBUFS, -ENOMEM */
int session_dial(struct sessions *ss, void *conn, uint16_t type,
		 const GUID *service, const GUID *source, struct session **ret);
/** session_dial_sibling() - the same to the partition of that CID beside the
 * guest's */
int session_dial_sibling(struct sessions *ss, void *conn, uint16_t type,
			 uint32_t cid, const GUID *service, const GUID *source,
			 struct session **ret);
/** session_cid() - in open(): of the sibling that connects; 0: it is none */
uint32_t session_cid(const struct session *s);
/** session_type() - SOCK_STREAM, SOCK_SEQPACKET */
uint16_t session_type(const struct session *s);
/** session_answered() - to open(); if not, the session is over */
void session_answered(struct session *s, bool accepted);
/** session_declined() - to open(): no, for this reason; the session is over */
void session_declined(struct session *s, uint32_t reason, const char *why);
/** session_hand_over() - the same with the guest's connection itself, a socket,
 * borrowed, where the program asked for that. Return: true: it is the program's
 * now, and the session is over; false: session_answered() as ever */
bool session_hand_over(struct session *s, int fd);
/** session_conn() - the guest's end, as it was given; NULL: gone */
void *session_conn(const struct session *s);
/** session_ctx() - what sessions_new() was given */
void *session_ctx(const struct session *s);
/** session_next() - of messages: as relay_next(), but no -EBUSY */
ssize_t session_next(struct session *s);
ssize_t session_pull(struct session *s, const struct iovec *iov,
		     unsigned int n);
/** session_may_pull() - is it not too much that waits to be closed? readable()
 * follows if so */
bool session_may_pull(struct session *s);
/** session_waiting() - bytes that are there to be pulled */
size_t session_waiting(const struct session *s);
ssize_t session_push(struct session *s, const struct iovec *iov,
		     unsigned int n);
/** session_write() - what fits, of what stays with the guest otherwise:
 * writable() follows if it was not all. Return: bytes, 0; -errno */
ssize_t session_write(struct session *s, const struct iovec *iov,
		      unsigned int n);
ssize_t session_flush(struct session *s);
/** session_relay() - its socket, for relay_move() */
struct relay *session_relay(struct session *s);
size_t session_held(const struct session *s);
void session_shut(struct session *s, bool no_more_data, bool no_more_reading);
/** session_end() - the guest's end is gone */
void session_end(struct session *s);

/* ---- from one process to the next */

struct session_saved {
	uint64_t token, to_guest, from_guest;
	uint32_t uid;
	bool from_host, shut;
	GUID service, source;
	GUID partition; /* whose program dialled, if it is a child's */
};

/** session_save() - Return: its socket, still ours, or -ENOTCONN: it is not
 * established */
int session_save(const struct session *s, struct session_saved *ret);
/** session_restore() - in the next process; the broker is told that it lives.
 * @fd is owned if it succeeds. 0; -EEXIST (the token is known), -errno */
int session_restore(struct sessions *ss, const struct session_saved *saved,
		    int fd, void *conn, struct session **ret);

/* All of them, whatever their state, with the broker's connection. */

/** sessions_pack() - numbers them from 1; nothing is changed */
void sessions_pack(struct sessions *ss, struct parcel *p);
uint32_t session_number(void *s);
/** sessions_unpack() - into no sessions. They wait for session_join() and
 * sessions_resume(). Return: 0; -EPROTO, -ENOMEM */
int sessions_unpack(struct sessions *ss, struct parcel *p);
/** session_join() - the one of that number has this guest's end. NULL: it is
 * none, or has one */
struct session *session_join(struct sessions *ss, uint32_t number, void *conn);
/** sessions_resume() - all go on. @link_up: the broker's connection went along;
 * else they are told that it is lost. Those without a guest's end are over */
void sessions_resume(struct sessions *ss, bool link_up);

#endif /* TRANSPORT_SESSION_H */
