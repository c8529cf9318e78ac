/* SPDX-License-Identifier: MIT */
/*
 * attempt.h - one connect, from its request to its reply
 *
 * Most are decided and done within the request. The others wait: for a
 * listener, for room in a backlog, for a guest, or for a worker thread. An
 * attempt then belongs to its client and ends with it, with its deadline, or
 * with an answer, whichever is first.
 */
#ifndef BROKER_ATTEMPT_H
#define BROKER_ATTEMPT_H

#include "broker/broker.h"
#include "broker/offload.h"

enum attempt_state {
	ATTEMPT_NEW,
	ATTEMPT_BACKLOG, /* the timer tries again */
	ATTEMPT_WAIT, /* for a listener: events and the timer try again */
	ATTEMPT_OPEN, /* the guest is asked */
	ATTEMPT_SLOW, /* a worker connects */
	ATTEMPT_UPLINK, /* another broker is asked */
};

struct attempt {
	struct broker *b;
	struct client *client; /* whose reply is due; NULL: left */
	/* MSG_CONNECT, MSG_DIAL, MSG_CALL (wait), MSG_JOIN (uplink.h) */
	uint16_t request;
	uint32_t serial;
	int fd; /* the socket; -1 for wait */
	uint8_t type;
	GUID partition; /* the caller's */
	uint32_t uid;
	enum profile profile; /* the caller's, which it may outlive */
	bool up; /* it is below the guest that it asks */
	SOCKADDR_HV dest;
	GUID source; /* ServiceId of the connector's end */
	uint32_t flags; /* CONNECT_* */
	uint64_t deadline_ns;
	uint64_t token;
	bool named; /* the socket has its name */
	bool parked;
	bool handed_over; /* native: */
	int native; /* the guest's connection, from its transport */
	bool to_native; /* the listener takes it itself */

	enum attempt_state state;
	uint32_t tries;
	struct ev_timer timer;
	struct account *accounts[2]; /* charged while it waits */
	struct account *pair; /* whose slow connects it counts among */
	struct transport *via; /* ATTEMPT_OPEN */
	struct way *way; /* ATTEMPT_UPLINK */
	bool direct; /* the guest's broker has no listener: ask its kernel */
	bool joined; /* asked, and the other uplink's half is noted */
	struct asked *asked; /* MSG_JOIN: for another broker, */
	struct way *opens_for; /* or for a connect of that other */
	uint32_t open_serial;
	struct offload_connect job; /* ATTEMPT_SLOW */
	struct attempt *slow_next;
	bool queued; /* in the account's slow_queue */
	/* the last refusal, which is the answer at the deadline */
	uint32_t error, reason;
	char text[400];

	struct attempt *prev, *next; /* the client's */
	struct attempt *wait_prev, *wait_next; /* the broker's, while waiting */
	struct attempt *open_prev, *open_next; /* the transport's */
};

/** attempts_cancel() - the client is gone */
void attempts_cancel(struct client *c);

/** attempts_wake() - a listener came, or rules changed: look again at those
 * that wait */
void attempts_wake(struct broker *b);

/** attempt_opened() - the transport answered: error 0, or a refusal */
void attempt_opened(struct attempt *a, uint32_t error, uint32_t reason,
		    const char *text);

/** attempt_start() - run an attempt on the stack, which is copied if it has to
 * wait. Consumes @a->fd. */
void attempt_start(struct attempt *a);

/** attempt_timeout_ns() - a request's limit as a deadline from now */
uint64_t attempt_deadline(uint32_t timeout_ms);

/*
 * The parts of an attempt's way. @heap says where it lives; those that end it
 * free it. After any of these @a is not to be touched, except where a value is
 * returned.
 */

/* connect.c: decide and go on from there */
void attempt_run(struct attempt *a, bool heap);
/* connect.c: give the socket its name. 0, or an errno with a sentence */
int attempt_name(struct attempt *a, const struct verdict *v,
		 const char **ret_why);
/* connect.c: connect() gave @err; @again: a dead listener may be replaced */
void attempt_connected(struct attempt *a, bool heap, struct verdict *v,
		       int err, bool again);
/* connect.c: may it still? As decide_connect(), but what it says of a listener
 * that has died is not the answer */
void attempt_decide(const struct attempt *a, struct verdict *v);
/* connect.c: the same for any caller; v's explain is kept */
void connect_decide(struct broker *b, const struct caller *c,
		    const SOCKADDR_HV *dest, uint8_t type, bool passthru,
		    struct verdict *v);
/* connect.c: whose rules it goes by */
struct caller attempt_caller(const struct attempt *a);
/* guest.c: ask the guest of v's target */
void attempt_ask_guest(struct attempt *a, bool heap, const struct verdict *v);
/* guest.c: fill the send buffer of what is parked. Return: bytes */
uint64_t attempt_fill(int fd, int type);
/* attempt.c: is it a guest's or another broker's: no user of this host? */
bool attempt_is_guests(const struct attempt *a);
/* guest.c: note how a parked connect ended (for RESULT) */
void attempt_outcome(struct attempt *a, uint32_t state, uint32_t error,
		     uint32_t reason, const char *text);
/* slow.c: its user cleared O_NONBLOCK while the broker connected */
void slow_mark(struct attempt *a);
/* slow.c: has this user in this partition done so lately? */
bool slow_marked(const struct account *pair);
/* slow.c: let a worker connect */
void attempt_slow(struct attempt *a, bool heap, const struct sockaddr_un *addr,
		  socklen_t len);
/* attempt.c: a refusal's error, as the profile has it */
uint32_t attempt_error(const struct attempt *a, uint32_t error,
		       uint32_t reason);
/* attempt.c: the three ends */
void attempt_succeed(struct attempt *a, bool heap, const struct verdict *v);
void attempt_refuse(struct attempt *a, bool heap, uint32_t error,
		    uint32_t reason, const char *text);
void attempt_end(struct attempt *a, bool heap); /* without a reply */
/* attempt.c: refuse, or wait for it to change if that was asked for */
void attempt_refused(struct attempt *a, bool heap, uint32_t error,
		     uint32_t reason, const char *text);
/* attempt.c: try again soon, or refuse at the deadline */
void attempt_backlog(struct attempt *a, bool heap);
/* attempt.c: the timer's callback: try again, or the deadline */
void attempt_on_timer(struct ev_timer *t);
/* attempt.c: wait in @state; a stack attempt moves to the heap. Return: where
 * it is now, or NULL: it was refused */
struct attempt *attempt_wait(struct attempt *a, bool heap,
			     enum attempt_state state);

#endif /* BROKER_ATTEMPT_H */
