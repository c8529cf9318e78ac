/* SPDX-License-Identifier: MIT */
/*
 * uplink-asked.c - connections from the other broker
 *
 * Whoever is at the other end has said nothing that is believed about who it
 * is. It has so long for its line, and is one of so many; what the line asks
 * for becomes an attempt of the partition that the connection came from.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/fdmsg.h"
#include "base/guid.h"
#include "broker/dgram.h"
#include "broker/offload.h"
#include "broker/rules.h"
#include "broker/uplink.h"

enum asked_state {
	ASKED_HYBRID, /* CONNECT 26742, then the line */
	ASKED_LINE,
	ASKED_WAITS, /* for hvsocket-uplink, or hvsocket-dgram */
	ASKED_DECIDED, /* its attempt goes on without it */
	ASKED_KEPT, /* HELLO: it lives as long as the other broker */
};

struct asked {
	struct uplinks *u;
	GUID partition;
	int fd;
	struct ev_io io;
	struct ev_timer timer;
	enum asked_state state;
	struct hybrid_parser hybrid;
	char buf[UPLINK_REQUEST_MAX];
	size_t len;
	struct uplink_request request;
	uint64_t kept_ns; /* ASKED_KEPT: since */
	struct asked *prev, *next;
};

static struct transport *transport_of(const struct asked *k)
{
	return transport_find(k->u->b, &k->partition);
}

/* The transport's mark that the guest has a broker. */
static void forget_kept(struct asked *k)
{
	struct transport *t = transport_of(k);

	if (k->state == ASKED_KEPT && t && t->uplink == k)
		t->uplink = NULL;
}

static void asked_free(struct asked *k)
{
	forget_kept(k);
	DL_DELETE(k->u->asked, k);
	ev_io_stop(&k->io);
	ev_timer_stop(&k->timer);
	if (k->fd >= 0)
		sock_close(k->u->b, k->fd);
	ev_later(k->u->b->ev, free, k);
}

