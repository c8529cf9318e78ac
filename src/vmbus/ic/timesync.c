/* SPDX-License-Identifier: MIT */
/*
 * timesync.c - the host's clock, told to the guest
 *
 *	u64 host's time, u64 guest's time, u64 round trip, u8 flags, padding
 *
 * With SYNC the guest sets its clock: once after its driver came, after it
 * stood still, when the host's clock has jumped, and when somebody asks. With
 * SAMPLE it only remembers the time, for its PTP clock: every few seconds.
 */
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define MS 1000000ull

static void on_answer(void *arg, const struct ic_answer *a)
{
	(void)arg;
	(void)a;
}

size_t timesync_put(uint8_t *body, uint64_t wall, uint8_t flags)
{
	memset(body, 0, TIMESYNC_BODY);
	le64_put(body, wall);
	body[24] = flags;
	return TIMESYNC_BODY;
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
	uint64_t wall;

	if (!t->next || now < t->next)
		return;
	wall = t->wall(t->ctx);
	if (stepped(t, now, wall))
		t->sync = true;
	t->next = now + TIMESYNC_MS * MS;
	timesync_put(body, wall, t->sync ? TIMESYNC_SYNC : TIMESYNC_SAMPLE);
	/* A time that waits is a wrong one. */
	if (!ic_idle(t->ic) || ic_ask(t->ic, body, sizeof(body), TIMESYNC_MS,
				      on_answer, t) < 0)
		return;
	t->syncs += t->sync;
	t->samples += !t->sync;
	t->sync = false;
}
