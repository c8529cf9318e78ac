/* SPDX-License-Identifier: MIT */
/* call.c - see call.h */
#include "as/call.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <hvsocket.h>

#include "as/target.h"
#include "as/view.h"
#include "base/cleanup.h"
#include "lib/state.h"
#include "lib/sys.h"
#include "preload/calls.h"
#include "preload/ours.h"

/* We are for programs; which of them are left alone, target_exempt() says. */
bool ours_exempt(void)
{
	return false;
}

static int arg_int(const struct notice *n, int i)
{
	return (int)(uint32_t)n->args[i];
}

/*
 * What it has not got, has to itself, or is gone: that is the kernel's to say.
 * Anything else is a failure of ours, and must not look like a socket that is
 * not a Hyper-V socket.
 */
static enum call_when failed(int r, int *error)
{
	switch (-r) {
	case EBADF:
	case EPERM:
	case EACCES:
	case ESRCH:
	case ENOENT: /* in /proc: ESRCH */
		return CALL_NATIVE;
	default:
		*error = r;
		return CALL_NOW;
	}
}

static enum call_when look_address(struct call_in *c, int *error)
{
	uint16_t family;
	int r;

	r = target_read(c->notice.tid, c->notice.args[1], c->bytes,
			sizeof(SOCKADDR_HV));
	if (r < 0)
		return failed(r, error);
	memcpy(&family, c->bytes, sizeof(family));
	return family == AF_HYPERV ? CALL_LATER : CALL_NATIVE;
}

/* The room for what is written: at @at, an int. */
static enum call_when look_room(struct call_in *c, uint64_t at,
				enum call_when when, int *error)
{
	int r = target_read(c->notice.tid, at, &c->room, sizeof(c->room));

	return r < 0 ? failed(r, error) : when;
}

static enum call_when look_option(struct call_in *c, int *error)
{
	int level = arg_int(&c->notice, 1), name = arg_int(&c->notice, 2);

	/* what may have to ask the broker how a connect has ended */
	if ((level == SOL_SOCKET && name == SO_ERROR) ||
	    (level == SOL_HVSOCKET && name == HVSOCKET_ERROR))
		return look_room(c, c->notice.args[4], CALL_LATER, error);
	return look_room(c, c->notice.args[4], CALL_NOW, error);
}

static enum call_when look_value(struct call_in *c, int *error)
{
	const struct notice *n = &c->notice;
	int r;

	/* of another length it is not looked at */
	if (n->args[3] && arg_int(n, 4) == sizeof(uint32_t)) {
		r = target_read(n->tid, n->args[3], c->bytes, sizeof(uint32_t));
		if (r < 0)
			return failed(r, error);
	}
	/* of a connection that there is, the broker is told */
	return arg_int(n, 2) == HVSOCKET_CONNECTED_SUSPEND ? CALL_LATER :
							     CALL_NOW;
}

static enum call_when look_inside(struct call_in *c, int *error)
{
	const struct notice *n = &c->notice;

	switch (n->nr) {
	case SYS_socket:
		return CALL_NOW;
	case SYS_bind:
	case SYS_connect:
		return look_address(c, error);
	case SYS_listen:
		return CALL_LATER;
	case SYS_accept4:
		if (arg_int(n, 3) & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
			return CALL_NATIVE;
		return look_room(c, n->args[2], CALL_LATER, error);
#ifdef SYS_accept
	case SYS_accept:
		return look_room(c, n->args[2], CALL_LATER, error);
#endif
	case SYS_getsockname:
		return look_room(c, n->args[2], CALL_NOW, error);
	case SYS_getpeername:
		return look_room(c, n->args[2], CALL_LATER, error);
	case SYS_getsockopt:
		return look_option(c, error);
	case SYS_setsockopt:
		return look_value(c, error);
	default:
		return CALL_NATIVE;
	}
}

enum call_when call_look(const struct notice *n, struct call_in *ret,
			 int *error)
{
	enum call_when when;
	int r;

	*ret = (struct call_in){ .notice = *n, .fd = -1, .pidfd = -1 };
	*error = 0;
	if (n->tid <= 0)
		return CALL_NATIVE;
	ret->pidfd = target_open(n->tid);
	if (ret->pidfd < 0)
		return failed(ret->pidfd, error);
	if (n->nr == SYS_socket) {
		/* nor is one made that could not be used: may we have its
		 * descriptors? */
		r = target_fd(ret->pidfd, -1);
		if (r != -EBADF)
			return failed(r, error);
	} else {
		ret->fd = target_fd(ret->pidfd, arg_int(n, 0));
		if (ret->fd < 0)
			return failed(ret->fd, error);
		if (!ours(ret->fd))
			return CALL_NATIVE;
		ret->cookie = sys_cookie(ret->fd);
	}
	if (target_exempt(n->tid))
		return CALL_NATIVE;
	r = view_same(n->tid);
	if (r < 0)
		return failed(r, error);
	if (!r)
		return CALL_NATIVE;
	when = look_inside(ret, error);
	if (when == CALL_LATER) {
		r = identity_other(n->tid, &ret->who);
		if (r < 0)
			return failed(r, error);
		ret->other = r;
	}
	return when;
}

void call_release(struct call_in *c)
{
	cleanup_close(&c->fd);
	cleanup_close(&c->pidfd);
	c->fd = c->pidfd = -1;
}

bool call_is_accept(const struct call_in *c)
{
#ifdef SYS_accept
	if (c->notice.nr == SYS_accept)
		return true;
#endif
	return c->notice.nr == SYS_accept4;
}

static int64_t answer(int r)
{
	return r < 0 ? -errno : r;
}

/* A length as the program has it, cut to @size where it is one at all. */
static socklen_t cut(int32_t room, size_t size)
{
	return room > (int32_t)size ? (socklen_t)size : (socklen_t)room;
}

/* *@len is what the call has made of cut(). */
static void keep(struct outcome *o, int32_t room, const void *bytes,
		 size_t size, socklen_t len, uint64_t to, uint64_t len_to)
{
	size_t n = cut(room, size);

	if (n > len)
		n = len;
	if (n > sizeof(o->bytes))
		n = sizeof(o->bytes);
	memcpy(o->bytes, bytes, n);
	o->have = o->n = n;
	o->to = to;
	o->len = (int32_t)len;
	o->len_to = len_to;
}

static void make_socket(const struct notice *n, struct outcome *o)
{
	int type = arg_int(n, 1);
	int fd = pre_socket(AF_HYPERV, type | SOCK_CLOEXEC, arg_int(n, 2));

	if (fd < 0) {
		o->value = -errno;
		return;
	}
	o->kind = OUTCOME_FD;
	o->fd = fd;
	o->cloexec = type & SOCK_CLOEXEC;
}

static void make_name(const struct call_in *c, struct outcome *o,
		      int (*get)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage sa;
	socklen_t len = cut(c->room, sizeof(sa));
	int r = get(c->fd, (struct sockaddr *)&sa, &len);

	o->value = answer(r);
	if (r == 0)
		keep(o, c->room, &sa, sizeof(sa), len, c->notice.args[1],
		     c->notice.args[2]);
}

static void make_get(const struct call_in *c, struct outcome *o)
{
	const struct notice *n = &c->notice;
	uint8_t value[CALL_BYTES] = { 0 };
	socklen_t len = cut(c->room, sizeof(value));
	int r = pre_getsockopt(c->fd, arg_int(n, 1), arg_int(n, 2),
			       n->args[3] ? value : NULL, &len);

	o->value = answer(r);
	if (r == 0)
		keep(o, c->room, value, sizeof(value), len, n->args[3],
		     n->args[4]);
}

static bool is_connected(int fd)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);

	return sys_getpeername(fd, &sa, &len) == 0;
}

