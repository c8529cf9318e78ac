/* SPDX-License-Identifier: MIT */
/*
 * parked.h - connects that are in progress
 *
 * A non-blocking connect to a guest leaves the socket with the guest's
 * transport, its send buffer filled: no POLLOUT until the guest has answered.
 * POLLOUT alone then means connected; an end of the connection can be that of
 * the connect or a later one, which the broker's RESULT tells apart.
 */
#ifndef LIB_PARKED_H
#define LIB_PARKED_H

#include <stdint.h>

/** parked_start() - remember it. Return: -1 with EINPROGRESS. */
int parked_start(int fd, uint64_t token);

/** parked_resolve() - has it been decided? The table is brought up to date;
 * errno is preserved. Free for sockets that are not parked. */
void parked_resolve(int fd);

/**
 * parked_take_error() - a failed one's errno, once
 *
 * Return: -1 with errno and the thread's reason set: the true error the first
 * time, then ECONNABORTED: such a socket can not be connected again.
 */
int parked_take_error(int fd);

/** parked_error() - what SO_ERROR should have said: read once, then 0.
 * Return: 0, or -1 with errno set. */
int parked_error(int fd, int *ret);

#endif /* LIB_PARKED_H */
