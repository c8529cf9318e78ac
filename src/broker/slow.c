/* SPDX-License-Identifier: MIT */
/*
 * slow.c - connects of users who were caught clearing O_NONBLOCK
 *
 * A worker thread makes the connect() (offload.h), at most two at a time for a
 * user in a partition; the rest queue at the pair's account.
 */
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

#define SLOW_PER_USER 2
#define SLOW_FOR_S 60 /* who cleared O_NONBLOCK is not trusted so long */
#define SLOW_MS 250 /* one try of a worker */

static void slow_next(struct account *pair);

/* The mark holds the account: leaving and coming back does not wipe it off. */
static void on_unmark(struct ev_timer *t)
{
	struct account *pair = container_of(t, struct account, slow);

	account_unref(pair->b, pair);
}

void slow_mark(struct attempt *a)
{
	struct account *pair = a->client->pair;

	log_limited(&pair->log_limit, LOG_WARN_,
		    "uid %u (pid %d) clears O_NONBLOCK during connects: served slowly for %d s",
		    a->uid, a->client->pid, SLOW_FOR_S);
	if (!slow_marked(pair) &&
	    ev_timer_start(a->b->ev, &pair->slow, SLOW_FOR_S * 1000,
			   on_unmark) == 0)
		pair->refs++;
}

bool slow_marked(const struct account *pair)
{
	return pair->slow.ev;
}

static void slow_done(struct offload_connect *job)
{
	struct attempt *a = container_of(job, struct attempt, job);
	struct account *pair = a->pair;
	struct broker *b = a->b;
	struct client *c = a->client;
	struct verdict v;
	int err = job->error == EINTR ? EAGAIN : job->error;

	pair->slow_running--;
	pair->refs++; /* beyond the attempt */
	if (!c) {
		attempt_end(a, true);
	} else {
		attempt_decide(a, &v);
		if (err == 0 && v.target)
			attempt_succeed(a, true, &v);
		else if (v.reason)
			attempt_refuse(a, true, (uint32_t)v.error, v.reason,
				       v.text);
		else
			attempt_connected(a, true, &v, err, false);
	}
	slow_next(pair);
	account_unref(b, pair);
}

static void slow_start(struct attempt *a)
{
	uint64_t now = ev_now_ns();
	uint64_t left = a->deadline_ns > now ?
				(a->deadline_ns - now) / 1000000 + 1 :
				1;

	ev_timer_stop(&a->timer);
	a->job.timeout_ms = left < SLOW_MS ? left : SLOW_MS;
	a->job.fd = a->fd;
	a->job.done = slow_done;
	a->pair->slow_running++;
	offload_connect(a->b->offload, &a->job);
}

static void slow_next(struct account *pair)
{
	struct attempt *a = pair->slow_queue;

	if (!a || pair->slow_running >= SLOW_PER_USER)
		return;
	LL_DELETE2(pair->slow_queue, a, slow_next);
	a->queued = false;
	slow_start(a);
}

void attempt_slow(struct attempt *a, bool heap,
			const struct sockaddr_un *addr, socklen_t len)
{
	struct attempt *w = attempt_wait(a, heap, ATTEMPT_SLOW);

	if (!w)
		return;
	w->job.addr = *addr;
	w->job.len = len;
	if (w->pair->slow_running >= SLOW_PER_USER) {
		w->queued = true;
		LL_APPEND2(w->pair->slow_queue, w, slow_next);
		return;
	}
	slow_start(w);
}
