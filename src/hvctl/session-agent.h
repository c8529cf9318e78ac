/* SPDX-License-Identifier: MIT */
/*
 * session-agent.h - what goes without sshd, by the guest's qemu-guest-agent
 *
 * As the agent's user, which is root in most guests, and within what its own
 * allow-list permits.
 */
#ifndef HVCTL_SESSION_AGENT_H
#define HVCTL_SESSION_AGENT_H

#include "hvctl/args.h"
#include "hvctl/call.h"

/** agent_put() - @from to @to, an absolute path of the guest's: whole, checked
 * and at once, as cp has it, but from the beginning each time. Return: 0 or 1
 * (told) */
int agent_put(struct ctl *c, const char *vm, const char *from, const char *to);
/** agent_get() - the same the other way */
int agent_get(struct ctl *c, const char *vm, const char *from, const char *to);

/** agent_command() - run @words; output comes when it has ended. Return: its
 * exit status, or SESSION_FAILED (told) */
int agent_command(struct ctl *c, const char *vm, char *const *words);

/** agent_key() - one line more in the authorized_keys of @user. Return: 0 or
 * 1 (told) */
int agent_key(struct ctl *c, const char *vm, const char *user,
	      const char *line);

#endif /* HVCTL_SESSION_AGENT_H */
