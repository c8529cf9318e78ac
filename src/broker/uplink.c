/* SPDX-License-Identifier: MIT */
/*
 * uplink.c - hvsocket-uplink, and, in a guest, whether there is a host
 *
 * A guest's broker keeps one connection to its host's (HELLO). As long as it
 * is there the uplink is up; when it ends it is made again, with growing
 * pauses.
 */
#include "broker/uplink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/guid.h"
#include "broker/rules.h"

#define PAUSE_MIN_MS 100u
#define PAUSE_MAX_MS 3000u

/* ---- hvsocket-uplink -----------------------------------------------------*/

bool uplink_is_relay(const struct transport *t)
{
	return t->client->b->uplinks->relay == t;
}

/* Is anybody here who needs it? */
static void start_if_wanted(struct uplinks *u)
{
	const char *why;

	if ((u->asked || u->place.kind != UPLINK_NONE) &&
	    helper_start(&u->helper, &why) < 0)
		log_err("%s", why);
}

static void on_ended(struct helper *h, const char *why)
{
	struct uplinks *u = container_of(h, struct uplinks, helper);

	(void)why; /* the log has it */
	if (h->served)
		start_if_wanted(u);
}

static void on_again(struct helper *h)
{
	start_if_wanted(container_of(h, struct uplinks, helper));
}

static void try_host(struct uplinks *u);

void request_uplink(struct client *c, struct frame *f)
{
	struct broker *b = c->b;
	struct uplinks *u = b->uplinks;
	struct transport *t;

	if (f->len != MSG_HEADER) {
		client_refuse(c, MSG_UPLINK, f->h.serial, EINVAL,
			      HVS_REASON_BAD_REQUEST, "UPLINK is malformed");
		return;
	}
	if (!guid_is_zero(&c->door->partition) ||
	    (c->uid != 0 && c->uid != b->world.broker_uid)) {
		client_refuse(c, MSG_UPLINK, f->h.serial, EPERM,
			      HVS_REASON_NOT_PERMITTED,
			      "hvsocket-uplink runs as the broker's user, on the host");
		return;
	}
	if (u->relay) {
		client_refuse(c, MSG_UPLINK, f->h.serial, EBUSY,
			      HVS_REASON_EXISTS,
			      "another hvsocket-uplink serves this broker");
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		client_refuse(c, MSG_UPLINK, f->h.serial, ENOMEM,
			      HVS_REASON_BROKER_FAILED, "no memory");
		return;
	}
	t->partition = guid_parent;
	t->client = c;
	t->kind = TRANSPORT_UPLINK;
	t->running = true;
	c->transport = t;
	HASH_ADD(hh, b->transports, partition, sizeof(t->partition), t);
	u->relay = t;
	u->helper.here = true;
	u->helper.served = u->helper.served || c->pid == u->helper.pid;
	client_reply_empty(c, MSG_UPLINK, f->h.serial);
	asked_go_on(u);
	if (u->place.kind != UPLINK_NONE && u->state == UPLINK_DOWN)
		try_host(u);
}

/* The guest that it goes to or comes from; in a guest there is none. */
static struct account *account_of_guest(struct broker *b,
					const struct msg_join *m)
{
	const struct partition *p = registry_partition(b->registry, &m->from);

	if (b->world.parent)
		return NULL;
	if (!p || p->kind == PARTITION_HOST)
		p = registry_partition(b->registry, &m->dest);
	while (p && p->kind != PARTITION_HOST) {
		if (transport_find(b, &p->vmid))
			return account_of_partition(b, &p->vmid);
		p = registry_partition(b->registry, &p->parent);
	}
	return NULL;
}

