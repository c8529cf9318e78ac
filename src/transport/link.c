/* SPDX-License-Identifier: MIT */
/* link.c - see link.h */
#include "transport/link-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/guid.h"

#define ATTACH_MS 5000u /* a broker that does not answer is no broker */
#define QUEUE_MAX 4096u /* frames for a broker that does not read */
#define SERIAL_HELLO 1u
#define SERIAL_ATTACH 2u

int link_new(struct ev *ev, const struct link_config *config,
	     const struct link_ops *ops, void *ctx, struct link **ret,
	     const char **ret_why)
{
	struct link *l = calloc(1, sizeof(*l));
	int r;

	*ret_why = "no memory";
	if (!l)
		return -ENOMEM;
	l->ev = ev;
	l->config = *config;
	l->vmid = config->vmid;
	l->ops = ops;
	l->ctx = ctx;
	l->fd = -1;
	rendezvous_init(&l->rendezvous, ops->arrived, ctx);
	l->out = msg_buf(l->out_bytes, sizeof(l->out_bytes));
	l->retry_ms = RETRY_MIN_MS;
	l->last = &l->first;
	r = place_find(&l->place, ret_why);
	if (r < 0) {
		link_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

/* ---- Sending */

static void drop_queue(struct link *l)
{
	while (l->first) {
		struct queued *q = l->first;

		l->first = q->next;
		free(q);
	}
	l->last = &l->first;
	l->queued = 0;
}

static bool enqueue(struct link *l)
{
	struct queued *q;

	if (l->queued == QUEUE_MAX)
		return false;
	q = malloc(sizeof(*q) + l->out.len);
	if (!q)
		return false;
	q->next = NULL;
	q->len = l->out.len;
	memcpy(q->data, l->out.data, l->out.len);
	*l->last = q;
	l->last = &q->next;
	l->queued++;
	return ev_io_start(l->ev, &l->io, l->fd, EPOLLIN | EPOLLOUT,
			   link_on_io) == 0;
}

/* A send that fails is found again by the loop: the socket is then readable,
 * so callers need not expect the link to vanish under them. */
static void send_fds(struct link *l, const int *fds, int nfds)
{
	int r = -EAGAIN;

	if (l->fd < 0 || l->out.overflow)
		return;
	if (!l->queued)
		r = fdmsg_send(l->fd, l->out.data, l->out.len, fds, nfds,
			       MSG_DONTWAIT);
	if ((r == -EAGAIN || r == -ENOBUFS) && (nfds || !enqueue(l)))
		(void)shutdown(l->fd, SHUT_RDWR);
}

void link_send(struct link *l)
{
	if (l->state == LINK_UP)
		send_fds(l, NULL, 0);
}

void link_flush(struct link *l)
{
	while (l->first) {
		struct queued *q = l->first;
		int r = fdmsg_send(l->fd, q->data, q->len, NULL, 0,
				   MSG_DONTWAIT);

		if (r == -EAGAIN)
			return;
		l->first = q->next;
		if (!l->first)
			l->last = &l->first;
		l->queued--;
		free(q);
	}
	(void)ev_io_start(l->ev, &l->io, l->fd, EPOLLIN, link_on_io);
}

int link_dial(struct link *l, uint16_t type, uint32_t timeout_ms, uint32_t cid,
	      const GUID *service, const GUID *source, uint32_t *ret_serial)
{
	GUID vmid = cid ? dial_vmid_of_cid(cid) : guid_parent;

	if (l->state != LINK_UP)
		return -ENETDOWN;
	if (cid && !(l->flags & ATTACH_CIDS))
		return -EOPNOTSUPP;
	*ret_serial = ++l->serial;
	msg_begin(&l->out, MSG_DIAL, l->serial);
	msg_put_u16(&l->out, type);
	msg_put_u16(&l->out, cid ? DIAL_CID : 0);
	msg_put_u32(&l->out, timeout_ms);
	msg_put_guid(&l->out, &vmid);
	msg_put_guid(&l->out, service);
	msg_put_guid(&l->out, source);
	link_send(l);
	return 0;
}

void link_reply(struct link *l, uint32_t serial, uint32_t reason,
		const char *text)
{
	uint32_t error = (uint32_t)reason_errno(reason);

	msg_begin_reply(&l->out, MSG_OPEN, serial, 0, error, reason);
	if (error)
		msg_put_bytes(&l->out, text, strlen(text));
	link_send(l);
}

void link_reply_control(struct link *l, uint32_t serial, uint32_t error,
			uint32_t reason, const char *text)
{
	msg_begin_reply(&l->out, MSG_CONTROL, serial, 0, error, reason);
	msg_put_bytes(&l->out, text, strlen(text));
	link_send(l);
}

int link_reply_native(struct link *l, uint32_t serial, int fd)
{
	if (l->state != LINK_UP || l->queued)
		return -EAGAIN;
	msg_begin_reply(&l->out, MSG_OPEN, serial, 0, 0, 0);
	return fdmsg_send(l->fd, l->out.data, l->out.len, &fd, 1,
			  MSG_DONTWAIT) < 0
		       ? -EAGAIN
		       : 0;
}

void link_notice_state(struct link *l, bool running)
{
	msg_begin(&l->out, MSG_STATE, ++l->serial);
	msg_put_u32(&l->out, running);
	link_send(l);
}

void link_notice_closed(struct link *l, uint64_t token, uint64_t to_guest,
			uint64_t from_guest)
{
	msg_begin(&l->out, MSG_CLOSED, ++l->serial);
	msg_put_u64(&l->out, token);
	msg_put_u64(&l->out, to_guest);
	msg_put_u64(&l->out, from_guest);
	link_send(l);
}

void link_notice_live(struct link *l, const struct msg_live *m)
{
	msg_begin(&l->out, MSG_LIVE, ++l->serial);
	msg_put_u64(&l->out, m->token);
	msg_put_u16(&l->out, m->type);
	msg_put_u16(&l->out, m->direction);
	msg_put_u32(&l->out, m->uid);
	msg_put_guid(&l->out, &m->service);
	msg_put_guid(&l->out, &m->source);
	if (l->flags & ATTACH_PARTITIONS)
		msg_put_guid(&l->out, &m->partition);
	link_send(l);
}

struct msg_buf *link_counters_begin(struct link *l, uint32_t serial)
{
	msg_begin_reply(&l->out, MSG_COUNTERS, serial, 0, 0, 0);
	return &l->out;
}

/* ---- The rendezvous */

void link_on_rendezvous(struct rendezvous *r)
{
	struct link *l = container_of(r, struct link, rendezvous);

	/* the OPEN of what has arrived was sent before it */
	rendezvous_take(&l->rendezvous);
	link_read(l);
}

/* ---- Up and down */

static void on_timer(struct ev_timer *t)
{
	struct link *l = container_of(t, struct link, timer);

	if (l->state == LINK_ATTACHING)
		link_down(l, LINK_DOWN, "the broker does not answer");
	else
		link_start(l);
}

/*
 * The rendezvous is made anew for the next broker: one that ended in good
 * order has removed the file of this one.
 */
void link_down(struct link *l, enum link_state state, const char *why)
{
	bool was_up = l->state == LINK_UP;

	snprintf(l->error, sizeof(l->error), "%s", why ? why : "");
	ev_io_stop(&l->io);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->state = state;
	drop_queue(l);
	rendezvous_take(&l->rendezvous);
	rendezvous_deliver(&l->rendezvous, NULL);
	rendezvous_drop(&l->rendezvous);
	if (was_up)
		l->ops->lost(l->ctx);
	if (why && (was_up || state == LINK_REFUSED))
		log_limited(&l->limit, LOG_WARN_, "%s: %s", l->place.path, why);
	if (state == LINK_REFUSED)
		l->retry_ms = RETRY_MAX_MS;
	if (ev_timer_start(l->ev, &l->timer, l->retry_ms, on_timer) < 0)
		log_err("no memory for a timer: the broker is lost for good");
	if (l->retry_ms < RETRY_MAX_MS)
		l->retry_ms *= 2;
	if (l->retry_ms > RETRY_MAX_MS)
		l->retry_ms = RETRY_MAX_MS;
}

static void send_attach(struct link *l)
{
	msg_begin(&l->out, MSG_ATTACH, SERIAL_ATTACH);
	msg_put_guid(&l->out, &l->vmid);
	msg_put_u16(&l->out, l->config.kind);
	msg_put_u16(&l->out,
		    ATTACH_STREAM | (l->config.raw ? ATTACH_RAW : 0));
	msg_put_u32(&l->out, l->flags);
	msg_put_bytes(&l->out, l->config.partition,
		      strlen(l->config.partition));
	send_fds(l, l->rendezvous.fds, l->rendezvous.n);
}

void link_start(struct link *l)
{
	char why[200];
	int r = 0;

	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0);
	if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&l->place.sa,
				 l->place.sa_len) < 0)
		r = -errno;
	if (r == 0)
		r = rendezvous_new(&l->rendezvous, l->config.raw);
	if (r == 0)
		r = ev_io_start(l->ev, &l->io, l->fd, EPOLLIN, link_on_io);
	if (r == 0)
		r = ev_timer_start(l->ev, &l->timer, ATTACH_MS, on_timer);
	if (r < 0) {
		snprintf(why, sizeof(why), "no broker: %s", strerror(-r));
		link_down(l, LINK_DOWN, why);
		return;
	}
	l->state = LINK_ATTACHING;
	l->serial = SERIAL_ATTACH;
	msg_begin(&l->out, MSG_HELLO, SERIAL_HELLO);
	msg_put_u32(&l->out, MSG_VERSION);
	msg_put_u32(&l->out, MSG_VERSION);
	send_fds(l, NULL, 0);
	l->flags = ATTACH_PARTITIONS | (l->ops->stall ? ATTACH_STALLS : 0) |
		   (l->config.services ? ATTACH_SERVICES : 0) |
		   (l->config.native ? ATTACH_NATIVE : 0) |
		   (l->config.cids ? ATTACH_CIDS : 0) |
		   (l->config.control ? ATTACH_CONTROL : 0);
	send_attach(l);
}

