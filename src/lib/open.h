/* SPDX-License-Identifier: MIT */
/* open.h - find the broker and connect to it */
#ifndef LIB_OPEN_H
#define LIB_OPEN_H

#include <stddef.h>

#include "proto/profile.h"

/* The environment as far as it decides which broker is asked, and by which
 * rules it is to answer. */
struct broker_env {
	char dir[4096]; /* HVSOCKET_RUNTIME_DIR, or "" */
	char user[4096]; /* XDG_RUNTIME_DIR, or "" */
	char profile[PROFILE_NAME_MAX + 1]; /* HVSOCKET_PROFILE, or "" */
};

/** broker_env_read() - -1 where a variable is too long (errno, reason) */
int broker_env_read(struct broker_env *ret);

/** broker_env_same() - would broker_env_read() give @e? */
int broker_env_same(const struct broker_env *e);

/**
 * broker_open() - a connection to the broker, HELLO sent
 * @e:		where to look
 * @timeout_ms:	SO_RCVTIMEO of the connection
 * @dir, @size:	the runtime directory that answered, cut
 *
 * Close-on-exec, and of a high number where the limit allows it.
 *
 * Return: a descriptor; or -1 with errno and the thread's reason set.
 */
int broker_open(const struct broker_env *e, int timeout_ms, char *dir,
		size_t size);

#endif /* LIB_OPEN_H */
