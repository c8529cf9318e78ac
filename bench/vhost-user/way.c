/* SPDX-License-Identifier: MIT */
/* way.c - see way.h */
#include "way.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib.h"

#define TRIP_SIZE 64u
#define TRIPS_MAX 4096u

/* ---- a back-end */

static void launch(struct way *w, const char *program)
{
	char path[100], vsock[100], option[256];
	int said[2];

	snprintf(path, sizeof(path), "%s/device", w->dir);
	snprintf(vsock, sizeof(vsock), "%s/vsock", w->dir);
	if (pipe2(said, O_CLOEXEC) < 0)
		die("pipe");
	w->said = said[0];
	w->pid = fork();
	if (w->pid < 0)
		die("fork");
	if (w->pid) {
		close(said[1]);
		w->g = calloc(1, sizeof(*w->g));
		if (!w->g)
			die("calloc");
		vg_start(w->g, path, w->kind == WAY_PEER);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(said[1], STDERR_FILENO);
	if (w->kind == WAY_PEER) {
		/* it says much of what is no error */
		setenv("RUST_LOG", "off", 1);
		snprintf(option, sizeof(option),
			 "guest-cid=%u,socket=%s,uds-path=%s", DRV_CID, path,
			 vsock);
		execl(program, program, "--vm", option, (char *)NULL);
	} else {
		execl(program, program, "--partition", w->partition,
		      "--socket-path", path, (char *)NULL);
	}
	die(program);
}

void way_vm(unsigned int vm, char name[16], char vmid[40])
{
	snprintf(name, 16, "vm%u", vm);
	snprintf(vmid, 40, "6a3b2f10-1c2d-4e5f-8a9b-0c1d2e3f%04x", vm);
}

void way_start(struct way *w, enum way_kind kind, const char *program,
	       const char *dir, unsigned int vm)
{
	memset(w, 0, sizeof(*w));
	way_vm(vm, w->partition, w->vmid);
	w->port = PROGRAM_PORT + vm * PROGRAMS;
	w->kind = kind;
	w->at_once = 1;
	snprintf(w->dir, sizeof(w->dir), "%s", dir);
	/* programs have to be there before the guest dials */
	way_programs(w, 1);
	if (kind != WAY_UNIX)
		launch(w, program);
}

void way_programs(struct way *w, unsigned int n)
{
	for (; w->nprogs < n; w->nprogs++)
		program_start(&w->prog[w->nprogs], w->kind, w->dir, w->vmid,
			      w->port + w->nprogs);
}

void way_stop(struct way *w)
{
	for (unsigned int i = 0; i < w->nprogs; i++)
		program_stop(&w->prog[i]);
	if (w->g) {
		close(w->said);
		kill(w->pid, SIGKILL);
		waitpid(w->pid, NULL, 0);
		vg_stop(w->g);
		free(w->g);
	}
	while (!w->g && w->n)
		close(w->fds[--w->n]);
}

void way_counters(struct way *w, double ret[5])
{
	char text[4096];
	const char *at = NULL;
	size_t len = 0;

	if (kill(w->pid, SIGUSR1) < 0)
		die("SIGUSR1");
	while (!at || !strchr(at, '\n')) {
		ssize_t r = read(w->said, text + len, sizeof(text) - 1 - len);

		if (r <= 0)
			die("the back-end says nothing");
		len += (size_t)r;
		text[len] = '\0';
		at = strstr(text, "packets: ");
	}
	if (sscanf(at,
		   "packets: %*f from the guest, %*f to it; interrupts %lf; "
		   "reads %lf, writes %lf, probes %lf; waits %lf",
		   &ret[0], &ret[1], &ret[2], &ret[3], &ret[4]) != 5)
		die("its counters are not understood");
}

/* ---- connections */

static bool all_open(struct vguest *g, void *arg)
{
	unsigned int n = *(unsigned int *)arg;

	for (unsigned int i = 0; i < n; i++)
		if (!g->conns[i].open)
			return false;
	return true;
}

static bool all_over(struct vguest *g, void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < g->nconns; i++)
		if (g->conns[i].used)
			return false;
	return true;
}

