/* SPDX-License-Identifier: MIT */
/*
 * cmd-nc.c - hvctl nc: stdin and stdout, and one connection
 *
 * A thread for each direction, with blocking calls: stdin and stdout may be
 * shared with other programs, which O_NONBLOCK would surprise. The end of
 * stdin is SHUT_WR, a stdout that is gone is SHUT_RD, and the other direction
 * goes on; a peer that has closed altogether ends both. No splice(2): while it
 * waits for a socket it holds the lock of the pipe, and with it whoever reads
 * what is already there.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hvsocket.h>

#include "base/cleanup.h"
#include "base/fdmsg.h"
#include "hvctl/covers.h"
#include "hvctl/endpoint.h"
#include "hvctl/out.h"
#include "base/splicer.h"
#include "hvctl/verbs.h"

#define CHUNK 65536 /* the largest message of type RAW, too */

struct nc {
	int sock;
	int error; /* of stdin to socket: a positive errno */
};

/* Wait for stdin. False: the peer has closed altogether. */
static bool wait_input(const struct nc *nc)
{
	struct pollfd p[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = nc->sock },
	};

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return true; /* read() will tell */
	/* What can be read goes first: the peer may yet read it. */
	return p[0].revents || !(p[1].revents & (POLLHUP | POLLERR));
}

static int send_all(int sock, const char *buf, size_t len)
{
	while (len) {
		ssize_t n = send(sock, buf, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int input(struct nc *nc)
{
	cleanup_free_ char *buf = malloc(CHUNK);
	int r;

	if (!buf)
		return -ENOMEM;
	while (wait_input(nc)) {
		ssize_t n = read(STDIN_FILENO, buf, CHUNK);

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = send_all(nc->sock, buf, (size_t)n);
		if (r)
			return r;
	}
	return 0;
}

/* Whoever is at the other end of it shall see that it is over. */
static void end_stdio(int fd)
{
	cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		dup2(null, fd);
	else
		close(fd);
}

static void *input_thread(void *p)
{
	struct nc *nc = p;

	nc->error = -input(nc);
	shutdown(nc->sock, SHUT_WR);
	end_stdio(STDIN_FILENO);
	return NULL;
}

static int write_all(const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Socket to stdout. @ret_out: the error was stdout's. */
static int output(const struct nc *nc, bool *ret_out)
{
	cleanup_free_ char *buf = malloc(CHUNK);
	struct fdmsg m;
	int r;

	*ret_out = false;
	if (!buf)
		return -ENOMEM;
	for (;;) {
		r = fdmsg_recv(nc->sock, buf, CHUNK, 0, &m);
		if (r == -EINTR)
			continue;
		if (r)
			return r;
		if (m.nfds)
			return -EPROTO; /* they end with this process */
		if (m.len == 0)
			return 0;
		r = write_all(buf, m.len);
		if (r) {
			*ret_out = true;
			return r;
		}
	}
}

static int converse(int sock, const char *about)
{
	struct nc nc = { .sock = sock };
	bool out_failed;
	pthread_t t;
	int r;

	splicer_guard(sock);
	r = pthread_create(&t, NULL, input_thread, &nc);
	if (r)
		return complain("nc: %s", strerror(r));
	r = output(&nc, &out_failed);
	if (out_failed)
		splicer_discard(sock);
	else if (r)
		shutdown(sock, SHUT_RDWR); /* ends the thread as well */
	end_stdio(STDOUT_FILENO);
	pthread_join(t, NULL);
	if (out_failed && r != -EPIPE)
		return complain("nc: standard output: %s", strerror(-r));
	if (r && !out_failed)
		return complain("nc %s: %s", show(about), strerror(-r));
	if (nc.error && nc.error != EPIPE)
		return complain("nc %s: %s", show(about), strerror(nc.error));
	return 0;
}

/*
 * ssh's ProxyUseFdpass: the socket is its own from now on. Where a connection
 * is to be kept it has given us /dev/null for errors; whoever started it sees
 * them all the same.
 */
static void say_to_parent(void)
{
	cleanup_close_ int fd = -1;
	char path[64];
	struct stat err, null;

	if (fstat(STDERR_FILENO, &err) < 0 || stat("/dev/null", &null) < 0 ||
	    !S_ISCHR(err.st_mode) || err.st_rdev != null.st_rdev)
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getppid(),
		 STDERR_FILENO);
	fd = open(path, O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

static int pass(int sock, const char *about)
{
	int r = fdmsg_send(STDOUT_FILENO, "", 1, &sock, 1, 0);

	return r ? complain("nc %s: --fdpass: standard output: %s", show(about),
			    strerror(-r)) :
		   0;
}

static void say_peer(const char *word, int fd)
{
	char text[HVS_ADDRESS_TEXT_SIZE];
	SOCKADDR_HV peer;
	socklen_t len = sizeof(peer);

	if (!hvs_getpeername(fd, &peer, &len) &&
	    !hvs_address_format(&peer, text, sizeof(text), 0))
		fprintf(stderr, "%s %s\n", word, show(text));
}

static int take_one(struct ctl *c, const char *address, bool raw, bool verbose)
{
	cleanup_close_ int listener = -1;
	int fd;

	listener = hvs_serve(address, 1, raw ? HVS_DIAL_RAW : 0);
	if (listener < 0) {
		say_failed(c, address, -1, errno);
		return -1;
	}
	if (verbose)
		covers_say(c, listener);
	do {
		fd = hvs_accept(listener, NULL, NULL, SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		say_failed(c, address, listener, errno);
	else if (verbose)
		say_peer("connection from", fd);
	return fd;
}

int cmd_nc(struct ctl *c, const struct args *a)
{
	const char *timeout = args_value(a, "timeout");
	const char *address = a->pos[0];
	bool raw = args_has(a, "raw");
	cleanup_close_ int fd = -1;
	uint32_t ms = 0;

	if (timeout && (text_seconds(timeout, &ms) ||
			ms > HVSOCKET_CONNECT_TIMEOUT_MAX))
		return usage("nc: --timeout %s: not a number of seconds up to "
			     "300", show(timeout));
	if (address_form(address))
		return usage("nc: %s: not PARTITION:SERVICE", show(address));
	if (args_has(a, "fdpass") && (args_has(a, "dgram") ||
				      args_has(a, "listen")))
		return usage("nc: --fdpass goes with neither --dgram nor "
			     "--listen");
	if (args_has(a, "fdpass"))
		say_to_parent();
	if (args_has(a, "dgram")) {
		if (raw || args_has(a, "wait"))
			return usage("nc: --dgram goes with neither --raw nor "
				     "--wait");
		return nc_datagrams(c, a, timeout, ms);
	}
	if (args_has(a, "listen") && (timeout || args_has(a, "wait")))
		return usage("nc: --listen goes with neither --timeout nor "
			     "--wait");
	if (args_has(a, "listen")) {
		fd = take_one(c, address, raw, args_has(a, "verbose"));
		if (fd < 0)
			return 1;
		return converse(fd, address);
	}
	fd = hvs_dial(address, ms,
		      (raw ? HVS_DIAL_RAW : 0) |
			      (args_has(a, "wait") ? HVS_DIAL_WAIT : 0));
	if (fd < 0)
		return say_failed(c, address, -1, errno);
	if (args_has(a, "verbose"))
		say_peer("connected to", fd);
	return args_has(a, "fdpass") ? pass(fd, address) :
				       converse(fd, address);
}