bool link_ask_for_less(struct link *l, const struct msg_reply *r)
{
	static const uint32_t newest_first[] = { ATTACH_CONTROL, ATTACH_CIDS,
						 ATTACH_NATIVE,
						 ATTACH_PARTITIONS,
						 ATTACH_STALLS };

	/* (the same reason is given for a socket that cannot be bound) */
	if (r->reason != HVS_REASON_BAD_REQUEST || r->error != EINVAL ||
	    !memmem(r->payload, r->len, "malformed", 9))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(newest_first); i++) {
		if (!(l->flags & newest_first[i]))
			continue;
		l->flags &= ~newest_first[i];
		log_info("the broker is older: ATTACH again, without flag 0x%x",
			 newest_first[i]);
		send_attach(l);
		return true;
	}
	return false;
}

/* ---- The rest */

struct link *link_free(struct link *l)
{
	if (l) {
		ev_io_stop(&l->io);
		ev_timer_stop(&l->timer);
		rendezvous_fini(&l->rendezvous);
		drop_queue(l);
		if (l->fd >= 0)
			close(l->fd);
		place_close(&l->place);
		free(l);
	}
	return NULL;
}

enum link_state link_state(const struct link *l)
{
	return l->state;
}

const char *link_error(const struct link *l)
{
	return l->error;
}

void link_stop(struct link *l)
{
	link_down(l, LINK_DOWN, NULL);
	ev_timer_stop(&l->timer);
}

const char *link_place(const struct link *l)
{
	return l->place.path;
}

GUID link_vmid(const struct link *l)
{
	return l->vmid;
}

const char *link_name(const struct link *l)
{
	return l->name;
}
