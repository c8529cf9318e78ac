/* SPDX-License-Identifier: MIT */
/*
 * next.c - see next.h
 *
 * One atomic pointer per call. Two threads that find it empty both look it up
 * and store the same value. Where there is nothing next (a program without
 * libc's symbol), the kernel is asked directly.
 */
#include "preload/next.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum slot {
	SLOT_SOCKET,
	SLOT_BIND,
	SLOT_LISTEN,
	SLOT_CONNECT,
	SLOT_ACCEPT,
	SLOT_ACCEPT4,
	SLOT_GETSOCKNAME,
	SLOT_GETPEERNAME,
	SLOT_GETSOCKOPT,
	SLOT_SETSOCKOPT,
	SLOT_RECVFROM,
	SLOT_COUNT,
};

static const char *const names[SLOT_COUNT] = {
	[SLOT_SOCKET] = "socket",
	[SLOT_BIND] = "bind",
	[SLOT_LISTEN] = "listen",
	[SLOT_CONNECT] = "connect",
	[SLOT_ACCEPT] = "accept",
	[SLOT_ACCEPT4] = "accept4",
	[SLOT_GETSOCKNAME] = "getsockname",
	[SLOT_GETPEERNAME] = "getpeername",
	[SLOT_GETSOCKOPT] = "getsockopt",
	[SLOT_SETSOCKOPT] = "setsockopt",
	[SLOT_RECVFROM] = "recvfrom",
};

/* Object and function pointers are of one size wherever there is a dlsym(). */
static _Atomic(uintptr_t) slots[SLOT_COUNT];

static uintptr_t next(enum slot slot)
{
	uintptr_t p = atomic_load_explicit(&slots[slot], memory_order_relaxed);

	if (!p) {
		p = (uintptr_t)dlsym(RTLD_NEXT, names[slot]);
		atomic_store_explicit(&slots[slot], p, memory_order_relaxed);
	}
	return p;
}

/*
 * dlsym() is not for signal handlers, and the calls above are; so it is over
 * before the program begins.
 */
__attribute__((constructor)) static void look_up_all(void)
{
	int i;

	for (i = 0; i < SLOT_COUNT; i++)
		(void)next((enum slot)i);
}

int next_socket(int domain, int type, int protocol)
{
	int (*fn)(int, int, int) =
		(int (*)(int, int, int))next(SLOT_SOCKET);

	return fn ? fn(domain, type, protocol) :
		    (int)syscall(SYS_socket, domain, type, protocol);
}

typedef int (*give_fn)(int, const struct sockaddr *, socklen_t);
typedef int (*take_fn)(int, struct sockaddr *, socklen_t *);

int next_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	give_fn fn = (give_fn)next(SLOT_BIND);

	return fn ? fn(fd, addr, len) : (int)syscall(SYS_bind, fd, addr, len);
}

int next_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	give_fn fn = (give_fn)next(SLOT_CONNECT);

	return fn ? fn(fd, addr, len) :
		    (int)syscall(SYS_connect, fd, addr, len);
}

int next_listen(int fd, int backlog)
{
	int (*fn)(int, int) = (int (*)(int, int))next(SLOT_LISTEN);

	return fn ? fn(fd, backlog) : (int)syscall(SYS_listen, fd, backlog);
}

int next_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	take_fn fn = (take_fn)next(SLOT_ACCEPT);

	return fn ? fn(fd, addr, len) :
		    (int)syscall(SYS_accept4, fd, addr, len, 0);
}

int next_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int (*fn)(int, struct sockaddr *, socklen_t *, int) =
		(int (*)(int, struct sockaddr *, socklen_t *, int))next(
			SLOT_ACCEPT4);

	return fn ? fn(fd, addr, len, flags) :
		    (int)syscall(SYS_accept4, fd, addr, len, flags);
}

int next_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	take_fn fn = (take_fn)next(SLOT_GETSOCKNAME);

	return fn ? fn(fd, addr, len) :
		    (int)syscall(SYS_getsockname, fd, addr, len);
}

int next_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	take_fn fn = (take_fn)next(SLOT_GETPEERNAME);

	return fn ? fn(fd, addr, len) :
		    (int)syscall(SYS_getpeername, fd, addr, len);
}

int next_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	int (*fn)(int, int, int, void *, socklen_t *) =
		(int (*)(int, int, int, void *, socklen_t *))next(
			SLOT_GETSOCKOPT);

	return fn ? fn(fd, level, name, val, len) :
		    (int)syscall(SYS_getsockopt, fd, level, name, val, len);
}

int next_setsockopt(int fd, int level, int name, const void *val,
		    socklen_t len)
{
	int (*fn)(int, int, int, const void *, socklen_t) =
		(int (*)(int, int, int, const void *, socklen_t))next(
			SLOT_SETSOCKOPT);

	return fn ? fn(fd, level, name, val, len) :
		    (int)syscall(SYS_setsockopt, fd, level, name, val, len);
}

ssize_t next_recvfrom(int fd, void *buf, size_t size, int flags,
		      struct sockaddr *addr, socklen_t *len)
{
	ssize_t (*fn)(int, void *, size_t, int, struct sockaddr *,
		      socklen_t *) =
		(ssize_t (*)(int, void *, size_t, int, struct sockaddr *,
			     socklen_t *))next(SLOT_RECVFROM);

	return fn ? fn(fd, buf, size, flags, addr, len) :
		    syscall(SYS_recvfrom, fd, buf, size, flags, addr, len);
}
