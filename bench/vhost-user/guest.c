/* SPDX-License-Identifier: MIT */
/* guest.c - see guest.h */
#include "guest.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../lib.h"
#include "base/bytes.h"

#define RX 0
#define TX 1
#define SLOTS (DRV_NUM / 2) /* a header's descriptor and the payload's */
#define HEADERS_AT 0x200000u
#define HEADER_SPACE 64u
#define PAYLOAD_AT 0x300000u
#define PORTS 1024u /* + VG_CONNS * n + index */
#define STUCK_MS 20000

/* ---- rings */

static uint16_t load16(const struct vguest *g, uint64_t off)
{
	return __atomic_load_n((uint16_t *)(void *)(g->d.ram + off),
			       __ATOMIC_ACQUIRE);
}

static void store16(struct vguest *g, uint64_t off, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)(g->d.ram + off), v,
			 __ATOMIC_RELEASE);
}

/* Not seen before give_end(). */
static void give(struct vguest *g, unsigned int ring, uint16_t head)
{
	struct drv_ring *r = &g->d.rings[ring];

	le16_put(g->d.ram + r->avail + 4 + 2u * (r->avail_idx++ % DRV_NUM),
		 head);
}

static void give_end(struct vguest *g, unsigned int ring, uint16_t old)
{
	struct drv_ring *r = &g->d.rings[ring];
	uint16_t event;

	if (r->avail_idx == old)
		return;
	store16(g, r->avail + 2, r->avail_idx);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = load16(g, r->used + 4 + 8 * DRV_NUM);
	if ((uint16_t)(r->avail_idx - event - 1) <
	    (uint16_t)(r->avail_idx - old))
		drv_kick(&g->d, ring);
}

static bool take(struct vguest *g, unsigned int ring, uint32_t *ret_id)
{
	struct drv_ring *r = &g->d.rings[ring];
	const uint8_t *e = g->d.ram + r->used + 4 + 8u * (r->used_seen %
							   DRV_NUM);

	if (load16(g, r->used + 2) == r->used_seen)
		return false;
	*ret_id = le32_get(e);
	must(*ret_id < DRV_NUM);
	r->used_seen++;
	return true;
}

/* ---- packets out */

static void put_slot(struct vguest *g, const struct vsock_header *h)
{
	unsigned int slot = g->free_slots[--g->nfree];
	uint64_t head = HEADERS_AT + slot * HEADER_SPACE;
	uint64_t table = g->d.rings[TX].desc;

	vsock_header_encode(h, g->d.ram + head);
	drv_put_desc(&g->d, table, slot * 2, drv_gpa(head), VSOCK_HEADER,
		     h->len ? VRING_DESC_F_NEXT : 0, (uint16_t)(slot * 2 + 1));
	if (h->len)
		drv_put_desc(&g->d, table, slot * 2 + 1,
			     drv_gpa(PAYLOAD_AT + slot * 65536ull), h->len, 0,
			     0);
	give(g, TX, (uint16_t)(slot * 2));
	g->packets_out++;
}

static struct vsock_header header(struct vconn *c, enum vsock_op op)
{
	c->told = c->got;
	return (struct vsock_header) { .src_cid = DRV_CID,
				       .dst_cid = VSOCK_CID_HOST,
				       .src_port = c->port,
				       .dst_port = c->host_port,
				       .type = VSOCK_STREAM,
				       .op = (uint16_t)op,
				       .buf_alloc = VG_WINDOW,
				       .fwd_cnt = c->got };
}

static void say(struct vguest *g, struct vconn *c, enum vsock_op op)
{
	must(g->wait_n < VG_WAITING);
	g->waiting[(g->wait_at + g->wait_n++) % VG_WAITING] = header(c, op);
}

