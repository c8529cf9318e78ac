/* SPDX-License-Identifier: MIT */
/* decide-listener.h - which listener would hear a connect; a part of decide.c
 */
#ifndef BROKER_DECIDE_LISTENER_H
#define BROKER_DECIDE_LISTENER_H

#include "broker/decide.h"
#include "broker/rules.h"
#include "broker/windows.h"

struct search {
	const struct world *w;
	const struct partition *caller, *target;
	const GUID *service;
	uint8_t type;
	const struct effective *e;
	bool up; /* the caller is below the target */
	bool windows; /* windows.h */
	bool connected; /* as the caller's */
	const struct windows_case *k; /* for listeners that have chosen it */
	struct verdict *v;
	uint32_t reason; /* the first refusal met, */
	const struct listener *refused; /* of this one */
	char text[400], rule[200], fix[300];
};

/** decide_most_specific() - @r: how the target sees the caller. Return: NULL:
 * none; @s has the first refusal, if there was one */
const struct listener *decide_most_specific(struct search *s, enum relation r);

#endif /* BROKER_DECIDE_LISTENER_H */
