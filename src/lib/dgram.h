/* SPDX-License-Identifier: MIT */
/*
 * dgram.h - sockets for datagrams
 *
 * Such a socket is SOCK_SEQPACKET to the kernel. Until it is bound only this
 * process knows what it is for (state.h); then its name tells everybody.
 */
#ifndef LIB_DGRAM_H
#define LIB_DGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include <hvsocket.h>

/* Whose datagrams a socket carries. */
struct dgram_own {
	bool bound;
	uint64_t token; /* if bound */
};

/** dgram_is() - is @fd for datagrams? */
bool dgram_is(int fd, struct dgram_own *ret);

/** dgram_note() - hvs_socket() made it. Return: 0 or -errno */
int dgram_note(int fd);

/** dgram_bind() - hvs_bind() of one that is not bound. Return: 0 or -1 */
int dgram_bind(int fd, const SOCKADDR_HV *addr);

/** dgram_bind_first() - zero/zero, unless it is bound, by now. Return: 0 and
 * @own, or -1 */
int dgram_bind_first(int fd, struct dgram_own *own);

/** dgram_connect() - hvs_connect(): where send goes without an address; NULL:
 * nowhere. Return: 0 or -1 */
int dgram_connect(int fd, struct dgram_own *own, const SOCKADDR_HV *dest);

/** dgram_peer() - where that is. Return: 0, or -1 with ENOTCONN */
int dgram_peer(int fd, SOCKADDR_HV *ret);

/** dgram_reach() - would one be delivered now? Asks the broker; a yes holds for
 * a second. Return: 0 or -1 */
int dgram_reach(int fd, uint64_t token, const SOCKADDR_HV *dest);

/** dgram_refuse() - a call that is for connections. Return: -1 */
int dgram_refuse(int fd, const char *call);

#endif /* LIB_DGRAM_H */
