/* SPDX-License-Identifier: MIT */
/* job.c - see job.h */
#include "as/job.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "as/living.h"
#include "as/target.h"
#include "base/cleanup.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static struct job *jobs; /* abandoned ones too */
static int listener = -1;

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void jobs_start(int fd)
{
	listener = fd;
	accept_start();
}

static void job_free(struct job *j)
{
	cleanup_close(&j->out.fd);
	cleanup_close(&j->living);
	call_release(&j->in);
	free(j);
}

static void take_out(struct job *j)
{
	struct job **p = &jobs;

	while (*p != j)
		p = &(*p)->next;
	*p = j->next;
}

/* Return: 0 or -errno; of those, -ENOENT: nobody was there to hear it. */
static int deliver(const struct notice *n, const struct outcome *o)
{
	struct piece p[2];
	size_t count = 0;
	int r;

	if (o->to && o->n)
		p[count++] = (struct piece){ o->to, o->bytes, o->n };
	if (o->len_to)
		p[count++] = (struct piece){ o->len_to, &o->len,
					     sizeof(o->len) };
	if (count) {
		if (!notice_valid(listener, n->id))
			return -ENOENT;
		r = target_write(n->tid, p, count);
		if (r == -ESRCH)
			return -ENOENT;
		if (r < 0)
			return notice_answer(listener, n->id, -EFAULT);
	}
	switch (o->kind) {
	case OUTCOME_NATIVE:
		return notice_continue(listener, n->id);
	case OUTCOME_FD:
		r = notice_give(listener, n->id, o->fd, o->cloexec);
		if (r == -ENOENT || r == 0)
			return r;
		/* there is no room for it in the program; but it is kept */
		(void)notice_answer(listener, n->id, r);
		return r;
	case OUTCOME_ANSWER:
		break;
	}
	return notice_answer(listener, n->id, o->value);
}

/* Nobody has heard it. Would the same call, made again, give less? */
static bool unrepeatable(const struct job *j)
{
	const struct outcome *o = &j->out;

	switch (j->in.notice.nr) {
	case SYS_connect:
		return o->value == 0 || o->value == -EINPROGRESS ||
		       o->value == -EINTR;
	case SYS_getsockopt:
		/* SO_ERROR is cleared when it is read */
		return o->value == 0 && o->n && o->bytes[0];
	default:
		return o->kind == OUTCOME_FD;
	}
}

/* With the lock held; @j is over, and may be gone afterwards. Only its result
 * is kept: the socket must be able to go. */
static void hand_over(struct job *j)
{
	bool once = j->in.notice.nr == SYS_connect && !j->out.value &&
		    !j->heard && target_interrupted(j->in.notice.tid);
	int r = deliver(&j->in.notice, &j->out);

	if (r ? !unrepeatable(j) : !once) {
		take_out(j);
		job_free(j);
		return;
	}
	if (j->out.kind == OUTCOME_FD && j->living < 0)
		j->living = living_watch(j->in.fd);
	call_release(&j->in);
	j->heard = r == 0;
	j->until = now_ms() + (r ? KEEP_MS : SETTLE_MS);
}

/* A connection that nobody has been given yet. */
static bool is_kept(const struct job *j)
{
	return j->over && j->out.kind == OUTCOME_FD;
}

/* With the lock held. */
static struct job *find_kept(const struct job *j)
{
	for (struct job *o = jobs; o; o = o->next)
		if (is_kept(o) && o->in.cookie == j->in.cookie)
			return o;
	return NULL;
}

bool job_kept(struct job *j)
{
	bool kept;

	pthread_mutex_lock(&lock);
	kept = find_kept(j);
	pthread_mutex_unlock(&lock);
	return kept;
}

bool job_take_kept(struct job *j)
{
	struct job *o = NULL;

	pthread_mutex_lock(&lock);
	if (j->in.room >= 0) /* else it fails */
		o = find_kept(j);
	if (o) {
		j->out = o->out;
		o->out.fd = -1;
		call_accept_again(&j->in, &j->out);
		take_out(o);
		job_free(o);
	}
	pthread_mutex_unlock(&lock);
	return o;
}

/* With the lock held. */
static void kick(struct job *j)
{
	atomic_store(&j->kicked, true);
	if (j->running)
		pthread_kill(j->thread, KICK);
}

/* With the lock held. Its thread frees it, if there is one. */
static void abandon(struct job *j)
{
	j->abandoned = true;
	if (j->over) {
		take_out(j);
		job_free(j);
	} else {
		kick(j);
	}
}

bool job_valid(struct job *j)
{
	bool valid;

	pthread_mutex_lock(&lock);
	valid = notice_valid(listener, j->in.notice.id);
	pthread_mutex_unlock(&lock);
	return valid;
}

static bool in_the_way(const struct job *j)
{
	for (const struct job *o = jobs; o; o = o->next)
		if (o != j && o->running && o->in.cookie == j->in.cookie &&
		    atomic_load(&o->kicked) && !call_is_accept(&o->in))
			return true;
	return false;
}

bool job_running(struct job *j)
{
	bool make;

	pthread_mutex_lock(&lock);
	j->thread = pthread_self();
	while (in_the_way(j))
		pthread_cond_wait(&ended, &lock);
	j->running = true;
	make = !j->abandoned && notice_valid(listener, j->in.notice.id);
	if (!make)
		j->out.value = -EINTR;
	pthread_mutex_unlock(&lock);
	return make;
}

