/* SPDX-License-Identifier: MIT */
/* integration.c - see integration.h: between the bus and vmbus/ic */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "transport/vmbus/integration-internal.h"

/* A guest that fills its ring as fast as it is emptied has to wait. */
#define PACKETS 64u

static struct timesync_clock on_clock(void *ctx)
{
	const struct integration *i = ctx;
	struct host_clock now = host_clock_read();
	struct timesync_clock c = { .wall = now.wall };

	c.known = reference_clock_at(&i->vm->clock, &now, &c.reference);
	return c;
}

static int on_send(void *ctx, enum ic_kind kind, const void *packet, size_t len,
		   uint64_t transaction)
{
	struct integration *i = ctx;

	return i->channels[kind] ? vmbh_channel_write(i->channels[kind], packet,
						      len, transaction)
				 : -ENOTCONN;
}

static const struct ic_set_ops set_ops = { .send = on_send, .clock = on_clock };

/* ---- channels */

static void take_packets(struct slot *s)
{
	struct integration *i = s->i;
	unsigned int n = 0;
	uint64_t transaction;

	s->more = false;
	while (i->channels[s->kind]) {
		ssize_t len = vmbh_channel_read(i->channels[s->kind], i->packet,
						sizeof(i->packet),
						&transaction);

		if (len < 0 && len != -EMSGSIZE)
			return;
		if (len >= 0)
			ic_set_packet(&i->set, s->kind, i->packet, (size_t)len,
				      transaction);
		if (++n == PACKETS) {
			s->more = true;
			return;
		}
	}
}

static void on_opened(void *ctx, struct vmbh_channel *c)
{
	struct slot *s = ctx;

	(void)c;
	ic_set_opened(&s->i->set, s->kind);
	s->more = true; /* of before a handover */
}

static void on_closed(void *ctx, struct vmbh_channel *c)
{
	struct slot *s = ctx;

	(void)c;
	s->more = false;
	ic_set_closed(&s->i->set, s->kind);
}

static void on_signalled(void *ctx, struct vmbh_channel *c)
{
	struct slot *s = ctx;

	(void)c;
	take_packets(s);
	ic_set_writable(&s->i->set, s->kind);
}

static const struct vmbh_channel_ops channel_ops = {
	.opened = on_opened,
	.closed = on_closed,
	.signalled = on_signalled,
};

static int offer(struct integration *i, enum ic_kind kind)
{
	const struct vmbh_offer o = {
		.type = ic_classes[kind].type,
		.instance = ic_classes[kind].instance,
		.flags = 0x0011,
		.user_data = { 4 },
	};

	if (i->channels[kind])
		return 0;
	return vmbh_channel_offer(i->vm->bus, &o, &channel_ops, &i->slots[kind],
				  &i->channels[kind]);
}

static void revoke(struct integration *i, enum ic_kind kind)
{
	struct vmbh_channel *c = i->channels[kind];

	if (!c)
		return;
	i->channels[kind] = NULL;
	i->slots[kind].more = false;
	vmbh_channel_revoke(c);
	ic_set_closed(&i->set, kind);
}

unsigned int integration_services(const struct integration *i)
{
	unsigned int services = 0;

	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		services |= i->channels[k] ? 1u << k : 0;
	return services;
}

void integration_offer(struct integration *i, unsigned int services)
{
	for (enum ic_kind k = 0; k < IC_KINDS; k++) {
		if (!(services & 1u << k))
			revoke(i, k);
		else if (offer(i, k) < 0)
			log_err("no memory to offer %s", ic_classes[k].name);
	}
}

/* ---- */

int integration_parse(const char *text, unsigned int *ret_services)
{
	unsigned int services = 0;
	size_t n;

	for (; *text; text += n + (text[n] == ',')) {
		char name[16];
		enum ic_kind k;

		n = strcspn(text, ",");
		if (n >= sizeof(name))
			return -EINVAL;
		memcpy(name, text, n);
		name[n] = '\0';
		k = ic_kind_of(name);
		if (k < IC_KINDS)
			services |= 1u << k;
		else if (!strcmp(name, "all"))
			services |= (1u << IC_KINDS) - 1;
		else if (!strcmp(name, "default"))
			services |= INTEGRATION_DEFAULT;
		else if (strcmp(name, "none") != 0)
			return -EINVAL;
	}
	*ret_services = services;
	return 0;
}

int integration_new(struct vm *vm, unsigned int services,
		    struct integration **ret)
{
	struct integration *i = calloc(1, sizeof(*i));

	if (!i)
		return -ENOMEM;
	i->vm = vm;
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		i->slots[k] = (struct slot) { .i = i, .kind = k };
	/* no number that this process' predecessor may have used */
	ic_set_init(&i->set, &set_ops, i, host_clock_read().wall << 8);
	integration_offer(i, services);
	*ret = i;
	return 0;
}

struct integration *integration_free(struct integration *i)
{
	if (i)
		ic_set_fini(&i->set);
	free(i);
	return NULL;
}

#define SAVED_FROZEN 1u
#define SAVED_DOUBT 2u

void integration_save(const struct integration *i, uint8_t *p)
{
	const struct vss *v = &i->set.vss;
	uint64_t left = v->thaw_at > i->set.now ? v->thaw_at - i->set.now : 0;
	uint32_t flags = 0;

	/* who froze it with a lease loses that with this process' broker */
	if (v->state == VSS_FROZEN && !v->session)
		flags = SAVED_FROZEN;
	else if (v->state != VSS_THAWED)
		flags = SAVED_DOUBT;
	le32_put(p, integration_services(i));
	le32_put(p + 4, flags);
	le64_put(p + 8, left);
}

void integration_load(struct integration *i, const uint8_t *p)
{
	uint32_t flags = le32_get(p + 4);
	uint64_t left = le64_get(p + 8);
	struct vss *v = &i->set.vss;

	integration_offer(i, le32_get(p));
	ic_set_now(&i->set, ev_now_ns());
	if (flags & SAVED_FROZEN && left <= VSS_HOLD_MAX_MS * 1000000ull) {
		v->state = VSS_FROZEN;
		v->thaw_at = i->set.now + left;
	} else if (flags) {
		vss_doubt(v, VSS_TRIES_ANEW);
	}
}

void integration_recovered(struct integration *i)
{
	vss_doubt(&i->set.vss, VSS_TRIES_ANEW);
}

void integration_resumed(struct integration *i)
{
	ic_set_resumed(&i->set);
}

void integration_time(struct integration *i, uint64_t now)
{
	uint64_t at;

	if (!i)
		return;
	ic_set_now(&i->set, now);
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		if (i->slots[k].more)
			take_packets(&i->slots[k]);
	at = ic_set_deadline(&i->set);
	if (at && at <= now)
		ic_set_time(&i->set, now);
}

uint64_t integration_deadline(const struct integration *i)
{
	if (!i)
		return 0;
	for (enum ic_kind k = 0; k < IC_KINDS; k++)
		if (i->slots[k].more)
			return 1;
	return ic_set_deadline(&i->set);
}
