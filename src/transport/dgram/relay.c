/* SPDX-License-Identifier: MIT */
/* relay.c - see relay.h */
#include "transport/dgram/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/fdmsg.h"
#include "base/guid.h"
#include "transport/closer.h"
#include "transport/dgram/relay-internal.h"

#define PER_TURN 32 /* datagrams of one sender, then others' */
#define ROUTES_MAX 64 /* kept for one sender */
#define BEYOND_MAX 512 /* kept for all that is beyond an uplink */
/* What the kernel holds for a receiver is in none of our limits: no more than
 * two of the largest. (It takes twice that for its own needs.) */
#define SNDBUF (DGRAM_HEADER + DGRAM_MAX + 64)

/* ---- One that waits for its way ------------------------------------------*/

static void pending_start(struct sock *s, struct load *l,
			  const struct way *way, uint32_t serial)
{
	s->pending = l;
	s->pending_way = *way;
	s->pending_serial = serial;
	DL_APPEND(s->r->pending, s);
}

static void pending_end(struct sock *s)
{
	if (!s->pending)
		return;
	s->pending = load_unref(s->pending);
	DL_DELETE(s->r->pending, s);
}

/* ---- Sockets -------------------------------------------------------------*/

static void on_sock(struct ev_io *io, uint32_t events);

void watch(struct sock *s)
{
	uint32_t events = 0;

	if (s->dead)
		return;
	if (!s->pending)
		events |= EPOLLIN;
	if ((s->queue.messages || (s->bridge && s->bridge->out)) && !s->hup)
		events |= EPOLLOUT;
	/* a socket whose peer has gone is always reported */
	if (!events && s->hup) {
		ev_io_stop(&s->io);
		return;
	}
	if ((!s->io.ev || s->io.events != events) &&
	    ev_io_start(s->r->ev, &s->io, s->fd, events, on_sock) < 0)
		log_err("no memory to watch a socket");
}

static void sock_free(void *p)
{
	struct sock *s = p;

	bridge_free(s->bridge);
	free(s);
}

static void end_if_idle(struct relay *r)
{
	/* what goes over uplinks only is nobody's */
	if (r->on_demand && HASH_COUNT(r->sockets) == r->bridges &&
	    !r->broker.broker.up)
		ev_quit(r->ev);
}

static void routes_free(struct sock *s)
{
	struct route *way, *next;

	HASH_ITER(hh, s->routes, way, next) {
		HASH_DELETE(hh, s->routes, way);
		free(way);
	}
}

void gone(struct sock *s)
{
	struct relay *r = s->r;
	size_t before = s->queue.bytes;

	if (s->dead)
		return;
	s->dead = true;
	r->bridges -= s->bridge != NULL;
	HASH_DELETE(hh, r->sockets, s);
	ev_io_stop(&s->io);
	closer_close_socket(s->fd);
	dropped(r, DROP_RECEIVER_GONE, (unsigned int)s->queue.messages);
	if (s->queue.messages)
		tell_drops(r);
	queue_free(&s->queue);
	account(s, before);
	pending_end(s);
	routes_free(s);
	owner_unref(r, s->owner);
	broker_end_gone(&r->broker, s->token);
	ev_later(r->ev, sock_free, s);
	end_if_idle(r);
}

/* The other broker waits for that. */
static bool say_ok(const struct msg_socket *m, int fd)
{
	static const char ok[] = "OK\n";

	return !(m->flags & SOCKET_SAY_OK) ||
	       send(fd, ok, strlen(ok), MSG_DONTWAIT | MSG_NOSIGNAL) ==
		       (ssize_t)strlen(ok);
}

static void on_socket(void *ctx, const struct msg_socket *m, int fd,
		      const uint8_t *frame, size_t len)
{
	static const int room = SNDBUF;
	bool uplink = m->flags & SOCKET_UPLINK;
	struct relay *r = ctx;
	struct sock *s = fd < 0 ? NULL : calloc(1, sizeof(*s) + len);

	if (s && uplink)
		s->bridge = bridge_new(&m->partition);
	if (s && (s->bridge || !uplink))
		s->owner = owner_ref(r, m);
	if (!s || !s->owner || !say_ok(m, fd)) {
		if (s && s->owner)
			owner_unref(r, s->owner);
		log_limited(&r->limit, LOG_ERR_,
			    "no room for one more socket");
		if (fd >= 0)
			closer_close_socket(fd);
		if (s)
			sock_free(s);
		broker_end_gone(&r->broker, m->token);
		return;
	}
	s->r = r;
	s->token = m->token;
	s->fd = fd;
	s->service = m->service;
	s->partition = m->partition;
	r->bridges += uplink;
	s->frame_len = len;
	memcpy(s->frame, frame, len);
	(void)closer_guard_socket(fd);
	if (!uplink)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room,
				 sizeof(room));
	HASH_ADD(hh, r->sockets, token, sizeof(s->token), s);
	watch(s);
}