bool job_end(struct job *j)
{
	bool end = true;

	pthread_mutex_lock(&lock);
	if (j->abandoned && j->out.kind == OUTCOME_FD)
		j->abandoned = false; /* it came too late to be given up */
	if (j->abandoned) {
		take_out(j);
		job_free(j);
	} else if (j->out.value == -EINTR &&
		   notice_valid(listener, j->in.notice.id)) {
		atomic_store(&j->kicked, false);
		j->again = true;
		end = false;
	} else {
		/* the broker was done when we gave up */
		if (j->again && j->out.value == -EISCONN)
			j->out.value = 0;
		j->running = false;
		j->over = true;
		hand_over(j);
	}
	pthread_cond_broadcast(&ended);
	pthread_mutex_unlock(&lock);
	return end;
}

/* What was interrupted on the same socket must not get in the way of this. */
static void clear_way(const struct call_in *in)
{
	for (struct job *j = jobs; j; j = j->next)
		if (j->in.cookie == in->cookie && !j->over &&
		    !call_is_accept(&j->in) &&
		    !notice_valid(listener, j->in.notice.id))
			kick(j);
}

/* With the lock held; @j was interrupted, and gives way to @in. */
static void make_again(struct job *j, struct call_in *in)
{
	j->in.fd = fd_take(&in->fd);
	j->in.pidfd = fd_take(&in->pidfd);
	j->over = false;
	j->again = true;
	atomic_store(&j->kicked, false);
	if (work_add(j) == 0)
		return;
	j->over = true;
	j->out.value = -EAGAIN;
	hand_over(j);
}

/* With the lock held: what @in's thread was in before, if that is not the same.
 * A connection that is kept stays until somebody wants it. */
static void leave(const struct call_in *in)
{
	struct job *j, *next;

	for (j = jobs; j; j = next) {
		next = j->next;
		if (j->in.notice.tid == in->notice.tid && !j->abandoned &&
		    !call_same(&j->in, in) && !is_kept(j))
			abandon(j);
	}
}

/* With the lock held. */
static struct job *find_same(const struct call_in *in)
{
	for (struct job *j = jobs; j; j = j->next)
		if (j->in.notice.tid == in->notice.tid && !j->abandoned &&
		    !is_kept(j) && call_same(&j->in, in))
			return j;
	return NULL;
}

/* Return: it is the job of an earlier call, which was interrupted. */
static bool resume(struct call_in *in)
{
	struct job *old;
	bool resumed;

	pthread_mutex_lock(&lock);
	leave(in);
	old = find_same(in);
	resumed = old;
	if (!resumed) {
		clear_way(in);
	} else {
		old->in.notice.id = in->notice.id;
		old->misses = 0;
		if (old->over && old->out.value == -EINTR)
			make_again(old, in);
		else if (old->over)
			hand_over(old);
	}
	pthread_mutex_unlock(&lock);
	return resumed;
}

/* @in is given away. */
static void later(struct call_in *in)
{
	uint64_t id = in->notice.id;
	struct job *j;
	int r;

	if (resume(in)) {
		call_release(in);
		return;
	}
	j = calloc(1, sizeof(*j));
	if (!j) {
		call_release(in);
		(void)notice_answer(listener, id, -ENOMEM);
		return;
	}
	j->in = *in;
	j->out.fd = j->living = -1;
	pthread_mutex_lock(&lock);
	j->next = jobs;
	jobs = j;
	pthread_mutex_unlock(&lock);
	r = work_add(j);
	if (r == 0)
		return;
	pthread_mutex_lock(&lock);
	take_out(j);
	pthread_mutex_unlock(&lock);
	job_free(j);
	(void)notice_answer(listener, id, r);
}

int jobs_take(void)
{
	struct outcome o = { .kind = OUTCOME_ANSWER, .fd = -1 };
	enum call_when when;
	struct call_in in;
	struct notice n;
	int error, r;

	r = notice_receive(listener, &n);
	if (r < 0)
		return r == -ENOENT || r == -EINTR ? 0 : r;
	when = call_look(&n, &in, &error);
	if (!notice_valid(listener, n.id))
		when = CALL_NATIVE; /* it has ended, or was another's */
	switch (when) {
	case CALL_NATIVE:
		(void)notice_continue(listener, n.id);
		break;
	case CALL_NOW:
		o.value = error;
		if (!error)
			call_make(&in, &o);
		(void)deliver(&n, &o);
		cleanup_close(&o.fd);
		break;
	case CALL_LATER:
		later(&in);
		return 0;
	}
	call_release(&in);
	return 0;
}

/* With the lock held: there is one for those who wait at the queue. */
static void announce(const struct job *kept)
{
	for (struct job *j = jobs; j; j = j->next)
		if (j->running && j->in.cookie == kept->in.cookie &&
		    call_is_accept(&j->in))
			pthread_kill(j->thread, KICK);
}

/* With the lock held. */
static void look_after(struct job *j, long long now)
{
	if (is_kept(j)) {
		if (now < j->until || living_is(j->living)) {
			announce(j);
			if (now >= j->until)
				j->until = now + KEEP_MS;
			return;
		}
		abandon(j);
	} else if (j->over) {
		if (now >= j->until)
			abandon(j);
	} else if (j->abandoned) {
		/* the first one may have come before it began to wait */
		kick(j);
	} else if (notice_valid(listener, j->in.notice.id)) {
		j->misses = 0;
	} else if (++j->misses > 1) {
		kick(j);
	}
}

int jobs_tick(void)
{
	static long long last;
	long long now = now_ms();
	struct job *j, *next;
	int left;

	pthread_mutex_lock(&lock);
	if (now - last >= TICK_MS) {
		last = now;
		for (j = jobs; j; j = next) {
			next = j->next;
			look_after(j, now);
		}
	}
	left = jobs ? TICK_MS - (int)(now - last) : -1;
	pthread_mutex_unlock(&lock);
	return left;
}
