/* SPDX-License-Identifier: MIT */
/*
 * timer.c - deadlines of connections, the earliest first
 *
 * A binary heap of those connections that have a deadline; each has at most
 * one. Room in it is made when a connection is made, so that setting a timer
 * cannot fail.
 */
#include <stdlib.h>

#include "vmbus/internal.h"

bool timer_reserve(struct vmbh *h, uint32_t n)
{
	uint32_t cap = h->heap_cap ? h->heap_cap : 16;
	struct vmbh_sock **more;

	while (cap < n)
		cap *= 2;
	if (cap == h->heap_cap)
		return true;
	more = realloc(h->heap, cap * sizeof(struct vmbh_sock *));
	if (!more)
		return false;
	h->heap = more;
	h->heap_cap = cap;
	return true;
}

static void put(struct vmbh *h, uint32_t i, struct vmbh_sock *s)
{
	h->heap[i] = s;
	s->heap = i;
}

static void up(struct vmbh *h, uint32_t i, struct vmbh_sock *s)
{
	while (i && h->heap[(i - 1) / 2]->due > s->due) {
		put(h, i, h->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, s);
}

static void down(struct vmbh *h, uint32_t i, struct vmbh_sock *s)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= h->nheap)
			break;
		if (child + 1 < h->nheap &&
		    h->heap[child + 1]->due < h->heap[child]->due)
			child++;
		if (h->heap[child]->due >= s->due)
			break;
		put(h, i, h->heap[child]);
		i = child;
	}
	put(h, i, s);
}

void timer_clear(struct vmbh_sock *s)
{
	struct vmbh *h = s->h;
	struct vmbh_sock *last;
	uint32_t i = s->heap;

	if (!s->due)
		return;
	s->due = 0;
	last = h->heap[--h->nheap];
	if (last == s)
		return;
	if (i && h->heap[(i - 1) / 2]->due > last->due)
		up(h, i, last);
	else
		down(h, i, last);
}

void timer_set_due(struct vmbh_sock *s, enum timer timer, uint64_t due)
{
	timer_clear(s);
	s->timer = timer;
	s->due = due ? due : 1;
	up(s->h, s->h->nheap++, s);
}

void timer_set(struct vmbh_sock *s, enum timer timer, uint64_t ms)
{
	timer_set_due(s, timer, s->h->now + ms * MS);
}

void vmbh_time(struct vmbh *h, uint64_t now)
{
	h->now = now;
	if (!h->nheap || h->heap[0]->due > now)
		return;
	enter(h);
	while (h->nheap && h->heap[0]->due <= now) {
		struct vmbh_sock *s = h->heap[0];

		timer_clear(s);
		sock_timer(s);
	}
	leave(h);
}

uint64_t vmbh_deadline(const struct vmbh *h)
{
	return h->nheap ? h->heap[0]->due : 0;
}
