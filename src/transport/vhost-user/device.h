/* SPDX-License-Identifier: MIT */
/*
 * device.h - what the front-end has told: features, memory, rings
 *
 * Any order of messages is accepted; a ring runs when everything it needs is
 * known. Three levels of forgetting:
 *
 *   - the guest's connections: RESET_DEVICE, other features, or a ring that
 *     is not started where it was stopped (a front-end without RESET_DEVICE
 *     tells a reset from a pause only by that);
 *   - and memory and rings: a new handshake;
 *   - everything: the front-end has gone.
 */
#ifndef VHOST_USER_DEVICE_H
#define VHOST_USER_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/gmem.h"
#include "transport/parcel.h"
#include "transport/vhost-user/message.h"
#include "transport/vhost-user/vring.h"

#define VU_RX 0u
#define VU_TX 1u
#define VU_EVENT 2u
#define VU_RINGS 3u

#define VU_F_STREAM (1ull << 0) /* of the vsock device */
#define VU_F_SEQPACKET (1ull << 1)

struct vu_ring {
	struct vqueue q;
	struct vring_map_at {
		uint64_t desc, avail, used;
	} at; /* front-end addresses */
	bool has_addr;
	bool enabled, running;
	int kick, call, err; /* -1: none */
};

struct vu_device_ops {
	/* rings[i] runs from now on, or does not; while it is told of a stop
	 * its descriptors are still open */
	void (*ring_started)(void *ctx, unsigned int i);
	void (*ring_stopping)(void *ctx, unsigned int i);
	/* the guest has forgotten its connections */
	void (*reset)(void *ctx);
	/* it may have connections that nobody here knows: it was restored, or
	 * the process that knew them is gone */
	void (*lost_track)(void *ctx);
};

struct vu_device {
	struct gmem gmem;
	struct vu_ring rings[VU_RINGS];
	uint64_t features, protocol_features;
	bool has_protocol; /* were they negotiated on this connection? */
	uint64_t guest_cid;
	uint64_t calls; /* interrupts so far */
	int state_fd; /* from which a state is loaded; -1 */
	const struct vu_device_ops *ops;
	void *ctx;
};

struct vu_answer {
	uint32_t size; /* 0: no reply */
	uint8_t payload[VU_PAYLOAD_MAX];
};

void vu_device_init(struct vu_device *d, uint64_t guest_cid,
		    const struct vu_device_ops *ops, void *ctx);
/** vu_device_forget() - everything: the front-end has gone */
void vu_device_forget(struct vu_device *d);

/**
 * vu_device_message() - do what one message says
 * @m:		decoded; @error: what vu_message_decode() said
 * @fds:	its descriptors; those that are kept become -1
 * @ret:	the reply
 * @ret_refused: 0, or the -errno for which the message was refused
 *
 * Return: 0; -errno: the front-end waits for an answer that we cannot give, or
 * does not know where it is: end the connection.
 */
int vu_device_message(struct vu_device *d, const struct vu_message *m,
		      int error, int *fds, struct vu_answer *ret,
		      int *ret_refused);

/** vu_device_handshake() - SET_PROTOCOL_FEATURES: what was before is forgotten.
 * @v: vu_device_may_protocol(), which is 0 or -EOPNOTSUPP, has been asked */
int vu_device_may_protocol(uint64_t v);
void vu_device_handshake(struct vu_device *d, uint64_t v);

/** vu_device_pack() - for another process. Nothing is in flight between
 * messages and batches */
void vu_device_pack(const struct vu_device *d, struct parcel *p);
/** vu_device_unpack() - into a fresh one. Memory is mapped and nothing touched.
 * Return: 0 or -errno; vu_device_forget() is due in any case */
int vu_device_unpack(struct vu_device *d, struct parcel *p);
/** vu_device_resume() - rings that ran run on. @from_used: the process that
 * served them died: they begin at the last chain that was returned */
void vu_device_resume(struct vu_device *d, bool from_used);

/** vu_ring_live() - running, enabled, not broken */
bool vu_ring_live(const struct vu_device *d, unsigned int i);
/** vu_ring_broken() - tell the front-end, once */
void vu_ring_broken(struct vu_device *d, unsigned int i);
/** vu_ring_call() - interrupt the guest */
void vu_ring_call(struct vu_device *d, unsigned int i);

#endif /* VHOST_USER_DEVICE_H */
