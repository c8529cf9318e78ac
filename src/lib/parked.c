/* SPDX-License-Identifier: MIT */
/* parked.c - see parked.h */
#include "lib/parked.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/call.h"
#include "lib/reason.h"
#include "lib/state.h"
#include "lib/sys.h"

/*
 * The transport closes a refused socket and then tells the broker why; whoever
 * asks in between hears "pending". Attempts, each with twice the wait.
 */
#define RESULT_ATTEMPTS 8

static void set_waiting(struct sock_state *s, void *arg)
{
	s->parked = PARKED_WAITING;
	s->error = 0;
	s->token = *(uint64_t *)arg;
}

int parked_start(int fd, uint64_t token)
{
	(void)state_change(fd, set_waiting, &token);
	errno = EINPROGRESS;
	return hvs__fail_errno();
}

struct decision {
	uint64_t token;
	int error; /* 0: connected */
};

static void decide(struct sock_state *s, void *arg)
{
	const struct decision *d = arg;

	/* another thread may have been here first */
	if (s->parked != PARKED_WAITING || s->token != d->token)
		return;
	s->parked = d->error ? PARKED_FAILED : PARKED_NO;
	s->error = d->error;
	s->token = 0;
}

static int so_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return 0;
	return error;
}

/* Return: enum result_state; @c has the reply */
static int ask_once(struct call *c, uint64_t token,
		    struct msg_result_reply *ret)
{
	uint8_t raw[CALL_FRAME_SIZE];

	call_begin(c, MSG_RESULT, raw, sizeof(raw));
	msg_put_u64(&c->frame, token);
	if (call_run(c) <= 0 ||
	    msg_result_reply_decode(c->reply, c->reply_len, ret) < 0)
		return RESULT_UNKNOWN;
	return (int)ret->state;
}

/* The connection has ended: before or after it was there? Return: errno of
 * the connect, 0 if it had succeeded. */
static int ask(int fd, uint64_t token)
{
	struct msg_result_reply m;
	struct call c;
	int state = RESULT_PENDING;

	for (int i = 0; i < RESULT_ATTEMPTS; i++) {
		state = ask_once(&c, token, &m);
		if (state != RESULT_PENDING)
			break;
		poll(NULL, 0, 1 << i);
	}
	if (state == RESULT_CONNECTED)
		return 0;
	if (state == RESULT_FAILED && m.error) {
		hvs__fail_text(fd, call_errno(m.error), m.reason, c.dir, m.text,
			       m.text_len);
		return call_errno(m.error);
	}
	/* no broker knows it any more: the kernel's word is what is left */
	hvs__fail(fd, ECONNRESET, HVS_REASON_BROKER_FAILED, NULL,
		  "the connect ended, and the broker does not know why");
	return ECONNRESET;
}

void parked_resolve(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct hvs_reason before;
	struct decision d;
	struct sock_state s;
	int saved = errno;

	if (!state_get(fd, &s) || s.parked != PARKED_WAITING)
		return;
	if (poll(&p, 1, 0) == 1 && !(p.revents & POLLNVAL)) {
		d = (struct decision){ .token = s.token };
		before = *hvs__reason_of_thread();
		if (p.revents & (POLLERR | POLLHUP))
			d.error = ask(fd, s.token);
		hvs__reason_restore(&before);
		(void)state_change(fd, decide, &d);
	}
	errno = saved;
}

static void take_error(struct sock_state *s, void *arg)
{
	*(int *)arg = s->error;
	s->error = 0;
}

int parked_take_error(int fd)
{
	struct hvs_reason reason;
	int error = 0;

	(void)state_change(fd, take_error, &error);
	if (!error)
		return hvs__fail(-1, ECONNABORTED, HVS_REASON_BAD_REQUEST, NULL,
				 "a connect failed after it had been in "
				 "progress: take a new socket");
	(void)so_error(fd);
	state_get_reason(fd, &reason);
	if (reason.code)
		hvs__reason_restore(&reason);
	errno = error;
	return -1;
}

int parked_error(int fd, int *ret)
{
	struct sock_state s;
	socklen_t len = sizeof(*ret);
	int error = 0;

	parked_resolve(fd);
	if (state_get(fd, &s) && s.parked != PARKED_NO) {
		/* while it waits, the kernel's error can only be its failure */
		if (s.parked == PARKED_FAILED) {
			(void)so_error(fd);
			(void)state_change(fd, take_error, &error);
		}
		*ret = error;
		return 0;
	}
	return sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, ret, &len);
}
