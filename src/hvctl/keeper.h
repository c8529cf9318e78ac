/* SPDX-License-Identifier: MIT */
/*
 * keeper.h - who thaws a guest that was frozen by its agent
 *
 * The agent thaws nothing by itself, and who has asked for the freeze may die.
 * So the freeze is a process's of its own, the keeper, in its own session:
 * it freezes, and thaws when it is told to, when its hold is over, when it is
 * ended with SIGTERM, when hvctl is gone (if a command was to run meanwhile),
 * and at once where the freeze was not answered: then the guest may be frozen
 * later than anybody waits for. It tries to thaw until an agent has said that
 * it did, or the VM is gone, for a quarter of an hour.
 *
 * Meanwhile it holds no connection, for the agent has one client at a time;
 * "hvctl thaw" tells it by a datagram that there is nothing left to do.
 */
#ifndef HVCTL_KEEPER_H
#define HVCTL_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "hvctl/agent.h"

#define KEEPER_HOLD_MS 60000 /* without --hold, as on VMBus */

struct keeper {
	uint32_t hold_ms;
	bool leased; /* until keeper_thaw(), or the end of this process */
	pid_t pid; /* private from here on */
	int fd; /* -1: there is none */
};

/** keeper_freeze() - as agent_run() for guest-fsfreeze-freeze; the keeper goes
 * on if anything has to be thawed. answers[0]: how many file systems */
void keeper_freeze(struct keeper *k, struct agent_job *jobs, size_t n,
		   uint32_t timeout_ms);

/** keeper_thaw() - of one that is leased, and wait for it; if its keeper was
 * killed, thaw @vm here. Return: 0; -errno: it could not be thawed, or was not
 * frozen any more (ENOENT) */
int keeper_thaw(struct keeper *k, const char *vm, struct call_error *err);

/** keeper_told() - somebody else has thawed @vm */
void keeper_told(const char *vm);

#endif /* HVCTL_KEEPER_H */
