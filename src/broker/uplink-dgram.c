/* SPDX-License-Identifier: MIT */
/*
 * uplink-dgram.c - in a guest: the connection for datagrams to its host
 *
 * Asked for (DGRAM) when the uplink is up and hvsocket-dgram is there, which is
 * started for it; the host sends to this machine without being asked. An older
 * host does not know the line, and ends the connection.
 */
#include <stdio.h>
#include <string.h>

#include "base/guid.h"
#include "broker/dgram.h"
#include "broker/uplink.h"

#define AGAIN_MS 1000
#define AGAIN_OLD_MS 30000 /* it is an older broker, most likely */

const char *uplink_dgram_down(const struct uplinks *u)
{
	if (u->dgram.why[0])
		return u->dgram.why;
	return "its connection for them is not there yet";
}

static void on_again(struct ev_timer *t)
{
	uplink_dgram_look(container_of(t, struct uplinks, dgram.again));
}

static void failed(struct uplinks *u, const char *why, uint64_t again_ms)
{
	if (strncmp(u->dgram.why, why, sizeof(u->dgram.why) - 1) != 0)
		log_warn("the uplink carries no datagrams: %s", why);
	snprintf(u->dgram.why, sizeof(u->dgram.why), "%s", why);
	ask_end(&u->dgram.ask);
	u->dgram.asking = false;
	(void)ev_timer_start(u->b->ev, &u->dgram.again, again_ms, on_again);
}

static void on_too_late(struct ev_timer *t)
{
	failed(container_of(t, struct uplinks, dgram.again),
	       "the host's broker does not answer", AGAIN_MS);
}

static void on_answer(struct ask *k, const struct uplink_answer *a)
{
	struct uplinks *u = container_of(k, struct uplinks, dgram.ask);
	int fd = k->fd;

	u->dgram.older = k->ended && !k->len && !u->dgram.known;
	if (u->dgram.older) {
		failed(u, "the host's broker is one that does not know DGRAM",
		       AGAIN_OLD_MS);
		return;
	}
	if (k->ended) {
		failed(u, "the host's broker, or its hvsocket-dgram, has ended the connection",
		       AGAIN_MS);
		return;
	}
	if (a->reason) {
		failed(u, a->text[0] ? a->text : reason_name(a->reason),
		       AGAIN_MS);
		return;
	}
	k->fd = -1;
	if (dgram_uplink_take(u->b->dgrams, &guid_parent, fd, false) < 0) {
		failed(u, "hvsocket-dgram has ended", AGAIN_MS);
		return;
	}
	ev_timer_stop(&u->dgram.again);
	u->dgram.asking = false;
	u->dgram.known = true;
	u->dgram.taken_ns = ev_now_ns();
	u->dgram.why[0] = '\0';
	log_info("the uplink carries datagrams");
}

void uplink_dgram_look(struct uplinks *u)
{
	struct dgrams *d = u->b->dgrams;
	const char *why;

	if (u->place.kind == UPLINK_NONE || u->state != UPLINK_UP ||
	    u->dgram.asking || dgram_uplink_find(d, &guid_parent))
		return;
	ev_timer_stop(&u->dgram.again);
	if (!d->ready) {
		/* it comes back here */
		if (helper_start(&d->helper, &why) < 0)
			failed(u, why, AGAIN_OLD_MS);
		return;
	}
	u->dgram.asking = true;
	(void)ev_timer_start(u->b->ev, &u->dgram.again, UPLINK_LINE_MS,
			     on_too_late);
	ask_dial(&u->dgram.ask);
}

void uplink_dgram_ended(struct uplinks *u)
{
	uint64_t ms = (ev_now_ns() - u->dgram.taken_ns) / 1000000;

	if (u->dgram.asking)
		return;
	if (ms >= AGAIN_MS)
		uplink_dgram_look(u);
	else
		(void)ev_timer_start(u->b->ev, &u->dgram.again, AGAIN_MS - ms,
				     on_again);
}

void uplink_dgram_stop(struct uplinks *u)
{
	ask_end(&u->dgram.ask);
	u->dgram.asking = false;
	u->dgram.known = false; /* the next one may be another broker */
	ev_timer_stop(&u->dgram.again);
}

void uplink_dgram_init(struct uplinks *u)
{
	u->dgram.ask = (struct ask){ .b = u->b,
				     .fd = -1,
				     .request.verb = UPLINK_DGRAM,
				     .answered = on_answer };
}
