/* SPDX-License-Identifier: MIT */
/* connect.c - see connect.h */
#include "connect.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib.h"

static int make(const struct server *s)
{
	switch (s->kind) {
	case KIND_UNIX:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case KIND_TCP:
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case KIND_HV:
		break;
	}
	return hvs_socket(AF_HYPERV, SOCK_STREAM | SOCK_CLOEXEC,
			  HV_PROTOCOL_RAW);
}

static int connect_to(const struct server *s, int fd)
{
	switch (s->kind) {
	case KIND_UNIX:
		return connect(fd, (const struct sockaddr *)&s->un, s->un_len);
	case KIND_TCP:
		return connect(fd, (const struct sockaddr *)&s->in,
			       sizeof(s->in));
	case KIND_HV:
		break;
	}
	return hvs_connect(fd, &s->hv, sizeof(s->hv));
}

static int listener(struct server *s)
{
	socklen_t len = sizeof(s->in);
	int fd = make(s);

	if (fd < 0)
		die("socket");
	if (s->kind == KIND_UNIX) {
		s->un = (struct sockaddr_un){ .sun_family = AF_UNIX };
		snprintf(s->un.sun_path, sizeof(s->un.sun_path),
			 "/tmp/hvbench-%d-%ld", getpid(), random());
		s->un_len = sizeof(s->un);
		if (bind(fd, (struct sockaddr *)&s->un, s->un_len) < 0)
			die("bind");
	} else if (s->kind == KIND_TCP) {
		s->in = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		};
		if (bind(fd, (struct sockaddr *)&s->in, sizeof(s->in)) < 0 ||
		    getsockname(fd, (struct sockaddr *)&s->in, &len) < 0)
			die("bind");
	} else if (hvs_bind(fd, &s->bind, sizeof(s->bind)) < 0) {
		struct hvs_reason r;

		hvs_reason(-1, &r);
		fprintf(stderr, "bench: bind: %s\n", r.text);
		exit(1);
	}
	if (listen(fd, 1024) < 0)
		die("listen");
	return fd;
}

void server_start(struct server *s)
{
	int p[2];
	char byte = 1;

	if (pipe(p) < 0)
		die("pipe");
	s->pid = fork();
	if (s->pid < 0)
		die("fork");
	if (s->pid == 0) {
		int fd;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = listener(s);
		if (write(p[1], s, sizeof(*s)) != sizeof(*s) ||
		    write(p[1], &byte, 1) != 1)
			_exit(1);
		for (;;) {
			int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

			if (c < 0)
				_exit(1);
			close(c);
		}
	} else {
		struct server told;
		int pid = s->pid;

		close(p[1]);
		if (read(p[0], &told, sizeof(told)) != sizeof(told) ||
		    read(p[0], &byte, 1) != 1) {
			fprintf(stderr, "bench: a server did not start\n");
			exit(1);
		}
		close(p[0]);
		*s = told;
		s->pid = pid;
	}
}

void server_stop(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	if (s->kind == KIND_UNIX)
		unlink(s->un.sun_path);
}

double connect_rate(void *arg)
{
	struct server *s = arg;
	double t0 = now_s();
	char byte;

	for (int i = 0; i < s->rounds; i++) {
		int fd = make(s);

		if (fd < 0 || connect_to(s, fd) < 0)
			die("connect");
		if (read(fd, &byte, 1) != 0)
			die("no end of the stream");
		close(fd);
	}
	return s->rounds / (now_s() - t0);
}
