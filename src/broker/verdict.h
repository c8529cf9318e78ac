/* SPDX-License-Identifier: MIT */
/*
 * verdict.h - writing a decision down, for programs and for people
 *
 * The sentences for people are made only where somebody asked for them
 * (explain): deciding a connect costs no text.
 */
#ifndef BROKER_VERDICT_H
#define BROKER_VERDICT_H

#include "broker/decide.h"

/** verdict_step() - one more sentence of the way here */
void verdict_step(struct verdict *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** verdict_note() - set v's rule or fix */
void verdict_note(struct verdict *v, char *where, size_t size, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));

#define rule_is(v, ...) \
	verdict_note(v, (v)->rule, sizeof((v)->rule), __VA_ARGS__)
#define fix_is(v, ...) \
	verdict_note(v, (v)->fix, sizeof((v)->fix), __VA_ARGS__)

#endif /* BROKER_VERDICT_H */
