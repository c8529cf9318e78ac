/* SPDX-License-Identifier: MIT */
/*
 * heartbeat.c - is the guest alive? One message at a time: a number, which the
 * guest returns one higher, with the state of what runs in it
 *
 *	u64 number, u32 application state, 28 bytes reserved
 */
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define BODY 40u
#define MS 1000000ull

static void on_answer(void *arg, const struct ic_answer *a)
{
	struct heartbeat *h = arg;
	uint32_t state;

	if (a->error || a->status != IC_OK || a->len < BODY ||
	    le64_get(a->body) != h->number + 1) {
		h->missed++;
		h->wrong += !a->error;
		return;
	}
	state = le32_get(a->body + 8);
	h->good++;
	h->missed = 0;
	h->answered = h->ic->now ? h->ic->now : 1;
	h->application = state <= HEARTBEAT_STOPPED
				 ? (enum heartbeat_application)state
				 : HEARTBEAT_UNKNOWN;
}

void heartbeat_ready(struct heartbeat *h)
{
	h->next = 1;
	h->missed = 0;
}

void heartbeat_closed(struct heartbeat *h)
{
	h->next = h->answered = 0;
	h->missed = 0;
	h->application = HEARTBEAT_UNKNOWN;
}

void heartbeat_time(struct heartbeat *h, uint64_t now)
{
	uint8_t body[BODY] = { 0 };

	if (!h->next || now < h->next)
		return;
	h->next = now + HEARTBEAT_MS * MS;
	le64_put(body, h->number + 2);
	/* a guest that stands still has not got more to do afterwards */
	if (!ic_idle(h->ic))
		return;
	if (ic_ask(h->ic, body, sizeof(body), HEARTBEAT_MS, on_answer, h) < 0)
		return;
	h->number += 2;
	h->sent++;
}

const char *heartbeat_word(const struct heartbeat *h)
{
	if (!h->answered)
		return "no contact";
	return h->missed < HEARTBEAT_LOST ? "ok" : "lost";
}

const char *heartbeat_application_word(const struct heartbeat *h)
{
	static const char *const words[] = {
		[HEARTBEAT_UNKNOWN] = "unknown",
		[HEARTBEAT_HEALTHY] = "healthy",
		[HEARTBEAT_CRITICAL] = "critical",
		[HEARTBEAT_STOPPED] = "stopped",
	};

	return words[h->application];
}
