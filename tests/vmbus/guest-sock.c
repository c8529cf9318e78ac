/* SPDX-License-Identifier: MIT */
/* guest-sock.c - the socket driver of a guest, see guest.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define PACKET_DATA 4088u /* most payload that the guest sends in one */
#define FIN_SIZE 32u
#define MTU 16384u

static const uint8_t template_tail[12] = { 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58,
					   0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3 };

static uint32_t port_of(const uint8_t *guid)
{
	uint32_t port;

	memcpy(&port, guid, 4);
	return port;
}

static struct vg_listener *listener(struct vg *g, uint32_t port)
{
	struct vg_listener *l = g->listeners;

	while (l && l->port != port)
		l = l->next;
	return l;
}

static struct vg_sock *by_port(struct vg *g, uint32_t port)
{
	struct vg_sock *s = g->socks;

	while (s && (s->from_host || s->local != port))
		s = s->next;
	return s;
}

static struct vg_sock *sock_new(struct vg *g)
{
	struct vg_sock *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->g = g;
	s->next = g->socks;
	g->socks = s;
	return s;
}

static void sock_free(struct vg_sock *s)
{
	struct vg_sock **p = &s->g->socks;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	if (s->chan)
		s->chan->sock = NULL;
	free(s);
}

/* Pages of a ring, control page included, for a socket buffer. */
static uint32_t ring_pages(const struct vg *g, uint32_t buf)
{
	uint32_t size = buf < VG_DEFAULT_RING ? VG_DEFAULT_RING : buf;

	if (g->version < 0x50000)
		return VG_DEFAULT_RING / VG_PAGE;
	if (size > VG_MAX_RING)
		size = VG_MAX_RING;
	if (size < 8 * VG_PAGE)
		size += VG_PAGE;
	return (size + VG_PAGE - 1) / VG_PAGE;
}

void vg_sock_offered(struct vg_chan *c)
{
	struct vg *g = c->g;
	struct vg_sock *s;

	if (memcmp(c->type + 4, template_tail, 12))
		return;
	if (c->accept) {
		struct vg_listener *l = listener(g, port_of(c->type));

		if (!l || l->waiting >= l->backlog)
			return;
		s = sock_new(g);
		s->from_host = true;
		s->local = l->port;
		s->remote = port_of(c->instance);
		s->sndbuf = l->sndbuf;
		s->rcvbuf = l->rcvbuf;
		s->deadline = UINT64_MAX;
		l->waiting++;
	} else {
		s = by_port(g, port_of(c->instance));
		if (!s || s->state != VG_CONNECTING || s->chan || s->timed_out)
			return;
	}
	vg_chan_open(c, ring_pages(g, s->sndbuf), ring_pages(g, s->rcvbuf));
	if (c->state == VG_OFFERED) { /* no memory */
		if (s->from_host) {
			listener(g, s->local)->waiting--;
			sock_free(s);
		}
		return;
	}
	s->chan = c;
	c->sock = s;
}

void vg_sock_opened(struct vg_chan *c, bool good)
{
	struct vg_sock *s = c->sock;
	struct vg_listener *l;

	if (!s)
		return;
	l = s->from_host ? listener(c->g, s->local) : NULL;
	if (!good) {
		c->sock = NULL;
		s->chan = NULL;
		if (l)
			l->waiting--;
		if (s->from_host)
			sock_free(s);
		else if (s->program_gone || s->timed_out)
			s->deadline = 0; /* see vg_sock_work() */
		return;
	}
	/* an offer for an earlier socket of this port may be tried, not opened
	 */
	if (!s->from_host && port_of(c->type) != s->remote)
		vg_fault(c->g, "connected to another service");
	c->out.control[3] = 4120; /* asks to be rung when a packet fits */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	s->state = VG_ESTABLISHED;
	s->woken = true;
	s->deadline = UINT64_MAX;
	if (s->program_gone || (s->from_host && !l))
		vg_close(s);
}

void vg_sock_event(struct vg_chan *c)
{
	if (c->sock && c->state == VG_OPEN)
		c->sock->woken = true;
}

/* Both the program and the host are done with it. */
static void destroy(struct vg_sock *s)
{
	struct vg_chan *c = s->chan;

	sock_free(s);
	if (c)
		vg_chan_remove(c);
}

