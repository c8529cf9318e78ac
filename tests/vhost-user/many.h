/* SPDX-License-Identifier: MIT */
/* many.h - 200 connections that move data, and a process that is started again
 * under them */
#ifndef TEST_VHOST_USER_MANY_H
#define TEST_VHOST_USER_MANY_H

#include "rig.h"

#define MANY 200

/** many_slots() - for rig_start_with(): another front-end than the usual one */
void many_slots(struct drv *d);
/** many_connect() - all of them, with no end of data both ways */
void many_connect(struct rig *r);
/** many_flow() - until @more bytes have arrived each way */
void many_flow(struct rig *r, uint64_t more);
/** many_well() - what is under way of the first @n arrives, to the byte, and
 * nothing was reset */
void many_well(struct rig *r, int n);
/** many_restart() - the service manager starts it again, after this signal */
void many_restart(struct rig *r, int sig);

#endif /* TEST_VHOST_USER_MANY_H */
