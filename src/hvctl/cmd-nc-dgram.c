/* SPDX-License-Identifier: MIT */
/*
 * cmd-nc-dgram.c - hvctl nc --dgram: stdin and stdout, and datagrams
 *
 * What is read at once is one datagram, and what comes is written as it is.
 * With --listen datagrams go to whoever sent last.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "hvctl/endpoint.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

#define CHUNK 65536 /* the largest datagram */

struct nc {
	struct ctl *c;
	const char *about;
	int sock;
	bool listens, verbose;
	bool known; /* where to: */
	SOCKADDR_HV peer;
	char *buf;
};

/* Return: 1: the end of standard input; 0; -1: said why */
static int input(struct nc *nc)
{
	ssize_t n = read(STDIN_FILENO, nc->buf, CHUNK);

	if (n == 0)
		return 1;
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0) {
		complain("nc: standard input: %s", strerror(errno));
		return -1;
	}
	if (!nc->known)
		return 0; /* nobody has sent anything yet */
	if (hvs_sendto(nc->sock, nc->buf, (size_t)n, 0, &nc->peer,
		       sizeof(nc->peer)) < 0 &&
	    errno != EINTR) {
		say_failed(nc->c, nc->about, nc->sock, errno);
		return -1;
	}
	return 0;
}

static void say_sender(const SOCKADDR_HV *from)
{
	char text[HVS_ADDRESS_TEXT_SIZE];

	if (!hvs_address_format(from, text, sizeof(text), 0))
		fprintf(stderr, "datagrams from %s\n", show(text));
}

static int output(struct nc *nc)
{
	socklen_t len = sizeof(SOCKADDR_HV);
	SOCKADDR_HV from;
	ssize_t n = hvs_recvfrom(nc->sock, nc->buf, CHUNK, 0, &from, &len);
	const char *p = nc->buf;

	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0) {
		say_failed(nc->c, nc->about, nc->sock, errno);
		return -1;
	}
	if (nc->listens) {
		if (nc->verbose && (!nc->known || memcmp(&nc->peer, &from,
							 sizeof(from)) != 0))
			say_sender(&from);
		nc->peer = from;
		nc->known = true;
	}
	while (n > 0) {
		ssize_t k = write(STDOUT_FILENO, p, (size_t)n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			if (errno != EPIPE)
				complain("nc: standard output: %s",
					 strerror(errno));
			return -1;
		}
		p += k;
		n -= k;
	}
	return 0;
}

/* Until stdin ends, and then for @linger_ms more; -1: for ever. */
static int converse(struct nc *nc, int linger_ms)
{
	struct pollfd p[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = nc->sock, .events = POLLIN },
	};
	int r;

	for (;;) {
		r = poll(p, 2, p[0].fd < 0 ? linger_ms : -1);
		if (r < 0 && errno != EINTR)
			return complain("nc: %s", strerror(errno));
		if (r == 0)
			return 0;
		if (r < 0)
			continue;
		if (p[1].revents && output(nc) < 0)
			return 1;
		if (!p[0].revents || p[0].fd < 0)
			continue;
		r = input(nc);
		if (r < 0)
			return 1;
		if (r)
			p[0].fd = -1;
	}
}

int nc_datagrams(struct ctl *c, const struct args *a, bool linger, uint32_t ms)
{
	const SOCKADDR_HV none = { .Family = AF_HYPERV };
	cleanup_free_ char *buf = malloc(CHUNK);
	cleanup_close_ int sock = -1;
	struct nc nc = {
		.c = c,
		.about = a->pos[0],
		.listens = args_has(a, "listen"),
		.verbose = args_has(a, "verbose"),
		.buf = buf,
	};
	SOCKADDR_HV addr;

	if (!buf)
		return complain("nc: %s", strerror(ENOMEM));
	if (hvs_address_parse(nc.about, &addr) < 0)
		return say_failed(c, nc.about, -1, errno);
	sock = hvs_socket(AF_HYPERV, SOCK_DGRAM | SOCK_CLOEXEC,
			  HV_PROTOCOL_RAW);
	if (sock < 0 || hvs_bind(sock, nc.listens ? &addr : &none,
				 sizeof(addr)) < 0)
		return say_failed(c, nc.about, sock, errno);
	nc.sock = sock;
	if (!nc.listens) {
		nc.peer = addr;
		nc.known = true;
	}
	if (nc.listens)
		return converse(&nc, linger ? (int)ms : -1);
	return converse(&nc, linger ? (int)ms : 0);
}
