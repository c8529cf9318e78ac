/* SPDX-License-Identifier: MIT */
/* beside-main.h - main() of a program beside the broker: options, the sandbox,
 * the loop */
#ifndef TRANSPORT_BESIDE_MAIN_H
#define TRANSPORT_BESIDE_MAIN_H

#include <stdbool.h>

#include "base/ev.h"

struct beside_program {
	const char *name;
	const char *usage;
	const int *calls; /* for the sandbox, more than all have; -1 ends */
	/* @on_demand: the loop ends when the broker has, and what it carries.
	 * Return: 0; -errno, @ret_why */
	int (*start)(struct ev *ev, bool on_demand, void **ret,
		     const char **ret_why);
	/* in the sandbox: connect to the broker, now and whenever it is lost */
	void (*serve)(void *p);
	/* after the loop: no broker ever took it; why, or NULL */
	const char *(*refused)(const void *p);
	void (*stop)(void *p);
};

/** beside_main() - Return: the exit status */
int beside_main(const struct beside_program *program, int argc, char **argv);

#endif /* TRANSPORT_BESIDE_MAIN_H */
