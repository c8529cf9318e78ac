/* SPDX-License-Identifier: MIT */
/*
 * opening.h - a program connects to the guest of the rig, step by step: OPEN,
 * which is fb_open(); the guest is asked; it says yes; the program has a socket
 */
#ifndef TEST_VHOST_USER_OPENING_H
#define TEST_VHOST_USER_OPENING_H

#include "rig.h"

/** guest_is_asked() - it sees a REQUEST, the next one, for its @port: its i-th
 * end */
void guest_is_asked(struct rig *r, int i, uint32_t port);
void guest_says_yes(struct rig *r, int i);
/** program() - its i-th end is @fd */
void program(struct rig *r, int i, int fd);

/* for rig_wait(); @arg: int */
bool answered(struct rig *r, void *arg);  /* the OPEN of this index */
bool prog_over(struct rig *r, void *arg); /* the end of this program */

#endif /* TEST_VHOST_USER_OPENING_H */
