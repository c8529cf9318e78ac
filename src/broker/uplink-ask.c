/* SPDX-License-Identifier: MIT */
/*
 * uplink-ask.c - one line to the other broker, and its answer
 *
 * Not a byte beyond the answer is read: what follows is the connection's. (Not
 * every transport below AF_VSOCK lets one look without taking.)
 */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/unix.h"
#include "broker/offload.h"
#include "broker/uplink.h"

#define AGAIN_MS 5

static const char no_broker_there[] =
	"it has no broker that takes uplinks, or none that lets this machine have one (its service \"uplink\")";

void ask_end(struct ask *k)
{
	ev_io_stop(&k->io);
	ev_timer_stop(&k->again);
	if (k->fd >= 0)
		sock_close(k->b, k->fd);
	k->fd = -1;
}

static void answer(struct ask *k, const struct uplink_answer *a)
{
	ev_io_stop(&k->io);
	if (a->reason)
		ask_end(k);
	k->answered(k, a);
}

__attribute__((format(printf, 3, 4))) static void
fail(struct ask *k, uint32_t reason, const char *fmt, ...)
{
	struct uplink_answer a = { .reason = reason };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a.text, sizeof(a.text), fmt, ap);
	va_end(ap);
	answer(k, &a);
}

static void failed(struct ask *k, int error)
{
	switch (error) {
	case ENODEV:
	case EAFNOSUPPORT:
		fail(k, HVS_REASON_PARTITION_OFF,
		     "this machine has no vsock device to its host");
		break;
	case ECONNRESET:
	case ECONNREFUSED:
	case ENOENT:
	case EPIPE:
		fail(k, HVS_REASON_PARTITION_OFF,
		     "the host refuses the connection: %s", no_broker_there);
		break;
	default:
		fail(k, HVS_REASON_PARTITION_OFF,
		     "the host cannot be connected to: %s", strerror(error));
	}
}

/* The end of what is asked for: before "OK\n" is whole only that much. */
static size_t next_piece(const struct ask *k)
{
	static const char ok[] = "OK\n";

	if (k->request.verb != UPLINK_HELLO && k->len < 3 &&
	    memcmp(k->buf, ok, k->len) == 0)
		return 3 - k->len;
	return sizeof(k->buf) - k->len;
}

/* Return: is there more to be read? */
static bool read_answer(struct ask *k)
{
	struct uplink_answer a;
	struct fdmsg m;
	int r;

	if (k->len == sizeof(k->buf)) {
		fail(k, HVS_REASON_BROKER_FAILED,
		     "the other broker's answer is too long");
		return false;
	}
	guard_arm(&k->b->guard);
	r = fdmsg_recv(k->fd, k->buf + k->len, next_piece(k), MSG_DONTWAIT, &m);
	if (r == -EAGAIN || r == -EINTR)
		return false;
	for (int i = 0; r == 0 && i < m.nfds; i++)
		offload_close(k->b->offload, m.fds[i]);
	if (r < 0 || m.nfds || !m.len) {
		k->ended = true;
		fail(k, HVS_REASON_PARTITION_OFF,
		     "the other broker ended the connection: %s",
		     k->len ? "it has gone, or its machine" :
			      no_broker_there);
		return false;
	}
	k->len += m.len;
	if (!memchr(k->buf, '\n', k->len))
		return true;
	if (uplink_answer_parse(k->request.verb, k->buf, k->len, &a) < 0)
		fail(k, HVS_REASON_BROKER_FAILED,
		     "the other broker's answer is malformed");
	else
		answer(k, &a);
	return false;
}

static void on_io(struct ev_io *io, uint32_t events);

static void say(struct ask *k)
{
	char line[UPLINK_REQUEST_MAX + 1];
	size_t n = uplink_request_format(&k->request, line);
	int r;

	k->connected = true;
	if (send(k->fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n) {
		failed(k, ECONNRESET);
		return;
	}
	r = ev_io_start(k->b->ev, &k->io, k->fd, EPOLLIN, on_io);
	if (r < 0)
		failed(k, -r);
}

static void on_io(struct ev_io *io, uint32_t events)
{
	struct ask *k = container_of(io, struct ask, io);
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (k->connected) {
		while (read_answer(k))
			;
		return;
	}
	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		failed(k, error);
	else
		say(k);
}

void ask_over(struct ask *k, int fd)
{
	k->fd = fd;
	k->len = 0;
	k->ended = false;
	say(k);
}

/* Return: 0, or an errno; EINPROGRESS too */
static int connect_host(const struct uplink_place *p, int fd)
{
	const struct sockaddr_vm vm = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_HOST,
		.svm_port = UPLINK_PORT,
	};
	char path[UPLINK_PATH_MAX + 16];
	struct sockaddr_un sa;
	int r;

	if (p->kind == UPLINK_VSOCK)
		return connect(fd, (const struct sockaddr *)&vm, sizeof(vm)) <
				       0 ?
			       errno :
			       0;
	snprintf(path, sizeof(path), "%s_%u", p->path, UPLINK_PORT);
	r = unix_address(path, &sa);
	if (r == 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		r = -errno;
	return -r;
}

static void on_again(struct ev_timer *t)
{
	ask_dial(container_of(t, struct ask, again));
}

void ask_dial(struct ask *k)
{
	const struct uplink_place *p = &k->b->uplinks->place;
	int error;

	k->len = 0;
	k->connected = k->ended = false;
	k->fd = socket(p->kind == UPLINK_VSOCK ? AF_VSOCK : AF_UNIX,
		       SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	error = k->fd < 0 ? errno : connect_host(p, k->fd);
	if (error == EINPROGRESS)
		error = -ev_io_start(k->b->ev, &k->io, k->fd, EPOLLOUT, on_io);
	else if (error == 0)
		k->connected = true;
	if (error == EAGAIN && p->kind == UPLINK_UNIX) {
		/* until who asks has no time left */
		ask_end(k);
		error = -ev_timer_start(k->b->ev, &k->again, AGAIN_MS,
					on_again);
		if (error == 0)
			return;
	}
	if (error)
		failed(k, error);
	else if (k->connected)
		say(k);
}
