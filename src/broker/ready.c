/* SPDX-License-Identifier: MIT */
/* ready.c - see ready.h */
#include "broker/ready.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/guid.h"
#include "broker/manage.h"
#include "broker/windows.h"
#include "proto/notice.h"

#define NOTICES_MAX 8u /* connections of one guest */
#define NOTICE_MS 10000u /* one is to be over */
#define NAME_MAX_LEN 255u
#define TIMEOUT_MS 2000
#define TIMEOUT_MAX_MS 300000

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

struct hearing {
	struct hearing *prev, *next; /* the transport's */
	struct transport *t;
	int fd, type;
	struct ev_io io;
	struct ev_timer timer;
	struct notice notice;
};

struct ready_wait {
	struct ready_wait *prev, *next; /* b->ready_waits */
	struct broker *b;
	struct client *client;
	uint32_t serial;
	char *partition; /* as asked: it may not be there yet */
	bool driver; /* that the driver is there is enough */
	uint64_t settle_ns; /* the same, when nothing was said for so long */
	uint64_t deadline_ns;
	struct ev_timer timer;
};

/* ---- what guests say */

bool ready_service(const struct broker *b, GUID *ret)
{
	*ret = guid_from_port(NOTICE_PORT);
	return !registry_service(b->registry, ret) &&
	       b->world.profile != PROFILE_WINDOWS;
}

bool ready_wants(const struct broker *b, const struct msg_dial *m)
{
	GUID ours;

	return (guid_equal(&m->vmid, &guid_parent) ||
		guid_is_zero(&m->vmid)) &&
	       ready_service(b, &ours) && guid_equal(&m->service, &ours);
}

static void hearing_end(struct hearing *h)
{
	DL_DELETE(h->t->hearings, h);
	ev_io_stop(&h->io);
	ev_timer_stop(&h->timer);
	sock_close(h->t->client->b, h->fd);
	ev_later(h->t->client->b->ev, free, h);
}

static void look_at_waits(struct broker *b);

/* A whole message, or all that is to come. */
static void note(struct hearing *h)
{
	struct notice *n = &h->notice;
	struct transport *t = h->t;

	notice_end(n);
	if (n->has_status)
		memcpy(t->said.status, n->status, sizeof(t->said.status));
	if (n->state == NOTICE_NONE || n->state == t->said.state)
		return; /* nobody waits for that */
	t->said.state = n->state;
	look_at_waits(t->client->b);
}

static void on_slow(struct ev_timer *timer)
{
	struct hearing *h = container_of(timer, struct hearing, timer);

	note(h);
	hearing_end(h);
}

