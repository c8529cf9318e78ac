/* SPDX-License-Identifier: MIT */
/* queue.c - see queue.h */
#include "transport/dgram/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct load *load_new(const void *bytes, size_t len)
{
	struct load *l = malloc(sizeof(*l) + len);

	if (!l)
		return NULL;
	l->refs = 1;
	l->len = (uint32_t)len;
	if (len)
		memcpy(l->bytes, bytes, len);
	return l;
}

struct load *load_unref(struct load *l)
{
	if (l && --l->refs == 0)
		free(l);
	return NULL;
}

/* What an empty datagram takes, too. */
size_t queue_cost(const struct load *l)
{
	return l->len + sizeof(struct item);
}

static struct flow *find(const struct queue *q, uint64_t sender)
{
	struct flow *f = q->turn;

	if (!f)
		return NULL;
	do {
		if (f->sender == sender)
			return f;
		f = f->next;
	} while (f != q->turn);
	return NULL;
}

/* How much of what is scarce it has. */
enum scarce { MESSAGES, BYTES };

static size_t has(const struct flow *f, enum scarce what)
{
	if (!f)
		return 0;
	return what == MESSAGES ? f->messages : f->bytes;
}

static struct flow *largest(const struct queue *q, enum scarce what)
{
	struct flow *f = q->turn, *most = f;

	do {
		if (has(f, what) > has(most, what))
			most = f;
		f = f->next;
	} while (f != q->turn);
	return most;
}

/* New ones come last in turn. */
static struct flow *flow_add(struct queue *q, uint64_t sender)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->sender = sender;
	if (q->turn) {
		f->next = q->turn->next;
		q->turn->next = f;
	} else {
		f->next = f;
	}
	q->turn = f;
	return f;
}

static void flow_remove(struct queue *q, struct flow *f)
{
	struct flow *before = f;

	while (before->next != f)
		before = before->next;
	before->next = f->next;
	if (q->turn == f)
		q->turn = before == f ? NULL : before;
	free(f);
}

static void item_free(struct queue *q, struct flow *f, struct item *i)
{
	f->messages--;
	f->bytes -= queue_cost(i->load);
	q->bytes -= queue_cost(i->load);
	q->messages--;
	load_unref(i->load);
	free(i);
}

static void drop_newest(struct queue *q, struct flow *f)
{
	struct item **at = &f->first, *before = NULL;

	while (*at != f->last) {
		before = *at;
		at = &before->next;
	}
	item_free(q, f, f->last);
	*at = NULL;
	f->last = before;
	if (!before)
		flow_remove(q, f);
}

static void drop_oldest(struct queue *q, struct flow *f)
{
	struct item *i = f->first;

	f->first = i->next;
	item_free(q, f, i);
	if (!f->first)
		flow_remove(q, f);
}

static int append(struct queue *q, uint64_t sender, struct item *i)
{
	struct flow *f = find(q, sender);

	if (!f)
		f = flow_add(q, sender);
	if (!f)
		return -ENOMEM;
	if (f->first)
		f->last->next = i;
	else
		f->first = i;
	f->last = i;
	f->messages++;
	f->bytes += queue_cost(i->load);
	q->bytes += queue_cost(i->load);
	q->messages++;
	return 0;
}

/* Return: who has most of what it takes, or NULL: nobody has more than this
 * sender would have. */
static struct flow *loser(const struct queue *q, const struct flow *own,
			  enum scarce what, size_t more)
{
	struct flow *f = q->turn ? largest(q, what) : NULL;

	return !f || f == own || has(own, what) + more > has(f, what) ? NULL :
									f;
}

/*
 * Room for @l: from senders that would have more than this one, of messages if
 * there are too many, of bytes if these are. Nobody loses one for nothing: what
 * cannot have both is not taken.
 */
static int make_room(struct queue *q, size_t limit, uint64_t sender,
		     const struct load *l, unsigned int *ret_dropped)
{
	const struct flow *own = find(q, sender);
	size_t cost = queue_cost(l);
	struct flow *f = NULL;

	if (q->bytes + cost > limit && !loser(q, own, BYTES, cost))
		return -ENOBUFS;
	for (;;) {
		if (q->messages >= QUEUE_MESSAGES)
			f = loser(q, own, MESSAGES, 1);
		else if (q->bytes + cost > limit)
			f = loser(q, own, BYTES, cost);
		else
			return 0;
		if (!f)
			return -ENOBUFS;
		drop_newest(q, f);
		++*ret_dropped;
	}
}

bool queue_drop(struct queue *q)
{
	if (q->turn)
		drop_newest(q, largest(q, BYTES));
	return q->turn;
}

int queue_push(struct queue *q, size_t limit, uint64_t sender, struct load *l,
	       const uint8_t *header, unsigned int *ret_dropped)
{
	struct item *i = malloc(sizeof(*i));

	*ret_dropped = 0;
	if (!i)
		return -ENOMEM;
	if (limit > QUEUE_BYTES)
		limit = QUEUE_BYTES;
	if (make_room(q, limit, sender, l, ret_dropped) < 0) {
		free(i);
		return -ENOBUFS;
	}
	i->next = NULL;
	i->load = l;
	memcpy(i->header, header, sizeof(i->header));
	if (append(q, sender, i) < 0) {
		free(i);
		return -ENOMEM;
	}
	l->refs++;
	return 0;
}

const struct item *queue_head(const struct queue *q)
{
	return q->turn ? q->turn->next->first : NULL;
}

void queue_pop(struct queue *q)
{
	struct flow *f = q->turn->next;

	q->turn = f;
	drop_oldest(q, f);
}

void queue_free(struct queue *q)
{
	while (q->turn)
		drop_oldest(q, q->turn);
}