void way_connections(struct way *w, unsigned int n)
{
	struct order o = { .what = DO_FORGET };

	for (unsigned int i = 0; i < w->nprogs; i++) {
		program_do(&w->prog[i], &o);
		(void)program_done(&w->prog[i]);
	}
	while (!w->g && w->n)
		close(w->fds[--w->n]);
	if (w->g)
		vg_run(w->g, all_over, NULL);
	o = (struct order) { .what = DO_ACCEPT, .count = n };
	program_do(&w->prog[0], &o);
	for (w->n = 0; w->n < n; w->n++) {
		unsigned int so_far = w->n + 1;

		if (!w->g) {
			w->fds[w->n] = unix_dial(w->dir, w->port);
			continue;
		}
		(void)vg_dial(w->g, w->n, w->port);
		vg_run(w->g, all_open, &so_far);
	}
	if (w->g)
		w->g->nconns = n;
	(void)program_done(&w->prog[0]);
}

/* ---- bulk data */

static double gbits(const struct way *w, double since)
{
	return (double)(w->each * w->n) * 8 / 1e9 / (now_s() - since);
}

static bool has_got(struct vguest *g, void *arg)
{
	return g->bytes_in >= *(uint64_t *)arg;
}

static bool has_sent(struct vguest *g, void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < g->nconns; i++)
		if (g->conns[i].to_send)
			return false;
	return g->nfree == DRV_NUM / 2;
}

double way_down(void *arg)
{
	struct way *w = arg;
	struct order o = { .what = DO_WRITE,
			   .size = w->size,
			   .total = w->each };
	double t0 = now_s(), r;
	uint64_t until;

	program_do(&w->prog[0], &o);
	if (w->g) {
		until = w->g->bytes_in + w->each * w->n;
		vg_run(w->g, has_got, &until);
	} else {
		move_bytes(w->fds, w->n, w->each, 0, false);
	}
	r = gbits(w, t0);
	(void)program_done(&w->prog[0]);
	return r;
}

double way_up(void *arg)
{
	struct way *w = arg;
	struct order o = { .what = DO_READ, .total = w->each };
	double t0 = now_s();

	program_do(&w->prog[0], &o);
	if (w->g) {
		for (unsigned int i = 0; i < w->n; i++) {
			w->g->conns[i].size = (uint32_t)w->size;
			w->g->conns[i].to_send = w->each;
		}
		vg_run(w->g, has_sent, NULL);
	} else {
		move_bytes(w->fds, w->n, w->each, w->size, true);
	}
	(void)program_done(&w->prog[0]);
	return gbits(w, t0);
}

/* ---- round trips */

static double trips[TRIPS_MAX];

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct expected {
	const struct vconn *c;
	uint64_t bytes;
};

static bool conn_has_got(struct vguest *g, void *arg)
{
	const struct expected *e = arg;

	(void)g;
	return e->c->received >= e->bytes;
}

static double trip(struct way *w, unsigned int i)
{
	double t0 = now_s();

	if (w->g) {
		struct vconn *c = &w->g->conns[i];
		struct expected e = { c, c->received + TRIP_SIZE };

		c->size = TRIP_SIZE;
		c->to_send = TRIP_SIZE;
		vg_run(w->g, conn_has_got, &e);
	} else {
		give_bytes(w->fds[i], TRIP_SIZE, TRIP_SIZE);
		take_bytes(w->fds[i], TRIP_SIZE);
	}
	return (now_s() - t0) * 1e6;
}

static double trips_quantile(struct way *w, double q)
{
	struct order o = { .what = DO_ECHO,
			   .size = TRIP_SIZE,
			   .count = w->count };

	program_do(&w->prog[0], &o);
	for (unsigned int i = 0; i < w->count; i++)
		trips[i] = trip(w, i % w->n);
	(void)program_done(&w->prog[0]);
	qsort(trips, w->count, sizeof(trips[0]), by_value);
	return trips[(size_t)(q * (double)(w->count - 1) + 0.5)];
}

double way_trip_median(void *arg)
{
	return trips_quantile(arg, 0.5);
}

double way_trip_p99(void *arg)
{
	return trips_quantile(arg, 0.99);
}

