/* SPDX-License-Identifier: MIT */
/*
 * hvbench-agents - the guests' side of many VMs with an agent, simulated
 *
 *	hvbench-agents PATH...
 *
 * Listens at each path as a VMM does by the Unix-socket convention; whatever
 * port is dialled there is qemu-guest-agent's, which has done each command as
 * soon as it is asked. Says "ready" when all listen, and runs until it is
 * killed. It trusts who connects: our own programs.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINE 4096

struct peer {
	int fd;
	bool listens, dialled;
	size_t len;
	char line[LINE];
};

static int epoll;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void add(int fd, bool listens)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = p };

	if (!p)
		die("memory");
	p->fd = fd;
	p->listens = listens;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll");
}

static void listen_at(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sa.sun_path)) {
		fprintf(stderr, "%s: too long\n", path);
		exit(1);
	}
	strcpy(sa.sun_path, path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, 16) < 0)
		die(path);
	add(fd, true);
}

static void say(const struct peer *p, const char *text, size_t len)
{
	if (send(p->fd, text, len, MSG_NOSIGNAL) < 0)
		return; /* it goes; its end is next */
}

static void answer(struct peer *p)
{
	char text[128];
	const char *id = strstr(p->line, "\"id\":");
	long long n = id ? strtoll(id + 5, NULL, 10) : 0;
	int len;

	if (!p->dialled) {
		p->dialled = true;
		say(p, "OK 1073741824\n", 14);
		return;
	}
	if (strstr(p->line, "guest-sync-delimited"))
		len = snprintf(text, sizeof(text), "\xff{\"return\": %lld}\n",
			       n);
	else
		len = snprintf(
			text, sizeof(text), "{\"return\": %s, \"id\": %lld}\n",
			strstr(p->line, "guest-fsfreeze-") ? "1" : "{}", n);
	say(p, text, (size_t)len);
}

/* Return: false: it has gone */
static bool hear(struct peer *p)
{
	ssize_t n = recv(p->fd, p->line + p->len, LINE - 1 - p->len, 0);
	char *eol;

	if (n <= 0)
		return false;
	p->len += (size_t)n;
	p->line[p->len] = '\0';
	while ((eol = memchr(p->line, '\n', p->len))) {
		size_t used = (size_t)(eol - p->line) + 1;

		*eol = '\0';
		answer(p);
		p->len -= used;
		memmove(p->line, p->line + used, p->len + 1);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct epoll_event e[64];

	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 1; i < argc; i++)
		listen_at(argv[i]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, e, 64, -1);

		for (int i = 0; i < n; i++) {
			struct peer *p = e[i].data.ptr;

			if (p->listens) {
				int fd = accept4(p->fd, NULL, NULL,
						 SOCK_CLOEXEC);

				if (fd >= 0)
					add(fd, false);
			} else if (!hear(p)) {
				close(p->fd);
				free(p);
			}
		}
	}
}
