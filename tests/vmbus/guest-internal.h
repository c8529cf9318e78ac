/* SPDX-License-Identifier: MIT */
/* guest-internal.h - what guest.c and guest-chan.c call of each other */
#ifndef TESTS_VMBUS_GUEST_INTERNAL_H
#define TESTS_VMBUS_GUEST_INTERNAL_H

#include "guest.h"

struct vg_msg {
	uint32_t w[60];
};

/* guest.c */
void vg_post_words(struct vg *g, uint32_t type, size_t len, uint32_t a,
		   uint32_t b);

/* guest-chan.c: what came */
void vg_on_offer(struct vg *g, const struct vg_msg *m);
void vg_on_rescind(struct vg *g, uint32_t relid);
void vg_on_created(struct vg *g, const struct vg_msg *m);
void vg_on_opened(struct vg *g, const struct vg_msg *m);
void vg_on_torndown(struct vg *g, uint32_t gpadl);
void vg_on_modified(struct vg *g, const struct vg_msg *m);
bool vg_probe_all(struct vg *g);
bool vg_open_late(struct vg *g);
void vg_chan_free(struct vg_chan *c);

#endif /* TESTS_VMBUS_GUEST_INTERNAL_H */
