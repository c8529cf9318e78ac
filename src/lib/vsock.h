/* SPDX-License-Identifier: MIT */
/*
 * vsock.h - Hyper-V sockets without a broker: AF_VSOCK itself
 *
 * For a guest that has none, if HVSOCKET_TRANSPORT=vsock says so: the parent
 * and this machine, and ports of the VSOCK template. Never by itself.
 */
#ifndef LIB_VSOCK_H
#define LIB_VSOCK_H

#include <stdbool.h>

#include <hvsocket.h>

#include "lib/state.h"

/** vsock_chosen() - Return: 1, 0; -1: HVSOCKET_TRANSPORT is neither broker nor
 * vsock, errno and reason are set */
int vsock_chosen(void);
/** vsock_is() - is @fd such a socket? Without a system call if none can be */
bool vsock_is(int fd);

/* As the hvs_ calls. @type: with SOCK_NONBLOCK and the like */
int vsock_socket(int type);
int vsock_bind(int fd, const SOCKADDR_HV *addr);
int vsock_listen(int fd, int backlog);
int vsock_connect(int fd, const SOCKADDR_HV *dest, const struct options *opt);
int vsock_accept(int fd, SOCKADDR_HV *addr, socklen_t *len, int flags);
int vsock_name(int fd, bool peer, SOCKADDR_HV *addr, socklen_t *len);

#endif /* LIB_VSOCK_H */
