/* SPDX-License-Identifier: MIT */
/*
 * call.c - see call.h
 *
 * Nothing is allocated, and nothing large is cleared: a connect is one
 * sendmsg() and one recv(). HELLO was sent when the connection was made; its
 * reply is read before the first other one.
 *
 * Giving up (a signal, no answer) ends the connection, which is how the
 * broker learns that the request is cancelled.
 */
#include "lib/call.h"

#include <errno.h>
#include <sched.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "base/bytes.h"
#include "base/fdmsg.h"
#include "base/yielder.h"
#include "lib/pool.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"

/* What an attempt came to; failures have set errno and reason. */
enum outcome {
	REPLY, /* in c->reply, good or bad */
	FAILED,
	DEAD, /* the connection is gone; worth another */
};

void call_begin(struct call *c, enum msg_type type, uint8_t *raw, size_t size)
{
	c->frame = msg_buf(raw, size);
	c->fd = -1;
	c->reason_fd = -1;
	c->timeout_ms = CALL_TIMEOUT_MS;
	c->interruptible = false;
	c->binds = false;
	c->takes_fd = false;
	c->got_fd = -1;
	c->done = NULL;
	c->reply_len = 0;
	c->dir[0] = '\0';
	msg_begin(&c->frame, type, 0); /* the serial comes with a connection */
}

int call_errno(uint32_t error)
{
	return error && error < 4096 ? (int)error : EIO;
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void set_timeout(struct conn *conn, int timeout_ms)
{
	struct timeval tv = { .tv_sec = timeout_ms / 1000,
			      .tv_usec = timeout_ms % 1000 * 1000 };

	if (conn->timeout_ms == timeout_ms)
		return;
	if (sys_setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &tv,
			   sizeof(tv)) == 0)
		conn->timeout_ms = timeout_ms;
}

/*
 * A receive with a time limit is never restarted by the kernel, whatever
 * SA_RESTART says. Which signal it was is not told; but if every handler that
 * is installed asks for restarting, so did that one.
 */
static bool restarting(void)
{
	struct sigaction sa;

	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		if (sigaction(sig, NULL, &sa) < 0)
			continue;
		if (!(sa.sa_flags & SA_SIGINFO) &&
		    (sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN))
			continue;
		if (!(sa.sa_flags & SA_RESTART))
			return false;
	}
	return true;
}

static bool died(int error)
{
	return error == EPIPE || error == ECONNRESET || error == ENOTCONN ||
	       error == EBADF || error == ENOTSOCK || error == ECONNREFUSED;
}

static enum outcome send_request(struct call *c, struct conn *conn)
{
	int r;

	le32_put(c->frame.data + 4, ++conn->serial);
	do {
		r = fdmsg_send(conn->fd, c->frame.data, c->frame.len, &c->fd,
			       c->fd >= 0, 0);
	} while (r == -EINTR);
	if (r == 0)
		return REPLY;
	/* whose number was not open: the caller's, or the connection's? */
	if (r == -EBADF && c->fd >= 0 && fcntl(c->fd, F_GETFD) < 0) {
		errno = EBADF;
		hvs__fail_errno();
		return FAILED;
	}
	if (died(-r))
		return DEAD;
	if (r == -EAGAIN) {
		hvs__fail(c->reason_fd, ETIMEDOUT, HVS_REASON_NO_ANSWER,
			  conn->dir, "the broker does not read its requests");
		return FAILED;
	}
	if (r == -ETOOMANYREFS) {
		hvs__fail(c->reason_fd, ETOOMANYREFS, HVS_REASON_QUOTA,
			  conn->dir, "too many descriptors of this user are "
			  "on their way (RLIMIT_NOFILE)");
		return FAILED;
	}
	errno = -r;
	hvs__fail_errno();
	return FAILED;
}

static void keep_hello(struct call *c, struct conn *conn)
{
	struct msg_hello_reply m;
	size_t n;

	if (msg_hello_reply_decode(c->reply, c->reply_len, &m) < 0)
		return;
	conn->hello = true;
	conn->partition = m.partition;
	n = m.name_len < sizeof(conn->name) ? m.name_len :
					      sizeof(conn->name) - 1;
	memcpy(conn->name, m.name, n);
	conn->name[n] = '\0';
}

static enum outcome refused_hello(struct call *c, struct conn *conn)
{
	struct msg_reply r;

