/* SPDX-License-Identifier: MIT */
/*
 * dgram-uplink.c - the connections of hvsocket-dgram to those of other brokers
 *
 * One for each guest that has a broker, and in a guest one to the host. What
 * goes over them is decided in dgram-route.c. A REACH of what is beyond one is
 * asked there (ASK), and the program waits for the answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/guid.h"
#include "broker/dgram.h"
#include "broker/uplink.h"

#define ASK_MS 2000
#define ASKS_MAX 4096 /* of all programs */
#define SLOW_MS 250 /* answers that take longer are counted, */
#define SLOW_SUM_MS ASK_MS /* and if they take as long in */
#define UNASKED_MS 60000 /* such a time, it is not asked for as long */
#define FLUSH_MS 1000 /* a guest makes others' ways void once in that time, */
#define FLUSH_SPARE 8 /* and, after a while without, so often at once */

struct dgram_ask {
	struct client *client;
	uint32_t serial; /* the program's */
	uint32_t asked; /* ours */
	uint64_t token; /* of the uplink */
	uint64_t since_ns;
	GUID service;
	struct account *account; /* of the user, or of the partition */
	struct ev_timer timer;
	struct dgram_ask *prev, *next;
};

/* ---- Which there are -----------------------------------------------------*/

struct dgram_uplink *dgram_uplink_find(const struct dgrams *d,
				       const GUID *partition)
{
	struct dgram_uplink *u;

	HASH_FIND(hh, d->uplinks, partition, sizeof(*partition), u);
	return u;
}

struct dgram_uplink *dgram_uplink_by_token(const struct dgrams *d,
					   uint64_t token)
{
	struct dgram_uplink *u;

	for (u = d->uplinks; u && u->token != token; u = u->hh.next)
		;
	return u;
}

struct dgram_uplink *dgram_uplink_of(const struct dgrams *d,
				     const struct partition *p)
{
	const struct partition *parent = d->b->world.parent;
	const struct transport *t;

	if (p == parent)
		return parent ? dgram_uplink_find(d, &parent->vmid) : NULL;
	t = uplink_below(d->b, &p->vmid);
	return t ? dgram_uplink_find(d, &t->partition) : NULL;
}

static void on_put_off(struct ev_timer *t)
{
	dgram_flush(container_of(t, struct dgrams, put_off));
}

/*
 * Every way is void when an uplink comes or goes, and a guest that redials
 * could have all senders ask for theirs all the time. Put off, it costs nobody
 * else: what goes to the connection before is dropped, and what would go to
 * the new one is the guest's.
 */
static void uplink_flush(struct dgrams *d, const GUID *partition)
{
	const uint64_t step = FLUSH_MS * 1000000ull;
	struct transport *t = transport_find(d->b, partition);
	uint64_t now = ev_now_ns();

	if (d->flushed)
		return;
	if (t && t->flush_ns > now + (FLUSH_SPARE - 1) * step) {
		if (d->put_off.ev ||
		    ev_timer_start(d->b->ev, &d->put_off, FLUSH_MS,
				   on_put_off) == 0)
			return; /* (not put off, it would be lost) */
	}
	if (t)
		t->flush_ns = (t->flush_ns > now ? t->flush_ns : now) + step;
	dgram_flush(d);
}

int dgram_uplink_add(struct dgrams *d, const GUID *partition, uint64_t token)
{
	struct dgram_uplink *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->partition = *partition;
	u->token = token;
	u->peers.max = DGRAM_BEYOND_MAX;
	HASH_ADD(hh, d->uplinks, partition, sizeof(u->partition), u);
	uplink_flush(d, partition);
	return 0;
}

static void asks_lost(struct dgrams *d, uint64_t token);

void dgram_uplink_forget(struct dgrams *d, struct dgram_uplink *u)
{
	const GUID partition = u->partition;

	HASH_DELETE(hh, d->uplinks, u);
	asks_lost(d, u->token);
	free(u->peers.all);
	free(u);
	uplink_flush(d, &partition);
}

void dgram_uplink_close(struct dgrams *d, struct dgram_uplink *u)
{
	MSG_BUF(m, 32);

	msg_begin(&m, MSG_CLOSE, ++d->serial);
	msg_put_u64(&m, u->token);
	msg_put_u32(&m, 0);
	if (d->relay)
		client_send(d->relay, &m, NULL, 0);
	dgram_uplink_forget(d, u);
}

int dgram_uplink_take(struct dgrams *d, const GUID *partition, int fd,
		      bool say_ok)
{
	struct dgram_uplink *old = dgram_uplink_find(d, partition);
	const struct msg_socket s = {
		.token = broker_token(d->b),
		.partition = *partition,
		.uid = NAME_UID_NONE,
		.gid = NAME_UID_NONE,
		.flags = SOCKET_UPLINK | (say_ok ? SOCKET_SAY_OK : 0),
	};
	MSG_BUF(m, SOCKET_SIZE);
	int r;

	if (old)
		dgram_uplink_close(d, old);
	r = d->ready ? dgram_uplink_add(d, partition, s.token) : -ENETDOWN;
	if (r == 0) {
		msg_begin(&m, MSG_SOCKET, ++d->serial);
		msg_put_socket(&m, &s);
		client_send(d->relay, &m, &fd, 1);
		if (d->relay->broken)
			r = -ENETDOWN; /* all of them will be forgotten */
	}
	sock_close(d->b, fd);
	return r;
}

/* ---- REACH beyond one ----------------------------------------------------*/

static void ask_free(struct dgrams *d, struct dgram_ask *k)
{
	DL_DELETE(d->asks, k);
	ev_timer_stop(&k->timer);
	k->account->pending--;
	account_unref(d->b, k->account);
	ev_later(d->b->ev, free, k);
}

