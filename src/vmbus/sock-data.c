/* SPDX-License-Identifier: MIT */
/*
 * sock-data.c - hv_sock connections: bytes, end of file, doorbells
 *
 * The rings do the work; here it is decided who is told what. A guest whose
 * program is gone has sent FIN and reads no more, but its kernel waits for
 * RESCIND; so, while the ring to it is full and its FIN was seen, a timer runs
 * that only a guest that reads can put off.
 */
#include <errno.h>

#include "vmbus/internal.h"

#define UNSTICK_MS 100u

static struct rings *rings_of(const struct vmbh_sock *s)
{
	return s->state == SOCK_OPEN ? s->chan->rings : NULL;
}

static void corrupt(struct vmbh_sock *s, const char *what)
{
	complain(s->h, "channel %u: %s", s->chan->relid, what);
	sock_fail(s, VMBH_GONE_CORRUPT);
}

/* Does something wait for room in the ring to the guest? Of one that is held
 * the guest is not asked to say when there is some. */
static bool stuck(const struct vmbh_sock *s)
{
	return s->blocked || s->chan->rings->out.pending != 0;
}

void sock_check_linger(struct vmbh_sock *s)
{
	const struct rings *r = rings_of(s);

	if (!r)
		return;
	if (!r->in.fin || !stuck(s)) {
		if (s->due && s->timer == TIMER_LINGER)
			timer_clear(s);
		return;
	}
	if (s->due && s->timer == TIMER_LINGER)
		return;
	s->linger_read = ring_out_read_index(&r->out);
	timer_set(s, TIMER_LINGER, s->h->config.linger_ms);
}

/* The first bytes for the guest: its doorbell may have come too early. */
static void check_moved(struct vmbh_sock *s)
{
	if (s->moved)
		return;
	s->moved = true;
	if (!s->due)
		timer_set(s, TIMER_UNSTICK, UNSTICK_MS);
}

/* FIN, if it is wanted. Return: false: the connection is over. */
static bool try_fin(struct vmbh_sock *s)
{
	struct ring_out *out = &s->chan->rings->out;
	bool ring;
	int r;

	if (!out->fin_wanted || out->fin_sent)
		return true;
	r = ring_out_fin(out, &ring);
	if (r == -EPROTO) {
		corrupt(s, "the read index is not valid");
		return false;
	}
	if (r == 0)
		check_moved(s);
	if (ring)
		chan_signal(s->chan);
	sock_check_linger(s);
	return true;
}

void sock_signalled(struct vmbh_sock *s)
{
	struct vmbh *h = s->h;
	struct rings *rings = rings_of(s);
	bool owed;
	int r;

	if (s->state == SOCK_SETTLING && sock_settled(s)) {
		sock_fail(s, VMBH_GONE_CLOSED);
		return;
	}
	if (!rings)
		return;
	r = ring_out_unblocked(&rings->out);
	if (r < 0) {
		corrupt(s, "the read index is not valid");
		return;
	}
	owed = r > 0 && s->blocked;
	if (owed)
		s->blocked = false;
	if (r > 0)
		sock_check_linger(s);
	if (!try_fin(s))
		return;
	if (owed)
		h->ops->writable(h->ctx, s);
	rings = rings_of(s); /* writable() may have closed it */
	if (rings && ring_in_news(&rings->in))
		h->ops->readable(h->ctx, s);
}

void sock_restore_all(struct vmbh *h)
{
	for (uint32_t i = 1; i < VMBH_RELIDS; i++) {
		struct vmbh_sock *s = h->relids[i] ? h->relids[i]->sock : NULL;

		if (!s || s->state != SOCK_OPEN)
			continue;
		if (ring_in_check(&s->chan->rings->in) < 0)
			corrupt(s, "a packet has changed");
		else if (try_fin(s))
			sock_check_linger(s);
	}
}

