/* SPDX-License-Identifier: MIT */
/* attempt.c - how attempts wait and end; see attempt.h */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/guid.h"
#include "broker/attempt.h"
#include "broker/broker.h"
#include "broker/transport.h"
#include "broker/uplink.h"
#include "broker/windows.h"

#define WAKE_NS 62500

uint64_t attempt_deadline(uint32_t timeout_ms)
{
	if (!timeout_ms)
		timeout_ms = HVSOCKET_CONNECT_TIMEOUT_DEFAULT;
	return ev_now_ns() + timeout_ms * (uint64_t)1000000;
}

bool attempt_is_guests(const struct attempt *a)
{
	return a->request == MSG_DIAL || a->request == MSG_JOIN;
}

/* ---- The end of an attempt -----------------------------------------------*/

static void attempt_free(void *p)
{
	free(p);
}

/* Takes it off every list; @heap attempts are freed with the batch. */
void attempt_end(struct attempt *a, bool heap)
{
	struct broker *b = a->b;
	struct way *opens_for;

	if (a->fd >= 0)
		sock_close(b, a->fd);
	a->fd = -1;
	if (a->handed_over)
		sock_close(b, a->native);
	a->handed_over = false;
	if (a->asked)
		asked_refuse(a->asked, HVS_REASON_PARTITION_OFF,
			     "what carries the connection has ended");
	a->asked = NULL;
	if (a->way)
		way_free(a->way);
	if (!heap)
		return;
	ev_timer_stop(&a->timer);
	if (a->client)
		DL_DELETE2(a->client->attempts, a, prev, next);
	if (a->state == ATTEMPT_WAIT)
		DL_DELETE2(b->waiting, a, wait_prev, wait_next);
	if (a->state == ATTEMPT_OPEN)
		DL_DELETE2(a->via->opens, a, open_prev, open_next);
	if (a->queued)
		LL_DELETE2(a->pair->slow_queue, a, slow_next);
	for (int i = 0; i < 2; i++) {
		if (a->accounts[i]) {
			a->accounts[i]->pending--;
			account_unref(b, a->accounts[i]);
		}
	}
	account_unref(b, a->pair);
	ev_later(b->ev, attempt_free, a);
	opens_for = a->opens_for;
	a->opens_for = NULL;
	if (opens_for)
		way_opened(opens_for, -1, HVS_REASON_PARTITION_OFF,
			   "the guest's transport ended");
}

/* Decisions bring it along; guests, their transports, and time do not. */
uint32_t attempt_error(const struct attempt *a, uint32_t error,
		       uint32_t reason)
{
	struct caller caller = { .profile = a->profile };

	if (!windows_in_force(&a->b->world, &caller))
		return error;
	return (uint32_t)windows_error((int)error, reason, false, a->up);
}

static void reply_refused(struct attempt *a, uint32_t error, uint32_t reason,
			  const char *text)
{
	if (a->asked)
		asked_refuse(a->asked, reason, text);
	else if (a->request != MSG_JOIN && a->client && !a->client->dead)
		client_refuse(a->client, a->request, a->serial, error, reason,
			      text);
	a->asked = NULL;
}

void attempt_refuse(struct attempt *a, bool heap, uint32_t error,
			   uint32_t reason, const char *text)
{
	struct way *opens_for = a->opens_for;
	struct broker *b = a->b;
	const struct service *s;

	if (opens_for) { /* it is its to count, and to tell */
		a->opens_for = NULL;
		attempt_end(a, heap);
		way_opened(opens_for, -1, reason, text);
		return;
	}
	s = registry_service(b->registry, &a->dest.ServiceId);
	broker_count(b, s ? &s->id : &a->dest.ServiceId, &a->partition, NULL,
		     reason);
	if (log_enabled(LOG_DEBUG_)) {
		char g[GUID_TEXT_SIZE];

		log_debug("refused: uid %u, service %s: %s", a->uid,
			  guid_format(&a->dest.ServiceId, g), text);
	}
	reply_refused(a, attempt_error(a, error, reason), reason, text);
	attempt_end(a, heap);
}

