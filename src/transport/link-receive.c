/* SPDX-License-Identifier: MIT */
/* link-receive.c - see link.h: the broker's frames */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fdmsg.h"
#include "base/utf8.h"
#include "transport/closer.h"
#include "transport/link-internal.h"

static void refused(struct link *l, const struct msg_reply *r)
{
	char text[MSG_TEXT_MAX + 1], why[600];

	log_escape((const char *)r->payload, r->len, text, sizeof(text));
	snprintf(why, sizeof(why), "the broker refuses: %s", text);
	link_down(l, LINK_REFUSED, why);
}

static void on_attached(struct link *l, const uint8_t *p, size_t len)
{
	const char *name;
	size_t n;

	if (msg_attach_reply_decode(p, len, &l->vmid, &name, &n) < 0 ||
	    n >= sizeof(l->name) || !utf8_printable(name, n)) {
		link_down(l, LINK_REFUSED, "the broker's answer is malformed");
		return;
	}
	memcpy(l->name, name, n);
	l->name[n] = '\0';
	if (rendezvous_listen(&l->rendezvous, l->ev, link_on_rendezvous) < 0) {
		link_down(l, LINK_DOWN, "the rendezvous cannot listen");
		return;
	}
	ev_timer_stop(&l->timer);
	l->state = LINK_UP;
	l->retry_ms = RETRY_MIN_MS;
	l->error[0] = '\0';
	l->ops->attached(l->ctx);
}

/* ---- Receiving */

static int on_reply(struct link *l, const struct msg_header *h, size_t len,
		    struct fdmsg *m)
{
	struct msg_hello_reply hello;
	struct msg_reply r;
	struct msg_dial_reply dial = { 0 };
	int fd = -1;

	if (msg_reply_decode(l->in, len, &r) < 0)
		return -EPROTO;
	if (l->state == LINK_ATTACHING) {
		if (r.error && h->type == MSG_ATTACH &&
		    link_ask_for_less(l, &r))
			return 0;
		if (r.error)
			refused(l, &r);
		else if (h->type == MSG_ATTACH)
			on_attached(l, l->in, len);
		else if (h->type != MSG_HELLO ||
			 msg_hello_reply_decode(l->in, len, &hello) < 0)
			return -EPROTO;
		return 0;
	}
	if (h->type != MSG_DIAL)
		return -EPROTO;
	if (!r.error) {
		if (msg_dial_reply_decode(l->in, len, &dial) < 0 ||
		    m->nfds > 1)
			return -EPROTO;
		if (m->nfds == 1) {
			fd = m->fds[0];
			m->nfds = 0;
		} else {
			/* this process had no room for it: one dial fails */
			link_notice_closed(l, dial.token, 0, 0);
			r.error = EMFILE;
			r.reason = HVS_REASON_BROKER_FAILED;
		}
	}
	l->ops->dialled(l->ctx, h->serial, r.error, r.reason, &dial, fd);
	return 0;
}

static int on_request(struct link *l, const struct msg_header *h, size_t len)
{
	struct msg_token_u64 token;
	struct msg_services services;
	struct msg_control control;
	struct msg_close close_;
	struct msg_open open_;
	uint64_t session;
	uint32_t stalled;

	if (l->state != LINK_UP)
		return -EPROTO;
	switch (h->type) {
	case MSG_OPEN:
		if (msg_open_decode(l->in, len, &open_) < 0)
			return -EPROTO;
		l->ops->open(l->ctx, h->serial, &open_);
		return 0;
	case MSG_PARKED:
		if (msg_token_u64_decode(l->in, len, &token) < 0)
			return -EPROTO;
		/* its socket has been connected by now; of others that are
		 * there OPEN may not have been read */
		rendezvous_take(&l->rendezvous);
		rendezvous_deliver(&l->rendezvous, &token.token);
		l->ops->parked(l->ctx, token.token, token.value);
		return 0;
	case MSG_CLOSE:
		if (msg_close_decode(l->in, len, &close_) < 0)
			return -EPROTO;
		l->ops->close(l->ctx, close_.token, close_.reason);
		return 0;
	case MSG_COUNTERS:
		if (len != MSG_HEADER)
			return -EPROTO;
		l->ops->counters(l->ctx, h->serial);
		return 0;
	case MSG_STALL:
		if (!l->ops->stall ||
		    msg_u32_decode(l->in, len, &stalled) < 0 || stalled > 1)
			return -EPROTO;
		l->ops->stall(l->ctx, stalled);
		return 0;
	case MSG_SERVICES:
		if (!l->config.services ||
		    msg_services_decode(l->in, len, &services) < 0)
			return -EPROTO;
		l->ops->services(l->ctx, &services);
		msg_begin_reply(&l->out, MSG_SERVICES, h->serial, 0, 0, 0);
		link_send(l);
		return 0;
	case MSG_CONTROL:
		if (!l->config.control ||
		    msg_control_decode(l->in, len, &control) < 0)
			return -EPROTO;
		l->ops->control(l->ctx, h->serial, &control);
		return 0;
	case MSG_LEAVE:
		if (!l->config.control ||
		    msg_u64_decode(l->in, len, &session) < 0)
			return -EPROTO;
		l->ops->leave(l->ctx, session);
		return 0;
	default:
		return -EPROTO;
	}
}

/* Until there are no more; the link may be down afterwards. */
void link_read(struct link *l)
{
	while (l->fd >= 0) {
		struct msg_header h;
		struct fdmsg m;
		int r;

		r = fdmsg_recv(l->fd, l->in, sizeof(l->in), MSG_DONTWAIT, &m);
		if (r == -EINTR)
			continue;
		if (r == -EAGAIN) {
			rendezvous_deliver(&l->rendezvous, NULL);
			return;
		}
		if (r < 0 || m.len == 0) {
			if (r == 0)
				closer_close(m.fds, m.nfds);
			link_down(l, LINK_DOWN, "the broker has gone");
			return;
		}
		r = -EPROTO;
		if (!m.truncated && msg_header_decode(l->in, m.len, &h) == 0)
			r = h.reply ? on_reply(l, &h, m.len, &m)
				    : on_request(l, &h, m.len);
		closer_close(m.fds, m.nfds);
		if (r < 0) {
			link_down(l, LINK_DOWN,
				  "the broker sent a malformed frame");
			return;
		}
	}
}

void link_on_io(struct ev_io *io, uint32_t events)
{
	struct link *l = container_of(io, struct link, io);

	if (events & EPOLLOUT)
		link_flush(l);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		link_read(l);
}
