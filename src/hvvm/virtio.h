/* SPDX-License-Identifier: MIT */
/*
 * virtio.h - the machine's virtio devices, each in a process beside it
 *
 * A device is its registers (virtio-mmio.h) and a conversation with a back end
 * (vhost-user.h) that has the guest's memory too and works on the rings alone:
 * KVM turns the guest's notification into the back end's eventfd, and that of
 * the back end into an edge on the device's line.
 *
 * A back end that goes, or does not keep to the protocol, costs the guest that
 * device: it needs a reset, which does not help, and after the machine's own
 * reset it is not there.
 *
 * Registers are used by the processors' threads; the event loop's hears of a
 * back end that has gone and of a changed configuration. One lock for each
 * device.
 */
#ifndef HVVM_VIRTIO_H
#define HVVM_VIRTIO_H

struct machine;
struct virtio_device;

/** virtio_start() - connects to all back ends and puts the devices on the bus
 * and into m->virtio. Return: 0; -errno: a sentence has been said */
int virtio_start(struct machine *m);
/** virtio_reset() - with the machine's processors stopped and its VM there */
void virtio_reset(struct machine *m);
void virtio_stop(struct machine *m);

#endif /* HVVM_VIRTIO_H */
