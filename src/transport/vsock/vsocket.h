/* SPDX-License-Identifier: MIT */
/*
 * vsocket.h - the few calls on the kernel's AF_VSOCK
 *
 * All that touches the address family, so that tests can put something else in
 * its place.
 */
#ifndef VSOCK_VSOCKET_H
#define VSOCK_VSOCKET_H

#include <stdbool.h>
#include <stdint.h>

/** vsocket_there() - is there such a family? 0 or -errno */
int vsocket_there(void);
/** vsocket_listen() - on a port of the host's, for all guests. Return: a
 * descriptor or -errno */
int vsocket_listen(uint32_t port);
/** vsocket_accept() - who is it, in the kernel's word? Return: a descriptor,
 * non-blocking, or -errno */
int vsocket_accept(int fd, uint32_t *ret_cid, uint32_t *ret_port);
/** vsocket_connect() - begun: writable when it is decided. A descriptor, or
 * -errno: -ENODEV if no VM has that CID */
int vsocket_connect(uint32_t cid, uint32_t port);
/** vsocket_connected() - how it went. 0; -EINPROGRESS; -errno */
int vsocket_connected(int fd);
/** vsocket_unread() - is there something to be read? */
bool vsocket_unread(int fd);
/** vsocket_probe() - has a VM that CID now? One that runs is asked for a port
 * that nobody listens on. */
bool vsocket_probe(uint32_t cid);

#endif /* VSOCK_VSOCKET_H */
