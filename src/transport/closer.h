/* SPDX-License-Identifier: MIT */
/*
 * closer.h - closing strangers' descriptors without waiting for them
 *
 * Whoever is at the other end of a connection may send descriptors over it,
 * and the last close of one can take seconds (a TCP socket with SO_LINGER, a
 * file of a FUSE file system). They are closed on a thread of their own.
 */
#ifndef TRANSPORT_CLOSER_H
#define TRANSPORT_CLOSER_H

#include <stdbool.h>

/** closer_start() - before the sandbox. Return: 0 or -errno */
int closer_start(void);

/** closer_close() - descriptors that may be anything */
void closer_close(const int *fds, int n);

/** closer_close_socket() - a socket of a connection: its queue may hold such
 * descriptors where the kernel cannot keep them out (SO_PASSRIGHTS, 6.16) */
void closer_close_socket(int fd);

/** closer_guard_socket() - keep descriptors out of it, where possible. Return:
 * is it? */
bool closer_guard_socket(int fd);

/**
 * closer_busy() - is so much waiting to be closed that no more should come in?
 *
 * Whoever reads from strangers, or lets more of them in, asks this first: the
 * rest of the queue is for the sockets that are there, so that it never fills
 * and nothing is closed where it would be waited for.
 */
bool closer_busy(void);

#endif /* TRANSPORT_CLOSER_H */