static void ask_refuse(struct dgrams *d, struct dgram_ask *k, uint32_t reason,
		       const char *text)
{
	struct client *c = k->client;

	broker_count(d->b, &k->service, &c->door->partition, NULL, reason);
	client_refuse(c, MSG_REACH, k->serial, (uint32_t)reason_errno(reason),
		      reason, text);
	ask_free(d, k);
}

static void asks_lost(struct dgrams *d, uint64_t token)
{
	struct dgram_ask *k, *next;

	DL_FOREACH_SAFE(d->asks, k, next)
		if (k->token == token)
			ask_refuse(d, k, HVS_REASON_PARTITION_OFF,
				   "the uplink's connection for datagrams has ended");
}

void dgram_asks_cancel(struct client *c)
{
	struct dgrams *d = c->b->dgrams;
	struct dgram_ask *k, *next;

	DL_FOREACH_SAFE(d->asks, k, next)
		if (k->client == c)
			ask_free(d, k);
}

/*
 * A server that answers guests waits for each of them, and the others for the
 * server: one that does not answer, or takes its time for it, may cost that
 * once in a while. In between nobody is made to wait for it: what is sent there
 * is sent, and it drops what it does not want. It is kept where the guest
 * cannot have it forgotten.
 */
static bool is_unasked(const struct dgrams *d, const struct dgram_uplink *u)
{
	const struct transport *t = transport_find(d->b, &u->partition);

	return t && ev_now_ns() < t->unasked_until_ns;
}

static void has_waited(const struct dgrams *d, const struct dgram_ask *k)
{
	const struct dgram_uplink *u = dgram_uplink_by_token(d, k->token);
	struct transport *t = u ? transport_find(d->b, &u->partition) : NULL;
	uint64_t now = ev_now_ns(), ms = (now - k->since_ns) / 1000000;

	if (!t || ms < SLOW_MS)
		return;
	if (now - t->slow_since_ns > UNASKED_MS * 1000000ull) {
		t->slow_since_ns = now;
		t->slow_ms = 0;
	}
	t->slow_ms += ms;
	if (t->slow_ms < SLOW_SUM_MS)
		return;
	t->slow_ms = 0;
	t->unasked_until_ns = now + UNASKED_MS * 1000000ull;
}

static void on_too_late(struct ev_timer *timer)
{
	struct dgram_ask *k = container_of(timer, struct dgram_ask, timer);
	struct dgrams *d = k->client->b->dgrams;

	has_waited(d, k);
	ask_refuse(d, k, HVS_REASON_NO_ANSWER,
		   "the broker beyond the uplink has not answered");
}

/* One that waits counts as a connect that is being set up. */
static struct dgram_ask *ask_new(struct dgrams *d, struct client *c)
{
	struct account *a = guid_is_zero(&c->door->partition) ?
				    c->account :
				    c->door->account;
	struct dgram_ask *k;

	if (!a)
		a = c->account;
	if (a->pending >= d->b->limits.pending)
		return NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->client = c;
	k->account = a;
	a->refs++;
	a->pending++;
	DL_APPEND(d->asks, k);
	return k;
}

static unsigned int asks_count(const struct dgrams *d)
{
	const struct dgram_ask *k;
	unsigned int n = 0;

	DL_FOREACH(d->asks, k)
		n++;
	return n;
}

void dgram_ask(struct dgrams *d, struct client *c, uint32_t serial,
	       const struct dgram_uplink *u, const struct uplink_ends *ends)
{
	const struct msg_ask q = { .token = u->token, .ends = *ends };
	struct dgram_ask *k;
	MSG_BUF(m, 96);

	if (is_unasked(d, u)) {
		client_reply_empty(c, MSG_REACH, serial);
		return;
	}
	k = asks_count(d) < ASKS_MAX ? ask_new(d, c) : NULL;
	if (!k) {
		client_refuse(c, MSG_REACH, serial, ENOBUFS, HVS_REASON_QUOTA,
			      "too many binds and connects are being set up");
		return;
	}
	k->serial = serial;
	k->asked = ++d->serial;
	k->token = u->token;
	k->since_ns = ev_now_ns();
	k->service = ends->service;
	if (ev_timer_start(d->b->ev, &k->timer, ASK_MS, on_too_late) < 0) {
		ask_refuse(d, k, HVS_REASON_BROKER_FAILED, "no memory");
		return;
	}
	msg_begin(&m, MSG_ASK, k->asked);
	msg_put_ask(&m, &q);
	client_send(d->relay, &m, NULL, 0);
}

void dgram_asked(struct dgrams *d, const struct frame *f)
{
	struct msg_reply r;
	struct dgram_ask *k;
	char text[UPLINK_TEXT_MAX + 1];
	size_t n;

	DL_SEARCH_SCALAR(d->asks, k, asked, f->h.serial);
	if (!k || msg_reply_decode(f->p, f->len, &r) < 0)
		return;
	has_waited(d, k);
	if (!r.error) {
		client_reply_empty(k->client, MSG_REACH, k->serial);
		ask_free(d, k);
		return;
	}
	if (!r.reason || r.reason >= REASON_COUNT)
		r.reason = HVS_REASON_BROKER_FAILED;
	n = f->len - MSG_REPLY_HEADER;
	if (n >= sizeof(text))
		n = sizeof(text) - 1;
	memcpy(text, f->p + MSG_REPLY_HEADER, n);
	text[n] = '\0';
	ask_refuse(d, k, r.reason,
		   n ? text : "the broker beyond the uplink refuses");
}