	if (msg_reply_decode(c->reply, c->reply_len, &r) == 0 && r.error)
		hvs__fail_text(c->reason_fd, call_errno(r.error), r.reason,
			       conn->dir, (const char *)r.payload, r.len);
	else
		hvs__fail(c->reason_fd, EPROTO, HVS_REASON_BROKER_FAILED,
			  conn->dir, "the broker's HELLO makes no sense");
	return FAILED;
}

/* As recv(); what comes along is kept where it is expected. */
static ssize_t take(struct call *c, const struct conn *conn, int flags)
{
	struct fdmsg m;
	int r;

	if (!c->takes_fd)
		return recv(conn->fd, c->reply, sizeof(c->reply), flags);
	r = fdmsg_recv(conn->fd, c->reply, sizeof(c->reply), flags, &m);
	if (r < 0) {
		errno = -r;
		return -1;
	}
	for (int i = 0; i < m.nfds; i++) {
		if (c->got_fd < 0)
			c->got_fd = m.fds[i];
		else
			close(m.fds[i]);
	}
	return (ssize_t)m.len;
}

/*
 * A broker that is awake answers within a few microseconds, and being put to
 * sleep and woken takes many times that (57 against 3 where it was measured):
 * so the reply is looked for a while before sleeping, as long as that pays.
 */
static ssize_t look(struct call *c, struct conn *conn)
{
	ssize_t n;

	if (!yielder_try(&conn->yielder))
		return -1;
	do {
		n = take(c, conn, MSG_DONTWAIT);
		if (n >= 0 || errno != EAGAIN)
			break;
		/* On one processor this lets the broker answer at once. */
		sched_yield();
	} while (yielder_in_time(&conn->yielder));
	yielder_judge(&conn->yielder, n >= 0);
	return n;
}

static enum outcome unanswered(struct call *c, struct conn *conn)
{
	hvs__fail(c->reason_fd, ETIMEDOUT, HVS_REASON_NO_ANSWER, conn->dir,
		  "the broker in %s did not answer within %d ms", conn->dir,
		  c->timeout_ms);
	return FAILED;
}

/* One frame; longer ones are cut, which only a sentence can be. */
static enum outcome receive(struct call *c, struct conn *conn,
			    long long started)
{
	ssize_t n;
	int error;

	n = look(c, conn);
	if (n > 0) {
		c->reply_len = (size_t)n;
		return REPLY;
	}
	/* an end or an error is seen again */
	for (;;) {
		n = take(c, conn, 0);
		error = errno;
		if (n > 0) {
			c->reply_len = (size_t)n;
			return REPLY;
		}
		if (n == 0 || died(error))
			return DEAD;
		if (error != EINTR)
			break;
		if (c->interruptible && !restarting())
			break;
		if (now_ms() - started >= c->timeout_ms) {
			error = EAGAIN;
			break;
		}
	}
	if (error == EINTR) {
		/* it may have come together with the signal */
		n = take(c, conn, MSG_DONTWAIT);
		if (n > 0) {
			c->reply_len = (size_t)n;
			return REPLY;
		}
	}
	if (error == EAGAIN)
		return unanswered(c, conn);
	errno = error;
	hvs__fail_errno();
	return FAILED;
}

/* Reads until the reply to @serial; the one to HELLO may come before it. */
static enum outcome await(struct call *c, struct conn *conn, uint16_t type,
			  uint32_t serial)
{
	long long started = now_ms();
	struct msg_header h;
	enum outcome o;

	for (;;) {
		o = receive(c, conn, started);
		if (o != REPLY)
			return o;
		if (msg_header_decode(c->reply, c->reply_len, &h) < 0)
			h = (struct msg_header){ .reply = false };
		if (h.reply && h.type == MSG_HELLO && !conn->hello) {
			keep_hello(c, conn);
			if (!conn->hello)
				return refused_hello(c, conn);
			if (type == MSG_HELLO)
				return REPLY;
			continue;
		}
		if (h.reply && h.type == type && h.serial == serial)
			return REPLY;
		/* not ours: but they do not go on for ever */
		if (now_ms() - started >= c->timeout_ms)
			return unanswered(c, conn);
	}
}

static enum outcome attempt(struct call *c, bool fresh)
{
	struct msg_header h;
	struct conn *conn;
	enum outcome o;

