/* SPDX-License-Identifier: MIT */
/* relay.c - see relay.h */
#include "transport/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "transport/closer.h"

#define MESSAGE_SEND_BUF (256 * 1024) /* the largest that a guest can send */
#define EMPTY_MAX 64	/* empty messages in one call */
#define CHUNK 65536u /* as much as a pipe holds */

/* Neither holds anything between two calls. */
static uint8_t chunk[CHUNK];
static int tube[2] = { -1, -1 };

void relay_init(struct relay *r)
{
	*r = (struct relay) { .fd = -1 };
}

static bool is_unix(int fd)
{
	socklen_t len = sizeof(int);
	int domain = AF_UNIX;

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	return domain == AF_UNIX;
}

void relay_attach(struct relay *r, int fd)
{
	int on = 1, room = r->messages ? MESSAGE_SEND_BUF
				       : (int)(r->burst / 4 * 3);

	/* a message has to fit as a whole (the kernel doubles this, for what it
	 * needs itself, and allows what net.core.wmem_max says) */
	if (room)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room,
				 sizeof(room));
	if (r->messages) {
		/* see peek() */
		(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	}
	/* an urgent byte is a byte like others: it must not vanish */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	r->unix_ = is_unix(fd);
	r->splices = closer_guard_socket(fd) || !r->unix_;
	r->fd = fd;
	if (r->shut) /* said before it was there */
		(void)shutdown(fd, SHUT_WR);
}

static void held_drop(struct relay *r)
{
	message_queue_drop(&r->queue);
	free(r->held);
	r->held = NULL;
	r->held_at = r->held_len = r->held_size = 0;
}

void relay_fini(struct relay *r)
{
	held_drop(r);
	/* after the end of file nothing can be in its queue */
	if (r->fd >= 0 && r->eof)
		close(r->fd);
	else if (r->fd >= 0)
		closer_close_socket(r->fd);
	r->fd = -1;
	r->broken = true;
}

ssize_t relay_pull(struct relay *r, const struct iovec *iov, unsigned int n)
{
	struct fdmsg m;
	size_t len = 0;
	int err, resets = 0;

	if (r->fd < 0 || r->drained || r->stalled)
		return -EAGAIN;
	/* a reset: see relay_next(), after which it may have come */
	do
		err = fdmsg_recv_iov(r->fd, iov, n, MSG_DONTWAIT, &m);
	while (err == -EINTR ||
	       (r->messages && err == -ECONNRESET && !resets++));
	if (err < 0)
		return err;
	closer_close(m.fds, m.nfds);
	r->to_guest += m.len;
	if (r->messages)
		return m.truncated ? -EMSGSIZE : (ssize_t)m.len;
	/* a stream's read is short only when no more is there, or behind
	 * descriptors; what comes later makes an event */
	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	r->eof = !m.len && len && !m.nfds;
	r->drained = m.len && m.len < len && !m.nfds && !r->ended;
	return (ssize_t)m.len;
}

/*
 * The next message's length. The end of file and a message without a byte are
 * both 0, but who sent it is said of a message only. (Descriptors have no room
 * and stay in the queue.)
 */
static ssize_t peek(const struct relay *r, bool *ret_end)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr msg = {
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(r->fd, &msg,
			    MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT |
				    MSG_CMSG_CLOEXEC);

	*ret_end = n == 0 && !CMSG_FIRSTHDR(&msg);
	return n;
}

ssize_t relay_next(struct relay *r)
{
	int empty = 0, resets = 0;
	struct fdmsg m;
	bool end;
	ssize_t n;

	if (r->fd < 0 || r->stalled)
		return -EAGAIN;
	while (empty <= EMPTY_MAX) {
		n = peek(r, &end);
		if (n > 0)
			return n;
		/* said once, and before what was sent earlier */
		if (n < 0 && (errno == EINTR ||
			      (errno == ECONNRESET && !resets++)))
			continue;
		if (n < 0)
			return -errno;
		r->eof = end;
		if (end)
			return 0;
		/* a guest would take it for the end */
		empty++;
		if (fdmsg_recv_iov(r->fd, NULL, 0, MSG_DONTWAIT, &m) < 0)
			continue;
		closer_close(m.fds, m.nfds);
		r->empty++;
	}
	return -EBUSY;
}

