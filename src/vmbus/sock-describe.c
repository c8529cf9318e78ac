/* SPDX-License-Identifier: MIT */
/*
 * sock-describe.c - how a connection stands, as text
 *
 * For whoever asks why nothing moves: what the host believes beside what is in
 * the guest's memory now.
 */
#include <stdio.h>

#include "vmbus/internal.h"
#include "vmbus/ring-internal.h"

static const char *state_name(enum sock_state state)
{
	switch (state) {
	case SOCK_DELAYED:
		return "delayed";
	case SOCK_OFFERED:
		return "offered";
	case SOCK_ASKED:
		return "asked";
	case SOCK_OPEN:
		return "open";
	case SOCK_SETTLING:
		return "settling";
	case SOCK_DEAD:
		break;
	}
	return "dead";
}

/* A ring's two indices and the mask and pending send size beside them. */
#define SHARED "%u..%u mask %u pending %u"
#define SHARED_OF(r)                                       \
	ring_load(r, RING_READ), ring_load(r, RING_WRITE), \
		ring_load(r, RING_MASK), ring_load(r, RING_PENDING)

int vmbh_sock_describe(const struct vmbh_sock *s, char *buf, size_t size)
{
	const struct chan *chan = s->chan;
	const struct ring_out *out;
	const struct ring_in *in;

	if (s->state != SOCK_OPEN || !chan->rings)
		return snprintf(buf, size, "channel %u: %s",
				chan ? chan->relid : 0, state_name(s->state));
	in = &chan->rings->in;
	out = &chan->rings->out;
	return snprintf(
		buf, size,
		"channel %u: open%s; from the guest " SHARED
		", read to %u, checked to %u%s%s%s; to the guest " SHARED
		", written to %u, pending %u%s%s%s",
		chan->relid, s->blocked ? ", waits for room" : "",
		SHARED_OF(&in->r), in->read, in->parse,
		in->masked ? ", masked" : "", in->held ? ", held" : "",
		in->fin ? ", FIN" : "", SHARED_OF(&out->r), out->write,
		out->pending, out->held ? ", held" : "",
		out->fin_wanted ? ", FIN wanted" : "",
		out->fin_sent ? ", FIN sent" : "");
}
