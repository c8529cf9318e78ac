/* SPDX-License-Identifier: MIT */
/*
 * dgram-bind.c - BIND of datagram sockets
 *
 * A program's socket is named, connected to a listening socket of ours, and
 * the end that we accept there is hvsocket-dgram's: what it reads from it that
 * program has written, and nobody else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/guid.h"
#include "broker/dgram.h"

#define WAIT_MS 5000
/* sockets that hvsocket-dgram has yet to fetch: of a user of the host, or of a
 * partition; and of all, less than client-out.c keeps */
#define BEHIND_MAX 1024
#define BEHIND_ALL 8192

/* A BIND that waits for hvsocket-dgram, or is being done. */
struct dgram_wait {
	struct client *client;
	uint32_t serial;
	int fd;
	SOCKADDR_HV addr;
	struct connector_name has; /* if it was named by an earlier broker */
	bool named;
	bool probed; /* whoever holds the address lives */
	uint32_t probe; /* serial of the question, or 0 */
	struct account *accounts[2]; /* the user, the partition if a child */
	struct ev_timer timer;
	struct dgram_wait *prev, *next;
};

/* Whose are those that wait. */
static struct account *payer(const struct client *c)
{
	return guid_is_zero(&c->door->partition) ? c->account :
						   c->door->account;
}

static bool hand_over(struct dgrams *d, const struct client *c,
		      const struct msg_socket *s, int end)
{
	static uint8_t raw[SOCKET_MAX];
	struct msg_buf m = msg_buf(raw, sizeof(raw));

	msg_begin(&m, MSG_SOCKET, ++d->serial);
	msg_put_socket(&m, s);
	d->relay->out_payer = payer(c);
	client_send(d->relay, &m, &end, 1);
	d->relay->out_payer = NULL;
	return !d->relay->broken;
}