	if (pool_take(fresh, &conn) < 0) {
		/* it knows no socket to say so about */
		if (c->reason_fd >= 0)
			state_set_reason(c->reason_fd,
					 hvs__reason_of_thread());
		return FAILED;
	}
	memcpy(c->dir, conn->dir, sizeof(c->dir));
	set_timeout(conn, c->timeout_ms);
	o = send_request(c, conn);
	if (o == REPLY) {
		(void)msg_header_decode(c->frame.data, c->frame.len, &h);
		o = await(c, conn, h.type, conn->serial);
	}
	if (o == REPLY) {
		/* a bind that was refused leaves nothing to own */
		if (c->binds)
			conn->bound = true;
		pool_give(conn);
	} else {
		pool_drop(conn);
	}
	return o;
}

/* errno is preserved */
static bool done_already(struct call *c)
{
	int saved = errno;
	bool done = c->done && c->done(c);

	errno = saved;
	return done;
}

static int run(struct call *c)
{
	struct msg_reply r;
	enum outcome o;

	if (c->frame.overflow) {
		errno = EMSGSIZE;
		return hvs__fail_errno();
	}
	o = attempt(c, false);
	if (o == DEAD) {
		if (done_already(c))
			return 0;
		o = attempt(c, true);
	}
	if (o == DEAD) {
		if (done_already(c))
			return 0;
		return hvs__fail(c->reason_fd, ENETDOWN, HVS_REASON_NO_BROKER,
				 c->dir, "the broker in %s closed the "
				 "connection", c->dir);
	}
	if (o == FAILED) {
		/* it may have been decided just then */
		if ((errno == EINTR || errno == ETIMEDOUT) && done_already(c))
			return 0;
		return -1;
	}
	if (msg_reply_decode(c->reply, c->reply_len, &r) < 0)
		return call_bad_reply(c);
	if (r.error)
		return hvs__fail_text(c->reason_fd, call_errno(r.error),
				      r.reason, c->dir,
				      (const char *)r.payload, r.len);
	return 1;
}

int call_run(struct call *c)
{
	int r, old, saved = errno;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	r = run(c);
	if (r >= 0)
		errno = saved;
	pthread_setcancelstate(old, NULL);
	return r;
}

int call_bad_reply(struct call *c)
{
	return hvs__fail(c->reason_fd, EPROTO, HVS_REASON_BROKER_FAILED, c->dir,
			 "the broker's reply makes no sense");
}

void call_notice(struct call *c)
{
	struct hvs_reason before = *hvs__reason_of_thread();
	int old, saved = errno;
	struct conn *conn;
	enum outcome o;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	for (int fresh = 0; fresh < 2; fresh++) {
		if (pool_take(fresh, &conn) < 0)
			break;
		o = send_request(c, conn);
		if (o == REPLY) {
			pool_give(conn);
			break;
		}
		pool_drop(conn);
		if (o == FAILED)
			break;
	}
	hvs__reason_restore(&before);
	errno = saved;
	pthread_setcancelstate(old, NULL);
}

/* Has the other end of an idle connection gone? */
static bool at_end(const struct conn *conn)
{
	char byte;

	return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0 ||
	       (errno != EAGAIN && died(errno));
}

static enum outcome hello(struct call *c, bool fresh, GUID *ret_partition,
			  char *name)
{
	enum outcome o = REPLY;
	struct conn *conn;

	if (pool_take(fresh, &conn) < 0)
		return FAILED;
	memcpy(c->dir, conn->dir, sizeof(c->dir));
	set_timeout(conn, c->timeout_ms);
	if (conn->hello && at_end(conn))
		o = DEAD;
	else if (!conn->hello)
		o = await(c, conn, MSG_HELLO, 0);
	if (o != REPLY) {
		pool_drop(conn);
		return o;
	}
	*ret_partition = conn->partition;
	memcpy(name, conn->name, sizeof(conn->name));
	pool_give(conn);
	return REPLY;
}

int call_hello(GUID *ret_partition, char *name)
{
	uint8_t raw[MSG_HEADER];
	enum outcome o;
	struct call c;
	int old, saved = errno;

	call_begin(&c, MSG_HELLO, raw, sizeof(raw));
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	o = hello(&c, false, ret_partition, name);
	if (o == DEAD)
		o = hello(&c, true, ret_partition, name);
	if (o == DEAD)
		hvs__fail(-1, ENETDOWN, HVS_REASON_NO_BROKER, c.dir,
			  "the broker in %s closed the connection", c.dir);
	if (o == REPLY)
		errno = saved;
	pthread_setcancelstate(old, NULL);
	return o == REPLY ? 0 : -1;
}
