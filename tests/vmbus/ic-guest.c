/* SPDX-License-Identifier: MIT */
/* ic-guest.c - see ic-guest.h */
#include "ic-guest.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static int on_send(void *ctx, enum ic_kind kind, const void *packet, size_t len,
		   uint64_t transaction)
{
	struct ig *g = ctx;
	struct ig_packet *p = &g->sent[g->nsent % SENT_MAX];

	if (g->send_error)
		return g->send_error;
	ck_assert_uint_le(len, sizeof(p->data));
	p->kind = kind;
	p->transaction = transaction;
	p->len = len;
	memcpy(p->data, packet, len);
	g->nsent++;
	return 0;
}

static struct timesync_clock on_clock(void *ctx)
{
	const struct ig *g = ctx;

	return (struct timesync_clock) { .wall = g->wall,
					 .known = g->reference != 0,
					 .reference = g->reference };
}

static const struct ic_set_ops ops = { .send = on_send, .clock = on_clock };

struct ig *ig_new(void)
{
	struct ig *g = calloc(1, sizeof(*g));

	ck_assert_ptr_nonnull(g);
	g->now = IG_S;
	g->wall = 133000000000000000ull;
	ic_set_init(&g->set, &ops, g, 250);
	ic_set_time(&g->set, g->now);
	return g;
}

void ig_free(struct ig *g)
{
	ic_set_fini(&g->set);
	free(g);
}

void ig_pass(struct ig *g, uint64_t ns)
{
	uint64_t end = g->now + ns;
	unsigned int steps = 0;

	do {
		uint64_t due = ic_set_deadline(&g->set);
		uint64_t next = due && due < end ? due : end;

		if (next < g->now)
			next = g->now; /* it is overdue */
		g->wall += (next - g->now) / 100;
		if (g->reference)
			g->reference += (next - g->now) / 100;
		g->now = next;
		ic_set_time(&g->set, g->now);
		ck_assert_uint_lt(++steps, 100000);
	} while (g->now < end);
	/* nothing is due without end */
	for (steps = 0; ic_set_deadline(&g->set) &&
			ic_set_deadline(&g->set) <= g->now;
	     steps++) {
		ck_assert_uint_lt(steps, 100);
		ic_set_time(&g->set, g->now);
	}
}

bool ig_none(const struct ig *g)
{
	return g->taken == g->nsent;
}

struct ig_packet *ig_take(struct ig *g)
{
	ck_assert_msg(!ig_none(g), "nothing was sent");
	ck_assert_uint_le(g->nsent - g->taken, SENT_MAX);
	return &g->sent[g->taken++ % SENT_MAX];
}

void ig_answer(struct ig *g, struct ig_packet *p, uint32_t status)
{
	/* exactly as long as it is, so that sanitizers see the end */
	uint8_t *exact = malloc(p->len);

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, p->data, p->len);
	le32_put(exact + 20, status);
	exact[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	ic_set_packet(&g->set, p->kind, exact, p->len, p->transaction);
	free(exact);
}

struct icmsg ig_message(const struct ig_packet *p)
{
	struct icmsg m;

	ck_assert_int_eq(icmsg_get(p->data, p->len, &m), 0);
	return m;
}

void ig_ready(struct ig *g, enum ic_kind kind)
{
	const struct ic_class *class = &ic_classes[kind];
	size_t n = class->nversions;
	struct ig_packet *p;
	uint8_t *body;

	/* the newest time has a counter that is known */
	if (kind == IC_TIMESYNC && !g->reference)
		n--;

	ic_set_opened(&g->set, kind);
	p = ig_take(g);
	ck_assert_int_eq(p->kind, kind);
	ck_assert_uint_eq(ig_message(p).type, IC_NEGOTIATE);
	body = p->data + IC_HEAD;
	/* two of the framework, then these: the last is the newest */
	ck_assert_uint_eq(le16_get(body), 2);
	ck_assert_uint_eq(le16_get(body + 2), n);
	memcpy(body + 8, body + 12, 4);
	memcpy(body + 12, body + 8 + 4 * (2 + n - 1), 4);
	le16_put(body, 1);
	le16_put(body + 2, 1);
	le16_put(p->data + 18, 16);
	ig_answer(g, p, 0);
	ck_assert_int_eq(g->set.ic[kind].state, IC_READY);
	ck_assert_uint_eq(g->set.ic[kind].version,
			  class->versions[n - 1]);
}
