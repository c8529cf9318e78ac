/* SPDX-License-Identifier: MIT */
/* rig.c - see rig.h */
#include "rig.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "transport/vhost-user/message.h"

#define PACKET_COST 576u
#define SETTLE_PORT 0xfffffff0u
#define SETTLE_ROUNDS 10 /* more than UNASKED_MAX in base/ev.c */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint8_t rig_byte(uint32_t seed, uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16) * 13 +
			 seed * 101);
}

/* ---- the guest */

struct vsock_header rig_header(const struct guest_end *g, enum vsock_op op)
{
	return (struct vsock_header) {
		.src_cid = DRV_CID,
		.dst_cid = 2,
		.src_port = g->port,
		.dst_port = g->host_port,
		.type = VSOCK_STREAM,
		.op = (uint16_t)op,
		.buf_alloc = g->buf_alloc,
		.fwd_cnt = (uint32_t)g->fwd,
	};
}

void rig_put(struct rig *r, const struct vsock_header *h, const void *payload)
{
	uint64_t end = now_ms() + RIG_LIMIT_MS;

	while (!drv_tx(&r->d, h, payload)) {
		ck_assert_msg(now_ms() < end, "the device takes no packets");
		/* whoever sends all the time would take each free place */
		r->urgent = true;
		rig_step(r, 100);
		r->urgent = false;
	}
}

void rig_packet(struct rig *r, int i, enum vsock_op op, uint32_t flags)
{
	struct guest_end *g = &r->guest[i];
	struct vsock_header h = rig_header(g, op);

	h.flags = flags;
	if (op == VSOCK_OP_SHUTDOWN)
		g->shut |= flags;
	g->told_fwd = (uint32_t)g->fwd;
	rig_put(r, &h, NULL);
}

static struct guest_end *find(struct rig *r, const struct vsock_header *h)
{
	for (int i = 0; i < RIG_ENDS; i++)
		if (r->guest[i].used && r->guest[i].port == h->dst_port &&
		    r->guest[i].host_port == h->src_port)
			return &r->guest[i];
	return NULL;
}

/* A program in the guest reads everything. */
static void consume(struct rig *r, struct guest_end *g)
{
	uint64_t was = g->fwd;

	if (g->stalled || (g->fwd == g->received && !g->credit_asked) ||
	    !r->d.tx_free)
		return;
	g->fwd = g->received;
	g->packets_unread = 0;
	/* Linux tells when less than 64 KiB are free, or its queue is empty */
	if ((g->fwd != was || g->credit_asked) && g->open && !g->reset)
		rig_packet(r, (int)(g - r->guest), VSOCK_OP_CREDIT_UPDATE, 0);
	g->credit_asked = false;
}

void rig_on_packet(void *ctx, const struct vsock_header *h,
		      const uint8_t *payload)
{
	struct rig *r = ctx;
	struct guest_end *g;

	r->packets++;
	r->last = *h;
	must(h->dst_cid == DRV_CID);
	if (r->hook && r->hook(r, h, payload))
		return;
	if (r->no_auto)
		return;
	g = find(r, h);
	if (!g) {
		if (h->op == VSOCK_OP_RST && h->dst_port == SETTLE_PORT)
			r->settled++;
		else if (h->op == VSOCK_OP_RST)
			r->rst_unknown++;
		return;
	}
	must(h->src_cid == 2);
	must(h->type == VSOCK_STREAM);
	if (h->op != VSOCK_OP_RST || h->buf_alloc) {
		must(h->buf_alloc > 0);
		must(h->fwd_cnt <= g->sent);
		g->peer_alloc = h->buf_alloc;
		g->peer_fwd = h->fwd_cnt;
	}
	switch (h->op) {
	case VSOCK_OP_REQUEST:
		g->asked = true;
		break;
	case VSOCK_OP_RESPONSE:
		must(!g->open);
		g->open = true;
		break;
	case VSOCK_OP_RST:
		g->reset = true;
		break;
	case VSOCK_OP_SHUTDOWN:
		must(h->flags != 0);
		must(h->flags <= 3);
		g->peer_shut |= h->flags;
		break;
	case VSOCK_OP_RW:
		must(g->open);
		must(h->len > 0);
		must(!(g->peer_shut & VSOCK_SHUT_SEND));
		for (uint32_t i = 0; i < h->len; i++)
			must(payload[i] ==
			     rig_byte(g->seed + 1, g->received + i));
		g->received += h->len;
		must(g->received - g->fwd <= g->buf_alloc);
		/* the guest's own limit, for which it would reset */
		g->packets_unread++;
		if (g->packets_unread > g->packets_most)
			g->packets_most = g->packets_unread;
		must(g->packets_unread * PACKET_COST <= g->buf_alloc);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		g->credit_packets++;
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		g->credit_asked = true;
		break;
	default:
		ck_abort_msg("op %u for the guest", h->op);
	}
}

static bool guest_sends(struct rig *r, struct guest_end *g)
{
	static uint8_t buf[65536];
	uint64_t flying = g->sent - g->peer_fwd, n = g->to_send - g->sent;
	uint64_t window = g->peer_alloc;
	struct vsock_header h;

	if (!g->open || g->reset || !n || g->peer_shut & VSOCK_SHUT_RCV ||
	    !r->d.tx_free)
		return false;
	/* Linux: not more than its own buffer's size ahead */
	if (window > g->buf_alloc)
		window = g->buf_alloc;
	if (window <= flying)
		return false;
	if (n > window - flying)
		n = window - flying;
	if (n > g->chunk)
		n = g->chunk;
	h = rig_header(g, VSOCK_OP_RW);
	h.len = (uint32_t)n;
	for (uint64_t i = 0; i < n; i++)
		buf[i] = rig_byte(g->seed, g->sent + i);
	if (!drv_tx(&r->d, &h, buf))
		return false;
	g->sent += n;
	return true;
}

