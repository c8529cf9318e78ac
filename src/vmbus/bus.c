/* SPDX-License-Identifier: MIT */
/*
 * bus.c - the bus: from vmbh_new() to vmbh_free(), the guest's messages,
 * version negotiation, unload
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/internal.h"

/* Most sentences of complaint in a second of vmbh_time(). */
#define COMPLAINTS 20u

static const uint32_t versions[] = {
	VMBH_VERSION_4_0, VMBH_VERSION_4_1, VMBH_VERSION_5_0,
	VMBH_VERSION_5_1, VMBH_VERSION_5_2, VMBH_VERSION_5_3,
};

bool version_known(uint32_t version)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (versions[i] == version)
			return true;
	return false;
}

static int complete_config(struct vmbh_config *c)
{
	const struct vmbh_config most = {
		.max_version = VMBH_VERSION_5_3,
		.max_channels = VMBH_RELIDS - 1,
		.max_gpadl_pages = 65536,
		.max_connects = 16,
		.max_input = 64,
		.open_guest_ms = 5000,
		.open_host_ms = 2000,
		.linger_ms = 10000,
		.packet = 8192,
	};

#define DEFAULT(m) (c->m = c->m ? c->m : most.m)
	DEFAULT(max_version);
	DEFAULT(max_channels);
	DEFAULT(max_gpadl_pages);
	DEFAULT(max_connects);
	DEFAULT(max_input);
	DEFAULT(open_guest_ms);
	DEFAULT(open_host_ms);
	DEFAULT(linger_ms);
	DEFAULT(packet);
#undef DEFAULT
	return version_known(c->max_version) && c->max_channels < VMBH_RELIDS &&
			       c->packet <= RING_PAYLOAD_MAX
		       ? 0
		       : -EINVAL;
}

int vmbh_new(const struct vmbh_config *config, const struct vmbh_ops *ops,
	     void *ctx, struct vmbh **ret)
{
	struct vmbh_config c = { 0 };
	struct vmbh *h;
	int r;

	if (config)
		c = *config;
	r = complete_config(&c);
	if (r < 0)
		return r;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->config = c;
	h->ops = ops;
	h->ctx = ctx;
	h->lowest = 1;
	TAILQ_INIT(&h->queue);
	TAILQ_INIT(&h->spare);
	LIST_INIT(&h->growing);
	TAILQ_INIT(&h->socks);
	TAILQ_INIT(&h->gone);
	TAILQ_INIT(&h->graves);
	TAILQ_INIT(&h->delayed);
	TAILQ_INIT(&h->devices);
	TAILQ_INIT(&h->device_graves);
	if (!queue_reserve(h)) {
		vmbh_free(h);
		return -ENOMEM;
	}
	*ret = h;
	return 0;
}

static void bury(struct vmbh *h)
{
	struct vmbh_channel *d;
	struct vmbh_sock *s;

	while ((s = TAILQ_FIRST(&h->graves))) {
		TAILQ_REMOVE(&h->graves, s, link);
		free(s);
	}
	while ((d = TAILQ_FIRST(&h->device_graves))) {
		TAILQ_REMOVE(&h->device_graves, d, link);
		free(d);
	}
}

struct vmbh *vmbh_free(struct vmbh *h)
{
	struct vmbh_channel *d;
	struct vmbh_sock *s;

	if (!h)
		return NULL;
	h->journal = NULL;
	for (uint32_t i = 1; i < VMBH_RELIDS; i++)
		if (h->relids[i])
			chan_free(h->relids[i]);
	while ((s = TAILQ_FIRST(&h->socks))) {
		TAILQ_REMOVE(&h->socks, s, link);
		free(s);
	}
	while ((d = TAILQ_FIRST(&h->devices))) {
		TAILQ_REMOVE(&h->devices, d, link);
		free(d);
	}
	bury(h);
	queue_free(h);
	free(h->heap);
	free(h);
	return NULL;
}

/* Tell and post until nothing more comes of it; free what is over. */
void leave(struct vmbh *h)
{
	if (h->depth > 1 || !h->busy) {
		h->depth--;
		return;
	}
	while (h->busy) {
		struct vmbh_sock *s;

		h->busy = false;
		while ((s = TAILQ_FIRST(&h->gone))) {
			TAILQ_REMOVE(&h->gone, s, link);
			TAILQ_INSERT_TAIL(&h->graves, s, link);
			s->told = false;
			h->ops->gone(h->ctx, s, s->why);
		}
		queue_flush(h);
	}
	bury(h);
	h->depth--;
}

