/* SPDX-License-Identifier: MIT */
/*
 * vss.c - the guest's file systems are frozen for a backup, and thawed
 *
 *	u8 operation, 7 bytes reserved, u32 flags
 *
 *	THAWED --freeze--> CHECKING --there is a daemon--> FREEZING
 *	FREEZING --the guest has--> FROZEN
 *	FREEZING --it has not, or says nothing--> THAWING
 *	FROZEN --somebody asks, the time is over, who froze has gone--> THAWING
 *	THAWING --the guest has, or is anew--> THAWED
 *
 * A guest must not stay frozen, whatever becomes of who asked. So every way out
 * of FREEZING and FROZEN leads through a thaw, which is asked for again until
 * the guest has done it; a guest that answers late finds the thaw behind the
 * freeze. To thaw what is not frozen does nothing.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define OP_CHECK 2u
#define OP_FREEZE 5u
#define OP_THAW 6u
#define BODY 24u
#define MS 1000000ull

static int ask(struct vss *v, uint8_t op, uint32_t ms, ic_done_fn done)
{
	uint8_t body[BODY] = { op };

	return ic_ask(v->ic, body, sizeof(body), ms, done, v);
}

static void tell(struct vss *v, const struct ic_answer *a, bool no_daemon)
{
	vss_done_fn done = v->done;

	v->done = NULL;
	if (done)
		done(v->arg, a, no_daemon);
}

static void thaw(struct vss *v, unsigned int tries)
{
	v->state = VSS_THAWING;
	v->session = 0;
	v->tries = tries;
	v->again = 1;
}

static uint32_t left(const struct vss *v)
{
	uint64_t now = v->ic->now;

	return v->due > now ? (uint32_t)((v->due - now) / MS) + 1 : 1;
}

static void on_thawed(void *arg, const struct ic_answer *a)
{
	struct vss *v = arg;

	if (v->state != VSS_THAWING)
		return;
	if (!a->error && a->status == IC_OK) {
		v->state = VSS_THAWED;
		v->again = 0;
		tell(v, a, false);
		return;
	}
	tell(v, a, !a->error);
	if (a->error == -ECONNRESET || a->error == -ECANCELED)
		return; /* vss_ready() goes on */
	if (v->tries)
		v->tries--;
	if (!v->tries)
		v->state = VSS_THAWED; /* given up */
	v->again = v->tries ? v->ic->now + VSS_AGAIN_MS * MS : 0;
}

static void on_frozen(void *arg, const struct ic_answer *a)
{
	struct vss *v = arg;

	if (v->state != VSS_FREEZING)
		return;
	if (!a->error && a->status == IC_OK) {
		v->state = VSS_FROZEN;
		v->thaw_at = v->ic->now + v->hold;
		tell(v, a, false);
		return;
	}
	/* (some of its file systems may be) */
	thaw(v, VSS_TRIES);
	tell(v, a, false);
}

static void on_checked(void *arg, const struct ic_answer *a)
{
	struct ic_answer lost = { .error = -ECONNRESET };
	struct vss *v = arg;
	int r;

	if (v->state != VSS_CHECKING)
		return;
	if (a->error || a->status != IC_OK) {
		v->state = VSS_THAWED;
		tell(v, a, !a->error);
		return;
	}
	v->state = VSS_FREEZING;
	r = ask(v, OP_FREEZE, left(v), on_frozen);
	if (r < 0) {
		v->state = VSS_THAWED;
		lost.error = r;
		tell(v, &lost, false);
	}
}

int vss_freeze(struct vss *v, uint32_t timeout_ms, uint32_t hold_ms,
	       uint64_t session, vss_done_fn done, void *arg)
{
	int r;

	if (v->state != VSS_THAWED)
		return -EBUSY;
	r = ask(v, OP_CHECK, timeout_ms, on_checked);
	if (r < 0)
		return r;
	v->state = VSS_CHECKING;
	v->session = session;
	v->hold = hold_ms * MS;
	v->due = v->ic->now + timeout_ms * MS;
	v->done = done;
	v->arg = arg;
	return 0;
}

int vss_thaw(struct vss *v, vss_done_fn done, void *arg)
{
	if (v->state == VSS_THAWED)
		return -EALREADY;
	if (v->done)
		return -EBUSY; /* a freeze, or another thaw, is under way */
	v->done = done;
	v->arg = arg;
	if (v->state == VSS_FROZEN)
		thaw(v, VSS_TRIES);
	else if (v->again)
		v->again = 1;
	if (v->ic->state == IC_READY)
		return 0;
	v->done = NULL; /* nobody knows when it can be asked */
	return -ENOTCONN;
}

void vss_leave(struct vss *v, uint64_t session)
{
	if (!v->session || (session && v->session != session))
		return;
	if (v->state == VSS_FROZEN)
		thaw(v, VSS_TRIES);
	/* one under way ends in a thaw at once */
	v->hold = 0;
	v->session = 0;
}

void vss_doubt(struct vss *v, unsigned int tries)
{
	if (v->state == VSS_THAWED)
		thaw(v, tries);
}

void vss_ready(struct vss *v)
{
	if (v->state == VSS_THAWING)
		v->again = 1;
}

/* The channel has gone, and with it what was asked; the guest may live on, and
 * be frozen. A guest that is anew is not, and thawing it does no harm. */
void vss_closed(struct vss *v)
{
	const struct ic_answer lost = { .error = -ECONNRESET };

	if (v->state != VSS_THAWED)
		thaw(v, VSS_TRIES_ANEW);
	v->again = 0;
	tell(v, &lost, false); /* whose thaw has not been sent */
}

void vss_time(struct vss *v, uint64_t now)
{
	if (v->state == VSS_FROZEN && now >= v->thaw_at)
		thaw(v, VSS_TRIES);
	if (v->state != VSS_THAWING || !v->again || now < v->again)
		return;
	v->again = 0;
	if (ask(v, OP_THAW, VSS_THAW_MS, on_thawed) < 0 &&
	    v->ic->state == IC_READY)
		v->again = now + VSS_AGAIN_MS * MS;
}

uint64_t vss_deadline(const struct vss *v)
{
	if (v->state == VSS_FROZEN)
		return v->thaw_at;
	return v->state == VSS_THAWING ? v->again : 0;
}
