/* SPDX-License-Identifier: MIT */
/* program.c - see program.h */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hvsocket.h>

#include "../lib.h"

#define KEPT 1024
#define BATCH 64


static char buf[65536];
static int kept[KEPT];
static unsigned int nkept;

/* ---- moving */

void give_bytes(int fd, uint64_t n, size_t size)
{
	while (n) {
		ssize_t r = send(fd, buf, n < size ? (size_t)n : size,
				 MSG_NOSIGNAL);

		if (r <= 0)
			die("a program's write");
		n -= (uint64_t)r;
	}
}

void take_bytes(int fd, uint64_t n)
{
	while (n) {
		ssize_t r = read(fd, buf,
				 n < sizeof(buf) ? (size_t)n : sizeof(buf));

		if (r <= 0)
			die("a program's read");
		n -= (uint64_t)r;
	}
}

/* One piece, if that is possible now. Return: bytes */
static uint64_t move_some(int fd, uint64_t left, size_t size, bool giving)
{
	ssize_t r;

	if (!giving)
		size = sizeof(buf);
	if (left < size)
		size = (size_t)left;
	r = giving ? send(fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL)
		   : recv(fd, buf, size, MSG_DONTWAIT);
	if (r < 0 && errno == EAGAIN)
		return 0;
	if (r <= 0)
		die("a connection of many");
	return (uint64_t)r;
}

void move_bytes(const int *fds, unsigned int n, uint64_t each, size_t size,
		bool giving)
{
	struct epoll_event e[BATCH];
	uint64_t left[KEPT];
	unsigned int open = n;
	int ep;

	if (n == 1) {
		if (giving)
			give_bytes(fds[0], each, size);
		else
			take_bytes(fds[0], each);
		return;
	}
	ep = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned int i = 0; i < n; i++) {
		e[0].events = giving ? EPOLLOUT : EPOLLIN;
		e[0].data.u32 = i;
		left[i] = each;
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e[0]) < 0)
			die("epoll_ctl");
	}
	while (open) {
		int got = epoll_wait(ep, e, BATCH, -1);

		for (int i = 0; i < got; i++) {
			uint32_t at = e[i].data.u32;

			left[at] -= move_some(fds[at], left[at], size, giving);
			if (left[at])
				continue;
			open--;
			(void)epoll_ctl(ep, EPOLL_CTL_DEL, fds[at], NULL);
		}
	}
	close(ep);
}

static uint64_t read_on(int fd, const struct shared *s)
{
	uint64_t got = 0;

	while (!s->limit || got < s->limit) {
		ssize_t r = read(fd, buf, sizeof(buf));

		if (r <= 0)
			die("a program's read");
		got += (uint64_t)r;
	}
	return got;
}

static uint64_t write_on(int fd, size_t size, const struct shared *s)
{
	uint64_t n = 0;

	for (; !s->stop; n += size)
		give_bytes(fd, size, size);
	return n;
}

/* ---- connecting */

static void unix_name(struct sockaddr_un *sa, const char *dir,
		      enum way_kind kind, unsigned int port)
{
	*sa = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/%s_%u", dir,
		     kind == WAY_UNIX ? "pair" : "vsock",
		     port) >= (int)sizeof(sa->sun_path))
		die(dir);
}

static int listening(enum way_kind kind, const char *dir, unsigned int port)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV };
	struct sockaddr_un sa;
	int fd;

	if (kind == WAY_OURS) {
		a.VmId = HV_GUID_CHILDREN;
		hvs_guid_from_port(port, &a.ServiceId);
		fd = hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC,
				HV_PROTOCOL_RAW);
		if (fd < 0 || hvs_bind(fd, &a, sizeof(a)) < 0 ||
		    hvs_listen(fd, KEPT) < 0)
			die("bind");
		return fd;
	}
	unix_name(&sa, dir, kind, port);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, KEPT) < 0)
		die(sa.sun_path);
	return fd;
}

int unix_dial(const char *dir, unsigned int port)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;

	unix_name(&sa, dir, WAY_UNIX, port);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die(sa.sun_path);
	return fd;
}

