/* SPDX-License-Identifier: MIT */
/*
 * accept.c - accept() for a program
 *
 * A connection must not leave the queue for a call that is no longer there. So
 * what waits here is poll(), and accept() is called when there is a connection
 * and the program is known to be in its call and to have a number free for it;
 * what is left of the gap, job.h mends. Of several threads at one listener each
 * looks in turn, so that none finds another's connection gone and sits in
 * accept() until the next; where some other process has taken it, it may.
 *
 * The duplicate of the listener keeps it open. It goes when the program does,
 * which the pidfd tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/time.h>
#include <time.h>

#include "as/job.h"
#include "as/target.h"
#include "lib/sys.h"

#define TURNS 64
#define LONGEST 60000 /* ms, of one poll() */

static pthread_mutex_t turns[TURNS];

void accept_start(void)
{
	for (size_t i = 0; i < TURNS; i++)
		pthread_mutex_init(&turns[i], NULL);
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* SO_RCVTIMEO is accept()'s time limit. Return: ms, -1: none */
static long long limit(int fd)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) < 0 ||
	    (!tv.tv_sec && !tv.tv_usec))
		return -1;
	return tv.tv_sec * 1000LL + (tv.tv_usec + 999) / 1000;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* With the turn. Return: j->out is there. */
static bool attempt(struct job *j, bool waits)
{
	if (waits && !job_kept(j) && !readable(j->in.fd))
		return false;
	if (!job_valid(j)) {
		/* made again in a moment, or not at all */
		poll(NULL, 0, 1);
		return false;
	}
	if (!target_room(j->in.notice.tid)) {
		j->out.value = -EMFILE;
		return true;
	}
	if (job_take_kept(j))
		return true;
	call_accept(&j->in, &j->out);
	/* we were kicked, not the program */
	return j->out.value != -EINTR;
}

/* How long to wait yet, for poll(). */
static int left(long long until)
{
	long long ms = until < 0 ? -1 : until - now_ms();

	if (until >= 0 && ms < 0)
		ms = 0;
	return ms > LONGEST ? LONGEST : (int)ms;
}

void accept_run(struct job *j)
{
	pthread_mutex_t *turn = &turns[j->in.cookie % TURNS];
	bool waits = !(fcntl(j->in.fd, F_GETFL) & O_NONBLOCK);
	long long ms = limit(j->in.fd);
	long long until = ms < 0 ? -1 : now_ms() + ms;

	j->out = (struct outcome){ .value = -EINTR, .fd = -1 };
	while (!atomic_load(&j->kicked)) {
		struct pollfd p[2] = {
			{ .fd = j->in.fd, .events = POLLIN },
			{ .fd = j->in.pidfd, .events = POLLIN },
		};
		bool done = false, kept = job_kept(j);

		if (!kept && poll(p, 2, waits ? left(until) : 0) < 0)
			continue; /* kicked */
		if (p[1].revents)
			return; /* nobody is there any more */
		if (kept || p[0].revents || !waits) {
			pthread_mutex_lock(turn);
			done = attempt(j, waits);
			pthread_mutex_unlock(turn);
		} else if (until >= 0 && left(until) == 0) {
			j->out.value = -EAGAIN;
			return;
		}
		if (done)
			return;
	}
}
