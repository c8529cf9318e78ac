/* SPDX-License-Identifier: MIT */
/* attach.c - see attach.h */
#include "transport/attach.h"

#include <errno.h>

#include "base/ev.h"

#define LIMIT_MS 5000u

struct wait {
	struct ev_timer timer;
	bool late;
};

static void on_late(struct ev_timer *t)
{
	container_of(t, struct wait, timer)->late = true;
}

int attach_wait(struct link *l, struct ev *ev)
{
	struct wait w = { .late = false };
	int r = ev_timer_start(ev, &w.timer, LIMIT_MS, on_late);

	if (r < 0)
		return r;
	link_start(l);
	while (r == 0 && !w.late && !ev_quitting(ev) &&
	       link_state(l) == LINK_ATTACHING)
		r = ev_step(ev, -1);
	ev_timer_stop(&w.timer);
	if (ev_quitting(ev))
		return -EINTR;
	if (r < 0 || link_state(l) == LINK_UP)
		return r;
	if (link_state(l) == LINK_ATTACHING)
		return -ETIMEDOUT;
	return link_state(l) == LINK_REFUSED ? -EPERM : -ENETDOWN;
}