static void beside_begin(struct way *w, struct vconn **ret)
{
	struct order o = { .what = DO_ACCEPT, .count = 1 };
	struct program *p = &w->prog[1];
	unsigned int two = 2;

	way_programs(w, 2);
	if (!w->g->conns[1].used) {
		program_do(p, &o);
		(void)vg_dial(w->g, 1, w->port + 1);
		vg_run(w->g, all_open, &two);
		(void)program_done(p);
	}
	*ret = &w->g->conns[1];
	p->shared->stop = 0;
	p->shared->limit = 0;
	o = (struct order) { .what = w->beside_up ? DO_READ_ON : DO_WRITE_ON,
			     .size = 65536 };
	program_do(p, &o);
}

/* Has the second program reported, what its guest's @also is? */
static bool is_done(struct vguest *g, void *arg)
{
	struct pollfd p = { .fd = g->also, .events = POLLIN };

	if (poll(&p, 1, 0) != 1)
		return false;
	if (read(g->also, arg, sizeof(uint64_t)) != sizeof(uint64_t))
		die("a program is gone");
	return true;
}

double way_trip_beside(void *arg)
{
	const uint64_t much = 1ull << 40;
	struct way *w = arg;
	struct program *p = &w->prog[1];
	struct expected e;
	struct vconn *c;
	uint64_t before, n = 0;
	double r;

	beside_begin(w, &c);
	before = c->received;
	if (w->beside_up) {
		c->size = 65536;
		c->to_send = much;
	}
	r = way_trip_median(w);
	if (w->beside_up) {
		/* one byte more, which ends its read */
		p->shared->limit = much - c->to_send + 1;
		c->to_send = 1;
		vg_run(w->g, has_sent, NULL);
		(void)program_done(p);
		return r;
	}
	p->shared->stop = 1;
	/* its last write waits for room in the guest */
	w->g->also = p->done;
	vg_run(w->g, is_done, &n);
	w->g->also = -1;
	e = (struct expected) { c, before + n };
	vg_run(w->g, conn_has_got, &e);
	return r;
}

/* ---- connects */

/* Keeps @w->at_once dials going; each is over when the program has closed. */
struct dialling {
	struct way *w;
	uint64_t begun, ended_before;
	unsigned int base; /* its connections' numbers */
};

static bool dialled(struct vguest *g, void *arg)
{
	struct dialling *d = arg;
	uint64_t ended = g->ended - d->ended_before;

	for (unsigned int i = 0; i < d->w->at_once; i++) {
		struct vconn *c = &g->conns[d->base + i];

		if (d->begun < d->w->count && !c->used) {
			if (d->begun >= d->w->at_once && !c->open)
				die("the guest's connect is refused");
			(void)vg_dial(g, d->base + i, d->w->port);
			d->begun++;
		}
	}
	return ended >= d->w->count;
}

double way_dials(void *arg)
{
	struct way *w = arg;
	struct order o = { .what = DO_SERVE, .count = w->count };
	struct dialling d = { .w = w, .ended_before = w->g->ended, .base = 2 };
	double t0 = now_s();

	program_do(&w->prog[0], &o);
	vg_run(w->g, dialled, &d);
	(void)program_done(&w->prog[0]);
	return w->count / (now_s() - t0);
}

static bool all_ended(struct vguest *g, void *arg)
{
	return g->ended >= *(uint64_t *)arg;
}

double way_opens(void *arg)
{
	struct way *w = arg;
	struct order o = { .what = DO_OPEN, .count = w->count / w->at_once };
	double t0 = now_s();
	uint64_t until;

	way_programs(w, w->at_once);
	t0 = now_s();
	until = w->g->ended + o.count * w->at_once;
	for (unsigned int i = 0; i < w->at_once; i++) {
		o.port = VG_LISTENS + 100 + i * PORTS_IN_TURN;
		program_do(&w->prog[i], &o);
	}
	vg_run(w->g, all_ended, &until);
	for (unsigned int i = 0; i < w->at_once; i++)
		(void)program_done(&w->prog[i]);
	return o.count * w->at_once / (now_s() - t0);
}
