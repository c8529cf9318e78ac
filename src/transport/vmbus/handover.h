/* SPDX-License-Identifier: MIT */
/*
 * handover.h - SAVE, TAKE, LOAD, GIVE and RUN: everything to another process
 *
 * The state is the bus's, the partition's VmId, and for each connection what
 * the host's end needs; descriptors go beside it, in the same order.
 */
#ifndef VMBUS_HANDOVER_H
#define VMBUS_HANDOVER_H

#include "transport/vmbus/vm.h"

/* As the messages of the same names. Return: 0 or -errno */
int handover_save(struct vm *vm, bool descriptors, struct vmbu_reply *ret,
		  int *ret_fds, int *ret_nfds, const char **ret_why);
int handover_take(struct vm *vm, uint32_t first, struct vmbu_reply *ret,
		  int *ret_fds, int *ret_nfds);
int handover_load(struct vm *vm, const struct vmbu_request *q, int fd,
		  const char **ret_why);
int handover_give(struct vm *vm, uint32_t first, struct fdmsg *m);
int handover_run(struct vm *vm);
/* RESET meanwhile: it is not stopped any more */
void handover_end(struct vm *vm);
/* @c is gone */
void handover_forget(struct vm *vm, const struct conn *c);
void handover_free(struct vm *vm);

#endif /* VMBUS_HANDOVER_H */