void attempt_succeed(struct attempt *a, bool heap,
			     const struct verdict *v)
{
	struct broker *b = a->b;
	MSG_BUF(m, 64);

	if (a->opens_for) {
		struct way *w = a->opens_for;
		int fd = a->fd;

		a->opens_for = NULL;
		a->fd = -1;
		attempt_end(a, heap);
		way_opened(w, fd, 0, NULL);
		return;
	}
	if (a->request != MSG_CALL)
		broker_count(b, &v->service, &a->partition, &v->target->vmid,
			     0);
	if (a->fd >= 0 && a->request == MSG_CONNECT) {
		/*
		 * Before the reply: now it is not the last reference. Once the
		 * program knows, it may close its own and send the next socket,
		 * and a last close while any socket is in flight makes the
		 * kernel run its garbage collector.
		 */
		sock_close(b, a->fd);
		a->fd = -1;
	}
	if (a->asked) {
		asked_done(a->asked, a);
		a->asked = NULL;
	} else if (a->request == MSG_DIAL) {
		struct transport *t = a->client->transport;
		struct relayed r = {
			.token = a->token,
			.type = a->type,
			.uid = NAME_UID_NONE,
			.dest = a->dest.VmId,
			.service = a->dest.ServiceId,
			.source = a->source,
		};

		if (!a->to_native && transport_relays(t, &r) < 0) {
			attempt_refuse(a, heap, ENOBUFS, HVS_REASON_QUOTA,
				       "the guest has too many connections");
			return;
		}
		msg_begin_reply(&m, MSG_DIAL, a->serial, 0, 0, 0);
		msg_put_u64(&m, a->token);
		if (a->to_native || t->cids)
			msg_put_u32(&m, a->to_native ? DIAL_NATIVE : 0);
		if (t->cids)
			msg_put_guid(&m, &a->dest.VmId);
		client_send(a->client, &m, &a->fd, 1);
	} else if (a->request == MSG_CONNECT) {
		msg_begin_reply(&m, MSG_CONNECT, a->serial, 0, 0, 0);
		msg_put_u32(&m, a->handed_over ? CONNECT_STATE_NATIVE :
						 CONNECT_STATE_CONNECTED);
		msg_put_u64(&m, a->token);
		client_send(a->client, &m, &a->native, a->handed_over);
	} else {
		msg_begin_reply(&m, MSG_CALL, a->serial, 0, 0, 0);
		msg_put_bytes(&m, "{}", 2);
		client_send(a->client, &m, NULL, 0);
	}
	attempt_end(a, heap);
}

void attempts_cancel(struct client *c)
{
	struct attempt *a;

	/* the end of one may be the end of another */
	while ((a = c->attempts)) {
		DL_DELETE2(c->attempts, a, prev, next);
		a->client = NULL;
		if (a->parked)
			continue; /* goes on: RESULT may be asked for */
		if (a->state == ATTEMPT_OPEN)
			transport_close(a->via, a->token, 0);
		if (a->state == ATTEMPT_SLOW && !a->queued)
			continue; /* a worker holds it: slow_done() ends it */
		attempt_end(a, true);
	}
}

/* ---- Waiting -------------------------------------------------------------*/

/* Charges whoever connects: a guest, which is no user of this host, or a user,
 * and the partition if it is a child. Return: a copy of @a, or NULL: refused */
static struct attempt *charge(struct attempt *a)
{
	struct broker *b = a->b;
	struct client *c = a->client;
	struct account *who[2] = { NULL, NULL };
	struct attempt *w = malloc(sizeof(*w));
	bool full = false;

	if (!attempt_is_guests(a)) {
		who[0] = c->account;
		who[0]->refs++;
	}
	if (!guid_is_zero(&a->partition))
		who[1] = account_of_partition(b, &a->partition);
	for (int i = 0; i < 2; i++)
		full = full || (who[i] && who[i]->pending >= b->limits.pending);
	if (!w || full) {
		account_unref(b, who[0]);
		account_unref(b, who[1]);
		free(w);
		if (full)
			attempt_refuse(a, false, ENOBUFS, HVS_REASON_QUOTA,
				       "too many connects are being set up");
		else
			attempt_refuse(a, false, ENOMEM,
				       HVS_REASON_BROKER_FAILED, "no memory");
		return NULL;
	}
	*w = *a;
	for (int i = 0; i < 2; i++) {
		w->accounts[i] = who[i];
		if (who[i])
			who[i]->pending++;
	}
	w->pair = c->pair;
	w->pair->refs++;
	return w;
}

/* Makes @a wait in @state; a stack attempt moves to the heap. Return: where it
 * now is, or NULL: it was refused. */
struct attempt *attempt_wait(struct attempt *a, bool heap,
				    enum attempt_state state)
{
	struct broker *b = a->b;
	struct client *c = a->client;
	struct attempt *w = a;

	if (!heap) {
		w = charge(a);
		if (!w)
			return NULL;
		a->fd = -1;
		DL_APPEND2(c->attempts, w, prev, next);
	} else if (w->state == ATTEMPT_WAIT && state != ATTEMPT_WAIT) {
		DL_DELETE2(b->waiting, w, wait_prev, wait_next);
	}
	if (state == ATTEMPT_WAIT && w->state != ATTEMPT_WAIT)
		DL_APPEND2(b->waiting, w, wait_prev, wait_next);
	w->state = state;
	return w;
}

