/* SPDX-License-Identifier: MIT */
/*
 * work.c - threads for jobs
 *
 * As many as there are jobs that wait, since each may wait for ever; a few stay
 * for the next ones. Where no more can be had, jobs wait for one that ends.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "as/job.h"

#define STAY 8
#define MOST 4096
#define STACK (256 * 1024)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct job *queue[MOST];
static unsigned int first, waiting; /* in the queue, a ring */
static unsigned int threads, idle;

static void run(struct job *j)
{
	bool make = job_running(j);

	do {
		if (make && call_is_accept(&j->in))
			accept_run(j);
		else if (make)
			call_make(&j->in, &j->out);
		make = true;
	} while (!job_end(j));
}

static void *worker(void *arg)
{
	struct job *j;

	(void)arg;
	pthread_mutex_lock(&lock);
	for (;;) {
		while (waiting) {
			j = queue[first];
			first = (first + 1) % MOST;
			waiting--;
			pthread_mutex_unlock(&lock);
			run(j);
			pthread_mutex_lock(&lock);
		}
		if (idle >= STAY)
			break;
		idle++;
		pthread_cond_wait(&more, &lock);
		idle--;
	}
	threads--;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int start(void)
{
	pthread_attr_t attr;
	pthread_t t;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&t, &attr, worker, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

int work_add(struct job *j)
{
	int r = 0;

	pthread_mutex_lock(&lock);
	if (waiting == MOST) {
		pthread_mutex_unlock(&lock);
		return -EAGAIN;
	}
	queue[(first + waiting) % MOST] = j;
	waiting++;
	if (waiting > idle && threads < MOST) {
		r = start();
		if (r == 0)
			threads++;
		else if (threads > 0)
			r = 0; /* one of them will have time */
		else
			waiting--;
	}
	pthread_cond_signal(&more);
	pthread_mutex_unlock(&lock);
	return -r;
}
