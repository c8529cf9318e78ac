/* SPDX-License-Identifier: MIT */
/*
 * timesync.c - the host's clock, told to the guest
 *
 *	1.0, 3.0: u64 host's time, u64 guest's time, u64 round trip, u8 flags,
 *		  7 of padding
 *	4.0:	  u64 host's time, u64 the guest's reference counter then,
 *		  u8 flags, u8 leap flags, u8 stratum, 5 of padding
 *
 * A guest that is told its counter adds what has passed since: how long the
 * packet lay there does not matter. Without it the time is right only when it
 * is read at once.
 *
 * With SYNC the guest sets its clock: once after its driver came, after it
 * stood still, when the host's clock has jumped, and when somebody asks. With
 * SAMPLE it only remembers the time, for its PTP clock: every few seconds.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define MS 1000000ull

static void on_answer(void *arg, const struct ic_answer *a)
{
	(void)arg;
	(void)a;
}

#define BODY_REFERENCED 24

int timesync_put(uint8_t *body, uint32_t version,
		 const struct timesync_clock *c, uint8_t flags)
{
	memset(body, 0, TIMESYNC_BODY);
	le64_put(body, c->wall);
	if (version != TIMESYNC_REFERENCED) {
		body[24] = flags;
		return TIMESYNC_BODY;
	}
	if (!c->known)
		return -EAGAIN;
	le64_put(body + 8, c->reference);
	body[16] = flags;
	return BODY_REFERENCED;
}

void timesync_ready(struct timesync *t)
{
	t->next = 1;
	t->sync = true;
	t->offset = 0;
}

void timesync_closed(struct timesync *t)
{
	t->next = 0;
}

void timesync_resumed(struct timesync *t)
{
	t->sync = true;
	if (t->next)
		t->next = 1;
}

/* Has the host's clock been set, or has the host slept? */
static bool stepped(struct timesync *t, uint64_t now, uint64_t wall)
{
	int64_t offset = (int64_t)(wall - now / 100);
	int64_t step = offset - t->offset;
	bool known = t->offset != 0;

	t->offset = offset;
	return known && (step > TIMESYNC_STEP || step < -TIMESYNC_STEP);
}

void timesync_time(struct timesync *t, uint64_t now)
{
	uint8_t body[TIMESYNC_BODY];
	struct timesync_clock c;
	int len;

	if (!t->next || now < t->next)
		return;
	c = t->clock(t->ctx);
	if (stepped(t, now, c.wall))
		t->sync = true;
	t->next = now + TIMESYNC_MS * MS;
	len = timesync_put(body, t->ic->version, &c,
			   t->sync ? TIMESYNC_SYNC : TIMESYNC_SAMPLE);
	/* A time that waits is a wrong one, or an old one. */
	if (len < 0 || !ic_idle(t->ic) ||
	    ic_ask(t->ic, body, (size_t)len, TIMESYNC_MS, on_answer, t) < 0)
		return;
	t->syncs += t->sync;
	t->samples += !t->sync;
	t->sync = false;
}
