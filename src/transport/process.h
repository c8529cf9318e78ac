/* SPDX-License-Identifier: MIT */
/*
 * process.h - what every transport's program does before it serves: the socket
 * for the VMM, signals, limits, one-line errors
 */
#ifndef TRANSPORT_PROCESS_H
#define TRANSPORT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"

/** process_name() - in front of each complaint */
void process_name(const char *name);
const char *process_program(void);
/** process_fail() - one line, "name: what: why". Return: the exit status */
int process_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** process_number() - all of @text, in decimal, within the range */
bool process_number(const char *text, uint64_t low, uint64_t high,
		    uint64_t *ret);

/** process_sandbox() - the value of --sandbox. false: a line has been said */
bool process_sandbox(const char *text, bool *ret);

/** process_inherited() - is @fd a socket of this type? Return: 1 if it
 * listens, 0 if it is connected, -errno */
int process_inherited(int fd, int type);

/** process_signals() - SIGTERM and SIGINT end the loop. 0 or -errno */
int process_signals(struct ev *ev, struct ev_io *io);
/** process_on_usr1() - before process_signals(): SIGUSR1 calls @fn */
void process_on_usr1(void (*fn)(void *ctx), void *ctx);
/** process_limits() - as many descriptors as there may be */
void process_limits(void);

#endif /* TRANSPORT_PROCESS_H */