static int note(struct transport *t, const struct msg_join *m)
{
	struct account *guest = account_of_guest(t->client->b, m);
	const struct relayed r = {
		.token = m->token,
		.type = m->type,
		.direction = 1,
		.from = m->from,
		.dest = m->dest,
		.passthru = m->flags & JOIN_PASSTHRU,
		.uid = m->uid,
		.service = m->service,
		.source = m->source,
		.joined = guest,
	};
	struct relayed *known;
	int e = -ENOBUFS;

	HASH_FIND(hh, t->relayed, &m->token, sizeof(m->token), known);
	if (known)
		e = -EEXIST;
	else if (!guest || guest->joined < UPLINK_JOINED_MAX)
		e = transport_relays(t, &r);
	if (e < 0)
		account_unref(t->client->b, guest);
	else if (guest)
		guest->joined++;
	return e;
}

int uplink_join(struct uplinks *u, const struct msg_join *m, int program,
		int stream)
{
	struct transport *t = u->relay;
	int fds[2] = { program, stream };
	int r = -ENETDOWN;
	MSG_BUF(buf, JOIN_SIZE);

	if (t && !t->client->broken)
		r = note(t, m);
	if (r == 0) {
		msg_begin(&buf, MSG_JOIN, ++t->serial);
		msg_put_join(&buf, m);
		client_send(t->client, &buf, fds, 2);
		if (t->client->broken) {
			transport_forget(t, m->token);
			r = -ENETDOWN;
		}
	}
	sock_close(u->b, program);
	sock_close(u->b, stream);
	return r;
}

void uplink_joined(struct transport *t, const struct frame *f)
{
	struct relayed *r;
	struct msg_join m;

	if (msg_join_decode(f->p, f->len, &m) < 0)
		return;
	if (note(t, &m) == -ENOBUFS)
		transport_close(t, m.token, HVS_REASON_QUOTA);
	HASH_FIND(hh, t->relayed, &m.token, sizeof(m.token), r);
	if (r) /* rules may have changed while there was no broker */
		relayed_recheck(t->client->b, t, r);
}

/* ---- The host ------------------------------------------------------------*/

const char *uplink_down(const struct uplinks *u)
{
	if (!u->relay)
		return "hvsocket-uplink, which carries its connections, is not there";
	if (u->state == UPLINK_UP)
		return NULL;
	return u->why[0] ? u->why : "the host has not answered yet";
}

static void on_try_again(struct ev_timer *t)
{
	try_host(container_of(t, struct uplinks, again));
}

