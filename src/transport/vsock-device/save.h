/* SPDX-License-Identifier: MIT */
/*
 * save.h - the device in another process: the guest notices nothing
 *
 * Between batches nothing is in flight, so that what the connections are is
 * all there is. A host end is a number meanwhile.
 */
#ifndef VSOCK_DEVICE_SAVE_H
#define VSOCK_DEVICE_SAVE_H

#include "base/pack.h"
#include "transport/vsock-device/vsock.h"

/** vsock_save() - @number tells which a host end is; never 0 */
void vsock_save(const struct vsock *v, struct pack *p,
		uint32_t (*number)(void *host));
/**
 * vsock_load() - into a device without connections
 * @host:	the host end of a number, and what @c's is from now on; NULL:
 *		there is none
 *
 * Return: 0; -EPROTO: that is no device's state; -ENOMEM. If it fails, the
 * device can only be freed.
 */
int vsock_load(struct vsock *v, struct unpack *u,
	       void *(*host)(void *ctx, uint32_t number, struct vsock_conn *c),
	       void *ctx);

/** vsock_reused() - the guest is done with @c, and has its ports for another
 * one */
bool vsock_reused(struct vsock *v, const struct vsock_conn *c);
/** vsock_lost() - the guest may have this connection, of which no more is
 * known: reset it */
void vsock_lost(struct vsock *v, enum vsock_type type, uint32_t peer_cid,
		uint32_t guest_port, uint32_t host_port);

#endif /* VSOCK_DEVICE_SAVE_H */
