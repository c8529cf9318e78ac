/* SPDX-License-Identifier: MIT */
/*
 * diag.h - direct connections, asked of the kernel
 *
 * Two processes that the broker has connected are none of its business any
 * more; who they are stands in the connecting end's abstract name, and
 * sock_diag lists those of the broker's own network namespace.
 */
#ifndef BROKER_DIAG_H
#define BROKER_DIAG_H

#include "proto/name.h"

/** diag_connectors() - call @fn for every connected socket that carries a
 * connector's name, until it returns non-zero. Return: 0 or -errno */
int diag_connectors(int (*fn)(const struct connector_name *n, void *arg),
		    void *arg);

#endif /* BROKER_DIAG_H */
