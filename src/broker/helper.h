/* SPDX-License-Identifier: MIT */
/*
 * helper.h - starting a program that carries bytes for the broker
 *
 * It goes on when this broker ends, and comes to the next one. So that there
 * are never two, it holds a lock that the broker takes for it. As long as that
 * is held and none has come, it is tried again.
 */
#ifndef BROKER_HELPER_H
#define BROKER_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"

struct broker;

struct helper {
	struct broker *b;
	const char *name; /* the program's */
	const char *what; /* "which carries datagrams" */
	const char *lock; /* file in the broker's directory */
	const char *program; /* to start; "none"; NULL: ours */
	bool here; /* it has come to this broker */
	bool served; /* the one that was started has */
	/* the one that was started has ended, and none is here */
	void (*ended)(struct helper *h, const char *why);
	/* the lock may be free by now */
	void (*again)(struct helper *h);

	int32_t pid;
	int pidfd; /* -1 */
	struct ev_io child;
	struct ev_timer timer;
};

/** helper_start() - unless one runs. Return: 0 (it runs, is about to, or is
 * somebody else's to start), or -errno and @ret_why */
int helper_start(struct helper *h, const char **ret_why);
/** helper_fini() - stop looking after it; it goes on */
void helper_fini(struct helper *h);

#endif /* BROKER_HELPER_H */
