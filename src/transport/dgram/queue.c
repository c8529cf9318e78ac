/* SPDX-License-Identifier: MIT */
/* queue.c - see queue.h */
#include "transport/dgram/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct load *load_room(size_t len)
{
	struct load *l = malloc(sizeof(*l) + len);

	if (!l)
		return NULL;
	l->refs = 1;
	l->len = (uint32_t)len;
	return l;
}

struct load *load_new(const void *bytes, size_t len)
{
	struct load *l = load_room(len);

	if (l && len)
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

/* How much of what is scarce it would have. */
enum scarce { MESSAGES, BYTES };

static size_t has(const struct flow *f, enum scarce what)
{
	if (!f)
		return 0;
	return what == MESSAGES ? f->then.messages : f->then.bytes;
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
	struct item *i = f->last;

	f->last = i->prev;
	if (f->last)
		f->last->next = NULL;
	else
		f->first = NULL;
	item_free(q, f, i);
	if (!f->first)
		flow_remove(q, f);
}

static void drop_oldest(struct queue *q, struct flow *f)
{
	struct item *i = f->first;

	f->first = i->next;
	if (f->first)
		f->first->prev = NULL;
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
	i->prev = f->last;
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

/* Nothing is dropped yet. */
static void plan_start(struct queue *q)
{
	struct flow *f = q->turn;

	if (!f)
		return;
	do {
		f->then.messages = f->messages;
		f->then.bytes = f->bytes;
		f->then.last = f->last;
		f = f->next;
	} while (f != q->turn);
}

/*
 * Room for @l: from senders that would have more than this one, of messages if
 * there are too many, of bytes if these are. Nobody loses one for nothing: this
 * only says, in each flow's then, what would be left; how many would be dropped
 * and how many bytes these have.
 */
static int plan(struct queue *q, size_t limit, uint64_t sender,
		const struct load *l, size_t *ret_n, size_t *ret_bytes)
{
	size_t cost = queue_cost(l), n = 0, bytes = 0;
	const struct flow *own;
	struct flow *f;

	if (limit > QUEUE_BYTES)
		limit = QUEUE_BYTES;
	*ret_n = *ret_bytes = 0;
	if (q->messages < QUEUE_MESSAGES && q->bytes + cost <= limit)
		return 0;
	plan_start(q);
	own = find(q, sender);
	for (;;) {
		if (q->messages - n >= QUEUE_MESSAGES)
			f = loser(q, own, MESSAGES, 1);
		else if (q->bytes - bytes + cost > limit)
			f = loser(q, own, BYTES, cost);
		else
			break;
		if (!f)
			return -ENOBUFS;
		n++;
		bytes += queue_cost(f->then.last->load);
		f->then.messages--;
		f->then.bytes -= queue_cost(f->then.last->load);
		f->then.last = f->then.last->prev;
	}
	*ret_n = n;
	*ret_bytes = bytes;
	return 0;
}

int queue_room(struct queue *q, size_t limit, uint64_t sender,
	       const struct load *l, size_t *ret_more)
{
	size_t n, bytes, cost = queue_cost(l);
	int r = plan(q, limit, sender, l, &n, &bytes);

	*ret_more = cost > bytes ? cost - bytes : 0;
	return r;
}

static int make_room(struct queue *q, size_t limit, uint64_t sender,
		     const struct load *l, unsigned int *ret_dropped)
{
	struct flow *f, *next;
	size_t n, bytes;
	int r = plan(q, limit, sender, l, &n, &bytes);

	if (r < 0)
		return r;
	*ret_dropped = (unsigned int)n;
	for (f = q->turn; n; f = next) {
		next = f->next;
		for (size_t drop = f->messages - f->then.messages; drop;
		     drop--, n--)
			drop_newest(q, f); /* with its last the flow goes */
	}
	return 0;
}

bool queue_drop(struct queue *q)
{
	plan_start(q);
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
	if (make_room(q, limit, sender, l, ret_dropped) < 0) {
		free(i);
		return -ENOBUFS;
	}
	i->next = i->prev = NULL;
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

uint64_t queue_sender(const struct queue *q)
{
	return q->turn->next->sender;
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
