/* SPDX-License-Identifier: MIT */
/*
 * vmbus-replace.c - another back-end under a running guest
 *
 * The old one saves and hands over its descriptors, ends, and the new one goes
 * on: no connection and no byte is lost. Processors that ask meanwhile wait
 * for the lock. Should the new one not come up with what it was given, it is
 * as if the old one had died.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "hvvm/vmbus-internal.h"

/* More than one VMBus has use for: 2047 connections, a few for each. */
#define FDS_MAX 16384u

struct saved {
	int state; /* memfd; -1 */
	uint64_t length;
	int *fds;
	uint32_t count, taken;
};

static void saved_free(struct saved *s)
{
	if (s->state >= 0)
		close(s->state);
	for (uint32_t i = 0; i < s->taken; i++)
		close(s->fds[i]);
	free(s->fds);
}

static int save(struct vmbus *b, struct saved *s)
{
	struct vmbu_request q = { .type = VMBU_SAVE };
	struct vmbu_reply reply;
	int r;

	q.u.save.handover = true;
	b->ahead = 0; /* SAVE takes it back */
	r = vmbus_ask(b, &q, NULL, 0, &reply);
	if (r < 0)
		return r;
	s->state = b->link.in.fds[0];
	s->length = reply.u.save.length;
	if (reply.u.save.fds > FDS_MAX) {
		log_err("the VMBus back-end has %u descriptors to hand over; "
			"%u is the limit", reply.u.save.fds, FDS_MAX);
		return -E2BIG;
	}
	s->count = reply.u.save.fds;
	s->fds = calloc(s->count + 1ul, sizeof(*s->fds));
	return s->fds ? 0 : -ENOMEM;
}

static int take(struct vmbus *b, struct saved *s)
{
	struct vmbu_request q = { .type = VMBU_TAKE };
	struct vmbu_reply reply;
	int r;

	while (s->taken < s->count) {
		q.u.take.first = s->taken;
		r = vmbus_ask(b, &q, NULL, 0, &reply);
		if (r < 0)
			return r;
		for (uint32_t i = 0; i < reply.u.count; i++) {
			if (s->taken < s->count)
				s->fds[s->taken++] = b->link.in.fds[i];
			else
				close(b->link.in.fds[i]);
		}
	}
	return 0;
}

static int run(struct vmbus *b)
{
	struct vmbu_request q = { .type = VMBU_RUN };
	struct vmbu_reply reply;

	return vmbus_ask(b, &q, NULL, 0, &reply);
}

static int load(struct vmbus *b, const struct saved *s)
{
	struct vmbu_request q = { .type = VMBU_LOAD };
	struct vmbu_reply reply;
	int r;

	q.u.load.length = s->length;
	q.u.load.handover = true;
	q.u.load.fds = s->count;
	r = vmbus_ask(b, &q, &s->state, 1, &reply);
	for (uint32_t at = 0; r == 0 && at < s->count;) {
		uint32_t n = s->count - at;

		if (n > VMBU_FDS_MAX)
			n = VMBU_FDS_MAX;
		q = (struct vmbu_request) { .type = VMBU_GIVE };
		q.u.give.first = at;
		q.u.give.count = n;
		r = vmbus_ask(b, &q, s->fds + at, (int)n, &reply);
		at += n;
	}
	/* not before: what the journal says is what helps if this fails */
	if (r == 0)
		r = vmbus_say_journal(b, false);
	return r < 0 ? r : run(b);
}

static void replace(struct vmbus *b)
{
	const uint64_t wanted = VMBU_FEATURE_SAVE | VMBU_FEATURE_HANDOVER;
	struct saved s = { .state = -1 };
	int r;

	if ((b->link.features & wanted) != wanted) {
		log_warn("this VMBus back-end cannot be replaced");
		return;
	}
	r = save(b, &s);
	if (r == 0)
		r = take(b, &s);
	if (r < 0) {
		log_err("the VMBus back-end hands nothing over; it stays");
		if (s.state >= 0)
			(void)run(b);
		saved_free(&s);
		return;
	}
	ev_io_stop(&b->io);
	vmbus_link_close(&b->link);
	r = vmbus_begin(b);
	if (r == 0)
		r = load(b, &s);
	saved_free(&s);
	if (r < 0) {
		log_err("the new VMBus back-end does not take over");
		vmbus_again(b);
		return;
	}
	vmbus_watch(b);
	log_info("the VMBus back-end was replaced");
}

void vmbus_replace(struct vmbus *b)
{
	pthread_mutex_lock(&b->lock);
	if (!b->lost)
		replace(b);
	pthread_mutex_unlock(&b->lock);
}