/* ---- From a sender -------------------------------------------------------*/

static void send_by(struct sock *s, const struct route *way, struct load *l)
{
	struct relay *r = s->r;

	for (size_t i = 0; i < way->n; i++) {
		struct sock *to;

		HASH_FIND(hh, r->sockets, &way->to[i].token,
			  sizeof(way->to[i].token), to);
		if (to)
			deliver(s, &way->way, to, &way->to[i], l);
		else
			dropped(r, DROP_RECEIVER_GONE, 1);
	}
}

/* A question sends nothing, wherever it would go. */
static bool is_question(const struct sock *s)
{
	return s->bridge && s->bridge->question;
}

bool on_datagram(struct sock *s, const struct way *w, const uint8_t *p,
		 size_t len)
{
	struct relay *r = s->r;
	struct load *l = load_new(p, len);
	struct route *way;
	uint32_t serial;

	r->drops.sent += !is_question(s);
	tell_drops(r);
	if (!l) {
		dropped(r, DROP_NO_MEMORY, 1);
		return true;
	}
	HASH_FIND(hh, s->routes, w, sizeof(*w), way);
	if (way && way->generation == r->generation) {
		if (!bridge_routed(s, 0, NULL, 0))
			send_by(s, way, l);
		load_unref(l);
		return true;
	}
	serial = s->bridge ? broker_end_route_beyond(&r->broker, s->token,
						     &w->dest, &w->from,
						     &w->source, w->flags) :
			     broker_end_route(&r->broker, s->token, &w->dest);
	if (!serial) {
		if (!bridge_routed(s, HVS_REASON_NO_BROKER, "", 0))
			dropped(r, HVS_REASON_NO_BROKER, 1);
		load_unref(l);
		return true;
	}
	pending_start(s, l, w, serial);
	watch(s);
	return false;
}

/* Return: false: there was none, or it is not to be read from now */
static bool receive_datagram(struct sock *s)
{
	static uint8_t buf[DGRAM_HEADER + DGRAM_MAX + 1]; /* one thread */
	struct way way = { .flags = 0 };
	struct fdmsg m;
	struct dgram d;
	int r;

	r = fdmsg_recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT, &m);
	if (r == -EAGAIN || r == -EINTR)
		return false;
	if (r < 0 || (m.len == 0 && m.nfds == 0)) {
		gone(s);
		return false;
	}
	closer_close(m.fds, m.nfds);
	if (m.nfds || m.truncated || dgram_decode(buf, m.len, &d) < 0 ||
	    d.flags) {
		log_limited(&s->r->limit, LOG_WARN_,
			    "a malformed frame: its sender loses its socket");
		gone(s);
		return false;
	}
	way.dest = d.addr;
	(void)on_datagram(s, &way, buf + DGRAM_HEADER, m.len - DGRAM_HEADER);
	return !s->dead && !s->pending;
}

static bool receive(struct sock *s)
{
	/* what has changed until now holds for this one */
	broker_end_drain(&s->r->broker);
	if (s->dead || s->pending)
		return false;
	return s->bridge ? bridge_receive(s) : receive_datagram(s);
}

static void on_sock(struct ev_io *io, uint32_t events)
{
	struct sock *s = container_of(io, struct sock, io);

	if (events & (EPOLLHUP | EPOLLERR))
		s->hup = true;
	if (events & EPOLLOUT)
		send_queued(s);
	for (int budget = PER_TURN; budget && !closer_busy(); budget--)
		if (!receive(s))
			break;
	watch(s);
}

/* ---- From the broker -----------------------------------------------------*/

static void on_flush(void *ctx)
{
	struct relay *r = ctx;

	r->generation++;
}

static void on_close(void *ctx, uint64_t token)
{
	struct relay *r = ctx;
	struct sock *s;

	HASH_FIND(hh, r->sockets, &token, sizeof(token), s);
	if (s)
		gone(s);
}

/* Whose program has closed it is not waited for any more, though what it has
 * sent may have to be read yet. */
static void on_probe(void *ctx, uint64_t token)
{
	struct relay *r = ctx;
	struct pollfd p = { .events = POLLOUT };
	struct sock *s;

	HASH_FIND(hh, r->sockets, &token, sizeof(token), s);
	if (s)
		p.fd = s->fd;
	if (!s || (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP)))
		broker_end_gone(&r->broker, token);
}

