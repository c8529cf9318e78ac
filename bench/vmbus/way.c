/* SPDX-License-Identifier: MIT */
/* way.c - see way.h */
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib.h"

#define PORT 1000u /* + flow: what the guest connects to */
#define TRIPS 1000

static char buf[WRITE_SIZE];

void on_processor(int pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(pid, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

/* ---- the program */

static bool loaded(struct vmm *v, void *arg)
{
	(void)arg;
	return v->g->loaded && v->g->all_offers;
}

static void path(const struct vmm *v, const char *suffix, char p[100])
{
	snprintf(p, 100, "%s/u%s", v->dir, suffix);
}

void machine_start(struct machine *m)
{
	struct vmm *v = vmm_new();
	char p[100];
	const char *args[] = { "--uds-path", p, NULL };
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int err = dup(STDERR_FILENO), said[2];

	path(v, "", p);
	v->no_broker = true;
	v->g->in_order = true;
	if (err < 0 || pipe2(said, O_CLOEXEC) < 0)
		die("pipe");
	dup2(said[1], STDERR_FILENO);
	vmm_launch(v, args);
	dup2(err, STDERR_FILENO);
	close(err);
	close(said[1]);
	m->v = v;
	m->said = said[0];
	vmm_introduce(v);
	vg_load(v->g);
	vmm_wait(v, loaded, NULL, "the guest's driver to load");
	/* each write is an edge: the counter is never read */
	m->halted = epoll_create1(EPOLL_CLOEXEC);
	if (m->halted < 0 ||
	    epoll_ctl(m->halted, EPOLL_CTL_ADD, v->raise[0], &e) < 0)
		die("epoll");
}

void machine_stop(struct machine *m)
{
	vmm_end(m->v);
	close(m->said);
	close(m->halted);
}

void machine_counts(struct machine *m, struct counts *ret)
{
	char text[4096];
	const char *at = NULL;
	size_t len = 0;
	ssize_t n;
	FILE *f;

	if (kill(m->v->child, SIGUSR1) < 0)
		die("SIGUSR1");
	while (!at || !strchr(at, '\n')) {
		n = read(m->said, text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			die("hvsocket-vmbus says nothing");
		len += (size_t)n;
		text[len] = '\0';
		at = strstr(text, "doorbells: ");
	}
	if (sscanf(at,
		   "doorbells: %lf in, %lf out; messages: %*f in, %*f out; "
		   "reads %lf (%*f bytes), writes %lf (%*f bytes); waits %lf",
		   &ret->in, &ret->out, &ret->reads, &ret->writes,
		   &ret->waits) != 5)
		die("hvsocket-vmbus's counters are not understood");
	snprintf(text, sizeof(text), "/proc/%d/schedstat", m->v->child);
	f = fopen(text, "r");
	if (!f || fscanf(f, "%lf", &ret->cpu) != 1)
		die(text);
	fclose(f);
	ret->cpu /= 1e3;
}

static int listening(const struct vmm *v, unsigned int port)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char p[100], suffix[16];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(suffix, sizeof(suffix), "_%u", port);
	path(v, suffix, p);
	strcpy(sa.sun_path, p);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, 1) < 0)
		die(p);
	return fd;
}

static bool established(struct vmm *v, void *arg)
{
	const struct flow *f = arg;

	(void)v;
	return f->s->state != VG_CONNECTING;
}

struct flow *machine_connect(struct machine *m, uint32_t size, int *ret_fd)
{
	int l = listening(m->v, PORT + m->v->nflows);
	struct flow *f;

	m->v->g->now = vmm_now_ns(); /* of its time limit */
	f = flow_guest_begin(m->v, size);
	vmm_wait(m->v, established, f, "a connect of the guest");
	if (f->s->state != VG_ESTABLISHED)
		die("a connect of the guest failed");
	*ret_fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (*ret_fd < 0)
		die("accept");
	close(l);
	f->used = false; /* no program of flow.c's */
	return f;
}

/* ---- the peer */

static void take(int fd, size_t left)
{
	while (left) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			die("read");
		left -= (size_t)n;
	}
}

static void give(int fd, size_t left)
{
	while (left) {
		ssize_t n =
			write(fd, buf, left < sizeof(buf) ? left : sizeof(buf));

		if (n <= 0)
			die("write");
		left -= (size_t)n;
	}
}

static _Noreturn void peer(struct way *w, int fd)
{
	char what;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	on_processor(0, w->peer_cpu);
	while (read(w->go[0], &what, 1) == 1) {
		if (what == 'u') {
			take(fd, w->total);
			give(w->done[1], 1);
		} else if (what == 'd') {
			give(fd, w->total);
		} else {
			for (int i = 0; i < TRIPS; i++) {
				take(fd, TRIP_SIZE);
				give(fd, TRIP_SIZE);
			}
		}
	}
	_exit(0);
}