void vg_sock_rescinded(struct vg_chan *c)
{
	struct vg_sock *s = c->sock;

	if (!s) {
		vg_chan_remove(c);
		return;
	}
	s->state = VG_CLOSED;
	s->woken = true;
	if (s->program_gone)
		destroy(s);
}

bool vg_sock_work(struct vg *g)
{
	struct vg_sock *next;
	bool did = false;

	for (struct vg_sock *s = g->socks; s; s = next) {
		next = s->next;
		if (s->state != VG_CONNECTING || g->now < s->deadline ||
		    s->chan)
			continue;
		did = true;
		s->timed_out = true;
		s->state = VG_CLOSED;
		s->woken = true;
		if (s->program_gone)
			sock_free(s);
	}
	return did;
}

void vg_sock_reset(struct vg *g)
{
	struct vg_sock *next;

	for (struct vg_sock *s = g->socks; s; s = next) {
		next = s->next;
		if (s->chan)
			s->chan->sock = NULL;
		s->chan = NULL;
		s->have = false;
		s->state = VG_CLOSED;
		s->woken = true;
		if (s->program_gone || (s->from_host && !s->accepted))
			sock_free(s);
	}
	for (struct vg_listener *l = g->listeners; l; l = l->next)
		l->waiting = 0;
}

void vg_sock_end_all(struct vg *g)
{
	vg_sock_reset(g);
	while (g->socks)
		sock_free(g->socks);
}

/* ---- calls of programs */

void vg_listen(struct vg *g, uint32_t port, uint32_t backlog)
{
	struct vg_listener *l = listener(g, port);

	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			abort();
		l->next = g->listeners;
		g->listeners = l;
	}
	l->port = port;
	l->backlog = backlog;
}

void vg_unlisten(struct vg *g, uint32_t port)
{
	struct vg_sock *s;

	while ((s = vg_accept(g, port)))
		vg_close(s);
	for (struct vg_listener **p = &g->listeners; *p; p = &(*p)->next) {
		struct vg_listener *l = *p;

		if (l->port != port)
			continue;
		*p = l->next;
		free(l);
		return;
	}
}

struct vg_sock *vg_accept(struct vg *g, uint32_t port)
{
	struct vg_sock *found = NULL;

	/* the oldest is the last */
	for (struct vg_sock *s = g->socks; s; s = s->next)
		if (s->from_host && s->local == port && !s->accepted &&
		    s->state != VG_CONNECTING && !s->program_gone)
			found = s;
	if (!found)
		return NULL;
	found->accepted = true;
	found->woken = true;
	if (listener(g, port))
		listener(g, port)->waiting--;
	return found;
}

struct vg_sock *vg_connect(struct vg *g, uint32_t local, uint32_t remote,
			   uint32_t sndbuf, uint32_t rcvbuf)
{
	uint8_t m[40] = { 21 };
	struct vg_sock *s;

	if (!g->loaded || (local && by_port(g, local)))
		return NULL;
	while (!local) {
		if (!by_port(g, g->next_port))
			local = g->next_port;
		g->next_port++;
	}
	s = sock_new(g);
	s->local = local;
	s->remote = remote;
	s->sndbuf = sndbuf;
	s->rcvbuf = rcvbuf;
	s->deadline = g->now + g->connect_timeout;
	memcpy(m + 8, &local, 4);
	memcpy(m + 12, template_tail, 12);
	memcpy(m + 24, &remote, 4);
	memcpy(m + 28, template_tail, 12);
	vg_post(g, m, sizeof(m));
	return s;
}

static bool writable_channel(const struct vg_sock *s)
{
	return s->chan && s->chan->state == VG_OPEN && !s->chan->rescinded;
}

ssize_t vg_send(struct vg_sock *s, const void *buf, size_t len)
{
	size_t done = 0;

	if (s->state == VG_CONNECTING)
		return -ENOTCONN;
	if (s->state == VG_CLOSED || s->fin_sent || !writable_channel(s))
		return -EPIPE;
	while (done < len) {
		uint32_t room = vg_ring_to_write(&s->chan->out), pipe[2];
		size_t n = len - done;
		bool ring;

		if (room <= 40 + FIN_SIZE)
			break;
		room = (room - 40 - FIN_SIZE) / 8 * 8;
		if (!room)
			break;
		if (n > room)
			n = room;
		if (n > PACKET_DATA)
			n = PACKET_DATA;
		pipe[0] = 1;
		pipe[1] = (uint32_t)n;
		if (vg_ring_write(&s->chan->out, pipe, 8,
				  (const uint8_t *)buf + done, (uint32_t)n, 0,
				  &ring) < 0)
			break;
		done += n;
		if (ring)
			vg_signal(s->chan);
	}
	return done ? (ssize_t)done : -EAGAIN;
}

