/* SPDX-License-Identifier: MIT */
/*
 * host.h - the other ends of a guest's connections: the broker, or Unix sockets
 *
 * What a connection of the guest is joined to on the host is an opaque end. It
 * comes into being in two ways: the guest connects, and dial() finds the end;
 * or the host connects, open() asks the guest, and answered() tells how it
 * went. An end never blocks and holds no bytes: what it does not take stays in
 * the guest's ring.
 */
#ifndef VMBUS_HOST_SIDE_H
#define VMBUS_HOST_SIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/ev.h"
#include "transport/session.h" /* struct session_guest_ops */

/* What calls back: as for sessions, with the end in place of the session. */
struct host;

struct host_ops {
	/* Room for a guest's connect to @service; accept() or abort() of
	 * struct session_guest_ops follows. 0 or -errno */
	int (*dial)(struct host *h, void *conn, const GUID *service,
		    const GUID *source, void **ret_end);
	/* the guest's answer to open(): its end's name, or NULL: it does not
	 * take it, and the end is gone */
	void (*answered)(void *end, const GUID *peer);
	/* Return: bytes; 0: end of file; -EAGAIN; -errno */
	ssize_t (*pull)(void *end, const struct iovec *iov, unsigned int n);
	/* Return: bytes, 0: full, writable() follows; -errno */
	ssize_t (*push)(void *end, const struct iovec *iov, unsigned int n);
	void (*shut)(void *end); /* no more data come */
	void (*end)(void *end);	 /* the guest's end is gone */
	void (*running)(struct host *h, bool running);
	/* From one process to the next: a descriptor, still ours, or -errno */
	int (*save)(void *end, struct session_saved *ret);
	/* @fd is owned if it succeeds. 0 or -errno */
	int (*restore)(struct host *h, const struct session_saved *saved,
		       int fd, void *conn, void **ret_end);
	/* Before save(): what is not established is given up, and nothing new
	 * comes; or on again. Established ends go on. */
	void (*pause)(struct host *h, bool pause);
	/* the answer to control() of struct session_guest_ops; NULL: there is
	 * nobody who asks */
	void (*control_reply)(struct host *h, uint32_t serial, uint32_t error,
			      uint32_t reason, const char *text);
	/* the partition's VmId, zero: it has none */
	GUID (*vmid)(struct host *h);
	struct host *(*free)(struct host *h);
};

struct host {
	const struct host_ops *ops;
};

/** host_broker() - @partition of hvsocketd; @vmid: zero for the broker's
 * choice. Return: 0; -errno: @ret_why */
int host_broker(struct ev *ev, const char *partition, const GUID *vmid,
		const struct session_guest_ops *ops, void *ctx,
		struct host **ret, const char **ret_why);
/** host_broker_attach() - wait for the broker's answer. 0; -errno: @ret_why,
 * @ret_place say more */
int host_broker_attach(struct host *h, const char **ret_why,
		       const char **ret_place);

/** host_uds() - without a broker: Firecracker's convention, with OpenVMM's
 * GUIDs (docs/man/hvsocket-vmbus.8). @listener: at @path, owned */
int host_uds(struct ev *ev, const char *path, int listener,
	     const struct session_guest_ops *ops, void *ctx, struct host **ret);

#endif /* VMBUS_HOST_SIDE_H */
