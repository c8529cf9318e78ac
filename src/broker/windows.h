/* SPDX-License-Identifier: MIT */
/*
 * windows.h - the profile "windows": what Windows does not allow
 *
 * On top of the rules of the registry: a case that they allow is looked up in
 * a table of what Windows refuses, and a refusal gets the error that Windows
 * gives. docs/windows-profile.md has the tables in words, with their sources.
 * Pure, like decide.c, which is the only caller of most of it.
 */
#ifndef BROKER_WINDOWS_H
#define BROKER_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/decide.h"
#include "broker/rules.h"

/* A bind, or a connect, whose partitions and rules are known. */
struct windows_case {
	bool bind;
	const struct world *w;
	const struct caller *caller;
	const SOCKADDR_HV *addr; /* as asked for */
	uint8_t type;
	bool passthru;
	const struct partition *me;
	const struct partition *target; /* bind to a word: NULL */
	const struct effective *e;
};

/** windows_in_force() - by the broker's profile, or the caller's own? */
bool windows_in_force(const struct world *w, const struct caller *c);

/** windows_rules() - what a partition that has a table of its own does not say
 * is not allowed: changes @e */
void windows_rules(struct effective *e);

/** windows_allows() - false: refused in @v, by the first rule that says so */
bool windows_allows(const struct windows_case *k, struct verdict *v);

/** windows_error() - the error of a refusal as Windows gives it
 * @error:	as it is otherwise
 * @up:		the caller is below whom it asked for */
int windows_error(int error, uint32_t reason, bool bind, bool up);

/* A connect that waits for a listener, refused before it is decided. */
extern const char windows_no_wait[];

#endif /* BROKER_WINDOWS_H */
