/* SPDX-License-Identifier: MIT */
/*
 * load.c - a bus from bytes, see save.h
 *
 * The bytes are trusted no more than the guest is. First everything is read
 * and rebuilt, by the functions that a guest's messages would use; whatever is
 * wrong undoes all of it. Only then is anybody told, and are those connections
 * ended that cannot go on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "vmbus/internal.h"
#include "vmbus/save.h"

struct in {
	const uint8_t *p;
	size_t left;
	bool bad; /* there was too little */
};

static const uint8_t *get(struct in *in, size_t len)
{
	static const uint8_t none[VMBH_MESSAGE_MAX];
	const uint8_t *p = in->p;

	if (len > in->left) {
		in->bad = true;
		in->left = 0;
		return none;
	}
	in->p += len;
	in->left -= len;
	return p;
}

static uint8_t get8(struct in *in)
{
	return *get(in, 1);
}

static uint32_t get32(struct in *in)
{
	return le32_get(get(in, 4));
}

static uint64_t get64(struct in *in)
{
	return le64_get(get(in, 8));
}

static GUID get_guid(struct in *in)
{
	return guid_get(get(in, sizeof(GUID)));
}

static int load_gpadl(struct in *in, struct chan *c)
{
	uint32_t id = get32(in), bytes = get32(in), offset = get32(in);
	uint32_t pages = get32(in), have = get32(in);
	struct gpadl *g;
	int r;

	if (in->bad || have > pages || in->left / 8 < have)
		return -EINVAL;
	r = gpadl_new(c, id, bytes, offset, pages, &g);
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	for (uint32_t i = 0; i < have; i++) {
		r = gpadl_add(c->h, g, get64(in));
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_gpadls(struct in *in, struct chan *c)
{
	uint32_t n = get32(in);
	int r = 0;

	while (n-- && r == 0 && !in->bad)
		r = load_gpadl(in, c);
	return r;
}

static int load_rings(struct in *in, struct chan *c)
{
	uint32_t id = get32(in), downstream = get32(in);
	uint32_t read = get32(in), off = get32(in);
	uint32_t write = get32(in), pending = get32(in);
	uint8_t flags = get8(in);
	struct gpadl *g = gpadl_find(c, id);
	struct rings *rings;
	int r;

	r = g ? chan_map_rings(c, g, downstream, &rings) : -EINVAL;
	if (r < 0)
		return r;
	if (ring_in_restore(&rings->in, read, off, flags & SAVE_RING_MASKED,
			    flags & SAVE_RING_FIN) < 0 ||
	    ring_out_restore(&rings->out, c->h->config.packet, write, pending) <
		    0)
		return -EINVAL;
	rings->out.fin_wanted = flags & SAVE_RING_FIN_WANTED;
	rings->out.fin_sent = flags & SAVE_RING_FIN_SENT;
	return 0;
}

static void start_timer(struct vmbh_sock *s, enum timer timer, uint64_t left)
{
	/* whatever it says, none is longer than a day */
	if (left > 86400000 * MS)
		left = 86400000 * MS;
	timer_set_due(s, timer, s->h->now + left);
}

static int load_sock(struct in *in, struct chan *c)
{
	struct vmbh *h = c->h;
	uint8_t state = get8(in), flags = get8(in);
	uint64_t tag = get64(in);
	uint8_t timer = get8(in);
	uint64_t left = get64(in);
	uint32_t linger_read = get32(in);
	bool from_host = flags & SAVE_SOCK_FROM_HOST;
	struct vmbh_sock *s;

	if (state != (c->state == CHAN_OPEN	 ? SOCK_OPEN
		      : c->state == CHAN_OPENING ? SOCK_ASKED
						 : SOCK_OFFERED) ||
	    (from_host && state == SOCK_ASKED) || timer > TIMER_LINGER)
		return -EINVAL;
	if (state == SOCK_OPEN ? left && timer == TIMER_OPEN
			       : timer != TIMER_OPEN)
		return -EINVAL;
	if (from_host && state == SOCK_OFFERED)
		return 0; /* without one the channel is revoked */
	s = sock_new(h, from_host, &c->type, &c->instance);
	if (!s)
		return -ENOMEM;
	s->told = false; /* see load_done() */
	s->tag = tag;
	s->blocked = flags & SAVE_SOCK_BLOCKED;
	s->moved = flags & SAVE_SOCK_MOVED;
	s->linger_read = linger_read;
	s->chan = c;
	c->sock = s;
	sock_set_state(s, state);
	if (state != SOCK_OPEN && !left)
		left = 1;
	if (left)
		start_timer(s, timer, left);
	return 0;
}

/* It was closed, and RESCIND may have waited for the guest. */
static int load_settling(struct chan *c)
{
	struct vmbh_sock *s =
		sock_new(c->h, c->accept, &c->type, &c->instance);

	if (!s)
		return -ENOMEM;
	s->chan = c;
	c->sock = s;
	sock_settle(s);
	return 0;
}

static struct vmbh_channel *device_of(struct vmbh *h, const GUID *instance)
{
	struct vmbh_channel *d;

	TAILQ_FOREACH(d, &h->devices, link)
	if (!d->chan && guid_equal(&d->offer.instance, instance))
		return d;
	return NULL;
}

static int load_chan(struct in *in, struct vmbh *h)
{
	uint32_t relid = get32(in);
	uint8_t state = get8(in), flags = get8(in);
	GUID type = get_guid(in), instance = get_guid(in);
	bool recovered = flags & SAVE_RECOVERED;
	struct chan *c;
	int r;

	if (in->bad || !relid || relid >= VMBH_RELIDS || h->relids[relid] ||
	    h->nchans >= h->config.max_channels || state > CHAN_REVOKED ||
	    flags & ~SAVE_FLAGS ||
	    (recovered ? state != CHAN_REVOKED
		       : chan_by_instance(h, &instance) != NULL) ||
	    (flags & SAVE_SOCK && flags & SAVE_DEVICE))
		return -EINVAL;
	c = chan_new(h, relid, recovered ? NULL : &type, &instance);
	if (!c)
		return -ENOMEM;
	c->for_device = flags & SAVE_FOR_DEVICE;
	h->nrecovered_devices += recovered && c->for_device;
	chan_set_state(c, state);
	c->accept = flags & SAVE_ACCEPT;
	c->target_vp = get32(in);
	c->open_id = get32(in);
	c->open_status = get32(in);
	r = load_gpadls(in, c);
	if (r == 0 && flags & SAVE_RINGS)
		r = load_rings(in, c);
	if (r == 0 &&
	    (c->rings != NULL) != (state == CHAN_OPEN || state == CHAN_OPENING))
		r = -EINVAL;
	if (r == 0 && state == CHAN_REVOKED &&
	    (c->ngpadls || flags & (SAVE_SOCK | SAVE_DEVICE)))
		r = -EINVAL;
	if (r == 0 && flags & SAVE_SOCK)
		r = load_sock(in, c);
	else if (r == 0 && state == CHAN_OPEN && !(flags & SAVE_DEVICE))
		r = load_settling(c);
	if (flags & SAVE_DEVICE && state != CHAN_OPENING)
		c->device = device_of(h, &instance);
	if (c->device)
		c->device->chan = c;
	return in->bad ? -EINVAL : r;
}

static int load_delayed(struct in *in, struct vmbh *h)
{
	uint32_t n = get32(in);

	while (n-- && !in->bad) {
		GUID service = get_guid(in), endpoint = get_guid(in);
		uint64_t left = get64(in);
		struct vmbh_sock *s;

		/* as many as one bus can have, whatever its limit was */
		if (in->bad || !h->version || h->nsocks >= 2 * VMBH_RELIDS)
			return -EINVAL;
		s = sock_new(h, false, &service, &endpoint);
		if (!s)
			return -ENOMEM;
		sock_set_state(s, SOCK_DELAYED);
		start_timer(s, TIMER_OPEN, left ? left : 1);
	}
	return in->bad ? -EINVAL : 0;
}

static int load_message(struct in *in, struct vmbh *h)
{
	uint8_t kind = get8(in), len;
	struct chan *c;

	if (kind == ENTRY_PLAIN) {
		len = get8(in);
		if (len > VMBH_MESSAGE_MAX)
			return -EINVAL;
		return queue_plain(h, get(in, len), len);
	}
	c = chan_by_relid(h, get32(in));
	if (!c)
		return -EINVAL;
	switch (kind) {
	case ENTRY_OFFER:
		if (c->state != CHAN_OFFERED)
			return -EINVAL;
		queue_entry(h, &c->offer);
		return 0;
	case ENTRY_RESCIND:
		if (c->state != CHAN_REVOKED)
			return -EINVAL;
		queue_entry(h, &c->rescind);
		return 0;
	case ENTRY_OPEN_RESULT:
		queue_entry(h, &c->result);
		return 0;
	default:
		return -EINVAL;
	}
}

static int load_all(struct in *in, struct vmbh *h)
{
	uint32_t n;
	int r = 0;

	if (get32(in) != SAVE_MAGIC)
		return -EINVAL;
	if (get32(in) != SAVE_FORM)
		return in->bad ? -EINVAL : -EPROTONOSUPPORT;
	h->version = get32(in);
	h->target_vp = get32(in);
	h->offers_requested = get8(in);
	if (h->version && !version_known(h->version))
		return -EINVAL;
	n = get32(in);
	if (!h->version && (n || h->offers_requested))
		return -EINVAL;
	while (n-- && r == 0 && !in->bad)
		r = load_chan(in, h);
	if (r == 0)
		r = load_delayed(in, h);
	if (r < 0)
		return r;
	for (n = get32(in); n && r == 0 && !in->bad; n--)
		r = load_message(in, h);
	return in->bad || in->left ? -EINVAL : r;
}

static void undo(struct vmbh *h)
{
	struct vmbh_sock *s;

	h->version = h->target_vp = 0;
	h->offers_requested = false;
	queue_clear(h);
	while ((s = TAILQ_FIRST(&h->socks)))
		sock_end(s, VMBH_GONE_MEMORY);
	for (uint32_t i = 1; i < VMBH_RELIDS; i++)
		if (h->relids[i])
			chan_free(h->relids[i]);
}

/* Everything stands. Those that have nobody any more go. */
static void load_done(struct vmbh *h,
		      void (*restored)(void *ctx, struct vmbh_sock *s,
				       uint64_t tag))
{
	for (uint32_t i = 1; i < VMBH_RELIDS; i++) {
		struct chan *c = h->relids[i];
		struct vmbh_sock *s;

		if (!c || c->state == CHAN_REVOKED)
			continue;
		if (!c->sock && !c->device) {
			chan_revoke(c);
			continue;
		}
		if (c->sock && c->sock->state == SOCK_SETTLING &&
		    sock_settled(c->sock)) {
			sock_fail(c->sock, VMBH_GONE_CLOSED);
			continue;
		}
		/* doorbells may have been lost meanwhile */
		if (c->state == CHAN_OPEN)
			chan_signal(c);
		if (c->device && c->state == CHAN_OPEN)
			device_opened(c->device);
		s = c->sock;
		if (s && s->state == SOCK_OFFERED) {
			sock_connect_early(s); /* which may be its end */
			continue;
		}
		if (!s || s->state < SOCK_ASKED || s->state == SOCK_SETTLING)
			continue;
		s->told = true;
		if (s->state == SOCK_ASKED)
			h->ops->connect(h->ctx, s, &s->service, &s->endpoint);
		else if (restored)
			restored(h->ctx, s, s->tag);
	}
	sock_restore_all(h);
	chan_offer_waiting(h);
	if (h->journal)
		vmbh_journal(h, h->journal);
	bus_tell_ready(h);
}

int vmbh_load(struct vmbh *h, const void *buf, size_t len,
	      void (*restored)(void *ctx, struct vmbh_sock *s, uint64_t tag))
{
	struct in in = { .p = buf, .left = len };
	int r;

	enter(h);
	r = load_all(&in, h);
	if (r < 0)
		undo(h);
	else
		load_done(h, restored);
	leave(h);
	return r;
}
