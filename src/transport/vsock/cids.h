/* SPDX-License-Identifier: MIT */
/*
 * cids.h - which CID stands for which partition
 *
 * Put together from the parts of the list that the broker tells. A CID that two
 * partitions claim stands for neither: who is connecting could not be told.
 * Pure.
 */
#ifndef VSOCK_CIDS_H
#define VSOCK_CIDS_H

#include "proto/message.h"

#define CIDS_MAX 65536u

struct cid_entry {
	uint32_t cid;
	GUID vmid;
};

struct cids {
	struct cid_entry *entry; /* by CID, once whole */
	size_t n, room;
	bool begun;
};

/** cids_take() - the next part. Return: 1: the list is whole; 0: more is to
 * come; -EPROTO (a part without its beginning, or too many), -ENOMEM */
int cids_take(struct cids *c, const struct msg_cids *part);

/** cids_settle() - of a whole list: drop those that are claimed twice, which
 * @twice (may be NULL) is called with. @c->entry is sorted then */
void cids_settle(struct cids *c, void (*twice)(void *ctx, uint32_t cid),
		 void *ctx);

/** cids_find() - by CID, in a settled list; NULL: none */
const struct cid_entry *cids_find(const struct cids *c, uint32_t cid);

void cids_fini(struct cids *c);

#endif /* VSOCK_CIDS_H */
