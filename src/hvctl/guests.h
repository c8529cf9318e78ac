/* SPDX-License-Identifier: MIT */
/*
 * guests.h - which VMs a verb is for, and asking them
 *
 * One VM by its name or VmId, several, those that match patterns, or all.
 * A VM on VMBus is asked by way of Hyper-V's integration services, each other
 * by its qemu-guest-agent; --via= has it otherwise. Requests to many wait
 * together, and answers are shown in the order of the VMs. Whatever a guest
 * says passes show() before a terminal sees it.
 */
#ifndef HVCTL_GUESTS_H
#define HVCTL_GUESTS_H

#include "hvctl/agent.h"
#include "hvctl/out.h"
#include "hvctl/verbs.h"

struct guests {
	char **names;
	char **ids; /* VmIds, where they were listed; else NULL */
	bool *agent; /* by its agent? */
	size_t n;
	bool many; /* not exactly one that was named */
	bool chosen; /* by us, and not with --via */
};

/* What a verb asks, by either way. */
struct guests_ask {
	/* of method integration, without the partition; taken */
	json_t *request;
	/* another one, or NULL; taken. Both answers make one: @second is NULL
	 * where that was refused */
	json_t *second_request;
	json_t *(*merge)(void *arg, const json_t *first,
			 const json_t *second);
	/* the agent's commands; NULL: it has none of the kind */
	const struct agent_step *steps;
	const char *no_agent; /* NULL, or why it cannot do this in this form */
	void *arg; /* of the calls below */
	/* in place of agent_run() */
	void (*run)(void *arg, struct agent_job *jobs, size_t n,
		    uint32_t timeout_ms);
	/* an object as the integration services would answer; NULL: no memory,
	 * or what the agent said makes no sense */
	json_t *(*reply)(void *arg, const struct agent_job *job);
	/* adds to a good answer what others than the guest know; NULL */
	void (*more)(void *arg, const char *name, json_t *reply);
	/* one good answer, for people; NULL: nothing is said */
	void (*tell)(const char *name, const json_t *reply);
	/* is that what was hoped for? Or hvctl fails; NULL: any answer is */
	bool (*good)(const json_t *reply);
};

/** guests_find() - the operands, or --all
 * @agents:	a verb that agents have, too
 *
 * Return: 0, or hvctl's exit code */
int guests_find(struct ctl *c, const struct args *a, bool agents,
		struct guests *ret);
/** guests_one() - exactly one, by name, on VMBus */
int guests_one(const char *name, struct guests *ret);
void guests_fini(struct guests *g);
/** guests_no_memory() - say so. Return: hvctl's exit code */
int guests_no_memory(const struct ctl *c);

/**
 * guests_do() - the same of each
 *
 * With --json the answers are printed instead: of one VM its object, of many
 * an object of them by name; "via" in it says which way was taken, which for
 * people stands on stderr where we chose an agent. Return: hvctl's exit code.
 */
int guests_do(struct ctl *c, const struct args *a, const struct guests *g,
	      struct guests_ask *ask);

/** guests_ask() - a verb that only VMBus has */
int guests_ask(struct ctl *c, const struct args *a, const struct guests *g,
	       json_t *request,
	       void (*tell)(const char *name, const json_t *reply));

/** guests_verb() - guests_find() and guests_do(); @ask->request may be NULL:
 * that was wrong, and was said */
int guests_verb(struct ctl *c, const struct args *a, struct guests_ask *ask);

/** guests_timeout() - of agents, by --timeout as guests_request() has it */
uint32_t guests_timeout(const struct args *a);

/** guests_request() - {"method": "integration", "verb": @verb, "timeout_ms":}
 * with --timeout. NULL: it is wrong, and that was said, or no memory */
json_t *guests_request(const struct args *a, const char *verb);

#endif /* HVCTL_GUESTS_H */
