/* SPDX-License-Identifier: MIT */
/*
 * diag.h - direct connections, asked of the kernel
 *
 * Two processes that the broker has connected are none of its business any
 * more. Who they are stands in the names of the two ends, and sock_diag lists
 * those of the broker's own network namespace. Which broker's they are, the
 * upper 16 bits of the token tell.
 */
#ifndef BROKER_DIAG_H
#define BROKER_DIAG_H

#include "proto/name.h"

typedef int (*diag_fn)(const struct connector_name *n,
		       const struct listener_name *l, void *arg);

/** diag_connections() - call @fn for every connection to a listener whose token
 * has this mark, until it returns non-zero. Return: 0 or -errno */
int diag_connections(uint16_t mark, diag_fn fn, void *arg);

#endif /* BROKER_DIAG_H */
