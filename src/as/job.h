/* SPDX-License-Identifier: MIT */
/*
 * job.h - calls that take their time, each in a thread of ours
 *
 * A thread of the program is in one call at a time, so there is at most one job
 * for each. Signals make that less simple. One that interrupts a call ends its
 * notification, and says nothing about what is to come: the same call again
 * (SA_RESTART, or a loop around EINTR), something else, or nothing.
 *
 *   made again		the job goes on for the new notification, as a connect
 *			of the kernel's would; if it is over by then, its result
 *			has been kept for KEEP_MS where it cannot be had again
 *   something else	the job is abandoned: its thread is interrupted, and the
 *			broker hears that the connect is given up
 *   nothing		the thread is interrupted as well. The kernel tells
 *			nobody; so while there are jobs, the notifications are
 *			looked at every TICK_MS. If the call is made again after
 *			all, so is the job's; a connect may find then that it
 *			had been quicker
 *
 * A connection that has left a listener's queue and could not be given to
 * anybody is the next accept()'s there, whoever makes it and before any from
 * the queue, as long as there is the listener. (But for those that ask for no
 * name, of which we do not hear.)
 *
 * Even an answer that the kernel has taken may not be heard: a signal can be
 * faster to the thread than it. That a connect has come to its end is therefore
 * kept for SETTLE_MS if the program handles signals, or the same call, made
 * again, would find the socket connected. One that is not made again but for a
 * second time looks the same, and succeeds once. (A descriptor and its answer
 * are taken together, by the thread itself.)
 *
 * A result is written to the program's memory if its call is valid just before.
 * A signal may come between the two, without SA_RESTART, and the buffer be used
 * for something else at once; there is no way to exclude it (filter.c says what
 * the one that there is would cost), and it takes a thread that is quicker than
 * two system calls in a row.
 */
#ifndef AS_JOB_H
#define AS_JOB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "as/call.h"

#define TICK_MS 50
#define KEEP_MS 5000
#define SETTLE_MS 200
#define KICK SIGRTMIN /* interrupts a thread of ours */

struct job {
	struct job *next;
	struct call_in in; /* .notice.id: with the lock held */
	struct outcome out;
	atomic_bool kicked; /* interrupted: the call seems to be over */
	bool abandoned; /* it is over, for certain */
	bool again; /* its call is made once more */
	bool heard; /* an answer has been taken, at least by the kernel */
	bool over; /* .out is there; kept until .until */
	int living; /* a connection that is kept: its listener (living.h) */
	int misses; /* ticks that found the notification gone */
	long long until;
	bool running;
	pthread_t thread; /* if running */
};

/** jobs_start() - before everything else. */
void jobs_start(int listener);

/** jobs_take() - receive one notification and see to it. 0 or -errno */
int jobs_take(void);

/** jobs_tick() - Return: ms until the next one is due, -1: none is */
int jobs_tick(void);

/** job_valid() - is the program in that call right now? */
bool job_valid(struct job *j);

/** job_kept() - is there a connection that another accept there has left? */
bool job_kept(struct job *j);

/** job_take_kept() - it is @j's from now on, j->out. Return: there was one */
bool job_take_kept(struct job *j);

/**
 * job_running() - @j is this thread's
 *
 * Waits for those on the same socket that are being interrupted: while a
 * connect is made, O_NONBLOCK is not the program's.
 *
 * Return: its call is to be made; else it is over already, and so is @j->out.
 */
bool job_running(struct job *j);

/**
 * job_end() - there is j->out
 *
 * Return: true, and @j is given away; or false: it was interrupted (-EINTR) and
 * is to be made again.
 */
bool job_end(struct job *j);

/* work.c */

/** work_add() - have a thread run @j. 0 or -errno */
int work_add(struct job *j);

/* accept.c */

void accept_start(void);

/** accept_run() - wait for a connection, for j->out; -EINTR when kicked */
void accept_run(struct job *j);

#endif /* AS_JOB_H */
