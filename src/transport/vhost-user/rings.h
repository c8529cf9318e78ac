/* SPDX-License-Identifier: MIT */
/*
 * rings.h - between device.c, which has features, memory and forgetting, and
 * rings.c, which has what the front-end says of rings
 */
#ifndef VHOST_USER_RINGS_H
#define VHOST_USER_RINGS_H

#include "transport/vhost-user/device.h"

/* As the messages of the same names. Return: 0 or -errno: nothing was done */
int vu_set_num(struct vu_device *d, unsigned int i, uint32_t num);
int vu_set_addr(struct vu_device *d, const struct vu_message *m);
int vu_set_base(struct vu_device *d, unsigned int i, uint32_t base);
void vu_get_base(struct vu_device *d, unsigned int i, struct vu_answer *ret);
int vu_set_vring_fd(struct vu_device *d, const struct vu_message *m, int *fds);
int vu_set_enable(struct vu_device *d, unsigned int i, uint32_t on);

/* Is it one? 0 or -errno. It does not block from now on. */
int vu_check_eventfd(int fd);

/* Run, if everything is known. A ring that cannot run is refused. */
int vu_ring_try(struct vu_device *d, unsigned int i);
void vu_ring_stop(struct vu_device *d, unsigned int i);
/* The guest has reset the device: stop it, begin at 0 again. */
void vu_ring_reset(struct vu_device *d, unsigned int i);
/* Stop it and forget all that was said of it. */
void vu_ring_clear(struct vu_device *d, unsigned int i);
/* The memory has changed: rings run on in it, or are broken (-EFAULT). */
int vu_rings_remap(struct vu_device *d);

#endif /* VHOST_USER_RINGS_H */
