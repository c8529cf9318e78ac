/* SPDX-License-Identifier: MIT */
/*
 * joints.h - connections over an uplink, each joined from two sockets
 *
 * The broker has spoken with the other one, and hands over what is to be
 * joined (JOIN). Nothing is decided here. When the broker ends the connections
 * go on, and are told to the next one (JOINED).
 */
#ifndef TRANSPORT_UPLINK_JOINTS_H
#define TRANSPORT_UPLINK_JOINTS_H

#include <stdbool.h>

#include "base/ev.h"

struct joints;

/** joints_new() - @on_demand: end the loop when the broker has ended and the
 * last connection. Return: 0; -errno, and @ret_why says of what */
int joints_new(struct ev *ev, bool on_demand, struct joints **ret,
	       const char **ret_why);
void joints_start(struct joints *j);
/** joints_refused() - why no broker ever took it, or NULL */
const char *joints_refused(const struct joints *j);
struct joints *joints_free(struct joints *j);

#endif /* TRANSPORT_UPLINK_JOINTS_H */