static void make(const struct call_in *c, struct outcome *o)
{
	const struct notice *n = &c->notice;
	const struct sockaddr *sa = (const struct sockaddr *)c->bytes;

	switch (n->nr) {
	case SYS_socket:
		make_socket(n, o);
		return;
	case SYS_bind:
		o->value = answer(pre_bind(c->fd, sa, sizeof(SOCKADDR_HV)));
		break;
	case SYS_connect:
		o->value = answer(pre_connect(c->fd, sa, sizeof(SOCKADDR_HV)));
		/* one that was given up may have come first, and taken the
		 * room that this one waited for */
		if (o->value == -ECONNREFUSED && is_connected(c->fd))
			o->value = -EISCONN;
		break;
	case SYS_listen:
		o->value = answer(pre_listen(c->fd, arg_int(n, 1)));
		/* once more by the program, so that SO_PEERCRED names it */
		if (o->value == 0)
			o->kind = OUTCOME_NATIVE;
		break;
	case SYS_getsockname:
		make_name(c, o, pre_getsockname);
		break;
	case SYS_getpeername:
		make_name(c, o, pre_getpeername);
		break;
	case SYS_getsockopt:
		make_get(c, o);
		break;
	case SYS_setsockopt:
		o->value = answer(pre_setsockopt(
			c->fd, arg_int(n, 1), arg_int(n, 2),
			n->args[3] ? c->bytes : NULL,
			(socklen_t)arg_int(n, 4)));
		break;
	default:
		o->kind = OUTCOME_NATIVE;
		break;
	}
	/* the program has no way to ask for it */
	state_clear_reason(c->fd);
}

void call_make(const struct call_in *c, struct outcome *ret)
{
	int r;

	*ret = (struct outcome){ .kind = OUTCOME_ANSWER, .fd = -1 };
	if (c->other) {
		r = identity_take(&c->who);
		if (r < 0) {
			ret->value = r;
			return;
		}
	}
	make(c, ret);
	if (c->other)
		identity_back();
}

void call_accept(const struct call_in *c, struct outcome *ret)
{
	const struct notice *n = &c->notice;
	int flags = n->nr == SYS_accept4 ? arg_int(n, 3) : 0;
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int fd;

	*ret = (struct outcome){ .kind = OUTCOME_ANSWER, .fd = -1 };
	if (c->room < 0) {
		/* the kernel takes the connection first, and drops it */
		ret->value = -EINVAL;
		return;
	}
	fd = pre_accept4(c->fd, (struct sockaddr *)&sa, &len,
			 flags | SOCK_CLOEXEC);
	if (fd < 0) {
		ret->value = -errno;
		return;
	}
	ret->kind = OUTCOME_FD;
	ret->fd = fd;
	ret->cloexec = flags & SOCK_CLOEXEC;
	/* all of it, for whoever it will be given to */
	keep(ret, sizeof(sa), &sa, sizeof(sa), len, n->args[1], n->args[2]);
	ret->n = cut(c->room, ret->have);
}

void call_accept_again(const struct call_in *c, struct outcome *o)
{
	const struct notice *n = &c->notice;
	int flags = n->nr == SYS_accept4 ? arg_int(n, 3) : 0;
	int status = fcntl(o->fd, F_GETFL) & ~O_NONBLOCK;

	(void)fcntl(o->fd, F_SETFL,
		    flags & SOCK_NONBLOCK ? status | O_NONBLOCK : status);
	o->cloexec = flags & SOCK_CLOEXEC;
	o->n = cut(c->room, o->have);
	o->to = n->args[1];
	o->len_to = n->args[2];
}
