/* SPDX-License-Identifier: MIT */
/* ic.c - see ic.h */
#include "vmbus/ic/ic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/services.h"

#define MS 1000000ull

struct ic_request {
	TAILQ_ENTRY(ic_request) link;
	uint64_t transaction; /* 0: not sent yet */
	uint64_t due;
	ic_done_fn done;
	void *arg;
	size_t len;	  /* of the body */
	uint8_t packet[]; /* header and body */
};

static const uint32_t frameworks[] = { IC_VERSION(1, 0), IC_VERSION(3, 0) };

const struct ic_class ic_classes[IC_KINDS] = {
	[IC_HEARTBEAT] = {
		.name = "heartbeat",
		.title = "Heartbeat",
		.driver = "hv_utils",
		.type = { 0x57164f39, 0x9115, 0x4e78,
			  { 0xab, 0x55, 0x38, 0x2f, 0x3b, 0xd5, 0x42, 0x2d } },
		.instance = { 0xfd149e91, 0x82e0, 0x4a7d,
			      { 0xaf, 0xa6, 0x2a, 0x41, 0x66, 0xcb, 0xd7,
				0xc0 } },
		.message = 1,
		.versions = { IC_VERSION(1, 0), IC_VERSION(3, 0) },
		.nversions = 2,
	},
	[IC_SHUTDOWN] = {
		.name = "shutdown",
		.title = "Shutdown",
		.driver = "hv_utils",
		.type = { 0x0e0b6031, 0x5213, 0x4934,
			  { 0x81, 0x8b, 0x38, 0xd9, 0x0c, 0xed, 0x39, 0xdb } },
		.instance = { 0xb6650ff7, 0x33bc, 0x4840,
			      { 0x80, 0x48, 0xe0, 0x67, 0x67, 0x86, 0xf3,
				0x93 } },
		.message = 3,
		.versions = { IC_VERSION(1, 0), IC_VERSION(3, 0),
			      IC_VERSION(3, 1), IC_VERSION(3, 2) },
		.nversions = 4,
	},
	/* 4.0 is offered where the guest's reference counter is known */
	[IC_TIMESYNC] = {
		.name = "timesync",
		.title = "Time Synchronization",
		.driver = "hv_utils",
		.type = { 0x9527e630, 0xd0ae, 0x497b,
			  { 0xad, 0xce, 0xe8, 0x0a, 0xb0, 0x17, 0x5c, 0xaf } },
		.instance = { 0x2dd1ce17, 0x079e, 0x403c,
			      { 0xb3, 0x52, 0xa1, 0x92, 0x1e, 0xe2, 0x07,
				0xee } },
		.message = 4,
		.versions = { IC_VERSION(1, 0), IC_VERSION(3, 0),
			      TIMESYNC_REFERENCED },
		.nversions = 3,
	},
	[IC_KVP] = {
		.name = "kvp",
		.title = "Key-Value Pair Exchange",
		.driver = "hv_utils",
		.daemon = "hv_kvp_daemon",
		.type = { 0xa9a0f4e7, 0x5a45, 0x4d96,
			  { 0xb8, 0x27, 0x8a, 0x84, 0x1e, 0x8c, 0x03, 0xe6 } },
		.instance = { 0x242ff919, 0x07db, 0x4180,
			      { 0x9c, 0x2e, 0xb8, 0x6c, 0xb6, 0x8c, 0x8c,
				0x55 } },
		.message = 2,
		.versions = { IC_VERSION(3, 0), IC_VERSION(4, 0) },
		.nversions = 2,
	},
	[IC_VSS] = {
		.name = "vss",
		.title = "VSS",
		.driver = "hv_utils",
		.daemon = "hv_vss_daemon",
		.type = { 0x35fa2e29, 0xea23, 0x4236,
			  { 0x96, 0xae, 0x3a, 0x6e, 0xba, 0xcb, 0xa4, 0x40 } },
		.instance = { 0x2450ee40, 0x33bf, 0x4fbd,
			      { 0x89, 0x2e, 0x9f, 0xb0, 0x6e, 0x92, 0x14,
				0xcf } },
		.message = 5,
		.versions = { IC_VERSION(5, 0) },
		.nversions = 1,
	},
	[IC_FCOPY] = {
		.name = "fcopy",
		.title = "Guest Service Interface",
		.driver = "hv_utils of Linux 6.1 and before",
		.daemon = "hv_fcopy_daemon",
		.type = { 0x34d14be3, 0xdee4, 0x41c8,
			  { 0x9a, 0xe7, 0x6b, 0x17, 0x49, 0x77, 0xc1, 0x92 } },
		.instance = { 0xeb765408, 0x105f, 0x49b6,
			      { 0xb4, 0xaa, 0xc1, 0x23, 0xb6, 0x4d, 0x17,
				0xd4 } },
		.message = 7,
		.versions = { IC_VERSION(1, 1) },
		.nversions = 1,
	},
};

