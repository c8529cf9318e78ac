/* SPDX-License-Identifier: MIT */
/*
 * doors.h - the host's ports at which guests dial
 *
 * The kernel has one set of ports for all guests. There is a listener for each
 * port that a registered service has, made and removed as services come and go;
 * who dialled is the kernel's word, and whether they may is the broker's. At
 * most a quarter of the descriptors that the process may have are theirs.
 */
#ifndef VSOCK_DOORS_H
#define VSOCK_DOORS_H

#include "base/ev.h"
#include "proto/message.h"

struct doors;

/* CID @cid dials @port from @source; @fd, connected, is the callee's. */
typedef void (*doors_fn)(void *ctx, int fd, uint32_t port, uint32_t cid,
			 uint32_t source);

/** door_port() - the port at which a service can be dialled. Return: is there
 * one? (Pure.) */
bool door_port(const GUID *service, uint32_t *ret_port);

/** doors_new() - none yet. Return: 0 or -ENOMEM */
int doors_new(struct ev *ev, doors_fn fn, void *ctx, struct doors **ret);
struct doors *doors_free(struct doors *ds);

/** doors_services() - part of the list of what is registered. What is not in
 * it loses its listener when the list is whole */
void doors_services(struct doors *ds, const struct msg_services *m);

#endif /* VSOCK_DOORS_H */
