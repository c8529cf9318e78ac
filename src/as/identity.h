/* SPDX-License-Identifier: MIT */
/*
 * identity.h - the broker is asked as the one whose call it is
 *
 * A program that root started may become somebody else, and what somebody else
 * may do is not root's. The kernel tells the broker who has opened a
 * connection to it; so a thread of ours takes the caller's identity for the
 * time of the call. Identities are of threads, whatever libc says. Without
 * root nobody can have changed: the filter has set no_new_privs.
 */
#ifndef AS_IDENTITY_H
#define AS_IDENTITY_H

#include <stdbool.h>

#include "as/target.h"

/** identity_start() - remember our own. 0 or -errno */
int identity_start(void);

/** identity_other() - is it another than our own? @ret is written if so, or
 * if this cannot be known (-errno). Return: 0, 1 or -errno */
int identity_other(pid_t tid, struct identity *ret);

/** identity_take() - this thread is @who from now on. 0 or -errno: it is still
 * what it was */
int identity_take(const struct identity *who);

/** identity_back() - it is itself again */
void identity_back(void);

#endif /* AS_IDENTITY_H */
