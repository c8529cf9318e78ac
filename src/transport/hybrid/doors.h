/* SPDX-License-Identifier: MIT */
/*
 * doors.h - the sockets P_N at which a VMM dials for its guest
 *
 * One for each service that is registered, made and removed as services come
 * and go, in the working directory; at most a quarter of the descriptors that
 * the process may have are theirs. Which of them was dialled is all that the
 * convention says.
 */
#ifndef HYBRID_DOORS_H
#define HYBRID_DOORS_H

#include "base/ev.h"
#include "proto/message.h"

struct doors;

/* The guest dials @service; @fd, connected, is the callee's. */
typedef void (*doors_fn)(void *ctx, int fd, const GUID *service);

/** doors_new() - none yet. @name: P's, borrowed. Return: 0 or -ENOMEM */
int doors_new(struct ev *ev, const char *name, doors_fn fn, void *ctx,
	      struct doors **ret);
/** doors_free() - their files are removed. Return: NULL */
struct doors *doors_free(struct doors *ds);

/** doors_services() - part of the list of what is registered. What is not in
 * it loses its socket when the list is whole */
void doors_services(struct doors *ds, const struct msg_services *m);

/** doors_look() - files came or went: one of ours that somebody removed is made
 * again, and one that could not be made is tried again */
void doors_look(struct doors *ds);

#endif /* HYBRID_DOORS_H */
