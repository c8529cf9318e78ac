/* SPDX-License-Identifier: MIT */
/* handshake.h - reading a line of the Unix-socket convention from a socket */
#ifndef TRANSPORT_HANDSHAKE_H
#define TRANSPORT_HANDSHAKE_H

#include "proto/hybrid.h"

/** handshake_read() - what is there, to the end of the line and not beyond
 * @fd: a non-blocking AF_UNIX stream socket
 *
 * Descriptors that come with it are closed. Return: 0: the line is whole;
 * -EAGAIN: more is needed; -EPROTO: it is no such line; -ECONNRESET: the end
 * of file, or another error */
int handshake_read(int fd, struct hybrid_parser *p);

#endif /* TRANSPORT_HANDSHAKE_H */
