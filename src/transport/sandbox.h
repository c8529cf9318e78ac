/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - what the process may still do when it serves a guest
 *
 * It keeps what it needs to move bytes between descriptors that it has, to map
 * memory that it is sent, and to reach the broker: AF_UNIX sockets. It cannot
 * open or make files, start programs, trace, or use any other network.
 */
#ifndef TRANSPORT_SANDBOX_H
#define TRANSPORT_SANDBOX_H

/** sandbox_allow_vsock() - before entering: sockets of AF_VSOCK, too */
void sandbox_allow_vsock(void);

/**
 * sandbox_enter() - for good, for all threads
 * @remove_in:	directory in which a file may be removed later (unlink), or
 *		NULL; needs Landlock
 * @more:	numbers of system calls that it needs beyond, ended by -1; NULL
 * @ret_may_remove: can it be?
 *
 * Return: 0 or -errno
 */
int sandbox_enter(const char *remove_in, const int *more, int *ret_may_remove);

/**
 * sandbox_lock() - the part of sandbox_enter() that only the threads to come
 * share with this one: before threads that do more than close descriptors
 *
 * Parameters and return as there.
 */
int sandbox_lock(const char *remove_in, int *ret_may_remove);

/** sandbox_filter() - the rest, for all threads. @may_remove: as from
 * sandbox_lock() */
int sandbox_filter(const int *more, int may_remove);

/**
 * sandbox_enter_making() - the same for one that makes sockets as it goes
 * @dir:	directory in which sockets may be made and files removed;
 *		without Landlock in others, too
 *
 * Return: 0 or -errno
 */
int sandbox_enter_making(const char *dir, const int *more);

#endif /* TRANSPORT_SANDBOX_H */
