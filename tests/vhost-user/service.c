/* SPDX-License-Identifier: MIT */
/* service.c - see service.h */
#include "service.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "must.h"

#define CHILD_KEEPS 200 /* out of the way of 3, 4, ... */

void svc_start(struct svc *s, const char *dir)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	memset(s, 0, sizeof(*s));
	snprintf(s->path, sizeof(s->path), "%s/notify", dir);
	strcpy(sa.sun_path, s->path);
	s->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(bind(s->sock, (struct sockaddr *)&sa, sizeof(sa)) == 0);
}

static void forget(struct svc *s, int i)
{
	close(s->kept[i].fd);
	s->kept[i] = s->kept[--s->nkept];
}

void svc_fini(struct svc *s)
{
	while (s->nkept)
		forget(s, 0);
	close(s->sock);
}

static void store(struct svc *s, const char *name, bool polled, int fd)
{
	must(*name && s->nkept < SVC_KEPT);
	snprintf(s->kept[s->nkept].name, sizeof(s->kept[0].name), "%s", name);
	s->kept[s->nkept].poll = polled;
	s->kept[s->nkept++].fd = fd;
}

static void obey(struct svc *s, char *text, struct fdmsg *m)
{
	bool keep = false, drop = false, polled = true;
	char *line, *rest = text;
	const char *name = "";

	while ((line = strsep(&rest, "\n"))) {
		s->ready += strcmp(line, "READY=1") == 0;
		keep |= strcmp(line, "FDSTORE=1") == 0;
		drop |= strcmp(line, "FDSTOREREMOVE=1") == 0;
		if (strcmp(line, "FDPOLL=0") == 0)
			polled = false;
		if (strncmp(line, "FDNAME=", 7) == 0)
			name = line + 7;
	}
	must(!drop || !m->nfds);
	for (int i = s->nkept - 1; drop && i >= 0; i--)
		if (strcmp(s->kept[i].name, name) == 0)
			forget(s, i);
	for (int i = 0; i < m->nfds; i++)
		if (keep)
			store(s, name, polled, m->fds[i]);
		else
			close(m->fds[i]);
}

bool svc_poll(struct svc *s)
{
	char text[4097];
	bool any = false;
	struct fdmsg m;

	while (fdmsg_recv(s->sock, text, sizeof(text) - 1, MSG_DONTWAIT, &m) ==
	       0) {
		text[m.len] = '\0';
		obey(s, text, &m);
		any = true;
	}
	for (int i = s->nkept - 1; i >= 0; i--) {
		struct pollfd p = { .fd = s->kept[i].fd };

		if (s->kept[i].poll && poll(&p, 1, 0) == 1)
			forget(s, i);
	}
	return any;
}

int svc_in_child(struct svc *s, int keep)
{
	char number[16], names[SVC_KEPT * 64] = "";

	keep = fcntl(keep, F_DUPFD, CHILD_KEEPS);
	for (int i = 0; i < s->nkept; i++)
		s->kept[i].fd =
			fcntl(s->kept[i].fd, F_DUPFD_CLOEXEC, CHILD_KEEPS);
	for (int i = 0; i < s->nkept; i++) {
		(void)dup2(s->kept[i].fd, 3 + i);
		strcat(names, i ? ":" : "");
		strcat(names, s->kept[i].name);
	}
	setenv("NOTIFY_SOCKET", s->path, 1);
	unsetenv("LISTEN_FDS");
	if (!s->nkept)
		return keep;
	snprintf(number, sizeof(number), "%d", s->nkept);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof(number), "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	return keep;
}