static bool say(struct asked *k, const struct uplink_answer *a)
{
	char line[UPLINK_ANSWER_MAX + 1];
	size_t n = uplink_answer_format(k->request.verb, a, line);

	return send(k->fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
}

void asked_refuse(struct asked *k, uint32_t reason, const char *text)
{
	struct uplink_answer a = { .reason = reason };

	strncpy(a.text, text, sizeof(a.text) - 1);
	(void)say(k, &a);
	asked_free(k);
}

bool asked_lately(const struct asked *k)
{
	return ev_now_ns() - k->kept_ns < UPLINK_LINE_MS * 1000000ull;
}

/* ---- What is asked for ---------------------------------------------------*/

static void on_io(struct ev_io *io, uint32_t events);

static void on_hello(struct asked *k)
{
	struct broker *b = k->u->b;
	struct transport *t = transport_of(k);
	const struct partition *p = registry_partition(b->registry,
						       &k->partition);
	struct uplink_answer a = { .vmid = k->partition };

	if (!t || !p) {
		asked_refuse(k, HVS_REASON_BAD_REQUEST,
			     "a guest says HELLO to its host");
		return;
	}
	strncpy(a.text, p->name, sizeof(a.text) - 1);
	if (!say(k, &a) ||
	    ev_io_start(b->ev, &k->io, k->fd, EPOLLIN, on_io) < 0) {
		asked_free(k);
		return;
	}
	ev_timer_stop(&k->timer);
	if (t->uplink)
		asked_free(t->uplink); /* an earlier broker's */
	k->state = ASKED_KEPT;
	k->kept_ns = ev_now_ns();
	t->uplink = k;
	log_info("the guest of \"%s\" has a broker", p->name);
	attempts_wake(b);
}

static void on_connect(struct asked *k)
{
	const struct uplink_request *q = &k->request;
	struct broker *b = k->u->b;
	struct transport *t = transport_of(k);
	bool from_host = guid_equal(&k->partition, &guid_parent);
	struct attempt a = {
		.b = b,
		.request = MSG_JOIN,
		.type = q->type,
		.partition = k->partition,
		.uid = NAME_UID_NONE,
		.dest = { .Family = AF_HYPERV,
			  .VmId = !q->here   ? q->vmid :
				  from_host  ? guid_zero :
					       guid_parent,
			  .ServiceId = q->service },
		.source = q->source,
		.deadline_ns = attempt_deadline(q->timeout_ms),
		.token = broker_token(b),
		.asked = k,
	};

	a.fd = socket(AF_UNIX, q->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a.fd < 0 || !t) {
		asked_refuse(k, HVS_REASON_BROKER_FAILED,
			     a.fd < 0 ? strerror(errno) :
					"the transport has gone");
		if (a.fd >= 0)
			close(a.fd);
		return;
	}
	a.client = t->client;
	k->state = ASKED_DECIDED;
	ev_timer_stop(&k->timer);
	attempt_start(&a);
}

/* The connection is hvsocket-dgram's, which answers. */
static void on_dgram(struct asked *k)
{
	struct dgrams *d = k->u->b->dgrams;
	int fd = k->fd;

	if (!transport_of(k) || guid_equal(&k->partition, &guid_parent)) {
		asked_refuse(k, HVS_REASON_BAD_REQUEST,
			     "a guest says DGRAM to its host");
		return;
	}
	k->fd = -1;
	(void)dgram_uplink_take(d, &k->partition, fd, true);
	asked_free(k);
}

static struct helper *needs(const struct asked *k)
{
	struct uplinks *u = k->u;

	if (k->request.verb == UPLINK_DGRAM)
		return u->b->dgrams->ready ? NULL : &u->b->dgrams->helper;
	return u->relay ? NULL : &u->helper;
}

static void on_line(struct asked *k)
{
	struct helper *helper = needs(k);
	const char *why;
	int r;

	ev_io_stop(&k->io);
	if (helper) {
		k->state = ASKED_WAITS;
		r = helper_start(helper, &why);
		if (r < 0)
			asked_refuse(k, HVS_REASON_BROKER_FAILED, why);
	} else if (k->request.verb == UPLINK_DGRAM) {
		on_dgram(k);
	} else if (k->request.verb == UPLINK_HELLO) {
		on_hello(k);
	} else {
		on_connect(k);
	}
}

void asked_go_on(struct uplinks *u)
{
	struct asked *k, *next;

	DL_FOREACH_SAFE(u->asked, k, next)
		if (k->state == ASKED_WAITS)
			on_line(k);
}

/* ---- Reading -------------------------------------------------------------*/

/* Return: bytes; 0: none now; -1: it has to end */
static ssize_t receive(struct asked *k)
{
	struct broker *b = k->u->b;
	struct fdmsg m;
	int r;

	if (k->len == sizeof(k->buf))
		return -1;
	guard_arm(&b->guard);
	r = fdmsg_recv(k->fd, k->buf + k->len, sizeof(k->buf) - k->len,
		       MSG_DONTWAIT, &m);
	if (r == -EAGAIN || r == -EINTR)
		return 0;
	for (int i = 0; r == 0 && i < m.nfds; i++)
		offload_close(b->offload, m.fds[i]);
	if (r < 0 || m.nfds || !m.len)
		return -1;
	k->len += m.len;
	return (ssize_t)m.len;
}

/* "CONNECT 26742", as the transport says it. Return: 1: answered; 0: not
 * whole; -1 */
static int hybrid_line(struct asked *k)
{
	char line[HYBRID_LINE_SIZE];
	enum hybrid_status s;
	uint32_t port;
	size_t used, n;

	s = hybrid_parse(&k->hybrid, k->buf, k->len, &used);
	if (s == HYBRID_BAD || used != k->len)
		return -1;
	k->len = 0;
	if (s == HYBRID_MORE)
		return 0;
	if (!guid_is_port(&k->hybrid.service, &port) || port != UPLINK_PORT)
		return -1;
	n = hybrid_format(HYBRID_OK, &k->hybrid.service, false, line);
	k->state = ASKED_LINE;
	return send(k->fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) ==
			       (ssize_t)n ?
		       1 :
		       -1;
}

static int whole_line(struct asked *k)
{
	if (!memchr(k->buf, '\n', k->len))
		return k->len == sizeof(k->buf) ? -1 : 0;
	return uplink_request_parse(k->buf, k->len, &k->request) < 0 ? -1 : 1;
}

static void on_io(struct ev_io *io, uint32_t events)
{
	struct asked *k = container_of(io, struct asked, io);
	ssize_t n = receive(k);
	int r;

	(void)events;
	if (n == 0)
		return;
	if (n < 0 || k->state == ASKED_KEPT) {
		asked_free(k);
		return;
	}
	r = k->state == ASKED_HYBRID ? hybrid_line(k) : 0;
	if (r == 0 && k->state == ASKED_LINE)
		r = whole_line(k);
	if (r < 0) {
		log_limited(&k->u->b->client_log, LOG_WARN_,
			    "a line that came over an uplink is malformed");
		asked_free(k);
	} else if (r > 0 && k->len) {
		on_line(k);
	}
}

static void on_timer(struct ev_timer *t)
{
	asked_free(container_of(t, struct asked, timer));
}

/* Return: NULL: no room; @fd is taken in either case */
static struct asked *asked_new(struct uplinks *u, const GUID *partition, int fd,
			       enum asked_state state)
{
	struct asked *k = calloc(1, sizeof(*k));

	if (!k) {
		sock_close(u->b, fd);
		return NULL;
	}
	k->u = u;
	k->partition = *partition;
	k->fd = fd;
	k->state = state;
	hybrid_parser_init(&k->hybrid, HYBRID_CONNECT);
	DL_APPEND(u->asked, k);
	if (ev_io_start(u->b->ev, &k->io, fd, EPOLLIN, on_io) < 0 ||
	    ev_timer_start(u->b->ev, &k->timer, UPLINK_LINE_MS, on_timer) < 0) {
		asked_free(k);
		return NULL;
	}
	return k;
}

static bool too_many(const struct uplinks *u, const GUID *partition)
{
	const struct asked *k;
	unsigned int n = 0;

	DL_FOREACH(u->asked, k)
		n += k->state != ASKED_KEPT &&
		     guid_equal(&k->partition, partition);
	return n >= UPLINK_WAITING_MAX;
}

void asked_accepted(struct uplinks *u, int fd, bool hybrid)
{
	if (too_many(u, &guid_parent))
		sock_close(u->b, fd);
	else
		(void)asked_new(u, &guid_parent, fd,
				hybrid ? ASKED_HYBRID : ASKED_LINE);
}

void uplink_take(struct attempt *a, bool heap, const struct verdict *v)
{
	struct broker *b = a->b;
	struct uplinks *u = b->uplinks;
	struct sockaddr_un name;
	socklen_t len = sizeof(name);
	const char *why = "the connection cannot be made";
	int end;

	if (a->request != MSG_DIAL) {
		attempt_refuse(a, heap, ECONNREFUSED, HVS_REASON_NO_LISTENER,
			       "uplinks are for the brokers of guests that a transport attaches");
		return;
	}
	if (too_many(u, &a->partition)) {
		attempt_refuse(a, heap, ENOBUFS, HVS_REASON_QUOTA,
			       "too many connections of the guest's broker wait for their answers");
		return;
	}
	if (attempt_name(a, v, &why) ||
	    getsockname(a->fd, (struct sockaddr *)&name, &len) < 0)
		end = -EIO;
	else
		end = meeting_connect(&u->streams, a->fd, SOCK_STREAM, &name,
				      len);
	if (end < 0 ||
	    !asked_new(u, &a->partition, end, ASKED_LINE)) {
		attempt_refuse(a, heap, EIO, HVS_REASON_BROKER_FAILED, why);
		return;
	}
	attempt_succeed(a, heap, v);
}

/* ---- The end of its attempt ----------------------------------------------*/

void asked_done(struct asked *k, struct attempt *a)
{
	const struct msg_join m = {
		.token = a->token,
		.type = a->type,
		.flags = JOIN_ANSWER,
		.uid = NAME_UID_NONE,
		.from = a->partition,
		.dest = a->dest.VmId,
		.service = a->dest.ServiceId,
		.source = a->source,
	};

	if (uplink_join(k->u, &m, a->fd, k->fd) == 0 && a->joined)
		transport_other_half(k->u->relay, a->token);
	a->fd = k->fd = -1;
	asked_free(k);
}

void asked_drop_all(struct uplinks *u, const GUID *partition)
{
	struct asked *k, *next;

	DL_FOREACH_SAFE(u->asked, k, next)
		if (k->state != ASKED_DECIDED &&
		    (!partition || guid_equal(&k->partition, partition)))
			asked_free(k);
}
