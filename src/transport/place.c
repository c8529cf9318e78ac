/* SPDX-License-Identifier: MIT */
/* place.c - see place.h */
#include "transport/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

static int set_place(struct place *p, const char *dir)
{
	int n;

	n = snprintf(p->path, sizeof(p->path), "%s/control", dir);
	if (n < 0 || (size_t)n >= sizeof(p->path))
		return -ENAMETOOLONG;
	p->sa = (struct sockaddr_un) { .sun_family = AF_UNIX };
	p->sa_len = sizeof(p->sa);
	if ((size_t)n < sizeof(p->sa.sun_path)) {
		memcpy(p->sa.sun_path, p->path, (size_t)n + 1);
		return 0;
	}
	/* the directory stays when a broker ends (protocol, 1) */
	p->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->dir < 0)
		return -errno;
	snprintf(p->sa.sun_path, sizeof(p->sa.sun_path),
		 "/proc/self/fd/%d/control", p->dir);
	return 0;
}

static bool connectable(const struct place *p)
{
	cleanup_close_ int fd = -1;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 &&
	       (connect(fd, (const struct sockaddr *)&p->sa, p->sa_len) == 0 ||
		errno == EAGAIN);
}

int place_find(struct place *p, const char **ret_why)
{
	const char *set = getenv("HVSOCKET_RUNTIME_DIR");
	const char *user = getenv("XDG_RUNTIME_DIR");
	char dir[400], run[32];
	int r;

	p->dir = -1;
	if (set && *set) {
		*ret_why = "HVSOCKET_RUNTIME_DIR cannot be used";
		return set_place(p, set);
	}
	r = set_place(p, "/run/hvsocket");
	if (r < 0 || connectable(p)) {
		*ret_why = "/run/hvsocket cannot be used";
		return r;
	}
	*ret_why = "XDG_RUNTIME_DIR cannot be used";
	/* where the user's broker puts itself without it */
	snprintf(run, sizeof(run), "/run/user/%u", geteuid());
	if (!user || *user != '/')
		user = run;
	r = snprintf(dir, sizeof(dir), "%s/hvsocket", user);
	if (r < 0 || (size_t)r >= sizeof(dir))
		return -ENAMETOOLONG;
	return set_place(p, dir);
}

void place_close(struct place *p)
{
	if (p->dir >= 0)
		close(p->dir);
	p->dir = -1;
}