__attribute__((format(printf, 2, 3))) static void
down(struct uplinks *u, const char *fmt, ...)
{
	bool was_up = u->state == UPLINK_UP;
	char why[sizeof(u->why)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (was_up || strcmp(why, u->why) != 0)
		log_warn("the uplink is down: %s", why);
	memcpy(u->why, why, sizeof(why));
	u->state = UPLINK_DOWN;
	ask_end(&u->hello);
	uplink_dgram_stop(u);
	if (was_up)
		u->pause_ms = PAUSE_MIN_MS;
	(void)ev_timer_start(u->b->ev, &u->again, u->pause_ms, on_try_again);
	u->pause_ms = u->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS :
						       u->pause_ms * 2;
}

/* What there is to read is its end, or what must not be there. */
static void on_kept(struct ev_io *io, uint32_t events)
{
	struct ask *k = container_of(io, struct ask, io);

	(void)events;
	down(container_of(k, struct uplinks, hello),
	     "the host's broker has gone");
}

static void on_answer(struct ask *k, const struct uplink_answer *a)
{
	struct uplinks *u = container_of(k, struct uplinks, hello);

	if (a->reason) {
		down(u, "%s", a->text[0] ? a->text : reason_name(a->reason));
		return;
	}
	if (ev_io_start(u->b->ev, &k->io, k->fd, EPOLLIN | EPOLLRDHUP,
			on_kept) < 0) {
		down(u, "%s", strerror(ENOMEM));
		return;
	}
	ev_timer_stop(&u->again);
	u->state = UPLINK_UP;
	u->why[0] = '\0';
	u->pause_ms = PAUSE_MIN_MS;
	u->vmid = a->vmid;
	strcpy(u->name, a->text);
	log_info("the uplink is up: the host knows this machine as \"%s\"",
		 u->name);
	attempts_wake(u->b);
	uplink_dgram_look(u);
}

static void on_too_late(struct ev_timer *t)
{
	down(container_of(t, struct uplinks, again),
	     "the host's broker does not answer");
}

static void try_host(struct uplinks *u)
{
	const char *why;
	char text[120];
	int r = 0;

	if (!u->relay)
		r = helper_start(&u->helper, &why);
	if (r < 0) {
		down(u, "%s", why);
		return;
	}
	if (!u->relay)
		return; /* request_uplink() goes on */
	if (uplink_listen(u, text, sizeof(text)) < 0) {
		down(u, "%s", text);
		return;
	}
	u->state = UPLINK_TRYING;
	(void)ev_timer_start(u->b->ev, &u->again, UPLINK_LINE_MS, on_too_late);
	ask_dial(&u->hello);
}

struct transport *uplink_below(const struct broker *b, const GUID *partition)
{
	const struct partition *p = registry_partition(b->registry, partition);

	while (p && p->kind != PARTITION_HOST) {
		struct transport *t = transport_find(b, &p->vmid);

		if (t)
			return t->uplink ? t : NULL;
		p = registry_partition(b->registry, &p->parent);
	}
	return NULL;
}

/* ---- Life ----------------------------------------------------------------*/

void uplink_transport_gone(struct transport *t)
{
	struct uplinks *u = t->client->b->uplinks;

	if (u->relay != t) {
		asked_drop_all(u, &t->partition);
		return;
	}
	u->relay = NULL;
	u->helper.here = false;
	if (u->state == UPLINK_UP || u->state == UPLINK_TRYING)
		down(u, "hvsocket-uplink, which carries its connections, has ended");
}

static void init_meeting(struct meeting *m, struct broker *b, uint8_t type)
{
	const struct rendezvous_name n = { .type = type,
					   .partition = guid_parent };
	struct sockaddr_un sa;

	rendezvous_name_encode(&n, &sa);
	meeting_init(m, b, sa.sun_path);
}

int uplinks_new(struct broker *b, const struct uplink_place *place,
		const char *program, struct uplinks **ret)
{
	static char name[] = "host";
	struct uplinks *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->b = b;
	u->place = *place;
	u->helper = (struct helper){
		.b = b,
		.name = "hvsocket-uplink",
		.what = "which carries connections over uplinks",
		.lock = "uplink.lock",
		.program = program,
		.ended = on_ended,
		.again = on_again,
		.pidfd = -1,
	};
	init_meeting(&u->streams, b, SOCK_STREAM);
	init_meeting(&u->raws, b, SOCK_SEQPACKET);
	u->parent = (struct partition){
		.vmid = guid_parent,
		.name = name,
		.kind = PARTITION_HOST,
		.enabled = true,
		.defaults = { .wildcard = -1 },
	};
	u->hello = (struct ask){ .b = b,
				 .fd = -1,
				 .request.verb = UPLINK_HELLO,
				 .answered = on_answer };
	uplink_dgram_init(u);
	u->listen_fd = -1;
	u->pause_ms = PAUSE_MIN_MS;
	*ret = u;
	return 0;
}

void uplinks_start(struct uplinks *u)
{
	if (u->place.kind != UPLINK_NONE)
		try_host(u);
}

struct uplinks *uplinks_free(struct uplinks *u)
{
	if (!u)
		return NULL;
	asked_drop_all(u, NULL);
	ask_end(&u->hello);
	uplink_dgram_stop(u);
	uplink_listen_stop(u);
	ev_timer_stop(&u->again);
	helper_fini(&u->helper);
	meeting_fini(&u->streams);
	meeting_fini(&u->raws);
	free(u);
	return NULL;
}
