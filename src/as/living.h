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

/** living_start() - before the first socket. 0 or -errno */
int living_start(void);

#endif /* AS_LIVING_H */