/* The next packet. Return: 1, 0 (none), -EIO. */
static int refill(struct vg_sock *s)
{
	struct vg_ring *r = &s->chan->in;
	uint8_t head[16];
	uint32_t len = vg_ring_first(r, head), pipe[2], trailer[2];

	if (!len)
		return 0;
	if (len == UINT32_MAX || len < 24 || head[0] != 6 || head[1] ||
	    head[2] != 2 || head[3])
		goto bad;
	vg_ring_copy_out(r, r->priv + 16, pipe, 8);
	vg_ring_copy_out(r, r->priv + len, trailer, 8);
	if (pipe[0] != 1 || pipe[1] > len - 24 || pipe[1] > MTU ||
	    len != 24 + (pipe[1] + 7) / 8 * 8 || trailer[0] ||
	    trailer[1] != r->priv)
		goto bad;
	s->have = true;
	s->data = (r->priv + 24) % r->size;
	s->len = pipe[1];
	s->total = len;
	s->off = 0;
	if (!s->len)
		s->fin_seen = true;
	return 1;
bad:
	vg_fault(s->g, "a packet of the host's is malformed");
	return -EIO;
}

ssize_t vg_recv(struct vg_sock *s, void *buf, size_t len)
{
	size_t done = 0;

	if (s->state == VG_CONNECTING)
		return -ENOTCONN;
	if (!s->chan || s->chan->state != VG_OPEN)
		return 0;
	while (done < len && !s->fin_seen) {
		struct vg_ring *r = &s->chan->in;
		uint32_t n;

		if (!s->have) {
			/* exactly a FIN is not data, and stays in the ring */
			if (vg_ring_to_read(r) == FIN_SIZE) {
				s->fin_seen = true;
				break;
			}
			n = (uint32_t)refill(s);
			if ((int)n <= 0) {
				if ((int)n < 0)
					return -EIO;
				break;
			}
			continue;
		}
		n = s->len - s->off;
		if (n > len - done)
			n = (uint32_t)(len - done);
		vg_ring_copy_out(r, s->data + s->off, (uint8_t *)buf + done, n);
		done += n;
		s->off += n;
		if (s->off < s->len)
			break;
		vg_ring_next(r, s->total);
		s->have = false;
		/* only when all that can be seen was read */
		if (refill(s) == 0 && vg_ring_commit(r) && !s->chan->rescinded)
			vg_signal(s->chan);
	}
	if (done)
		return (ssize_t)done;
	return s->fin_seen || s->state == VG_CLOSED ? 0 : -EAGAIN;
}

void vg_shutdown(struct vg_sock *s)
{
	static const uint32_t pipe[2] = { 1, 0 };
	bool ring;

	if (s->fin_sent || s->state == VG_CONNECTING || !writable_channel(s))
		return;
	s->fin_sent = true;
	if (vg_ring_write(&s->chan->out, pipe, 8, NULL, 0, 0, &ring) < 0)
		vg_fault(s->g, "no room for the guest's FIN");
	if (ring)
		vg_signal(s->chan);
}

void vg_close(struct vg_sock *s)
{
	struct vg_listener *l;

	s->program_gone = true;
	if (s->from_host && !s->accepted) {
		l = listener(s->g, s->local);
		if (l)
			l->waiting--;
		s->accepted = true;
	}
	if (s->state == VG_CONNECTING) {
		/* waits for the open that is under way */
		if (!s->chan)
			sock_free(s);
		return;
	}
	vg_shutdown(s);
	if (s->state == VG_CLOSED || !writable_channel(s)) {
		destroy(s);
		return;
	}
	s->deadline = s->g->now + s->g->linger;
}

bool vg_woken(struct vg_sock *s)
{
	bool woken = s->woken;

	s->woken = false;
	return woken;
}

uint32_t vg_socks(const struct vg *g, uint32_t *ret_lingering)
{
	uint32_t n = 0;

	*ret_lingering = 0;
	for (const struct vg_sock *s = g->socks; s; s = s->next) {
		n++;
		*ret_lingering += s->program_gone;
	}
	return n;
}