enum ic_kind ic_kind_of(const char *name)
{
	enum ic_kind k = 0;

	while (k < IC_KINDS && strcmp(name, ic_classes[k].name) != 0)
		k++;
	return k;
}

void ic_init(struct ic *ic, enum ic_kind kind, const struct ic_ops *ops,
	     void *ctx, uint64_t sequence)
{
	*ic = (struct ic) {
		.kind = kind,
		.ops = ops,
		.ctx = ctx,
		.sequence = sequence,
	};
	TAILQ_INIT(&ic->queue);
}

static void end(struct ic *ic, struct ic_request *q, const struct ic_answer *a)
{
	ic_done_fn done = q->done;
	void *arg = q->arg;

	TAILQ_REMOVE(&ic->queue, q, link);
	ic->nqueue--;
	free(q);
	done(arg, a);
}

/* Those that are there now: a callback may ask anew. */
static void end_all(struct ic *ic, int error)
{
	const struct ic_answer a = { .error = error };

	for (unsigned int n = ic->nqueue; n && !TAILQ_EMPTY(&ic->queue); n--)
		end(ic, TAILQ_FIRST(&ic->queue), &a);
}

void ic_fini(struct ic *ic)
{
	ic->state = IC_CLOSED;
	end_all(ic, -ECANCELED);
}

/* The guest sees the number in two places; zero stands for none here. */
static uint64_t next_number(struct ic *ic)
{
	if (++ic->sequence == 0)
		ic->sequence = 1;
	return ic->sequence;
}

static int negotiate(struct ic *ic)
{
	uint8_t p[IC_HEAD + 8 + 4 * (2 + IC_VERSIONS_MAX)];
	const struct ic_class *class = &ic_classes[ic->kind];
	struct icmsg m = {
		.type = IC_NEGOTIATE,
		.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
	};
	int r;

	ic->nversions = ic->ops->versions ? ic->ops->versions(ic)
					  : class->nversions;
	ic->negotiation = next_number(ic);
	m.transaction = (uint8_t)ic->negotiation;
	m.len = ic_negotiate_put(p + IC_HEAD, frameworks, ARRAY_LEN(frameworks),
				 class->versions, ic->nversions);
	r = ic->ops->send(ic, p, icmsg_put(p, &m), ic->negotiation);
	if (r < 0)
		ic->negotiation = 0;
	ic->blocked = r == -EAGAIN;
	return r;
}

/* The first that was not sent, unless one is out. */
static void send_next(struct ic *ic)
{
	struct ic_request *q = TAILQ_FIRST(&ic->queue);
	struct icmsg m;
	int r;

	if (ic->state == IC_NEGOTIATING && !ic->negotiation)
		(void)negotiate(ic);
	while (q && ic->state == IC_READY && !q->transaction) {
		const struct ic_answer lost = { .error = -ECONNRESET };

		q->transaction = next_number(ic);
		m = (struct icmsg) {
			.framework = ic->framework,
			.version = ic->version,
			.type = ic_classes[ic->kind].message,
			.transaction = (uint8_t)q->transaction,
			.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
			.len = q->len,
		};
		r = ic->ops->send(ic, q->packet, icmsg_put(q->packet, &m),
				  q->transaction);
		if (ic->state != IC_READY)
			return; /* the ring was corrupt, and @q is no more */
		ic->blocked = r == -EAGAIN;
		if (r == 0)
			return;
		q->transaction = 0;
		if (r == -EAGAIN)
			return;
		end(ic, q, &lost);
		q = TAILQ_FIRST(&ic->queue);
	}
}

void ic_opened(struct ic *ic)
{
	/* it may have been open: then it begins again */
	ic->state = IC_NEGOTIATING;
	ic->version = 0;
	ic->negotiation = 0;
	ic->blocked = false;
	end_all(ic, -ECONNRESET);
	send_next(ic);
}

void ic_closed(struct ic *ic)
{
	ic->state = IC_CLOSED;
	ic->version = 0;
	ic->blocked = false;
	ic->negotiation = 0;
	end_all(ic, -ECONNRESET);
}

static bool offered(const uint32_t *list, size_t n, uint32_t version)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == version)
			return true;
	return false;
}