void complain(struct vmbh *h, const char *format, ...)
{
	char sentence[256];
	va_list ap;

	h->counters.malformed++;
	if (!h->ops->complain)
		return;
	if (h->now >= h->complain_until) {
		h->complain_until = h->now + 1000 * MS;
		h->complaints = 0;
	}
	if (++h->complaints > COMPLAINTS)
		return;
	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	h->ops->complain(h->ctx, sentence);
}

void bus_tell_ready(struct vmbh *h)
{
	bool ready = vmbh_ready(h);

	if (ready == h->ready_told)
		return;
	h->ready_told = ready;
	if (h->ops->ready)
		h->ops->ready(h->ctx, ready);
}

void bus_forget(struct vmbh *h)
{
	struct vmbh_channel *d, *next;
	struct vmbh_sock *s;

	queue_clear(h);
	h->slot_taken = false;
	h->version = 0;
	h->offers_requested = false;
	journal_connection(h);
	/* no callback below sees a channel that is about to go */
	for (uint32_t i = 1; i < VMBH_RELIDS; i++) {
		struct chan *c = h->relids[i];
		struct vmbh_channel *owner;
		bool open;

		if (!c)
			continue;
		if (c->sock)
			sock_end(c->sock, VMBH_GONE_UNLOADED);
		owner = c->device;
		open = owner && c->state == CHAN_OPEN;
		chan_free(c);
		if (open)
			device_closed(owner);
	}
	while ((s = TAILQ_FIRST(&h->socks)))
		sock_end(s, VMBH_GONE_UNLOADED);
	for (d = TAILQ_FIRST(&h->devices); d; d = next) {
		next = TAILQ_NEXT(d, link);
		d->held = false;
	}
	bus_tell_ready(h);
}

void vmbh_reset(struct vmbh *h)
{
	enter(h);
	bus_forget(h);
	h->promised = 0;
	h->target_vp = 0;
	journal_connection(h);
	leave(h);
}

static void initiate_contact(struct vmbh *h, const uint8_t *m)
{
	struct initiate_contact ic;
	uint8_t answer[16];
	bool fine;

	get_initiate_contact(m, &ic);
	bus_forget(h);
	h->target_vp = ic.version >= 0x00030000u ? ic.vp : 0;
	fine = version_known(ic.version) && ic.version <= h->config.max_version;
	/* where older ones have the page of the interrupt flags */
	if (ic.version >= VMBH_VERSION_5_0 &&
	    (ic.sint != VMBH_SINT || ic.vtl != 0)) {
		complain(h, "INITIATE_CONTACT for SINT %u of VTL %u", ic.sint,
			 ic.vtl);
		fine = false;
	}
	if (fine)
		h->version = ic.version;
	journal_connection(h);
	/* from 5.0 on: where the guest posts its messages to */
	put_version_response(answer, fine,
			     !fine			      ? 0
			     : ic.version >= VMBH_VERSION_5_0 ? PORT_CLASSIC
							      : ic.version);
	queue_plain(h, answer, sizeof(answer));
}

static void unload(struct vmbh *h)
{
	bus_forget(h);
	queue_words(h, MSG_UNLOAD_COMPLETE, 0, 0, 0, 0);
}

static void request_offers(struct vmbh *h)
{
	if (h->offers_requested) {
		complain(h, "REQUEST_OFFERS twice");
		return;
	}
	h->offers_requested = true;
	journal_connection(h);
	chan_offer_waiting(h);
	queue_words(h, MSG_ALL_OFFERS_DELIVERED, 0, 0, 0, 0);
	bus_tell_ready(h);
}

static void dispatch(struct vmbh *h, uint32_t type, const uint8_t *m,
		     size_t len)
{
	switch (type) {
	case MSG_REQUEST_OFFERS:
		request_offers(h);
		break;
	case MSG_OPEN_CHANNEL:
		chan_open(h, m);
		break;
	case MSG_CLOSE_CHANNEL:
		chan_close(h, le32_get(m + 8));
		break;
	case MSG_GPADL_HEADER:
		gpadl_header(h, m, len);
		break;
	case MSG_GPADL_BODY:
		gpadl_body(h, m, len);
		break;
	case MSG_GPADL_TEARDOWN:
		gpadl_teardown(h, m);
		break;
	case MSG_RELID_RELEASED:
		chan_released(h, le32_get(m + 8));
		break;
	case MSG_TL_CONNECT_REQUEST:
		sock_request(h, m);
		break;
	case MSG_MODIFY_CHANNEL:
		chan_modify(h, le32_get(m + 8), le32_get(m + 12));
		break;
	default: /* for firmware and for features of 6.0: not offered */
		complain(h, "%s is not supported", vmbh_message_name(type));
	}
}

