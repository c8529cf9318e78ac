/* SPDX-License-Identifier: MIT */
/*
 * deliver.c - to a receiver: at once, by its queue, or not at all; counted
 *
 * Queues have limits of their own (queue.h); so have all of one owner, and all
 * together. Where one of these is reached the owner that has most, and among
 * one owner's the longest queue, gives way, as in a queue the sender that has
 * most does: who is flooded, or does not read, does not keep others' datagrams
 * out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/guid.h"
#include "transport/dgram/relay-internal.h"

#define OWNER_BYTES (8u << 20) /* queued for one owner's sockets */
#define ALL_BYTES (64u << 20)
#define LOOKED_AT 64 /* of an owner's queues, for the longest one */
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

/* The owner's list has those with something in their queues. */
void account(struct sock *s, size_t before)
{
	struct owner *o = s->owner;

	o->bytes += s->queue.bytes - before;
	s->r->bytes += s->queue.bytes - before;
	if (!before && s->queue.bytes)
		DL_APPEND2(o->queued, s, queued_prev, queued_next);
	else if (before && !s->queue.bytes)
		DL_DELETE2(o->queued, s, queued_prev, queued_next);
}

/* ---- Who gives way -------------------------------------------------------*/

/* Of the next few in turn. */
static struct sock *fullest(struct owner *o)
{
	struct sock *s, *most = o->queued;

	for (int i = 0; i < LOOKED_AT && o->queued; i++) {
		s = o->queued;
		if (s->queue.bytes > most->queue.bytes)
			most = s;
		DL_DELETE2(o->queued, s, queued_prev, queued_next);
		DL_APPEND2(o->queued, s, queued_prev, queued_next);
	}
	return most;
}

static struct owner *largest_owner(struct relay *r)
{
	struct owner *o, *most = r->owners;

	for (o = r->owners; o; o = o->hh.next)
		if (o->bytes > most->bytes)
			most = o;
	return most;
}

static void lose_one(struct sock *s)
{
	size_t before = s->queue.bytes;

	(void)queue_drop(&s->queue);
	dropped(s->r, DROP_NO_MEMORY, 1);
	account(s, before);
	watch(s);
}

/* Among sockets of one owner: the longest queue loses one, if @to would not be
 * longer than that. */
static bool gives_way(struct owner *o, const struct sock *to, size_t need)
{
	struct sock *s = fullest(o);

	if (!s || s == to || to->queue.bytes + need > s->queue.bytes)
		return false;
	lose_one(s);
	return true;
}

/* Among owners: have those that have more than @o would have as much as @bytes
 * beyond that? How many queues it is in does not matter. */
static bool others_have(const struct relay *r, const struct owner *o,
			size_t need, size_t bytes)
{
	const struct owner *other;
	size_t sum = 0;

	for (other = r->owners; other; other = other->hh.next)
		if (other != o && other->bytes > o->bytes + need)
			sum += other->bytes - o->bytes - need;
	return sum >= bytes;
}

static void make_way_of_others(struct sock *to, size_t need)
{
	struct relay *r = to->r;
	struct owner *most = largest_owner(r);

	if (most == to->owner) {
		while (r->bytes + need > ALL_BYTES &&
		       gives_way(most, to, need))
			;
		return;
	}
	if (r->bytes + need > ALL_BYTES &&
	    !others_have(r, to->owner, need, r->bytes + need - ALL_BYTES))
		return;
	while (r->bytes + need > ALL_BYTES)
		lose_one(fullest(largest_owner(r)));
}

/* Return: how many bytes @to may have in its queue */
static size_t make_way(struct sock *to, size_t need)
{
	struct relay *r = to->r;
	struct owner *o = to->owner;
	size_t left;

	while (o->bytes + need > OWNER_BYTES && gives_way(o, to, need))
		;
	if (o->bytes + need <= OWNER_BYTES)
		make_way_of_others(to, need);
	left = ALL_BYTES - r->bytes;
	if (left > OWNER_BYTES - o->bytes)
		left = OWNER_BYTES - o->bytes;
	return to->queue.bytes + left;
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

int enqueue(uint64_t sender, struct sock *to, const uint8_t *header,
	    struct load *l)
{
	size_t before = to->queue.bytes, limit, more;
	struct relay *r = to->r;
	unsigned int others = 0;
	uint32_t full;
	int err;

	/* Nobody gives way to what the receiver's own queue does not take. */
	if (queue_room(&to->queue, QUEUE_BYTES, sender, l, &more) < 0) {
		dropped(r, DROP_QUEUE_FULL, 1);
		return -ENOBUFS;
	}
	limit = make_way(to, more);
	full = limit < QUEUE_BYTES ? DROP_NO_MEMORY : DROP_QUEUE_FULL;
	err = queue_push(&to->queue, limit, sender, l, header, &others);
	if (err < 0)
		dropped(r, err == -ENOMEM ? DROP_NO_MEMORY : full, 1);
	dropped(r, full, others);
	account(to, before);
	watch(to);
	return err;
}

/* Over an uplink each is a frame. Those that wait are whole: the queue knows
 * nothing of them. */
static int deliver_beyond(const struct sock *from, const struct way *way,
			  struct sock *to, const struct msg_receiver *as,
			  struct load *l)
{
	static const uint8_t none[DGRAM_HEADER];
	uint8_t header[UPLINK_DGRAM_HEADER];
	struct load *f;
	int r = -EAGAIN;

	bridge_header(from, way, to, as, l->len, header);
	if (!to->queue.messages)
		r = bridge_send(to, header, l);
	if (r != -EAGAIN)
		return r;
	f = bridge_frame(header, l);
	if (!f)
		return -ENOMEM;
	(void)enqueue(from->token, to, none, f);
	load_unref(f);
	return -EAGAIN;
}

static int deliver_here(const struct sock *from, const struct way *way,
			struct sock *to, const struct msg_receiver *as,
			struct load *l)
{
	bool broadcast = guid_equal(&way->dest.VmId, &guid_broadcast) ||
			 way->flags & DGRAM_BROADCAST;
	const struct dgram d = {
		.flags = broadcast ? DGRAM_BROADCAST : 0,
		.addr = { .Family = AF_HYPERV,
			  .VmId = as->peer,
			  .ServiceId = from->bridge ? way->source :
						      from->service },
	};
	uint8_t header[DGRAM_HEADER];
	int r = -EAGAIN;

	dgram_encode(&d, header);
	if (!to->queue.messages)
		r = send_one(to, header, l);
	if (r == -EAGAIN)
		(void)enqueue(from->token, to, header, l);
	return r;
}

void deliver(const struct sock *from, const struct way *way, struct sock *to,
	     const struct msg_receiver *as, struct load *l)
{
	int r = to->bridge ? deliver_beyond(from, way, to, as, l) :
			     deliver_here(from, way, to, as, l);

	if (r == 0)
		to->r->drops.delivered++;
	else if (r != -EAGAIN)
		dropped(to->r, drop_of(r), 1);
}

void send_queued(struct sock *s)
{
	size_t before = s->queue.bytes;
	const struct item *i;

	if (s->bridge && bridge_push(s) == -EAGAIN)
		return;
	while ((i = queue_head(&s->queue))) {
		int r = s->bridge ? bridge_send(s, NULL, i->load) :
				    send_one(s, i->header, i->load);

		if (r == -EAGAIN)
			break;
		if (r == 0)
			s->r->drops.delivered += queue_sender(&s->queue) !=
						 BRIDGE_CONTROL;
		else
			dropped(s->r, drop_of(r), 1);
		queue_pop(&s->queue);
	}
	account(s, before);
	tell_drops(s->r);
}
