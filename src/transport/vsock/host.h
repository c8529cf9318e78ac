/* SPDX-License-Identifier: MIT */
/*
 * host.h - all VMs of the host's kernel: who has which CID, the ports they dial
 *
 * One process for all of them: the kernel has one set of ports for all guests,
 * and who listens there has to tell them apart.
 */
#ifndef VSOCK_HOST_H
#define VSOCK_HOST_H

#include "base/ev.h"

struct host;

/** host_new() - Return: 0; -errno: @ret_why */
int host_new(struct ev *ev, struct host **ret, const char **ret_why);
/** host_free() - all connections end. Return: NULL */
struct host *host_free(struct host *h);

/** host_start() - run the loop until the broker has told which VMs there are,
 * 5 s at most. Return: 0; -EINTR (it is to end), -ENETDOWN (no broker, or it
 * refuses), -ETIMEDOUT, -errno */
int host_start(struct host *h);
/** host_error() - why it has not, one sentence or "" */
const char *host_error(const struct host *h);
/** host_place() - the broker's control socket, for messages */
const char *host_place(const struct host *h);

#endif /* VSOCK_HOST_H */