/* Again in @ms, or at the deadline. */
static void attempt_sleep(struct attempt *a, uint64_t ms)
{
	uint64_t at = ev_now_ns() + ms * 1000000u;

	if (at > a->deadline_ns)
		at = a->deadline_ns;
	if (ev_timer_start_at(a->b->ev, &a->timer, at, attempt_on_timer) < 0)
		attempt_refuse(a, true, ENOMEM, HVS_REASON_BROKER_FAILED,
			       "no memory");
}

static uint64_t back_off(struct attempt *a, uint64_t first, uint64_t most)
{
	uint64_t ms = first << (a->tries < 10 ? a->tries : 10);

	a->tries++;
	return ms > most ? most : ms;
}

static void remember(struct attempt *a, uint32_t error, uint32_t reason,
		     const char *text)
{
	a->error = error;
	a->reason = reason;
	strncpy(a->text, text, sizeof(a->text) - 1);
	a->text[sizeof(a->text) - 1] = '\0';
}

static bool past_deadline(const struct attempt *a)
{
	return ev_now_ns() >= a->deadline_ns;
}

/* Refuse, or, if that is wanted and makes sense, wait for it to change. */
void attempt_refused(struct attempt *a, bool heap, uint32_t error,
		    uint32_t reason, const char *text)
{
	bool waits = (a->flags & CONNECT_WAIT) &&
		     (reason == HVS_REASON_NO_LISTENER ||
		      reason == HVS_REASON_PARTITION_OFF ||
		      reason == HVS_REASON_NO_ANSWER);
	struct attempt *w;

	if (!waits || past_deadline(a)) {
		attempt_refuse(a, heap, error, reason, text);
		return;
	}
	w = attempt_wait(a, heap, ATTEMPT_WAIT);
	if (!w)
		return;
	remember(w, error, reason, text);
	attempt_sleep(w, back_off(w, 20, 500));
}

void attempt_backlog(struct attempt *a, bool heap)
{
	static const char text[] = "the listener's backlog is full";
	struct attempt *w;

	if ((a->flags & CONNECT_NONBLOCK) || past_deadline(a)) {
		attempt_refuse(a, heap, ECONNREFUSED, HVS_REASON_BACKLOG, text);
		return;
	}
	w = attempt_wait(a, heap, ATTEMPT_BACKLOG);
	if (!w)
		return;
	remember(w, ECONNREFUSED, HVS_REASON_BACKLOG, text);
	attempt_sleep(w, back_off(w, 1, 50));
}

void attempt_on_timer(struct ev_timer *t)
{
	struct attempt *a = container_of(t, struct attempt, timer);
	uint64_t token = a->token;
	struct transport *via = a->via;

	if (a->state == ATTEMPT_UPLINK) {
		static const char late[] =
			"the other broker did not answer in time";

		if (a->parked) {
			attempt_outcome(a, RESULT_FAILED, ETIMEDOUT,
					HVS_REASON_NO_ANSWER, late);
			broker_count(a->b, &a->dest.ServiceId, &a->partition,
				     NULL, HVS_REASON_NO_ANSWER);
			attempt_end(a, true);
		} else {
			attempt_refuse(a, true, ETIMEDOUT, HVS_REASON_NO_ANSWER,
				       late);
		}
	} else if (a->state == ATTEMPT_OPEN) {
		if (a->parked) { /* its request has been answered */
			attempt_outcome(a, RESULT_FAILED, ETIMEDOUT,
					HVS_REASON_NO_ANSWER,
					"the guest did not answer in time");
			broker_count(a->b, &a->dest.ServiceId, &a->partition,
				     &via->partition, HVS_REASON_NO_ANSWER);
			attempt_end(a, true);
		} else {
			attempt_refuse(a, true, ETIMEDOUT, HVS_REASON_NO_ANSWER,
				       "the guest did not answer in time");
		}
		transport_close(via, token, HVS_REASON_NO_ANSWER);
		transport_forget(via, token);
	} else if (past_deadline(a)) {
		attempt_refuse(a, true, a->error, a->reason, a->text);
	} else {
		attempt_run(a, true);
	}
}

/*
 * Whoever wakes others can do so very often, and have very many that wait. So
 * it is done once in a batch, and each user's attempts take their turns, one
 * every WAKE_NS. Never is one made to wait longer than it would have.
 */
static void on_wake(struct ev_timer *t)
{
	struct broker *b = container_of(t, struct broker, wake);
	uint64_t now = ev_now_ns();
	struct attempt *a;

	DL_FOREACH2(b->waiting, a, wait_next) {
		struct account *user = a->accounts[0];
		uint64_t at = user->wake_ns > now ? user->wake_ns : now;

		if (a->timer.ev && a->timer.at_ns <= at)
			continue;
		user->wake_ns = at + WAKE_NS;
		a->tries = 0;
		(void)ev_timer_start_at(b->ev, &a->timer, at, attempt_on_timer);
	}
}

void attempts_wake(struct broker *b)
{
	(void)ev_timer_start(b->ev, &b->wake, 0, on_wake);
}
