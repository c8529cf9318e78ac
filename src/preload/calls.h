/* SPDX-License-Identifier: MIT */
/*
 * calls.h - the socket calls, as a program without our headers has them
 *
 * In the library they have the names that the program calls, given to functions
 * of other names: libc's headers declare these with types that differ from
 * compiler to compiler. hvsocket-as makes the same calls for others, and
 * exports nothing.
 */
#ifndef PRELOAD_CALLS_H
#define PRELOAD_CALLS_H

#include <sys/socket.h>
#include <sys/types.h>

#ifdef PRELOAD_LIBRARY
#define EXPORT(name) __asm__(name) __attribute__((visibility("default")))
#else
#define EXPORT(name)
#endif

int pre_socket(int domain, int type, int protocol) EXPORT("socket");
int pre_bind(int fd, const struct sockaddr *addr, socklen_t len) EXPORT("bind");
int pre_listen(int fd, int backlog) EXPORT("listen");
int pre_connect(int fd, const struct sockaddr *addr, socklen_t len)
	EXPORT("connect");
int pre_accept(int fd, struct sockaddr *addr, socklen_t *len) EXPORT("accept");
int pre_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
	EXPORT("accept4");
int pre_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
	EXPORT("getsockname");
int pre_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
	EXPORT("getpeername");
int pre_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
	EXPORT("getsockopt");
int pre_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
	EXPORT("setsockopt");
ssize_t pre_recvfrom(int fd, void *buf, size_t size, int flags,
		     struct sockaddr *addr, socklen_t *len) EXPORT("recvfrom");

#undef EXPORT

#endif /* PRELOAD_CALLS_H */
