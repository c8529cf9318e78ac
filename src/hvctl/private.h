/* SPDX-License-Identifier: MIT */
/*
 * private.h - a throw-away broker
 *
 * A process of its own, the keeper, makes a temporary directory, starts
 * hvsocketd in it and holds the reading end of a pipe whose other end is
 * here. When that is closed, on purpose or because this program was killed,
 * the keeper ends the broker and removes the directory: nothing is left.
 */
#ifndef HVCTL_PRIVATE_H
#define HVCTL_PRIVATE_H

#include <sys/types.h>

#define PRIVATE_DIR_SIZE 256

struct private_broker {
	pid_t keeper;
	int hold; /* closed: the end */
	char dir[PRIVATE_DIR_SIZE]; /* its runtime directory */
};

/** private_start() - and wait until it is ready
 * @profile:	--profile for the broker, or NULL
 *
 * Return: 0, or 1 (told). */
int private_start(const char *profile, struct private_broker *ret);

/** private_end() - end it, wait until nothing is left */
void private_end(struct private_broker *p);

#endif /* HVCTL_PRIVATE_H */
