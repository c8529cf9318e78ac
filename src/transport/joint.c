/* SPDX-License-Identifier: MIT */
/* joint.c - see joint.h */
#include "transport/joint.h"

#include <errno.h>

#define BUDGET 16 /* chunks each way before others have their turn */
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

int joint_start(struct joint *j, struct ev *ev, int fd, ev_io_fn events,
		void (*over)(struct joint *j))
{
	int r;

	*j = (struct joint) { .ev = ev, .over = over };
	relay_init(&j->guest);
	r = ev_io_start(ev, &j->io, fd, EVENTS, events);
	if (r == 0)
		relay_attach(&j->guest, fd);
	return r;
}

void joint_stop(struct joint *j)
{
	j->s = NULL;
	j->live = false;
	ev_io_stop(&j->io);
	ev_timer_stop(&j->again);
	relay_fini(&j->guest);
}

void joint_end(struct joint *j)
{
	struct session *s = j->s;

	j->s = NULL;
	if (s)
		session_end(s);
	joint_stop(j);
}

/* From the guest, until there are no more or they are not taken. Return: is it
 * only the others' turn? */
static bool pump_in(struct joint *j)
{
	bool taken;
	ssize_t n;

	for (int i = 0; i < BUDGET; i++) {
		if (j->in_done || session_held(j->s))
			return false;
		n = relay_move(&j->guest, session_relay(j->s), &taken);
		if (n == -EAGAIN)
			return false;
		if (n <= 0) {
			session_shut(j->s, true, false);
			j->in_done = true;
		} else if (!taken) {
			relay_shut(&j->guest, false, true);
			j->in_done = true;
		}
	}
	return !j->in_done;
}

static bool pump_out(struct joint *j)
{
	bool taken;
	ssize_t n;

	for (int i = 0; i < BUDGET; i++) {
		if (j->out_done || relay_wanted(&j->guest) ||
		    !session_may_pull(j->s))
			return false;
		n = relay_move(session_relay(j->s), &j->guest, &taken);
		if (n == -EAGAIN)
			return false;
		if (n <= 0) {
			relay_shut(&j->guest, true, false);
			j->out_done = true;
		} else if (!taken) {
			session_shut(j->s, false, true);
			j->out_done = true;
		}
	}
	return !j->out_done;
}

static void step(struct joint *j);

static void on_again(struct ev_timer *t)
{
	step(container_of(t, struct joint, again));
}

static void step(struct joint *j)
{
	bool in, out;

	if (!j->live || !j->s)
		return;
	in = pump_in(j);
	out = pump_out(j);
	if (j->in_done && j->out_done)
		j->over(j);
	else if ((in || out) &&
		 ev_timer_start_at(j->ev, &j->again, 0, on_again) < 0)
		j->over(j);
}

void joint_events(struct joint *j, uint32_t events)
{
	struct relay *r = &j->guest;

	if (!j->live) {
		j->missed |= events;
		return;
	}
	if (!j->s)
		return;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		/* a guest that stopped reading makes no event but this one */
		if (!r->broken && !relay_quiet(events) &&
		    !relay_probe(r, events)) {
			session_shut(j->s, false, true);
			j->out_done = true;
		}
		(void)relay_flush(r);
	}
	step(j);
}

void joint_readable(struct joint *j)
{
	uint32_t events = j->missed;

	j->missed = 0;
	joint_events(j, events);
}

void joint_writable(struct joint *j)
{
	if (!j->live || !j->s)
		return;
	if (session_flush(j->s) < 0) {
		relay_shut(&j->guest, false, true);
		j->in_done = true;
	}
	step(j);
}

void joint_unread(struct joint *j)
{
	relay_shut(&j->guest, false, true);
	j->in_done = true;
	step(j);
}
