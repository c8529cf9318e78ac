/* SPDX-License-Identifier: MIT */
/* cids.c - see cids.h */
#include "transport/vsock/cids.h"

#include <errno.h>
#include <stdlib.h>

static int make_room(struct cids *c, size_t n)
{
	struct cid_entry *grown;
	size_t room = c->room;

	if (n > CIDS_MAX - c->n)
		return -EPROTO;
	n += c->n;
	if (n <= room)
		return 0;
	while (room < n)
		room = room ? room * 2 : 64;
	grown = realloc(c->entry, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->entry = grown;
	c->room = room;
	return 0;
}

int cids_take(struct cids *c, const struct msg_cids *part)
{
	int r;

	if (part->flags & SERVICES_FIRST) {
		c->n = 0;
		c->begun = true;
	}
	if (!c->begun)
		return -EPROTO;
	r = make_room(c, part->n);
	if (r < 0) {
		c->begun = false;
		return r;
	}
	for (size_t i = 0; i < part->n; i++, c->n++)
		msg_cids_entry(part, i, &c->entry[c->n].cid,
			       &c->entry[c->n].vmid);
	if (!(part->flags & SERVICES_LAST))
		return 0;
	c->begun = false;
	return 1;
}

static int by_cid(const void *a, const void *b)
{
	uint32_t x = ((const struct cid_entry *)a)->cid;
	uint32_t y = ((const struct cid_entry *)b)->cid;

	return x < y ? -1 : x > y;
}

void cids_settle(struct cids *c, void (*twice)(void *ctx, uint32_t cid),
		 void *ctx)
{
	size_t kept = 0, end;

	if (c->n)
		qsort(c->entry, c->n, sizeof(*c->entry), by_cid);
	for (size_t i = 0; i < c->n; i = end) {
		for (end = i + 1; end < c->n; end++)
			if (c->entry[end].cid != c->entry[i].cid)
				break;
		if (end == i + 1)
			c->entry[kept++] = c->entry[i];
		else if (twice)
			twice(ctx, c->entry[i].cid);
	}
	c->n = kept;
}

const struct cid_entry *cids_find(const struct cids *c, uint32_t cid)
{
	const struct cid_entry key = { .cid = cid };

	if (!c->n)
		return NULL;
	return bsearch(&key, c->entry, c->n, sizeof(*c->entry), by_cid);
}

void cids_fini(struct cids *c)
{
	free(c->entry);
	*c = (struct cids) { .n = 0 };
}