/* ---- programs */

static bool prog_works(struct prog_end *p)
{
	static uint8_t buf[65536];
	bool any = false;
	ssize_t n;

	if (p->sent < p->to_send) {
		uint64_t len = p->to_send - p->sent;

		if (len > p->chunk)
			len = p->chunk;
		for (uint64_t i = 0; i < len; i++)
			buf[i] = rig_byte(p->seed, p->sent + i);
		n = send(p->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			p->sent += (uint64_t)n;
			any = true;
		}
	}
	if (p->shut_when_sent && p->sent == p->to_send) {
		p->shut_when_sent = false;
		p->shut = true;
		must(shutdown(p->fd, SHUT_WR) == 0);
		any = true;
	}
	while (!p->stalled && !p->eof && !p->error) {
		n = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			break;
		any = true;
		if (n < 0) {
			p->error = errno;
			break;
		}
		if (n == 0)
			p->eof = true;
		for (ssize_t i = 0; i < n; i++)
			must(buf[i] ==
			     rig_byte(p->seed - 1, p->received + (uint64_t)i));
		p->received += (uint64_t)n;
	}
	return any;
}

/* ---- the loop */

static void nap(struct rig *r, int ms)
{
	struct pollfd p[8 + RIG_ENDS];
	nfds_t n = 0;

	p[n++] = (struct pollfd) { .fd = r->b.conn >= 0 ? r->b.conn
							: r->b.listener,
				   .events = POLLIN };
	p[n++] = (struct pollfd) { .fd = r->d.rings[0].call, .events = POLLIN };
	p[n++] = (struct pollfd) { .fd = r->d.rings[1].call, .events = POLLIN };
	for (int i = 0; i < RIG_ENDS; i++) {
		struct prog_end *e = &r->prog[i];
		short events = 0;

		if (e->fd < 0)
			continue;
		if (e->sent < e->to_send)
			events |= POLLOUT;
		if (!e->stalled && !e->eof && !e->error)
			events |= POLLIN;
		if (events)
			p[n++] = (struct pollfd) { .fd = e->fd,
						   .events = events };
	}
	(void)poll(p, n, ms);
}

void rig_step(struct rig *r, int ms)
{
	bool any;

	any = drv_poll(&r->d);
	any |= fb_poll(&r->b);
	if (r->service)
		any |= svc_poll(r->service);
	r->turn++; /* another one is the first each time */
	for (unsigned int at = 0; at < RIG_ENDS; at++) {
		unsigned int i = (r->turn + at) % RIG_ENDS;

		if (r->guest[i].used && !r->urgent) {
			consume(r, &r->guest[i]);
			any |= guest_sends(r, &r->guest[i]);
		}
		if (r->prog[i].fd >= 0)
			any |= prog_works(&r->prog[i]);
	}
	if (!any)
		nap(r, ms);
}

void rig_wait(struct rig *r, rig_fn fn, void *arg, const char *what)
{
	uint64_t end = now_ms() + RIG_LIMIT_MS;
	int status;

	while (!fn(r, arg)) {
		ck_assert_msg(now_ms() < end, "waited in vain for: %s", what);
		ck_assert_msg(waitpid(r->child, &status, WNOHANG) == 0,
			      "the program ended (status %x) before: %s",
			      status, what);
		rig_step(r, 100);
	}
}

bool rig_idle_state(struct rig *r, void *running)
{
	return r->b.state == *(uint32_t *)running;
}

static bool settled(struct rig *r, void *arg)
{
	return r->settled > *(unsigned int *)arg;
}

void rig_settle(struct rig *r)
{
	const struct vsock_header h = { .src_cid = DRV_CID,
					.dst_cid = 2,
					.src_port = SETTLE_PORT,
					.dst_port = 0xfffffff1,
					.type = 77,
					.op = VSOCK_OP_RW };

	/* it may look at the rings some times before it asks for events */
	for (int i = 0; i < SETTLE_ROUNDS; i++) {
		unsigned int before = r->settled;

		rig_put(r, &h, NULL);
		rig_wait(r, settled, &before, "a reset for an unknown type");
	}
}

/* ---- connections */

void rig_connect(struct rig *r, int i, uint32_t port, uint32_t host_port)
{
	r->guest[i] = (struct guest_end) { .used = true,
					   .port = port,
					   .host_port = host_port,
					   .seed = (uint32_t)i * 2,
					   .buf_alloc = 262144,
					   .chunk = 65536 };
	rig_packet(r, i, VSOCK_OP_REQUEST, 0);
}

static bool dialled(struct rig *r, void *arg)
{
	(void)arg;
	return r->b.ndials > 0;
}

static bool is_open(struct rig *r, void *arg)
{
	return r->guest[*(int *)arg].open;
}

void rig_connected(struct rig *r, int i, uint32_t port, uint32_t host_port)
{
	rig_connect(r, i, port, host_port);
	rig_wait(r, dialled, NULL, "DIAL");
	r->prog[i] = (struct prog_end) { .seed = (uint32_t)i * 2 + 1,
					 .chunk = 65536 };
	r->prog[i].fd = fb_dial_accept(&r->b, 0, NULL);
	rig_wait(r, is_open, &i, "RESPONSE");
}

bool rig_all_arrived(struct rig *r, void *n)
{
	for (int i = 0; i < *(int *)n; i++)
		if (r->prog[i].received != r->guest[i].to_send ||
		    r->guest[i].received != r->prog[i].to_send)
			return false;
	return true;
}

bool rig_was_reset(struct rig *r, void *i)
{
	return r->guest[*(int *)i].reset;
}

int rig_run(Suite *s)
{
	SRunner *runner = srunner_create(s);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
