/* SPDX-License-Identifier: MIT */
/*
 * covers.h - whom does a wildcard bind hear?
 *
 * The broker answers that in "listeners", for each listener that is bound to
 * WILDCARD or CHILDREN.
 */
#ifndef HVCTL_COVERS_H
#define HVCTL_COVERS_H

#include <jansson.h>
#include <stdio.h>

#include "hvctl/call.h"

/** covers_print() - one line per partition of a listener's "covers" */
void covers_print(const json_t *listener, const char *indent, FILE *f);

/** covers_say() - on stderr: the address that @fd, a socket of ours, listens
 * on, and its partitions. Failures are told and otherwise of no consequence. */
void covers_say(struct ctl *c, int fd);

#endif /* HVCTL_COVERS_H */