static void on_negotiated(struct ic *ic, const struct icmsg *m)
{
	const struct ic_class *class = &ic_classes[ic->kind];
	uint32_t framework, version;
	int r = ic_negotiate_get(m->body, m->len, &framework, &version);

	if (r == 0 && (!offered(frameworks, ARRAY_LEN(frameworks), framework) ||
		       !offered(class->versions, ic->nversions, version)))
		r = -ENOTSUP;
	if (r == -EPROTO)
		ic->malformed++;
	ic->negotiation = 0;
	if (r < 0) {
		ic->state = IC_REFUSED;
		return;
	}
	ic->framework = framework;
	ic->version = version;
	ic->state = IC_READY;
	if (ic->ops->ready)
		ic->ops->ready(ic);
	send_next(ic);
}

void ic_packet(struct ic *ic, const uint8_t *p, size_t len,
	       uint64_t transaction)
{
	struct ic_request *q = TAILQ_FIRST(&ic->queue);
	struct ic_answer a = { 0 };
	struct icmsg m;

	if (ic->state == IC_CLOSED)
		return;
	if (icmsg_get(p, len, &m) < 0) {
		ic->malformed++;
		/* of whom it is can be told by the packet's number */
		if (!q || !q->transaction || q->transaction != transaction)
			return;
		a.error = -EPROTO;
		end(ic, q, &a);
		send_next(ic);
		return;
	}
	if (!(m.flags & IC_FLAG_RESPONSE) ||
	    m.transaction != (uint8_t)transaction) {
		ic->malformed++;
		return;
	}
	if (m.type == IC_NEGOTIATE && ic->state == IC_NEGOTIATING &&
	    ic->negotiation && transaction == ic->negotiation) {
		on_negotiated(ic, &m);
		return;
	}
	if (ic->state != IC_READY || !q || !q->transaction ||
	    q->transaction != transaction ||
	    m.type != ic_classes[ic->kind].message) {
		ic->stale++;
		return;
	}
	a.status = m.status;
	a.body = m.body;
	a.len = m.len;
	end(ic, q, &a);
	send_next(ic);
}

void ic_writable(struct ic *ic)
{
	if (!ic->blocked)
		return;
	ic->blocked = false;
	send_next(ic);
}

/* The one whose time is over. A callback may change the queue. */
static struct ic_request *overdue(const struct ic *ic)
{
	struct ic_request *q;

	TAILQ_FOREACH(q, &ic->queue, link)
	if (q->due <= ic->now)
		return q;
	return NULL;
}

void ic_time(struct ic *ic, uint64_t now)
{
	const struct ic_answer late = { .error = -ETIMEDOUT };
	unsigned int n = ic->nqueue;
	struct ic_request *q;

	ic->now = now;
	while (n-- && (q = overdue(ic)))
		end(ic, q, &late);
	if (!ic->blocked)
		send_next(ic);
}

uint64_t ic_deadline(const struct ic *ic)
{
	const struct ic_request *q = TAILQ_FIRST(&ic->queue);
	uint64_t at = 0;

	/* what was asked is sent by ic_time() */
	if (q && !q->transaction && ic->state == IC_READY && !ic->blocked)
		return 1;
	TAILQ_FOREACH(q, &ic->queue, link)
	if (!at || q->due < at)
		at = q->due;
	return at;
}

int ic_ask(struct ic *ic, const void *body, size_t len, uint32_t timeout_ms,
	   ic_done_fn done, void *arg)
{
	struct ic_request *q;

	if (ic->state != IC_READY)
		return -ENOTCONN;
	if (len > IC_BODY_MAX)
		return -EMSGSIZE;
	if (ic->nqueue >= IC_REQUESTS_MAX)
		return -ENOBUFS;
	q = malloc(sizeof(*q) + IC_HEAD + len);
	if (!q)
		return -ENOMEM;
	*q = (struct ic_request) {
		.due = ic->now + timeout_ms * MS,
		.done = done,
		.arg = arg,
		.len = len,
	};
	memcpy(q->packet + IC_HEAD, body, len);
	TAILQ_INSERT_TAIL(&ic->queue, q, link);
	ic->nqueue++;
	return 0;
}

bool ic_idle(const struct ic *ic)
{
	return !ic->nqueue;
}

const char *ic_state_text(const struct ic *ic, char *out, size_t size)
{
	const struct ic_class *class = &ic_classes[ic->kind];

	switch (ic->state) {
	case IC_CLOSED:
		snprintf(out, size,
			 "the guest has not opened the channel: its driver (%s) is missing",
			 class->driver);
		return out;
	case IC_NEGOTIATING:
		snprintf(out, size,
			 "the guest's driver does not answer: %s%s",
			 class->daemon ? class->daemon : "it is busy",
			 class->daemon ? " does not run there" : "");
		return out;
	case IC_REFUSED:
		snprintf(out, size,
			 "the guest's driver takes none of the versions that are spoken here");
		return out;
	default:
		return NULL;
	}
}