/* May it be taken now? Two are always, since they empty the queue. */
static bool acceptable(struct vmbh *h, uint32_t type)
{
	if (!queue_reserve(h))
		return false;
	if (type == MSG_INITIATE_CONTACT || type == MSG_UNLOAD)
		return true;
	if (h->promised)
		return true;
	if (h->queued >= h->config.max_input)
		return false;
	return type != MSG_TL_CONNECT_REQUEST || !h->version ||
	       h->nconnects < h->config.max_connects;
}

static uint32_t subtract(uint32_t a, uint32_t b)
{
	return a > b ? a - b : 0;
}

uint32_t vmbh_promise(struct vmbh *h, uint32_t messages)
{
	const uint32_t room[] = {
		subtract(h->config.max_input, h->queued),
		subtract(h->config.max_connects, h->nconnects),
	};

	h->promised = messages;
	for (unsigned int i = 0; i < 2; i++)
		if (h->promised > room[i])
			h->promised = room[i];
	return h->promised;
}

uint16_t vmbh_post_message(struct vmbh *h, uint32_t vp, uint32_t connection,
			   uint32_t type, const void *payload, size_t len)
{
	const uint8_t *m = payload;
	uint32_t number;

	if ((connection & 0xffffffu) != PORT_CLASSIC &&
	    (connection & 0xffffffu) != PORT_MULTI) {
		h->counters.refused++;
		return VMBH_INVALID_CONNECTION_ID;
	}
	if (len > VMBH_MESSAGE_MAX) {
		h->counters.refused++;
		return VMBH_INVALID_PARAMETER;
	}
	number = len >= MSG_HEADER ? le32_get(m) : 0;
	if (!acceptable(h, number)) {
		h->counters.refused++;
		return VMBH_INSUFFICIENT_BUFFERS;
	}
	if (h->promised)
		h->promised--;
	enter(h);
	h->counters.messages_in++;
	if (h->ops->trace)
		h->ops->trace(h->ctx, true, vp, m, len);
	if (type != 1)
		complain(h, "a message of type %u, which is not VMBus", type);
	else if (!message_complete(number, len))
		complain(h, "%s of %zu bytes",
			 vmbh_message_name(number) ? vmbh_message_name(number)
						   : "unknown message",
			 len);
	else if (number == MSG_INITIATE_CONTACT)
		initiate_contact(h, m);
	else if (!h->version)
		complain(h, "%s without a connection",
			 vmbh_message_name(number));
	else if (number == MSG_UNLOAD)
		unload(h);
	else
		dispatch(h, number, m, len);
	leave(h);
	return VMBH_SUCCESS;
}

uint16_t vmbh_signal_event(struct vmbh *h, uint32_t connection, uint16_t flag)
{
	uint32_t relid = (connection & 0xffffffu) - vmbh_connection_id(0);
	struct chan *c = chan_by_relid(h, relid);

	if (!c)
		return VMBH_INVALID_CONNECTION_ID;
	if (flag)
		return VMBH_INVALID_PARAMETER;
	h->counters.signals_in++;
	if (c->state != CHAN_OPEN)
		return VMBH_SUCCESS;
	enter(h);
	if (c->sock)
		sock_signalled(c->sock);
	else if (c->device)
		c->device->ops->signalled(c->device->ctx, c->device);
	leave(h);
	return VMBH_SUCCESS;
}

uint32_t vmbh_version(const struct vmbh *h)
{
	return h->version;
}

bool vmbh_ready(const struct vmbh *h)
{
	return h->version >= VMBH_VERSION_4_0 && h->offers_requested;
}

uint32_t vmbh_target_vp(const struct vmbh *h)
{
	return h->target_vp;
}

uint32_t vmbh_connection_id(uint32_t relid)
{
	return relid + (VMBH_SINT << 12);
}

void vmbh_counters(const struct vmbh *h, struct vmbh_counters *ret)
{
	*ret = h->counters;
	ret->channels = h->nchans;
	ret->unreleased = h->nunreleased;
	ret->open = h->nopen;
	ret->gpadls = h->ngpadls;
	ret->gpadl_pages = h->gpadl_pages;
	ret->queued = h->queued;
}