/* One packet of @c's data, if it may. */
static bool put_data(struct vguest *g, struct vconn *c)
{
	uint32_t window = c->peer_alloc < VG_WINDOW ? c->peer_alloc : VG_WINDOW;
	uint32_t on_way = c->sent - c->peer_fwd;
	uint32_t len = c->to_send < c->size ? (uint32_t)c->to_send : c->size;
	struct vsock_header h;

	if (!c->to_send || !c->open || on_way >= window)
		return false;
	if (len > window - on_way)
		len = window - on_way;
	h = header(c, VSOCK_OP_RW);
	h.len = len;
	put_slot(g, &h);
	c->sent += len;
	c->to_send -= len;
	return true;
}

static bool transmit(struct vguest *g)
{
	uint16_t old = g->d.rings[TX].avail_idx;
	unsigned int idle = 0;
	uint32_t id;

	while (take(g, TX, &id))
		g->free_slots[g->nfree++] = (uint8_t)(id / 2);
	for (; g->wait_n && g->nfree; g->wait_n--)
		put_slot(g, &g->waiting[g->wait_at++ % VG_WAITING]);
	while (g->nfree && idle < g->nconns) {
		if (g->turn >= g->nconns)
			g->turn = 0;
		idle = put_data(g, &g->conns[g->turn++]) ? 0 : idle + 1;
	}
	give_end(g, TX, old);
	return g->d.rings[TX].avail_idx != old;
}

/* ---- packets in */

static struct vconn *find(struct vguest *g, const struct vsock_header *h)
{
	uint32_t i = h->dst_port >= VG_LISTENS
			     ? (h->dst_port - VG_LISTENS) % VG_CONNS
			     : (h->dst_port - PORTS) % VG_CONNS;
	struct vconn *c = &g->conns[i];

	if (h->op == VSOCK_OP_REQUEST) {
		*c = (struct vconn) { .port = h->dst_port,
				      .host_port = h->src_port,
				      .used = true };
		if (i >= g->nconns)
			g->nconns = i + 1;
	}
	return c->used && c->port == h->dst_port &&
			       c->host_port == h->src_port
		       ? c
		       : NULL;
}

static void end(struct vguest *g, struct vconn *c)
{
	c->over = true;
	c->used = false;
	c->to_send = 0;
	g->ended++;
}

static void packet(struct vguest *g, const struct vsock_header *h)
{
	struct vconn *c = find(g, h);

	g->packets_in++;
	if (!c)
		return;
	c->peer_alloc = h->buf_alloc;
	c->peer_fwd = h->fwd_cnt;
	switch (h->op) {
	case VSOCK_OP_REQUEST:
		c->open = true;
		g->accepted++;
		say(g, c, VSOCK_OP_RESPONSE);
		break;
	case VSOCK_OP_RESPONSE:
		c->open = true;
		break;
	case VSOCK_OP_RW:
		c->got += h->len;
		c->received += h->len;
		g->bytes_in += h->len;
		if (VG_WINDOW - (c->got - c->told) < 65536)
			say(g, c, VSOCK_OP_CREDIT_UPDATE);
		break;
	case VSOCK_OP_CREDIT_REQUEST:
		say(g, c, VSOCK_OP_CREDIT_UPDATE);
		break;
	case VSOCK_OP_SHUTDOWN:
		c->peer_shut |= (uint8_t)h->flags;
		if (c->peer_shut == VSOCK_SHUT_BOTH && !c->over) {
			say(g, c, VSOCK_OP_RST);
			end(g, c);
		}
		break;
	case VSOCK_OP_RST:
		end(g, c);
		break;
	default:
		break;
	}
}

/* Buffers go back in batches, as Linux does it. */
static void refill(struct vguest *g, bool all)
{
	uint16_t n = (uint16_t)(g->d.rings[RX].avail_idx - g->rx_given);

	if (n && (all || n > DRV_NUM / 2)) {
		give_end(g, RX, g->rx_given);
		g->rx_given = g->d.rings[RX].avail_idx;
	}
}