static void on_hearing(struct ev_io *io, uint32_t events)
{
	struct hearing *h = container_of(io, struct hearing, io);
	char buf[4096];
	ssize_t n;
	int r;

	(void)events;
	n = recv(h->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	r = n > 0 ? notice_feed(&h->notice, buf, (size_t)n) : 0;
	if (n <= 0 || r < 0 || h->type == SOCK_SEQPACKET)
		note(h);
	if (n <= 0 || r < 0)
		hearing_end(h);
}

static int listen_to(struct transport *t, int fd, int type)
{
	struct hearing *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->t = t;
	h->fd = fd;
	h->type = type;
	notice_init(&h->notice);
	if (ev_io_start(t->client->b->ev, &h->io, fd, EPOLLIN, on_hearing) <
		    0 ||
	    ev_timer_start(t->client->b->ev, &h->timer, NOTICE_MS, on_slow) <
		    0) {
		ev_io_stop(&h->io);
		free(h);
		return -ENOMEM;
	}
	DL_APPEND(t->hearings, h);
	return 0;
}

static const char *may_speak(const struct broker *b, const struct transport *t,
			     uint32_t *ret_reason)
{
	const struct partition *p =
		registry_partition(b->registry, &t->partition);
	const struct hearing *h;
	unsigned int n = 0;

	DL_FOREACH(t->hearings, h) n++;
	if (!p || !p->enabled) {
		*ret_reason = HVS_REASON_DISABLED;
		return "the guest's partition is disabled";
	}
	if (n >= NOTICES_MAX) {
		*ret_reason = HVS_REASON_QUOTA;
		return "the guest says too much at once";
	}
	return NULL;
}

void ready_dial(struct client *c, uint32_t serial, const struct msg_dial *m)
{
	struct transport *t = c->transport;
	static const int off;
	uint32_t reason;
	const char *why = may_speak(c->b, t, &reason);
	MSG_BUF(reply, 64);
	int pair[2];

	if (why) {
		client_refuse(c, MSG_DIAL, serial, EACCES, reason, why);
		return;
	}
	if (socketpair(AF_UNIX, m->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       pair) < 0) {
		client_refuse(c, MSG_DIAL, serial, (uint32_t)errno,
			      HVS_REASON_BROKER_FAILED, strerror(errno));
		return;
	}
	(void)setsockopt(pair[1], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
	if (listen_to(t, pair[0], m->type) < 0) {
		client_refuse(c, MSG_DIAL, serial, ENOMEM,
			      HVS_REASON_BROKER_FAILED, "no memory");
		sock_close(c->b, pair[0]);
		sock_close(c->b, pair[1]);
		return;
	}
	msg_begin_reply(&reply, MSG_DIAL, serial, 0, 0, 0);
	msg_put_u64(&reply, broker_token(c->b));
	if (t->cids) {
		msg_put_u32(&reply, 0);
		msg_put_guid(&reply, &m->vmid);
	}
	client_send(c, &reply, &pair[1], 1);
	sock_close(c->b, pair[1]);
}

void ready_transport_gone(struct transport *t)
{
	struct hearing *h, *next;

	DL_FOREACH_SAFE(t->hearings, h, next)
	hearing_end(h);
}

void ready_state(struct transport *t, bool running)
{
	if (running && !t->running)
		t->running_since_ns = ev_now_ns();
	if (!running) {
		/* what comes next is another guest */
		ready_transport_gone(t);
		memset(&t->said, 0, sizeof(t->said));
	}
	t->running = running;
	look_at_waits(t->client->b);
}

/* ---- who waits */

static void wait_end(struct ready_wait *w)
{
	DL_DELETE(w->b->ready_waits, w);
	ev_timer_stop(&w->timer);
	w->client->account->pending--;
	free(w->partition);
	ev_later(w->b->ev, free, w);
}

void ready_client_gone(struct client *c)
{
	struct ready_wait *w, *next;

	DL_FOREACH_SAFE(c->b->ready_waits, w, next) {
		if (w->client == c)
			wait_end(w);
	}
}

static const struct partition *named(const struct broker *b, const char *text)
{
	GUID g;

	return guid_parse(text, &g) == 0 ?
		       registry_partition(b->registry, &g) :
		       registry_partition_by_name(b->registry, text);
}

static json_t *answer(const struct transport *t, const struct partition *p,
		      const char *way)
{
	const char *state = notice_state_name(t->said.state);

	return json_pack("{s:s, s:s, s:s?, s:s}", "partition", p->name, "way",
			 way, "ready", state, "status", t->said.status);
}

static void late(struct ready_wait *w, const struct partition *p,
		 const struct transport *t)
{
	struct verdict v;

	verdict_init(&v);
	if (!p)
		refuse(&v, HVS_REASON_PARTITION_UNKNOWN,
		       "there is no partition \"%.100s\"", w->partition);
	else if (!t)
		refuse(&v, HVS_REASON_PARTITION_OFF,
		       "no transport has attached \"%s\": its virtual machine does not run",
		       p->name);
	else if (!t->running)
		refuse(&v, HVS_REASON_PARTITION_OFF,
		       "the guest of \"%s\" has no driver yet", p->name);
	else
		refuse(&v, HVS_REASON_NO_ANSWER,
		       "the guest of \"%s\" has not said that it is ready",
		       p->name);
	client_refuse(w->client, MSG_CALL, w->serial, ETIMEDOUT, v.reason,
		      v.text);
	wait_end(w);
}

static void on_wait(struct ev_timer *timer);

/* How does it stand? When nothing happens, at @at it is looked at again. */
static void look_at(struct ready_wait *w)
{
	const struct partition *p = named(w->b, w->partition);
	const struct transport *t = p ? transport_find(w->b, &p->vmid) : NULL;
	uint64_t now = ev_now_ns(), at = w->deadline_ns, settled;
	bool runs = t && t->running && t->simulated == SIMULATED_NOTHING;
	const char *way = NULL;
	json_t *o;

	if (runs && t->said.state == NOTICE_READY)
		way = "ready";
	else if (runs && w->driver)
		way = "driver";
	else if (runs && w->settle_ns && t->said.state == NOTICE_NONE) {
		settled = t->running_since_ns + w->settle_ns;
		if (settled <= now)
			way = "driver";
		else if (settled < at)
			at = settled;
	}
	if (way) {
		o = answer(t, p, way);
		call_reply(w->client, w->serial, o);
		json_decref(o);
		wait_end(w);
	} else if (now >= w->deadline_ns) {
		late(w, p, t);
	} else {
		(void)ev_timer_start_at(w->b->ev, &w->timer, at, on_wait);
	}
}

static void on_wait(struct ev_timer *timer)
{
	look_at(container_of(timer, struct ready_wait, timer));
}

static void look_at_waits(struct broker *b)
{
	struct ready_wait *w, *next;

	DL_FOREACH_SAFE(b->ready_waits, w, next)
	look_at(w);
}

json_t *manage_partition_wait(struct call *c)
{
	struct account *who = c->client->account;
	int timeout_ms = TIMEOUT_MS, settle_ms = 0;
	const char *name, *until = "ready";
	const struct partition *p;
	struct ready_wait *w;

	if (!unpack(c, "{s:s, s?s, s?i, s?i}", "partition", &name, "until",
		    &until, "settle_ms", &settle_ms, "timeout_ms", &timeout_ms))
		return NULL;
	if (strlen(name) > NAME_MAX_LEN || timeout_ms < 0 ||
	    timeout_ms > TIMEOUT_MAX_MS || settle_ms < 0 ||
	    (strcmp(until, "ready") != 0 && strcmp(until, "driver") != 0)) {
		refuse(c->v, HVS_REASON_BAD_REQUEST,
		       "partition: at most 255 bytes; timeout_ms: 0 to 300000; settle_ms: 0 or more; until: ready or driver");
		return NULL;
	}
	p = named(c->b, name);
	if (p && p->kind != PARTITION_VM) {
		refuse(c->v, HVS_REASON_TYPE,
		       "\"%s\" is no virtual machine: wait for a service of it",
		       p->name);
		return NULL;
	}
	if (who->pending >= c->b->limits.pending) {
		refuse(c->v, HVS_REASON_QUOTA, "too much is being waited for");
		return NULL;
	}
	w = calloc(1, sizeof(*w));
	if (w)
		w->partition = strdup(name);
	if (!w || !w->partition) {
		free(w);
		return NULL;
	}
	w->b = c->b;
	w->client = c->client;
	w->serial = c->serial;
	w->driver = strcmp(until, "driver") == 0;
	w->settle_ns = (uint64_t)settle_ms * 1000000;
	w->deadline_ns = ev_now_ns() + (uint64_t)timeout_ms * 1000000;
	who->pending++;
	DL_APPEND(c->b->ready_waits, w);
	c->later = true;
	look_at(w);
	return NULL;
}