static void start(struct way *w, int far)
{
	if (pipe2(w->go, O_CLOEXEC) < 0 || pipe2(w->done, O_CLOEXEC) < 0)
		die("pipe");
	w->pid = fork();
	if (w->pid < 0)
		die("fork");
	if (w->pid == 0) {
		close(w->go[1]);
		peer(w, far);
	}
	close(far);
	close(w->go[0]);
	close(w->done[1]);
}

void way_guest(struct way *w, struct machine *m, uint32_t size, size_t total,
	       int peer_cpu)
{
	int far;

	*w = (struct way) {
		.m = m, .fd = -1, .total = total, .peer_cpu = peer_cpu
	};
	w->f = machine_connect(m, size, &far);
	start(w, far);
}

static void make_pair(uint32_t size, int p[2])
{
	int half = (int)size / 2;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
		die("socketpair");
	for (int i = 0; size && i < 2; i++)
		if (setsockopt(p[i], SOL_SOCKET, SO_SNDBUF, &half,
			       sizeof(half)) < 0 ||
		    setsockopt(p[i], SOL_SOCKET, SO_RCVBUF, &half,
			       sizeof(half)) < 0)
			die("buffer sizes");
}

void way_pair(struct way *w, uint32_t size, size_t total, int peer_cpu)
{
	int p[2];

	*w = (struct way) { .total = total, .peer_cpu = peer_cpu };
	make_pair(size, p);
	w->fd = p[0];
	start(w, p[1]);
}

size_t pair_holds(uint32_t size)
{
	size_t held = 0;
	ssize_t n;
	int p[2];

	make_pair(size, p);
	while ((n = send(p[0], buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		held += (size_t)n;
	close(p[0]);
	close(p[1]);
	return held;
}

void way_end(struct way *w)
{
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	close(w->go[1]);
	close(w->done[0]);
	if (w->fd >= 0)
		close(w->fd);
	if (w->f)
		flow_close_guest(w->f);
}

/* ---- the guest */

/* The processor halts until there is an interrupt. */
static void halt(struct machine *m)
{
	struct epoll_event e;

	if (epoll_wait(m->halted, &e, 1, VMM_LIMIT_MS) != 1)
		die("the guest is not woken");
	vg_interrupt(m->v->g, 0);
}

/* write(2) of a program in the guest */
static void guest_write(struct way *w, size_t len)
{
	if (!w->f) {
		give(w->fd, len);
		return;
	}
	for (size_t done = 0; done < len;) {
		ssize_t n = vg_send(w->f->s, buf, len - done);

		if (n == -EAGAIN)
			halt(w->m);
		else if (n < 0)
			die("the guest's write");
		else
			done += (size_t)n;
	}
}

static size_t guest_read(struct way *w)
{
	ssize_t n;

	if (!w->f) {
		n = read(w->fd, buf, sizeof(buf));
	} else {
		while ((n = vg_recv(w->f->s, buf, sizeof(buf))) == -EAGAIN)
			halt(w->m);
	}
	if (n <= 0)
		die("the guest's read");
	return (size_t)n;
}

static double rate(const struct way *w, double since)
{
	return (double)w->total * 8 / 1e9 / (now_s() - since);
}

static void tell_peer(struct way *w, char what)
{
	if (write(w->go[1], &what, 1) != 1)
		die("the peer is gone");
}

double way_up(void *arg)
{
	struct way *w = arg;
	double t0 = now_s();
	char c;

	tell_peer(w, 'u');
	for (size_t left = w->total; left;) {
		size_t n = left < WRITE_SIZE ? left : WRITE_SIZE;

		guest_write(w, n);
		left -= n;
	}
	if (read(w->done[0], &c, 1) != 1)
		die("the peer is gone");
	return rate(w, t0);
}

double way_down(void *arg)
{
	struct way *w = arg;
	double t0 = now_s();

	tell_peer(w, 'd');
	for (size_t got = 0; got < w->total;)
		got += guest_read(w);
	return rate(w, t0);
}

double way_trips(void *arg)
{
	struct way *w = arg;
	double t0 = now_s();

	tell_peer(w, 't');
	for (int i = 0; i < TRIPS; i++) {
		guest_write(w, TRIP_SIZE);
		for (size_t got = 0; got < TRIP_SIZE;)
			got += guest_read(w);
	}
	return TRIPS / (now_s() - t0);
}
