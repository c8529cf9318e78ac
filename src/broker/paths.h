/* SPDX-License-Identifier: MIT */
/* paths.h - where the broker's directories are, by who runs it */
#ifndef BROKER_PATHS_H
#define BROKER_PATHS_H

#include "broker/broker.h"

#define PATHS_DIRS 3

struct paths {
	char *runtime_dir;
	struct registry_dir dirs[PATHS_DIRS];
	size_t ndirs;
};

/** paths_find() - the defaults for this user: the system's directories for the
 * user "hvsocket" and with @system, else a user's own. Return: 0 or -errno
 * (-ENOENT: no runtime directory is known) */
int paths_find(bool system, struct paths *ret);
void paths_free(struct paths *p);

#endif /* BROKER_PATHS_H */
