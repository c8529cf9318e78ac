/* SPDX-License-Identifier: MIT */
/*
 * front.h - the convention in front of any partition
 *
 * Listens at P as a VMM would: whoever says CONNECT there reaches the
 * partition's service, however the partition is attached. To the broker this is
 * a program like any other: it asks for what this process's user may.
 */
#ifndef HYBRID_FRONT_H
#define HYBRID_FRONT_H

#include "base/ev.h"

struct front;

/** front_new() - serve the listening socket @fd, borrowed
 * @partition:	its name or VmId, borrowed
 *
 * Return: 0 or -errno */
int front_new(struct ev *ev, int fd, const char *partition, struct front **ret);
/** front_free() - all its connections are closed. Return: NULL */
struct front *front_free(struct front *f);

#endif /* HYBRID_FRONT_H */
