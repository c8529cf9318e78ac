/* SPDX-License-Identifier: MIT */
/* session-internal.h - between session.c, which has the states and the guest's
 * side, and session-broker.c, which has what the broker's frames lead to */
#ifndef TRANSPORT_SESSION_INTERNAL_H
#define TRANSPORT_SESSION_INTERNAL_H

#include <sys/queue.h>

#include "transport/relay.h"
#include "transport/session.h"

#define BUCKETS 1024u

enum session_state {
	S_DIALLING, /* the broker is asked, or will be */
	S_OPENING,  /* the guest is asked */
	S_ARRIVING, /* it has said yes: the socket, or the filler, is missing */
	S_LIVE,
	S_OVER,
};

struct session {
	LIST_ENTRY(session) all;
	LIST_ENTRY(session) bucket; /* has_token */
	LIST_ENTRY(session) busy;   /* is_busy */
	struct sessions *ss;
	enum session_state state;
	bool has_token, from_host;
	bool owes_reply; /* to OPEN, and to this broker */
	uint64_t token;
	uint32_t serial; /* of DIAL (0: not sent), or of OPEN */
	uint32_t uid;
	uint16_t type; /* SOCK_STREAM, SOCK_SEQPACKET */
	GUID service, source;
	/* whose program dials, if it is not the guest; else the sibling that
	 * the guest dialled, if it is one */
	GUID partition;
	uint32_t cid; /* of the sibling, where that one or the guest dials */
	uint64_t dial_deadline_ns;

	bool native; /* the guest's connection itself is wanted */
	bool parked, has_filler;
	/* see session-socket.c; these do not go along */
	bool is_busy, moved, rearmed;
	uint8_t fits;
	uint64_t filler;
	int waiting; /* the parked socket; -1 */
	bool unasked; /* of an OPEN the guest knows nothing yet */

	struct relay relay;
	struct ev_io io;
	struct ev_timer timer;
	void *conn; /* NULL: gone */

	uint32_t number;    /* while it is packed: sessions_pack() */
	uint64_t limit_ns;  /* of the timer, until it runs */
};

LIST_HEAD(session_list, session);

struct sessions {
	struct ev *ev;
	struct link *link; /* NULL: none yet */
	const struct session_guest_ops *ops;
	void *ctx;
	bool running;
	bool stalled; /* by the broker; a session's relay says it too */
	unsigned int dials; /* not answered, also of guests that gave up */
	unsigned int given_up; /* those */
	struct session **unpacked; /* by number, until they are resumed */
	uint32_t nunpacked;
	struct session_list all, busy;
	struct ev_timer busy_timer;
	unsigned int bursts; /* sessions with a relay.burst */
	struct session_calls calls;
	struct session_list buckets[BUCKETS];
};

/* by its token; NULL: none */
struct session *session_find(struct sessions *ss, uint64_t token);
struct session *session_new(struct sessions *ss, enum session_state state,
			    uint16_t type);
void session_set_token(struct session *s, uint64_t token);

/* The socket is closed (a parked one with its filler unread) and the session
 * gone. The guest's end has been told, or told us. */
void session_finish(struct session *s);
/* Reset towards the guest; it has no end here any more. */
void session_abort_guest(struct session *s);
/* OPEN fails: the broker is told why, the guest reset if it has an end. */
void session_refuse(struct session *s, uint32_t reason, const char *why);
/* The time limit of whatever state it is in then. 0 or -ENOMEM */
int session_limit(struct session *s, uint64_t ms);
int session_limit_at(struct session *s, uint64_t at_ns);

/* Nothing moves, nothing is asked; or all goes on. */
void sessions_stall(struct sessions *ss, bool stalled);

/* Wait for what happens to @fd. 0 or -errno */
int session_watch(struct session *s, int fd);
/* The socket is there, and the guest has said yes: bytes may go. */
void session_go_live(struct session *s, int fd);
/* A parked session whose guest has said yes, if all the rest is there. */
void session_unpark(struct session *s);

/* session-broker.c: notices and requests about one session */
void session_notice_live(struct session *s);
void session_notice_closed(struct session *s);
int session_send_dial(struct session *s);

#endif /* TRANSPORT_SESSION_INTERNAL_H */
