/* SPDX-License-Identifier: MIT */
/* joint.c - see joint.h */
#include "transport/joint.h"

#include <errno.h>
#include <stdlib.h>

#include "transport/closer.h"

#define JOINTS_MAX 4096u /* of a guest */
#define BUDGET 16	 /* chunks each way before others have their turn */
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static void on_guest(struct ev_io *io, uint32_t events);

struct joint *joint_new(struct joint_set *set, size_t size, int fd,
			enum joint_state state)
{
	struct joint *j = NULL;

	if (set->count < JOINTS_MAX && !closer_busy())
		j = calloc(1, size);
	if (!j) {
		closer_close_socket(fd);
		return NULL;
	}
	j->set = set;
	j->state = state;
	relay_init(&j->guest);
	if (ev_io_start(set->ev, &j->io, fd, EVENTS, on_guest) < 0) {
		closer_close_socket(fd);
		free(j);
		return NULL;
	}
	relay_attach(&j->guest, fd);
	LIST_INSERT_HEAD(&set->all, j, link);
	set->count++;
	return j;
}

void joint_close(struct joint *j)
{
	struct joint_set *set = j->set;

	if (j->state == JOINT_OVER)
		return;
	j->state = JOINT_OVER;
	j->s = NULL;
	ev_io_stop(&j->io);
	ev_timer_stop(&j->again);
	relay_fini(&j->guest);
	LIST_REMOVE(j, link);
	set->count--;
	if (set->ops->closed)
		set->ops->closed(set);
	ev_later(set->ev, free, j);
}

/* The session is ended, too. */
static void end(struct joint *j)
{
	struct session *s = j->s;

	j->s = NULL;
	if (s)
		session_end(s);
	joint_close(j);
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

	if (j->state != JOINT_LIVE || !j->s)
		return;
	in = pump_in(j);
	out = pump_out(j);
	if (j->in_done && j->out_done)
		end(j);
	else if ((in || out) &&
		 ev_timer_start_at(j->set->ev, &j->again, 0, on_again) < 0)
		end(j);
}

/* ---- what happens at the guest's socket */

static void on_events(struct joint *j, uint32_t events)
{
	struct relay *r = &j->guest;

	if (j->state != JOINT_LIVE) {
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

static void on_guest(struct ev_io *io, uint32_t events)
{
	struct joint *j = container_of(io, struct joint, io);
	const struct joint_ops *ops = j->set->ops;

	relay_event(&j->guest, events);
	if (ops->error && events & EPOLLERR && j->state != JOINT_ASKING)
		ops->error(j->set);
	switch (j->state) {
	case JOINT_DIALLING:
		/* has the guest given up? What it has written before it closed
		 * is still to be delivered */
		if (events & (EPOLLHUP | EPOLLERR) && !ops->unread(io->fd))
			end(j);
		else
			on_events(j, events);
		break;
	case JOINT_ASKING:
		ops->answer(j);
		if (j->state == JOINT_ARRIVING)
			on_events(j, events);
		break;
	case JOINT_ARRIVING: /* what there is waits */
	case JOINT_LIVE:
		on_events(j, events);
		break;
	case JOINT_OVER:
		break;
	}
}

void joint_dial(struct joint *j, struct sessions *ss, const GUID *service,
		const GUID *source)
{
	if (session_dial(ss, j, SOCK_STREAM, service, source, &j->s) < 0)
		joint_close(j);
}

void joint_answered(struct joint *j, bool accepted)
{
	struct session *s = j->s;

	if (accepted && session_hand_over(s, j->guest.fd)) {
		j->s = NULL;
		joint_close(j);
	} else if (accepted) {
		j->state = JOINT_ARRIVING;
		session_answered(s, true);
	} else {
		j->s = NULL;
		session_answered(s, false);
		joint_close(j);
	}
}

void joint_declined(struct joint *j, uint32_t reason, const char *why)
{
	struct session *s = j->s;

	j->s = NULL;
	session_declined(s, reason, why);
	joint_close(j);
}

/* ---- what happens at the program's socket */

void joint_accept(void *ctx, void *joint)
{
	struct joint *j = joint;

	(void)ctx;
	j->state = JOINT_LIVE;
}

void joint_abort(void *ctx, void *joint)
{
	(void)ctx;
	joint_close(joint);
}

void joint_readable(void *ctx, void *joint)
{
	struct joint *j = joint;
	uint32_t events = j->missed;

	(void)ctx;
	if (j->state == JOINT_ARRIVING)
		j->state = JOINT_LIVE;
	j->missed = 0;
	on_events(j, events);
}

void joint_writable(void *ctx, void *joint)
{
	struct joint *j = joint;

	(void)ctx;
	if (j->state != JOINT_LIVE || !j->s)
		return;
	if (session_flush(j->s) < 0) {
		relay_shut(&j->guest, false, true);
		j->in_done = true;
	}
	step(j);
}

void joint_unread(void *ctx, void *joint)
{
	struct joint *j = joint;

	(void)ctx;
	relay_shut(&j->guest, false, true);
	j->in_done = true;
	step(j);
}

/* ---- all of them */

void joint_set_init(struct joint_set *set, struct ev *ev,
		    const struct joint_ops *ops)
{
	*set = (struct joint_set) { .ev = ev, .ops = ops };
	LIST_INIT(&set->all);
}

void joint_set_end(struct joint_set *set)
{
	while (!LIST_EMPTY(&set->all))
		end(LIST_FIRST(&set->all));
}
