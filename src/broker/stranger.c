/* SPDX-License-Identifier: MIT */
/*
 * stranger.c - closing descriptors that clients sent and nobody wanted
 *
 * Such a close() can take as long as whoever sent it likes (FUSE). Each user
 * has at most two under way, so that the workers are there for the others, and
 * nothing more is read from one who has too many that wait.
 */
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

#include "broker/broker.h"
#include "broker/offload.h"

#define RUNNING_MAX 2
#define WAITING_MAX 512

struct stranger {
	struct offload_closing job;
	struct broker *b;
	struct account *account;
	struct stranger *next;
};

static void start_next(struct broker *b, struct account *a);

static void on_closed(struct offload_closing *job)
{
	struct stranger *s = container_of(job, struct stranger, job);
	struct account *a = s->account;

	a->strangers_running--;
	start_next(s->b, a);
	if (a->strangers-- == WAITING_MAX + 1)
		clients_resume(s->b, a);
	account_unref(s->b, a);
	free(s);
}

static void start_next(struct broker *b, struct account *a)
{
	struct stranger *s = a->strangers_queue;

	if (!s || a->strangers_running >= RUNNING_MAX)
		return;
	LL_DELETE(a->strangers_queue, s);
	a->strangers_running++;
	offload_close_job(b->offload, &s->job);
}

void stranger_close(struct broker *b, struct account *user, int fd)
{
	struct stranger *s = malloc(sizeof(*s));

	if (!s) {
		sock_close(b, fd);
		return;
	}
	*s = (struct stranger){
		.job = { .fd = fd, .done = on_closed },
		.b = b,
		.account = user,
	};
	user->refs++;
	user->strangers++;
	LL_PREPEND(user->strangers_queue, s);
	start_next(b, user);
}

bool strangers_too_many(const struct account *a)
{
	return a->strangers > WAITING_MAX;
}
