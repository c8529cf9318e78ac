/* SPDX-License-Identifier: MIT */
/* unix.h - Unix sockets at paths */
#ifndef BASE_UNIX_H
#define BASE_UNIX_H

#include <stdbool.h>
#include <sys/un.h>

/** unix_address() - of @path. Return: 0; -ENAMETOOLONG; -EINVAL: "" */
int unix_address(const char *path, struct sockaddr_un *ret);
/** unix_connect() - a blocking socket of @type. Waits for room in the
 * listener's queue, at most @limit_s seconds (0: for ever): a program that
 * hangs makes none. Return: the descriptor, close-on-exec; -errno */
int unix_connect(const char *path, int type, unsigned int limit_s);
/** unix_alive() - does somebody listen at @path? Return: 1; 0: not any more, a
 * process that ended has left it; -EEXIST: it is no socket; -errno */
int unix_alive(const char *path);
/** unix_remove_stale() - remove what such a process left. Return: 0;
 * -EADDRINUSE (somebody listens), -EEXIST (it is no socket), -errno: nothing
 * was removed */
int unix_remove_stale(const char *path);
/**
 * unix_listen() - at @path, where a socket that a process left when it ended is
 * replaced; one that somebody listens at (-EADDRINUSE) and anything else
 * (-EEXIST) stay.
 * @type:	SOCK_STREAM or SOCK_SEQPACKET
 * @mine:	for this user only, whatever the umask; changes that for a
 *		moment: not beside threads that make files
 * Return: the descriptor, non-blocking and close-on-exec; -errno
 */
int unix_listen(const char *path, int type, int backlog, bool mine);

#endif /* BASE_UNIX_H */