/* Names the socket and connects it. Return: the other end, or -errno */
static int connect_here(struct dgrams *d, const struct dgram_wait *w,
			const struct connector_name *name)
{
	struct sockaddr_un sa;
	socklen_t len = connector_name_encode(name, &sa);

	guard_arm(&d->b->guard);
	if (!w->named && bind(w->fd, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	return meeting_connect(&d->meeting, w->fd, SOCK_SEQPACKET, &sa, len);
}

static void reply_bound(struct client *c, uint32_t serial,
			const SOCKADDR_HV *addr)
{
	MSG_BUF(m, 64);

	msg_begin_reply(&m, MSG_BIND, serial, 0, 0, 0);
	msg_put_address(&m, addr);
	msg_put_u32(&m, 0);
	client_send(c, &m, NULL, 0);
}

/* What an earlier broker named has to be what this one would name. */
static bool same_name(const struct dgram_wait *w, const SOCKADDR_HV *addr)
{
	return w->has.uid == w->client->uid &&
	       guid_equal(&w->has.peer, &addr->VmId) &&
	       guid_equal(&w->has.peer_service, &addr->ServiceId);
}

/* A name that this broker did not give may be made up. Without a rule it is
 * taken only if one like it could have been given. */
static bool unused_number(const struct broker *b, const struct client *c,
			  const GUID *service)
{
	uint32_t port;

	return guid_is_port(service, &port) && port >= 0x80000000u &&
	       !registry_service(b->registry, service) &&
	       !dgram_find_key(b->dgrams, &c->door->partition, service);
}

/* The token is ours in any case: nothing that was said of another socket is
 * to hold for it. */
static void made(struct dgrams *d, const struct dgram_wait *w,
		 const struct connector_name *name, bool answers_only,
		 struct verdict *v)
{
	struct client *c = w->client;
	cleanup_close_ int end = connect_here(d, w, name);
	size_t ngroups = c->ngroups;
	struct msg_socket s = {
		.token = w->named ? broker_token(d->b) : name->token,
		.name = name->token,
		.partition = c->door->partition,
		.vmid = name->peer,
		.service = name->peer_service,
		.uid = c->uid,
		.gid = c->gid,
		.pid = (uint32_t)c->pid,
		.flags = (answers_only ? SOCKET_ANSWERS_ONLY : 0) |
			 (w->named ? SOCKET_NAMED : 0),
	};

	if (end < 0) {
		refuse(v, HVS_REASON_BROKER_FAILED,
		       "the socket cannot be connected to hvsocket-dgram: %s",
		       strerror(-end));
		v->error = -end;
		return;
	}
	if (ngroups > SOCKET_GROUPS_MAX)
		ngroups = SOCKET_GROUPS_MAX;
	s.groups = (const uint8_t *)c->groups;
	s.ngroups = ngroups;
	if (dgram_add(d, &s) < 0)
		refuse(v, HVS_REASON_BROKER_FAILED, "no memory");
	else if (!hand_over(d, c, &s, end))
		refuse(v, HVS_REASON_NO_BROKER, "hvsocket-dgram has ended");
	else if (!answers_only)
		dgram_flush(d);
}

static void not_behind(const struct dgrams *d, const struct client *c,
		       struct verdict *v)
{
	const struct account *a = payer(c);

	if (a && a->behind >= BEHIND_MAX)
		refuse(v, HVS_REASON_QUOTA,
		       "hvsocket-dgram has yet to take %u sockets of %s",
		       a->behind, a == c->account ? "this user" :
						    "this partition");
	else if (d->relay->out_files >= BEHIND_ALL)
		refuse(v, HVS_REASON_QUOTA,
		       "hvsocket-dgram has yet to take %u sockets",
		       d->relay->out_files);
}

/* Return: 0: it is done; or the token of a socket that holds the address and
 * has to be asked for first */
static uint64_t bind_now(struct dgrams *d, const struct dgram_wait *w)
{
	struct broker *b = d->b;
	struct client *c = w->client;
	struct caller caller = client_caller(c);
	SOCKADDR_HV addr = w->addr;
	bool answers_only, number = guid_is_zero(&addr.ServiceId);
	struct connector_name name = { .type = SOCK_DGRAM, .uid = c->uid };
	struct verdict v;

	broker_refresh(b);
	if (c->dead)
		return 0;
	answers_only = number && guid_is_zero(&addr.VmId);
	if (number && w->named)
		addr.ServiceId = w->has.peer_service;
	else if (number)
		addr.ServiceId = bind_unused(b, &caller.partition, &addr.VmId,
					     SOCK_DGRAM);
	verdict_init(&v);
	v.service = addr.ServiceId;
	if (!answers_only)
		decide_bind(&b->world, &caller, &addr, SOCK_DGRAM, &v);
	if (v.reason == HVS_REASON_ADDRESS_TAKEN && !w->probed)
		return v.listener->token;
	if (!v.reason)
		addr.ServiceId = v.service;
	if (!v.reason && v.disabled)
		refuse(&v, HVS_REASON_DISABLED, "the service is disabled");
	if (!v.reason && w->named && !same_name(w, &addr))
		refuse(&v, HVS_REASON_BAD_REQUEST,
		       "the socket is already bound");
	if (!v.reason && w->named && answers_only &&
	    !unused_number(b, c, &addr.ServiceId))
		refuse(&v, HVS_REASON_BAD_REQUEST,
		       "the socket bears the name of another one");
	if (!v.reason)
		not_behind(d, c, &v);
	if (!v.reason && bind_within_quota(c, &v)) {
		name.peer = addr.VmId;
		name.peer_service = addr.ServiceId;
		name.token = w->named ? w->has.token : broker_token(b);
		if (dgram_find_name(d, &caller.partition, c->uid, name.token))
			refuse(&v, HVS_REASON_BAD_REQUEST,
			       "the socket bears the name of another one");
		else
			made(d, w, &name, answers_only, &v);
	}
	if (v.reason) {
		broker_count(b, &v.service, &caller.partition, NULL, v.reason);
		client_refuse_verdict(c, MSG_BIND, w->serial, &v);
	} else {
		reply_bound(c, w->serial, &addr);
	}
	return 0;
}

/* Out of the list already. */
static void wait_free(struct dgrams *d, struct dgram_wait *w)
{
	for (int i = 0; i < 2; i++) {
		if (!w->accounts[i])
			continue;
		w->accounts[i]->pending--;
		account_unref(d->b, w->accounts[i]);
	}
	ev_timer_stop(&w->timer);
	sock_close(d->b, w->fd);
	ev_later(d->b->ev, free, w);
}

static void wait_end(struct dgrams *d, struct dgram_wait *w)
{
	DL_DELETE(d->waits, w);
	wait_free(d, w);
}

/* As a connect that is being set up. Return: is there room? */
static bool charge(struct dgram_wait *w)
{
	const GUID *partition = &w->client->door->partition;
	struct broker *b = w->client->b;
	struct account *who[2] = { w->client->account, NULL };

	who[0]->refs++;
	if (!guid_is_zero(partition))
		who[1] = account_of_partition(b, partition);
	if (who[0]->pending >= b->limits.pending ||
	    (who[1] && who[1]->pending >= b->limits.pending)) {
		account_unref(b, who[0]);
		account_unref(b, who[1]);
		return false;
	}
	for (int i = 0; i < 2; i++) {
		w->accounts[i] = who[i];
		if (who[i])
			who[i]->pending++;
	}
	return true;
}

static void wait_refuse(struct dgrams *d, struct dgram_wait *w,
			const char *why)
{
	client_refuse(w->client, MSG_BIND, w->serial, ENETDOWN,
		      HVS_REASON_NO_BROKER, why);
	wait_end(d, w);
}

static void on_wait(struct ev_timer *t)
{
	struct dgram_wait *w = container_of(t, struct dgram_wait, timer);

	wait_refuse(w->client->b->dgrams, w,
		    "hvsocket-dgram, which carries datagrams, does not answer");
}

void dgram_waits_cancel(struct client *c)
{
	struct dgram_wait *w, *next;

	DL_FOREACH_SAFE(c->b->dgrams->waits, w, next)
		if (w->client == c)
			wait_end(c->b->dgrams, w);
}

void dgram_waits_refuse(struct dgrams *d, const char *why)
{
	while (d->waits)
		wait_refuse(d, d->waits, why);
}

void dgram_waits_go_on(struct dgrams *d)
{
	while (d->waits && d->ready) {
		struct dgram_wait *w = d->waits;

		/* who holds an address now has just said so */
		DL_DELETE(d->waits, w);
		w->probed = true;
		(void)bind_now(d, w);
		wait_free(d, w);
	}
}

void dgram_waits_lost(struct dgrams *d)
{
	const char *why;

	if (d->waits && helper_start(&d->helper, &why) < 0)
		dgram_waits_refuse(d, why);
}

static void probe(struct dgrams *d, struct dgram_wait *w, uint64_t token)
{
	MSG_BUF(m, 16);

	w->probe = ++d->serial;
	msg_begin(&m, MSG_PROBE, w->probe);
	msg_put_u64(&m, token);
	client_send(d->relay, &m, NULL, 0);
}

void dgram_probed(struct dgrams *d, uint32_t serial)
{
	struct dgram_wait *w;

	DL_SEARCH_SCALAR(d->waits, w, probe, serial);
	if (!w)
		return;
	DL_DELETE(d->waits, w);
	w->probed = true;
	(void)bind_now(d, w);
	wait_free(d, w);
}

/* @token: the socket to be asked for; 0: there is nobody to ask yet */
static void wait_start(struct dgrams *d, const struct dgram_wait *like,
		       uint64_t token)
{
	struct dgram_wait *w = malloc(sizeof(*w));
	const char *why = "no memory";
	bool full = false;
	int r;

	if (w) {
		*w = *like;
		full = !charge(w);
	}
	if (w && !full) {
		DL_APPEND(d->waits, w);
		r = ev_timer_start(d->b->ev, &w->timer, WAIT_MS, on_wait);
		if (r == 0 && token)
			probe(d, w, token);
		else if (r == 0)
			r = helper_start(&d->helper, &why);
		if (r < 0)
			wait_refuse(d, w, why);
		return;
	}
	free(w);
	if (full)
		client_refuse(like->client, MSG_BIND, like->serial, ENOBUFS,
			      HVS_REASON_QUOTA,
			      "too many binds and connects are being set up");
	else
		client_refuse(like->client, MSG_BIND, like->serial, ENOMEM,
			      HVS_REASON_BROKER_FAILED, why);
	sock_close(d->b, like->fd);
}

void dgram_bind(struct client *c, struct frame *f, const SOCKADDR_HV *addr,
		const struct sock_info *info)
{
	struct dgrams *d = c->b->dgrams;
	struct dgram_wait w = {
		.client = c,
		.serial = f->h.serial,
		.addr = *addr,
		.named = info->name.kind == NAME_DATAGRAM,
	};
	const char *why = NULL;
	uint64_t token = 0;
	int err = EINVAL;

	if (info->type != SOCK_SEQPACKET) {
		why = "a socket for datagrams is SOCK_SEQPACKET";
	} else if (sock_connected(f->fds[0])) {
		why = "the socket is connected: only a fresh one can be bound";
		err = EISCONN;
	} else if (info->name.kind != NAME_NONE && !w.named) {
		why = "the socket is already bound";
	}
	if (why) {
		client_refuse(c, MSG_BIND, f->h.serial, (uint32_t)err,
			      HVS_REASON_BAD_REQUEST, why);
		return;
	}
	if (w.named)
		w.has = info->name.connector;
	w.fd = frame_take_fd(f, 0);
	if (d->ready)
		token = bind_now(d, &w);
	if (!d->ready || token)
		wait_start(d, &w, token);
	else
		sock_close(c->b, w.fd);
}