static void on_ask(void *ctx, uint32_t serial, const struct msg_ask *m)
{
	struct relay *r = ctx;
	struct sock *s;

	HASH_FIND(hh, r->sockets, &m->token, sizeof(m->token), s);
	if (s && s->bridge)
		bridge_ask(s, serial, m);
	else
		broker_end_answer(&r->broker, serial, HVS_REASON_PARTITION_OFF,
				  "the uplink's connection for datagrams has ended");
}

static struct route *keep(struct sock *s, const struct msg_receiver *to,
			  size_t n)
{
	struct route *way;

	HASH_FIND(hh, s->routes, &s->pending_way, sizeof(s->pending_way), way);
	if (way) {
		HASH_DELETE(hh, s->routes, way);
		free(way);
	}
	if (HASH_COUNT(s->routes) >= (s->bridge ? BEYOND_MAX : ROUTES_MAX))
		routes_free(s);
	way = calloc(1, sizeof(*way) + n * sizeof(*to));
	if (!way)
		return NULL;
	way->way = s->pending_way;
	way->generation = s->r->generation;
	way->n = n;
	if (n)
		memcpy(way->to, to, n * sizeof(*to));
	HASH_ADD(hh, s->routes, way, sizeof(way->way), way);
	return way;
}

static void on_route(void *ctx, uint32_t serial, uint32_t reason,
		     const char *text, size_t len,
		     const struct msg_receiver *to, size_t n)
{
	struct relay *r = ctx;
	struct sock *s;
	struct route *way;

	DL_SEARCH_SCALAR(r->pending, s, pending_serial, serial);
	if (!s)
		return; /* it has gone meanwhile */
	/* a refusal is not kept: whoever is sent to by the other end may answer
	 * it, and nobody tells us */
	way = reason ? NULL : keep(s, to, n);
	if (bridge_routed(s, reason, text, len))
		;
	else if (reason)
		dropped(r, reason, 1);
	else if (way)
		send_by(s, way, s->pending);
	else
		dropped(r, DROP_NO_MEMORY, 1);
	tell_drops(r);
	pending_end(s);
	watch(s);
}

static void on_attached(void *ctx)
{
	struct relay *r = ctx;
	struct sock *s;

	r->served = true;
	r->generation++;
	for (s = r->sockets; s; s = s->hh.next)
		broker_end_known(&r->broker, s->frame, s->frame_len);
	tell_drops(r);
}

static void on_lost(void *ctx, const char *why)
{
	struct relay *r = ctx;
	struct sock *s;

	for (s = r->sockets; s; s = s->hh.next)
		if (s->bridge)
			bridge_forget_asks(s);
	while (r->pending) {
		s = r->pending;
		if (!bridge_routed(s, HVS_REASON_NO_BROKER, "", 0))
			dropped(r, HVS_REASON_NO_BROKER, 1);
		pending_end(s);
		watch(s);
	}
	if (!r->served)
		snprintf(r->refused, sizeof(r->refused), "%s: %s",
			 r->broker.broker.place.path, why);
	end_if_idle(r);
}

static const struct broker_end_ops ops = {
	.attached = on_attached,
	.lost = on_lost,
	.socket = on_socket,
	.flush = on_flush,
	.close = on_close,
	.probe = on_probe,
	.route = on_route,
	.ask = on_ask,
};

/* ---- Life ----------------------------------------------------------------*/

int relay_new(struct ev *ev, bool on_demand, struct relay **ret,
	      const char **ret_why)
{
	struct relay *r = calloc(1, sizeof(*r));
	int err;

	*ret_why = "no memory";
	if (!r)
		return -ENOMEM;
	r->ev = ev;
	r->on_demand = on_demand;
	err = broker_end_init(&r->broker, ev, &ops, r, ret_why);
	if (err < 0) {
		broker_end_fini(&r->broker);
		free(r);
		return err;
	}
	*ret = r;
	return 0;
}

void relay_start(struct relay *r)
{
	broker_end_start(&r->broker);
}

const char *relay_refused(const struct relay *r)
{
	return r->served || !r->refused[0] ? NULL : r->refused;
}

struct relay *relay_free(struct relay *r)
{
	if (!r)
		return NULL;
	r->broker.broker.up = false; /* it sees the end of the connection */
	while (r->sockets)
		gone(r->sockets);
	ev_timer_stop(&r->drops_timer);
	broker_end_fini(&r->broker);
	free(r);
	return NULL;
}
