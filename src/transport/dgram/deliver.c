/* SPDX-License-Identifier: MIT */
/* deliver.c - to a receiver: at once, by its queue, or not at all; counted */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "transport/dgram/relay-internal.h"

#define OWNER_BYTES (8u << 20) /* queued for one owner's sockets */
#define ALL_BYTES (64u << 20)
#define DROPS_MS 20

/* ---- What happened -------------------------------------------------------*/

static void on_drops(struct ev_timer *t)
{
	struct relay *r = container_of(t, struct relay, drops_timer);

	broker_end_drops(&r->broker, &r->drops);
}

void tell_drops(struct relay *r)
{
	if (!r->drops_timer.ev)
		(void)ev_timer_start(r->ev, &r->drops_timer, DROPS_MS,
				     on_drops);
}

void dropped(struct relay *r, uint32_t why, unsigned int n)
{
	r->drops.dropped[why] += n;
}

/* ---- Owners --------------------------------------------------------------*/

struct owner *owner_ref(struct relay *r, const struct msg_socket *m)
{
	struct owner *o, like;

	memset(&like.key, 0, sizeof(like.key));
	like.key.partition = m->partition;
	if (guid_is_zero(&m->partition))
		like.key.uid = m->uid;
	HASH_FIND(hh, r->owners, &like.key, sizeof(like.key), o);
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return NULL;
		memcpy(&o->key, &like.key, sizeof(o->key));
		HASH_ADD(hh, r->owners, key, sizeof(o->key), o);
	}
	o->refs++;
	return o;
}

void owner_unref(struct relay *r, struct owner *o)
{
	if (--o->refs)
		return;
	HASH_DELETE(hh, r->owners, o);
	free(o);
}

void account(struct sock *s, size_t before)
{
	s->owner->bytes += s->queue.bytes - before;
	s->r->bytes += s->queue.bytes - before;
}

/* ---- To a receiver -------------------------------------------------------*/

static int send_one(const struct sock *to, const uint8_t *header,
		    const struct load *l)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)(uintptr_t)header,
		  .iov_len = DGRAM_HEADER },
		{ .iov_base = (void *)(uintptr_t)l->bytes, .iov_len = l->len },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (sendmsg(to->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	switch (errno) {
	case EAGAIN:
		return -EAGAIN;
	case EPIPE:
	case ECONNRESET:
		return -EPIPE;
	default:
		return -ENOMEM;
	}
}

static uint32_t drop_of(int err)
{
	return err == -EPIPE ? DROP_RECEIVER_GONE : DROP_NO_MEMORY;
}

static void enqueue(const struct sock *from, struct sock *to,
		    const uint8_t *header, struct load *l)
{
	struct relay *r = to->r;
	size_t before = to->queue.bytes;
	unsigned int others = 0;
	int err;

	if (to->owner->bytes + l->len > OWNER_BYTES ||
	    r->bytes + l->len > ALL_BYTES) {
		dropped(r, DROP_NO_MEMORY, 1);
		return;
	}
	err = queue_push(&to->queue, from->token, l, header, &others);
	if (err == -ENOMEM)
		dropped(r, DROP_NO_MEMORY, 1);
	else if (err < 0)
		dropped(r, DROP_QUEUE_FULL, 1);
	dropped(r, DROP_QUEUE_FULL, others);
	account(to, before);
	watch(to);
}

void deliver(const struct sock *from, struct sock *to,
	     const struct msg_receiver *as, bool broadcast, struct load *l)
{
	const struct dgram d = {
		.flags = broadcast ? DGRAM_BROADCAST : 0,
		.addr = { .Family = AF_HYPERV,
			  .VmId = as->peer,
			  .ServiceId = from->service },
	};
	uint8_t header[DGRAM_HEADER];
	int r = -EAGAIN;

	dgram_encode(&d, header);
	if (!to->queue.messages)
		r = send_one(to, header, l);
	if (r == 0)
		to->r->drops.delivered++;
	else if (r == -EAGAIN)
		enqueue(from, to, header, l);
	else
		dropped(to->r, drop_of(r), 1);
}

void send_queued(struct sock *s)
{
	size_t before = s->queue.bytes;
	const struct item *i;

	while ((i = queue_head(&s->queue))) {
		int r = send_one(s, i->header, i->load);

		if (r == -EAGAIN)
			break;
		if (r == 0)
			s->r->drops.delivered++;
		else
			dropped(s->r, drop_of(r), 1);
		queue_pop(&s->queue);
	}
	account(s, before);
	tell_drops(s->r);
}