void relay_event(struct relay *r, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		r->drained = false;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		r->ended = true;
}

size_t relay_unread(int fd)
{
	int n = 0;

	return fd >= 0 && ioctl(fd, SIOCINQ, &n) == 0 && n > 0 ? (size_t)n : 0;
}

size_t relay_waiting(const struct relay *r)
{
	return r->stalled ? 0 : relay_unread(r->fd);
}

/* Keep all of @iov but the first @skip bytes. */
static int hold(struct relay *r, const struct iovec *iov, unsigned int n,
		size_t skip)
{
	size_t len = 0, size;
	uint8_t *p;

	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	len -= skip;
	if (r->held_at && r->held_at + r->held_len + len > r->held_size) {
		memmove(r->held, r->held + r->held_at, r->held_len);
		r->held_at = 0;
	}
	if (r->held_len + len > r->held_size) {
		size = (r->held_len + len + 16383) / 16384 * 16384;
		p = realloc(r->held, size);
		if (!p)
			return -ENOMEM;
		r->held = p;
		r->held_size = size;
	}
	for (unsigned int i = 0; i < n; i++) {
		size_t part = iov[i].iov_len;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part -= skip;
		memcpy(r->held + r->held_at + r->held_len,
		       (const uint8_t *)iov[i].iov_base + skip, part);
		r->held_len += part;
		skip = 0;
	}
	return 0;
}

/* sendmsg() that never waits: bytes taken, 0 if it is full, or -errno */
static ssize_t put(struct relay *r, const struct iovec *iov, unsigned int n)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = n,
	};
	ssize_t done;

	do
		done = sendmsg(r->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (done < 0 && errno == EINTR);
	if (done < 0 && errno == EAGAIN)
		return 0;
	if (done < 0)
		return -errno;
	r->from_guest += (uint64_t)done;
	return done;
}

static ssize_t give_up(struct relay *r, ssize_t err)
{
	r->broken = true;
	held_drop(r);
	return err;
}

ssize_t relay_push(struct relay *r, const struct iovec *iov, unsigned int n)
{
	size_t len = 0;
	ssize_t done = 0;
	int err;

	if (r->broken)
		return -EPIPE;
	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (r->fd >= 0 && !relay_held(r) && !r->stalled)
		done = put(r, iov, n);
	if (done < 0)
		return give_up(r, done);
	if ((size_t)done == len)
		return done;
	err = r->messages ? message_queue_add(&r->queue, iov, n)
			  : hold(r, iov, n, (size_t)done);
	return err < 0 ? give_up(r, err) : done;
}

