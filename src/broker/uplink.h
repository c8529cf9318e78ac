/* SPDX-License-Identifier: MIT */
/*
 * uplink.h - a guest's broker below this one, and this one's host above it
 *
 * The same in both directions (docs/protocol.md, 10):
 *
 *	ask	one line to the other broker, and its answer
 *	asked	a connection from the other broker: its line, decided here
 *	way	a connect that goes through the other broker: what asks, whose
 *		socket is then joined to the connection
 *
 * Who asks is known by how the connection came: for the host it is the
 * partition whose transport dialled, for a guest PARENT. Bytes are carried by
 * hvsocket-uplink, which the broker keeps as the transport of PARENT, with
 * every connection that it has joined.
 */
#ifndef BROKER_UPLINK_H
#define BROKER_UPLINK_H

#include "broker/attempt.h"
#include "broker/helper.h"
#include "broker/meeting.h"
#include "broker/transport.h"
#include "proto/hybrid.h"
#include "proto/uplink.h"
#include "registry/broker-file.h"

#define UPLINK_LINE_MS 5000
#define UPLINK_JOINED_MAX 8192 /* connections of a guest over its uplink */
#define UPLINK_WAITING_MAX 1024 /* connections of a guest before their answer */

/* ---- ask: uplink-ask.c ---------------------------------------------------*/

struct ask {
	struct broker *b;
	struct uplink_request request;
	/* once; @answer has a reason, or the connection is @k->fd, to be
	 * taken */
	void (*answered)(struct ask *k, const struct uplink_answer *answer);
	int fd; /* -1 */
	struct ev_io io;
	struct ev_timer again; /* the host's queue was full */
	bool connected;
	bool ended; /* by the other one, in the place of an answer */
	char buf[UPLINK_ANSWER_MAX];
	size_t len;
};

/** ask_dial() - in a guest: connect to the host, and ask */
void ask_dial(struct ask *k);
/** ask_over() - the same over a connection that there is, which is taken */
void ask_over(struct ask *k, int fd);
/** ask_end() - close what it has; answered() is not called */
void ask_end(struct ask *k);

/* ---- all of it: uplink.c -------------------------------------------------*/

enum uplink_state { UPLINK_DOWN, UPLINK_TRYING, UPLINK_UP };

struct uplinks {
	struct broker *b;
	struct helper helper; /* hvsocket-uplink */
	struct transport *relay; /* the same, or NULL */
	struct meeting streams, raws; /* where programs' sockets go */
	struct asked *asked; /* list */

	/* of a guest: */
	struct uplink_place place;
	struct partition parent; /* beyond it */
	enum uplink_state state;
	char why[400]; /* UPLINK_DOWN */
	struct ask hello; /* kept while UPLINK_UP */
	struct ev_timer again;
	uint64_t pause_ms;
	int listen_fd; /* -1 */
	uint32_t listen_cid; /* on AF_VSOCK: where */
	struct ev_io listen_io;
	GUID vmid; /* what the host knows us as */
	char name[UPLINK_NAME_MAX + 1];
	struct {
		struct ask ask;
		bool asking;
		bool known; /* the host's broker knows the line, */
		bool older; /* or does not */
		uint64_t taken_ns; /* the last one */
		struct ev_timer again; /* or the answer's time limit */
		char why[400]; /* there is none */
	} dgram; /* the connection for datagrams */
};

/** uplinks_new() - @place: of this machine's host. Return: 0 or -errno */
int uplinks_new(struct broker *b, const struct uplink_place *place,
		const char *program, struct uplinks **ret);
/** uplinks_start() - the registry has been read, the doors are open */
void uplinks_start(struct uplinks *u);
struct uplinks *uplinks_free(struct uplinks *u);

/** uplink_down() - why there is no host beyond the uplink, or NULL */
const char *uplink_down(const struct uplinks *u);

/** uplink_below() - the transport of the guest whose broker is to be asked for
 * this partition: its own or that of one it is in. NULL: there is none */
struct transport *uplink_below(const struct broker *b, const GUID *partition);

/** uplink_join() - let hvsocket-uplink join them; both are taken. Return: 0, or
 * -errno: they are closed */
int uplink_join(struct uplinks *u, const struct msg_join *m, int program,
		int stream);

/** uplink_is_relay() - is it hvsocket-uplink? */
bool uplink_is_relay(const struct transport *t);
void request_uplink(struct client *c, struct frame *f);
/** uplink_joined() - JOINED */
void uplink_joined(struct transport *t, const struct frame *f);
/** uplink_transport_gone() - a guest's, or hvsocket-uplink */
void uplink_transport_gone(struct transport *t);

/* ---- asked: uplink-asked.c -----------------------------------------------*/

/** uplink_take() - a guest's DIAL that uplink was said of */
void uplink_take(struct attempt *a, bool heap, const struct verdict *v);
/** asked_accepted() - in a guest, the host has come; @fd is taken. @hybrid:
 * with the line of the Unix-socket convention before it */
void asked_accepted(struct uplinks *u, int fd, bool hybrid);
/** asked_go_on() - hvsocket-uplink has come, or hvsocket-dgram */
void asked_go_on(struct uplinks *u);
/** asked_refuse() - what its line asked for is not to be had */
void asked_refuse(struct asked *k, uint32_t reason, const char *text);
/** asked_done() - a's socket is connected */
void asked_done(struct asked *k, struct attempt *a);
/** asked_lately() - of HELLO: is what a guest asks for then yet to come? */
bool asked_lately(const struct asked *k);
/** asked_drop_all() - of a partition; NULL: every one */
void asked_drop_all(struct uplinks *u, const GUID *partition);

/* ---- in a guest: uplink-listen.c -----------------------------------------*/

/** uplink_listen() - where the host is to come now. Return: 0; -errno, and a
 * sentence */
int uplink_listen(struct uplinks *u, char *ret_why, size_t size);
void uplink_listen_stop(struct uplinks *u);

/* ---- datagrams, in a guest: uplink-dgram.c -------------------------------*/

void uplink_dgram_init(struct uplinks *u);
/** uplink_dgram_look() - something has changed: ask for the connection, if it
 * is time to */
void uplink_dgram_look(struct uplinks *u);
/** uplink_dgram_ended() - the one that there was: ask again, not at once if it
 * has just come */
void uplink_dgram_ended(struct uplinks *u);
/** uplink_dgram_stop() - the uplink is down: ask for nothing */
void uplink_dgram_stop(struct uplinks *u);
/** uplink_dgram_down() - why there is none */
const char *uplink_dgram_down(const struct uplinks *u);

/* ---- way: uplink-way.c ---------------------------------------------------*/

/** uplink_wanted() - does this connect to v's target go through another
 * broker? */
bool uplink_wanted(const struct attempt *a, const struct verdict *v);
/** attempt_ask_uplink() - ask the other broker for v's target */
void attempt_ask_uplink(struct attempt *a, bool heap, const struct verdict *v);
/** way_free() - its attempt ends */
void way_free(struct way *w);
/** way_opening() - the transport is asked by this attempt */
void way_opening(struct way *w, struct attempt *o);
/** way_opened() - the guest's kernel has taken the connection that a way
 * needs; @fd is taken. -1: it has not, for @reason */
void way_opened(struct way *w, int fd, uint32_t reason, const char *text);

#endif /* BROKER_UPLINK_H */
