/* SPDX-License-Identifier: MIT */
/*
 * fuzz-vmbus-ic.c - what a guest sends to the integration components
 *
 * The input is a program: open and close a channel, ask the guest something,
 * answer what was sent (whole, or with bytes changed), send anything, let time
 * pass. Each answer is decoded by all that decode one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "vmbus/ic/set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	const uint8_t *p;
	size_t left;
	struct ic_set set;
	uint64_t now, transaction;
	bool full;
	enum ic_kind kind; /* of the last packet */
	size_t len;
	uint8_t packet[IC_PACKET_MAX];
	unsigned int asked, told;
};

static uint8_t u8(struct fuzz *f)
{
	if (!f->left)
		return 0;
	f->left--;
	return *f->p++;
}

static int on_send(void *ctx, enum ic_kind kind, const void *packet, size_t len,
		   uint64_t transaction)
{
	struct fuzz *f = ctx;

	if (f->full)
		return -11; /* EAGAIN */
	if (len > sizeof(f->packet))
		abort();
	memcpy(f->packet, packet, len);
	f->len = len;
	f->kind = kind;
	f->transaction = transaction;
	return 0;
}

/* The guest's counter is known at times. */
static struct timesync_clock on_clock(void *ctx)
{
	uint64_t now = ((const struct fuzz *)ctx)->now;

	return (struct timesync_clock) { .wall = now / 100,
					 .known = now >> 30 & 1,
					 .reference = now / 100 };
}

static const struct ic_set_ops ops = { .send = on_send, .clock = on_clock };

static void on_done(void *arg, const struct ic_answer *a)
{
	static struct kvp_pair pair;
	static struct kvp_ip ip;
	struct fuzz *f = arg;

	f->told++;
	if (a->error)
		return;
	if (kvp_get(a->body, a->len, KVP_GET, &pair) == 0 &&
	    strlen(pair.key) + strlen(pair.value) >= sizeof(pair))
		abort();
	(void)kvp_get(a->body, a->len, KVP_ENUMERATE, &pair);
	(void)kvp_get_ip(a->body, a->len, &ip);
}

static void on_vss(void *arg, const struct ic_answer *a, bool no_daemon)
{
	(void)a;
	(void)no_daemon;
	((struct fuzz *)arg)->told++;
}

static void deliver(struct fuzz *f, enum ic_kind kind, const uint8_t *p,
		    size_t len, uint64_t transaction)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (!exact)
		abort();
	memcpy(exact, p, len);
	ic_set_packet(&f->set, kind, exact, len, transaction);
	free(exact);
}

/* What was sent comes back, with up to three bytes of it changed. */
static void answer(struct fuzz *f)
{
	uint8_t how = u8(f), copy[IC_PACKET_MAX];
	size_t len = f->len;

	memcpy(copy, f->packet, len);
	if (len < IC_HEAD)
		return;
	copy[25] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	if (!le16_get(copy + 12) && !(how & 8)) { /* agree */
		uint16_t n = le16_get(copy + IC_HEAD + 2);

		memcpy(copy + IC_HEAD + 12, copy + IC_HEAD + 12 + 4 * n, 4);
		le16_put(copy + IC_HEAD, 1);
		le16_put(copy + IC_HEAD + 2, 1);
		le16_put(copy + 18, 16);
	}
	for (unsigned int n = how & 3; n; n--) {
		size_t at = u8(f) | (size_t)u8(f) << 8;

		copy[at % len] = u8(f);
	}
	if (how & 4)
		len = u8(f) % (len + 1);
	deliver(f, f->kind, copy, len, f->transaction + (how >> 7));
}

static void anything(struct fuzz *f)
{
	enum ic_kind kind = u8(f) % IC_KINDS;
	uint8_t p[256], len = u8(f);

	for (size_t i = 0; i < len; i++)
		p[i] = u8(f);
	deliver(f, kind, p, len, f->transaction);
}

static void ask(struct fuzz *f)
{
	enum ic_kind kind = u8(f) % IC_KINDS;
	uint8_t body[KVP_BODY_MAX];
	int n = kvp_put(body, u8(f) % 4, KVP_GUEST, "key", "value");

	if (n > 0 && ic_ask(&f->set.ic[kind], body, (size_t)n, 1000, on_done,
			    f) == 0)
		f->asked++;
}

static void vss(struct fuzz *f)
{
	uint8_t what = u8(f);

	if (what & 1) {
		if (vss_freeze(&f->set.vss, 1000, 5000, what & 2, on_vss, f) ==
		    0)
			f->asked++;
	} else if (what & 4) {
		vss_leave(&f->set.vss, what & 2);
	} else if (vss_thaw(&f->set.vss, on_vss, f) == 0) {
		f->asked++;
	}
}

static void step(struct fuzz *f)
{
	uint8_t what = u8(f);
	enum ic_kind kind = what / 8 % IC_KINDS;

	switch (what % 8) {
	case 0:
		ic_set_opened(&f->set, kind);
		break;
	case 1:
		ic_set_closed(&f->set, kind);
		break;
	case 2:
		ask(f);
		break;
	case 3:
		anything(f);
		break;
	case 4:
		f->now += (uint64_t)u8(f) * 100000000;
		break;
	case 5:
		vss(f);
		break;
	case 6:
		f->full = what & 8;
		ic_set_writable(&f->set, what / 16 % IC_KINDS);
		break;
	default:
		answer(f);
	}
	ic_set_time(&f->set, f->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = calloc(1, sizeof(*f));
	unsigned int n = 0;

	if (!f)
		abort();
	f->p = data;
	f->left = size;
	f->now = 1000000000;
	ic_set_init(&f->set, &ops, f, 1);
	ic_set_time(&f->set, f->now);
	while (f->left)
		step(f);
	/* time alone comes to an end, and is not due without one */
	for (n = 0; n < 1000; n++) {
		uint64_t due = ic_set_deadline(&f->set);

		if (!due)
			break;
		f->now = due > f->now ? due : f->now;
		ic_set_time(&f->set, f->now);
	}
	ic_set_fini(&f->set);
	if (f->told != f->asked) /* at the end at the latest */
		abort();
	free(f);
	return 0;
}
