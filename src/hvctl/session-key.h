/* SPDX-License-Identifier: MIT */
/*
 * session-key.h - a first key into a guest that nobody can log in to yet
 *
 * Explicit, and by a way that only the host has: a key-value pair that the
 * guest's AuthorizedKeysCommand reads, or a systemd credential that the VMM
 * passes at the next start.
 */
#ifndef HVCTL_SESSION_KEY_H
#define HVCTL_SESSION_KEY_H

#include "hvctl/args.h"
#include "hvctl/call.h"

/** session_install_key() - ssh --install-key. Return: the exit status */
int session_install_key(struct ctl *c, const struct args *a);

/** public_key_line() - the one key in @text, of @len bytes, without what
 * surrounds it, in place. NULL: it is none; @ret_why says it */
char *public_key_line(char *text, size_t len, const char **ret_why);

#endif /* HVCTL_SESSION_KEY_H */
