/* SPDX-License-Identifier: MIT */
/*
 * handover.h - everything to another process: an upgrade that nobody notices
 *
 * Two ways lead there:
 *
 *   - the successor connects to the socket at which VMMs connect, and asks
 *     (VU_HAND_OVER). It is given a socket with a parcel in it, unpacks, and
 *     says that it is ready; with the answer "go" the predecessor is no more.
 *     Until then nothing has been touched, and the predecessor goes on if the
 *     successor does not get so far.
 *   - the service manager keeps a socket for us (vault.h), in which there is a
 *     parcel with what a successor needs if this process is killed, and, when
 *     it ends because it was told to, with everything.
 */
#ifndef VHOST_USER_HANDOVER_H
#define VHOST_USER_HANDOVER_H

#include "transport/vhost-user/vm-internal.h"

/* one byte each, after the parcel */
#define HANDOVER_READY 'r' /* the successor has unpacked it */
#define HANDOVER_GO 'g'	   /* it serves from now on */

/** handover_pack() - @whole: with connections and the broker; else what is left
 * if this process dies. Return: 0 or -errno */
int handover_pack(struct vm *vm, bool whole, struct parcel *p);
/** handover_unpack() - into a fresh VM, in which nothing moves before
 * handover_resume(). Return: 0; -errno, @ret_why */
int handover_unpack(struct vm *vm, struct parcel *p, const char **ret_why);
/** handover_resume() - from now on it serves */
void handover_resume(struct vm *vm);

/** handover_serve() - the one at @fd wants everything. Returns if it does not
 * get it */
void handover_serve(struct vm *vm, int fd);

#endif /* VHOST_USER_HANDOVER_H */