ssize_t vmbh_sock_peek(struct vmbh_sock *s, struct iovec *iov, unsigned int max,
		       unsigned int *ret_n)
{
	struct rings *rings = rings_of(s);
	ssize_t n;
	bool ring, fin;

	*ret_n = 0;
	if (!rings)
		return s->state == SOCK_DEAD ? -EPROTO : 0;
	fin = rings->in.fin;
	n = ring_in_peek(&rings->in, iov, max, ret_n, &ring);
	if (n >= 0 && !ring && fin == rings->in.fin)
		return n;
	enter(s->h);
	if (n < 0)
		corrupt(s, "a packet or the write index is malformed");
	else if (ring)
		chan_signal(s->chan);
	sock_check_linger(s);
	leave(s->h);
	return n;
}

void vmbh_sock_consume(struct vmbh_sock *s, size_t bytes)
{
	struct rings *rings = rings_of(s);
	bool ring;

	if (!rings || !bytes)
		return;
	ring_in_consume(&rings->in, bytes, &ring);
	if (!ring)
		return;
	enter(s->h);
	chan_signal(s->chan);
	leave(s->h);
}

bool vmbh_sock_eof(const struct vmbh_sock *s)
{
	const struct rings *rings = rings_of(s);

	return rings && ring_in_eof(&rings->in);
}

ssize_t vmbh_sock_room(struct vmbh_sock *s, struct iovec *iov, unsigned int max,
		       unsigned int *ret_n, size_t want)
{
	struct rings *rings = rings_of(s);
	ssize_t n;

	*ret_n = 0;
	if (!rings)
		return s->state == SOCK_DEAD ? -EPROTO : 0;
	if (rings->out.fin_wanted)
		return 0;
	n = ring_out_room(&rings->out, iov, max, ret_n, want);
	if (n > 0) {
		s->blocked = false;
		return n;
	}
	enter(s->h);
	if (n < 0) {
		corrupt(s, "the read index is not valid");
	} else {
		s->blocked = true;
		sock_check_linger(s);
	}
	leave(s->h);
	return n < 0 ? -EPROTO : 0;
}

void vmbh_sock_produce(struct vmbh_sock *s, size_t bytes)
{
	struct rings *rings = rings_of(s);
	bool ring;

	if (!rings || !bytes || ring_out_produce(&rings->out, bytes, &ring) < 0)
		return;
	s->blocked = false;
	if (s->moved && !ring && !s->due)
		return;
	enter(s->h);
	check_moved(s);
	if (ring)
		chan_signal(s->chan);
	sock_check_linger(s);
	leave(s->h);
}

bool sock_settled(const struct vmbh_sock *s)
{
	const struct rings *r = s->chan->rings;

	return ring_in_used(&r->in) || ring_out_read_index(&r->out) ||
	       (s->from_host && sock_half_settled(s));
}

bool sock_half_settled(const struct vmbh_sock *s)
{
	return ring_in_awaited(&s->chan->rings->in);
}

void vmbh_sock_hold(struct vmbh_sock *s)
{
	struct rings *rings = rings_of(s);

	if (rings)
		rings->in.held = rings->out.held = true;
}

bool vmbh_sock_pending(const struct vmbh_sock *s)
{
	const struct rings *rings = rings_of(s);

	return rings && ((!rings->in.count && ring_in_news(&rings->in)) ||
			 (s->blocked && ring_out_lump(&rings->out)));
}

bool vmbh_sock_release(struct vmbh_sock *s)
{
	struct rings *rings = rings_of(s);
	bool news;
	int r;

	if (!rings)
		return false;
	news = ring_in_release(&rings->in);
	r = ring_out_release(&rings->out, s->blocked);
	if (r > 0)
		s->blocked = false; /* told */
	enter(s->h);
	if (r < 0)
		corrupt(s, "the read index is not valid");
	else if (try_fin(s)) /* the room may be what it waited for */
		sock_check_linger(s);
	leave(s->h);
	return news || r > 0;
}

void vmbh_sock_shutdown(struct vmbh_sock *s)
{
	struct rings *rings = rings_of(s);

	if (!rings)
		return;
	enter(s->h);
	rings->out.fin_wanted = true;
	try_fin(s);
	leave(s->h);
}

bool vmbh_sock_fin_sent(const struct vmbh_sock *s)
{
	const struct rings *rings = rings_of(s);

	return rings && rings->out.fin_sent;
}