ssize_t relay_write(struct relay *r, const struct iovec *iov, unsigned int n)
{
	size_t len = 0;
	ssize_t done = 0;

	if (r->broken)
		return -EPIPE;
	for (unsigned int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (r->fd >= 0 && !r->stalled)
		done = put(r, iov, n);
	if (done < 0)
		return give_up(r, done);
	r->full = (size_t)done < len;
	return done;
}

int relay_move_start(void)
{
	if (tube[0] < 0 && pipe2(tube, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static ssize_t copy(struct relay *from, struct relay *to, bool *ret_taken)
{
	struct iovec iov = { .iov_base = chunk, .iov_len = sizeof(chunk) };
	ssize_t n = relay_pull(from, &iov, 1);

	*ret_taken = true;
	if (n > 0) {
		iov.iov_len = (size_t)n;
		*ret_taken = relay_push(to, &iov, 1) >= 0;
	}
	return n;
}

static ssize_t tube_from(int fd)
{
	ssize_t n;

	do
		n = splice(fd, NULL, tube[1], NULL, CHUNK,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* What @r takes of the @len bytes in the pipe. Return: bytes, or -errno */
static ssize_t tube_to(struct relay *r, size_t len)
{
	size_t left = len;
	ssize_t n;

	while (left) {
		n = splice(tube[0], NULL, r->fd, NULL, left,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n <= 0)
			break;
		left -= (size_t)n;
		r->from_guest += (uint64_t)n;
	}
	return (ssize_t)(len - left);
}

/* The pipe is empty afterwards, whatever becomes of the @len bytes in it. */
static int tube_hold(struct relay *r, size_t len)
{
	struct iovec iov = { .iov_base = chunk };
	int err = 0;
	ssize_t n;

	while (len) {
		n = read(tube[0], chunk, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		len -= (size_t)n;
		iov.iov_len = (size_t)n;
		if (!r->broken && err == 0)
			err = hold(r, &iov, 1, 0);
	}
	return err;
}

ssize_t relay_move(struct relay *from, struct relay *to, bool *ret_taken)
{
	ssize_t n, done = 0;

	if (!from->splices || tube[0] < 0)
		return copy(from, to, ret_taken);
	*ret_taken = true;
	if (from->fd < 0 || from->stalled || from->drained)
		return -EAGAIN;
	n = tube_from(from->fd);
	if (n <= 0) {
		from->eof = n == 0;
		return n;
	}
	from->to_guest += (uint64_t)n;
	/* as in relay_pull(): no more was there */
	from->drained = n < (ssize_t)CHUNK && !from->unix_ && !from->ended;
	if (!to->broken && to->fd >= 0 && !to->held_len && !to->stalled)
		done = tube_to(to, (size_t)n);
	if (done < 0)
		(void)give_up(to, done);
	/* how much of it went before an error nobody needs to know */
	if (done < n) {
		size_t left = done < 0 ? relay_unread(tube[0])
				       : (size_t)(n - done);

		if (tube_hold(to, left) < 0)
			(void)give_up(to, -ENOMEM);
	}
	*ret_taken = !to->broken;
	return n;
}

size_t relay_held(const struct relay *r)
{
	return r->messages ? message_queue_bytes(&r->queue) : r->held_len;
}

bool relay_wanted(const struct relay *r)
{
	return r->full || relay_held(r);
}

void relay_watch(const struct relay *r, struct ev_io *io, uint32_t events)
{
	uint32_t now = io->events & ~(uint32_t)EPOLLOUT;

	if (relay_wanted(r))
		now |= EPOLLOUT;
	else if (!(events & EPOLLOUT))
		return; /* it may soon be wanted again */
	if (io->ev && now != io->events)
		(void)ev_io_start(io->ev, io, io->fd, now, io->fn);
}

static ssize_t flush_messages(struct relay *r)
{
	struct iovec iov;
	ssize_t sum = 0, done;

	while (message_queue_first(&r->queue, &iov)) {
		done = put(r, &iov, 1);
		if (done < 0)
			return give_up(r, done);
		if (!done)
			break;
		sum += done;
		message_queue_pop(&r->queue);
	}
	return sum;
}

ssize_t relay_flush(struct relay *r)
{
	struct iovec iov;
	ssize_t done;

	if (r->broken)
		return -EPIPE;
	if (r->fd < 0 || !relay_held(r) || r->stalled)
		return 0;
	if (r->messages)
		return flush_messages(r);
	iov = (struct iovec) { r->held + r->held_at, r->held_len };
	done = put(r, &iov, 1);
	if (done < 0)
		return give_up(r, done);
	r->held_at += (size_t)done;
	r->held_len -= (size_t)done;
	if (!r->held_len)
		held_drop(r);
	return done;
}

bool relay_probe(struct relay *r, uint32_t events)
{
	bool over = events & EPOLLHUP;

	if (r->broken || r->fd < 0)
		return !r->broken;
	/* a stream's write of nothing fails like any other where nobody reads
	 * (on message sockets it would be a message) */
	if (!r->shut && !r->messages)
		over = send(r->fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		       errno == EPIPE;
	if (over)
		(void)give_up(r, -EPIPE);
	return !over;
}

void relay_shut(struct relay *r, bool no_more_data, bool no_more_reading)
{
	if (no_more_data)
		r->shut = true;
	if (r->fd < 0)
		return;
	if (r->stalled) {
		r->shut_write |= no_more_data;
		r->shut_read |= no_more_reading;
		return;
	}
	if (no_more_data)
		(void)shutdown(r->fd, SHUT_WR);
	if (no_more_reading)
		(void)shutdown(r->fd, SHUT_RD);
}

void relay_stall(struct relay *r, bool stalled)
{
	bool data = r->shut_write, reading = r->shut_read;

	r->stalled = stalled;
	if (stalled || (!data && !reading))
		return;
	r->shut_write = r->shut_read = false;
	relay_shut(r, data, reading);
}