static bool receive(struct vguest *g)
{
	struct vsock_header h;
	bool any = false;
	uint32_t id;

	while (take(g, RX, &id)) {
		vsock_header_decode(g->d.ram + drv_rx_slot(id), &h);
		packet(g, &h);
		give(g, RX, (uint16_t)id);
		refill(g, false);
		any = true;
	}
	refill(g, true);
	return any;
}

/* ---- the loop */

static bool arm(struct vguest *g)
{
	bool any = false;

	for (unsigned int i = RX; i <= TX; i++)
		store16(g, g->d.rings[i].avail + 4 + 2 * DRV_NUM,
			g->d.rings[i].used_seen);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (unsigned int i = RX; i <= TX; i++)
		any |= load16(g, g->d.rings[i].used + 2) !=
		       g->d.rings[i].used_seen;
	return any;
}

static void sleep_until_called(struct vguest *g)
{
	struct pollfd p[3] = {
		{ .fd = g->d.rings[RX].call, .events = POLLIN },
		{ .fd = g->d.rings[TX].call, .events = POLLIN },
		{ .fd = g->also, .events = POLLIN },
	};
	uint64_t v;

	if (arm(g))
		return;
	if (poll(p, 3, STUCK_MS) <= 0)
		die("the guest is not woken");
	for (int i = 0; i < 2; i++)
		if (p[i].revents && read(p[i].fd, &v, sizeof(v)) == sizeof(v))
			g->d.interrupts += v;
}

void vg_run(struct vguest *g, vg_fn fn, void *arg)
{
	double since = 0;
	unsigned int idle = 0;

	for (;;) {
		bool any = transmit(g);

		any |= receive(g);
		if (fn(g, arg))
			break;
		if (any || g->wait_n) {
			idle = 0;
		} else if (!g->spin) {
			sleep_until_called(g);
		} else if (!(++idle & 0xfffff)) {
			if (idle == 0x100000)
				since = now_s();
			else if (now_s() - since > STUCK_MS / 1e3)
				die("nothing comes to the guest");
		} else {
			__builtin_ia32_pause();
		}
	}
	(void)transmit(g); /* what the last packets have led to */
}

struct vconn *vg_dial(struct vguest *g, unsigned int i, uint32_t host_port)
{
	struct vconn *c = &g->conns[i];

	must(i < VG_CONNS);
	/* another port each time: the old one may linger */
	g->next_dial = (g->next_dial + 1) % 16;
	*c = (struct vconn) { .port = PORTS + g->next_dial * VG_CONNS + i,
			      .host_port = host_port,
			      .used = true };
	if (i >= g->nconns)
		g->nconns = i + 1;
	say(g, c, VSOCK_OP_REQUEST);
	return c;
}

uint64_t vg_events(const struct vguest *g)
{
	return g->d.kicks + g->d.interrupts;
}

/* ---- lifetime */

void vg_start(struct vguest *g, const char *path, bool any)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	double since = now_s();

	memset(g, 0, sizeof(*g));
	drv_init(&g->d);
	g->d.any_device = any;
	g->also = -1;
	must(strlen(path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, path);
	/* it has just been started */
	while (connect(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (now_s() - since > 10)
			die(path);
		(void)poll(NULL, 0, 10);
	}
	drv_handshake(&g->d, sock);
	must(drv_memory(&g->d) == 0);
	drv_start(&g->d);
	g->rx_given = g->d.rings[RX].avail_idx;
	for (unsigned int i = 0; i < SLOTS; i++)
		g->free_slots[g->nfree++] = (uint8_t)(SLOTS - 1 - i);
	/* pages that are there already */
	memset(g->d.ram + HEADERS_AT, 1, PAYLOAD_AT - HEADERS_AT);
	memset(g->d.ram + PAYLOAD_AT, 1, SLOTS * 65536u);
}

void vg_stop(struct vguest *g)
{
	drv_fini(&g->d);
}
