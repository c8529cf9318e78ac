/* SPDX-License-Identifier: MIT */
/*
 * winsock-state.h - what WinSock knows about a socket and the kernel does not
 *
 * Two things: that this process has shut a direction down (the kernel's end of
 * stream looks the same whoever ended it), by SO_COOKIE, which is never used
 * again for another socket; and which threads sleep in a call on a descriptor,
 * so that closesocket() can wake them.
 */
#ifndef LIB_WINSOCK_STATE_H
#define LIB_WINSOCK_STATE_H

#include <stdbool.h>

/* A thread in a blocking call; lives on that thread's stack. */
struct ws_sleeper {
	int fd;
	bool closed; /* closesocket() came meanwhile */
	struct ws_sleeper *prev, *next;
};

/** ws_sleep() - @s is about to block on @fd; end it with ws_wake() */
void ws_sleep(struct ws_sleeper *s, int fd);
/** ws_wake() - it is back. Return: was the socket closed meanwhile? Keeps
 * errno. */
bool ws_wake(struct ws_sleeper *s);

/** ws_close() - forget @fd, wake who sleeps on it, close it.
 * Return: 0 or -errno (-ENOTSOCK, -EBADF: untouched) */
int ws_close(int fd);

/** ws_shut_mark() - directions (1 receive, 2 send) that this process has shut
 * down. Return: 0, or -ENOMEM, -ENOTSOCK, -EBADF */
int ws_shut_mark(int fd, unsigned int directions);
/** ws_shut_test() - has it? */
bool ws_shut_test(int fd, unsigned int direction);

#define WS_SHUT_RECEIVE 1u
#define WS_SHUT_SEND 2u

#endif /* LIB_WINSOCK_STATE_H */
