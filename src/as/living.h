/* SPDX-License-Identifier: MIT */
/*
 * living.h - which sockets of the program are still open?
 *
 * libhvsocket remembers things about sockets that are not descriptors of this
 * process, and must forget them when they are gone. An epoll set refers to an
 * open file without keeping it open: the kernel takes a file out of the set
 * when its last descriptor, of whatever process, is closed. Nobody ever waits
 * on this one; what is left in it stands in /proc/self/fdinfo.
 */
#ifndef AS_LIVING_H
#define AS_LIVING_H

#include <stdbool.h>

/** living_start() - before the first socket. 0 or -errno */
int living_start(void);

/** living_watch() - Return: a descriptor for living_is() and close(), or -1 */
int living_watch(int fd);

/** living_is() - has anybody what living_watch() was given? */
bool living_is(int watch);

#endif /* AS_LIVING_H */
