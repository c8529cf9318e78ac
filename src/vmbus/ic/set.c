/* SPDX-License-Identifier: MIT */
/* set.c - see set.h */
#include "vmbus/ic/set.h"

static int on_send(struct ic *ic, const void *packet, size_t len,
		   uint64_t transaction)
{
	struct ic_set *s = ic->ctx;

	return s->ops->send(s->ctx, ic->kind, packet, len, transaction);
}

static void on_ready(struct ic *ic)
{
	struct ic_set *s = ic->ctx;

	if (ic->kind == IC_HEARTBEAT)
		heartbeat_ready(&s->heartbeat);
	else if (ic->kind == IC_TIMESYNC)
		timesync_ready(&s->timesync);
	else if (ic->kind == IC_VSS)
		vss_ready(&s->vss);
}

/* Time is told with the guest's counter only if that is known. */
static size_t on_versions(const struct ic *ic)
{
	const struct ic_set *s = ic->ctx;
	size_t n = ic_classes[ic->kind].nversions;

	if (ic->kind == IC_TIMESYNC && !s->ops->clock(s->ctx).known)
		n--;
	return n;
}

static const struct ic_ops ops = {
	.send = on_send,
	.ready = on_ready,
	.versions = on_versions,
};

void ic_set_init(struct ic_set *s, const struct ic_set_ops *set_ops, void *ctx,
		 uint64_t sequence)
{
	*s = (struct ic_set) { .ops = set_ops, .ctx = ctx };
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		ic_init(&s->ic[k], k, &ops, s, sequence);
	s->heartbeat.ic = &s->ic[IC_HEARTBEAT];
	s->timesync.ic = &s->ic[IC_TIMESYNC];
	s->timesync.clock = set_ops->clock;
	s->timesync.ctx = ctx;
	s->vss.ic = &s->ic[IC_VSS];
	s->fcopy.ic = &s->ic[IC_FCOPY];
}

void ic_set_fini(struct ic_set *s)
{
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		ic_fini(&s->ic[k]);
}

/* Who asked has been told. */
static void begin_again(struct ic_set *s, enum ic_kind kind)
{
	if (kind == IC_HEARTBEAT)
		heartbeat_closed(&s->heartbeat);
	else if (kind == IC_TIMESYNC)
		timesync_closed(&s->timesync);
	else if (kind == IC_VSS)
		vss_closed(&s->vss);
	else if (kind == IC_FCOPY)
		fcopy_closed(&s->fcopy);
}

void ic_set_opened(struct ic_set *s, enum ic_kind kind)
{
	/* (of a channel that came over from another process it is not known
	 * here that it was open) */
	if (s->ic[kind].state != IC_CLOSED)
		ic_set_closed(s, kind);
	ic_opened(&s->ic[kind]);
}

void ic_set_closed(struct ic_set *s, enum ic_kind kind)
{
	ic_closed(&s->ic[kind]);
	begin_again(s, kind);
}

void ic_set_packet(struct ic_set *s, enum ic_kind kind, const void *p,
		   size_t len, uint64_t transaction)
{
	ic_packet(&s->ic[kind], p, len, transaction);
}

void ic_set_writable(struct ic_set *s, enum ic_kind kind)
{
	ic_writable(&s->ic[kind]);
}

void ic_set_resumed(struct ic_set *s)
{
	timesync_resumed(&s->timesync);
}

void ic_set_now(struct ic_set *s, uint64_t now)
{
	s->now = now;
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		s->ic[k].now = now;
}

void ic_set_time(struct ic_set *s, uint64_t now)
{
	ic_set_now(s, now);
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		ic_time(&s->ic[k], now);
	heartbeat_time(&s->heartbeat, now);
	timesync_time(&s->timesync, now);
	vss_time(&s->vss, now);
	fcopy_time(&s->fcopy, now);
	/* what these have just asked */
	ic_time(&s->ic[IC_HEARTBEAT], now);
	ic_time(&s->ic[IC_TIMESYNC], now);
	ic_time(&s->ic[IC_VSS], now);
	ic_time(&s->ic[IC_FCOPY], now);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

uint64_t ic_set_deadline(const struct ic_set *s)
{
	uint64_t at = sooner(s->heartbeat.next, s->timesync.next);

	at = sooner(at, vss_deadline(&s->vss));
	at = sooner(at, fcopy_deadline(&s->fcopy));
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		at = sooner(at, ic_deadline(&s->ic[k]));
	return at;
}
