/* SPDX-License-Identifier: MIT */
/*
 * cids.c - CIDS: which partitions are VMs of the kernel's vhost-vsock
 *
 * hvsocket-vsock asks once, and is told from then on: which CID stands for
 * which partition (Cid= of its file), of those that its user may attach; and
 * what is registered, since the ports of the host's kernel are the same for
 * all VMs. It attaches each of them over a connection of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/guid.h"
#include "broker/telling.h"
#include "broker/transport.h"

struct overseer {
	struct telling cids, services;
	uint32_t serial;
};

struct list {
	const struct client *client;
	uint8_t *bytes;
	size_t len;
};

static int add(const struct partition *p, void *arg)
{
	struct list *l = arg;

	if (!p->cid || !may_attach(l->client, p))
		return 0;
	le32_put(l->bytes + l->len, p->cid);
	guid_put(l->bytes + l->len + 4, &p->vmid);
	l->len += CIDS_ENTRY;
	return 0;
}

static void tell(struct client *c)
{
	struct overseer *o = c->overseer;
	struct broker *b = c->b;
	struct list l = { .client = c };
	size_t n = registry_partition_count(b->registry) + 1;

	/* who it is before what can be dialled */
	if (!telling_busy(&o->cids) && (l.bytes = calloc(n, CIDS_ENTRY))) {
		(void)registry_each_partition(b->registry, add, &l);
		telling_say(&o->cids, c, &o->serial, l.bytes, l.len);
	}
	/* (the answer to one that is under way leads here again) */
	services_tell(b, c, &o->services, &o->serial);
}

void request_cids(struct client *c, struct frame *f)
{
	if (!guid_is_zero(&c->door->partition)) {
		client_refuse(c, MSG_CIDS, f->h.serial, EPERM,
			      HVS_REASON_NOT_PERMITTED,
			      "transports attach from the host partition");
		return;
	}
	if (f->len != MSG_HEADER) {
		client_refuse(c, MSG_CIDS, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, "CIDS is malformed");
		return;
	}
	c->overseer = calloc(1, sizeof(*c->overseer));
	if (!c->overseer) {
		client_refuse(c, MSG_CIDS, f->h.serial, ENOMEM,
			      HVS_REASON_BROKER_FAILED, "no memory");
		return;
	}
	c->b->overseers++;
	c->overseer->cids.type = MSG_CIDS;
	c->overseer->cids.entry = CIDS_ENTRY;
	c->overseer->services.type = MSG_SERVICES;
	c->overseer->services.entry = sizeof(GUID);
	client_reply_empty(c, MSG_CIDS, f->h.serial);
	broker_refresh(c->b);
	if (!c->dead)
		tell(c);
}

void overseer_frame(struct client *c, struct frame *f)
{
	struct overseer *o = c->overseer;
	struct telling *t = f->h.type == MSG_CIDS ? &o->cids : &o->services;

	if (!f->h.reply || f->nfds ||
	    (f->h.type != MSG_CIDS && f->h.type != MSG_SERVICES)) {
		client_drop(c);
		return;
	}
	if (telling_taken(t, c, &o->serial, f->h.serial))
		tell(c);
}

void overseers_tell(struct broker *b)
{
	struct client *c;

	if (!b->overseers)
		return;
	DL_FOREACH(b->clients, c) {
		if (c->overseer)
			tell(c);
	}
}

void overseer_gone(struct client *c)
{
	if (!c->overseer)
		return;
	c->b->overseers--;
	telling_fini(&c->overseer->cids);
	telling_fini(&c->overseer->services);
	free(c->overseer);
	c->overseer = NULL;
}
