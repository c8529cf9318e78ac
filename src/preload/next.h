/* SPDX-License-Identifier: MIT */
/*
 * next.h - the calls as they would be without the preload library
 *
 * What the dynamic linker finds after us: libc's, or those of another preload
 * library or of a sanitizer. Looked up when the library is loaded, and on
 * first use by whoever is earlier than that; nothing in it can fail.
 */
#ifndef PRELOAD_NEXT_H
#define PRELOAD_NEXT_H

#include <sys/socket.h>
#include <sys/types.h>

int next_socket(int domain, int type, int protocol);
int next_bind(int fd, const struct sockaddr *addr, socklen_t len);
int next_listen(int fd, int backlog);
int next_connect(int fd, const struct sockaddr *addr, socklen_t len);
int next_accept(int fd, struct sockaddr *addr, socklen_t *len);
int next_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int next_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
int next_getpeername(int fd, struct sockaddr *addr, socklen_t *len);
int next_getsockopt(int fd, int level, int name, void *val, socklen_t *len);
int next_setsockopt(int fd, int level, int name, const void *val,
		    socklen_t len);
ssize_t next_recvfrom(int fd, void *buf, size_t size, int flags,
		      struct sockaddr *addr, socklen_t *len);

#endif /* PRELOAD_NEXT_H */
