/* SPDX-License-Identifier: MIT */
/* stream.c - see stream.h */
#include "stream.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib.h"

void stream_start(struct stream *s, int near, int far, int echo)
{
	static char buf[1 << 16];
	ssize_t n;

	s->fd = near;
	s->pid = fork();
	if (s->pid < 0)
		die("fork");
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(near);
		while ((n = read(far, buf, sizeof(buf))) > 0)
			if (echo && write(far, buf, (size_t)n) != n)
				break;
		_exit(0);
	}
	close(far);
}

void stream_stop(struct stream *s)
{
	close(s->fd);
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

double stream_rate(void *arg)
{
	static char buf[1 << 16];
	struct stream *s = arg;
	const size_t total = 64u << 20;
	double t0 = now_s();

	for (size_t sent = 0; sent < total;) {
		ssize_t n = write(s->fd, buf, sizeof(buf));

		if (n <= 0)
			die("write");
		sent += (size_t)n;
	}
	return (double)total * 8 / 1e9 / (now_s() - t0);
}

double stream_trips(void *arg)
{
	struct stream *s = arg;
	char buf[64] = { 0 };
	const int trips = 500;
	double t0 = now_s();

	for (int i = 0; i < trips; i++)
		if (write(s->fd, buf, sizeof(buf)) != sizeof(buf) ||
		    read(s->fd, buf, sizeof(buf)) <= 0)
			die("round trip");
	return trips / (now_s() - t0);
}