/* As that convention has it: a line, and a line. */
static int dial_peer(const char *dir, uint32_t port)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char line[32];
	int n = snprintf(line, sizeof(line), "CONNECT %u\n", port);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/vsock", dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    write(fd, line, (size_t)n) != n)
		die(sa.sun_path);
	/* (nothing follows before we have said more) */
	if (read(fd, line, sizeof(line)) < 4 || memcmp(line, "OK ", 3) != 0)
		die("no OK of the peer");
	return fd;
}

static int dial_guest(enum way_kind kind, const char *dir, const char *vmid,
		      uint32_t port)
{
	SOCKADDR_HV a = { .Family = AF_HYPERV };
	int fd;

	if (kind == WAY_PEER)
		return dial_peer(dir, port);
	if (hvs_guid_parse(vmid, &a.VmId) < 0)
		die(vmid);
	hvs_guid_from_port(port, &a.ServiceId);
	fd = hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC,
			HV_PROTOCOL_RAW);
	if (fd < 0 || hvs_connect(fd, &a, sizeof(a)) < 0)
		die("a connect to the guest");
	return fd;
}

static int accepted(int l)
{
	int fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		die("accept");
	return fd;
}

/* ---- the process */

static uint64_t obey(const struct order *o, enum way_kind kind,
		     const char *dir, const char *vmid, int l,
		     const struct shared *s)
{
	switch (o->what) {
	case DO_ACCEPT:
		for (unsigned int i = 0; i < o->count; i++)
			kept[nkept++] = accepted(l);
		break;
	case DO_FORGET:
		while (nkept)
			close(kept[--nkept]);
		break;
	case DO_READ:
	case DO_WRITE:
		move_bytes(kept, nkept, o->total, o->size,
			   o->what == DO_WRITE);
		break;
	case DO_ECHO:
		for (unsigned int i = 0; i < o->count; i++) {
			take_bytes(kept[i % nkept], o->size);
			give_bytes(kept[i % nkept], o->size, o->size);
		}
		break;
	case DO_READ_ON:
		return read_on(kept[0], s);
	case DO_WRITE_ON:
		return write_on(kept[0], o->size, s);
	case DO_SERVE:
		for (unsigned int i = 0; i < o->count; i++)
			close(accepted(l));
		break;
	case DO_OPEN:
		for (unsigned int i = 0; i < o->count; i++)
			close(dial_guest(kind, dir, vmid,
					 o->port + i % PORTS_IN_TURN));
		break;
	}
	return 0;
}

static _Noreturn void serve(enum way_kind kind, const char *dir,
			    const char *vmid, unsigned int port, int go,
			    int done, const struct shared *s)
{
	uint64_t count = 0;
	struct order o;
	int l;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	l = listening(kind, dir, port);
	do {
		if (write(done, &count, sizeof(count)) != sizeof(count) ||
		    read(go, &o, sizeof(o)) != sizeof(o))
			_exit(0);
		count = obey(&o, kind, dir, vmid, l, s);
	} while (true);
}

void program_start(struct program *p, enum way_kind kind, const char *dir,
		   const char *vmid, unsigned int port)
{
	int go[2], done[2];

	p->shared = mmap(NULL, sizeof(*p->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->shared == MAP_FAILED || pipe2(go, O_CLOEXEC) < 0 ||
	    pipe2(done, O_CLOEXEC) < 0)
		die("pipe");
	fflush(NULL);
	p->pid = fork();
	if (p->pid < 0)
		die("fork");
	if (p->pid == 0)
		serve(kind, dir, vmid, port, go[0], done[1], p->shared);
	close(go[0]);
	close(done[1]);
	p->go = go[1];
	p->done = done[0];
	(void)program_done(p);
}

void program_stop(struct program *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->go);
	close(p->done);
	munmap(p->shared, sizeof(*p->shared));
}

void program_do(struct program *p, const struct order *o)
{
	if (write(p->go, o, sizeof(*o)) != sizeof(*o))
		die("a program is gone");
}

uint64_t program_done(struct program *p)
{
	uint64_t n;

	if (read(p->done, &n, sizeof(n)) != sizeof(n))
		die("a program is gone");
	return n;
}
