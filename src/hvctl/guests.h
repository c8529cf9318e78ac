/* SPDX-License-Identifier: MIT */
/*
 * guests.h - which VMs a verb is for, and asking their integration services
 *
 * One VM by its name or VmId, several, those that match patterns, or all.
 * Requests to many wait together, and answers are shown in the order of the
 * VMs. Whatever a guest says passes show() before a terminal sees it.
 */
#ifndef HVCTL_GUESTS_H
#define HVCTL_GUESTS_H

#include "hvctl/out.h"
#include "hvctl/verbs.h"

struct guests {
	char **names;
	size_t n;
	bool many; /* not exactly one that was named */
	/* is that what was hoped for? Or hvctl fails; NULL: any answer is */
	bool (*good)(const json_t *reply);
};

/** guests_find() - the operands, or --all. Return: 0, or hvctl's exit code */
int guests_find(struct ctl *c, const struct args *a, struct guests *ret);
/** guests_one() - exactly one, by name */
int guests_one(const char *name, struct guests *ret);
void guests_fini(struct guests *g);

/**
 * guests_ask() - the same of each
 * @request:	of method integration, without the partition; taken
 * @tell:	one good answer, for people; NULL: nothing is said
 *
 * With --json the answers are printed instead: of one VM its object, of many
 * an object of them by name. Return: hvctl's exit code.
 */
int guests_ask(struct ctl *c, const struct args *a, const struct guests *g,
	       json_t *request,
	       void (*tell)(const char *name, const json_t *reply));

/** guests_verb() - guests_find() and guests_ask() */
int guests_verb(struct ctl *c, const struct args *a, json_t *request,
		void (*tell)(const char *name, const json_t *reply));

/** guests_request() - {"method": "integration", "verb": @verb, "timeout_ms":}
 * with --timeout. NULL: it is wrong, and that was said, or no memory */
json_t *guests_request(const struct args *a, const char *verb);

#endif /* HVCTL_GUESTS_H */
