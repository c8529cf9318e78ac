/* SPDX-License-Identifier: MIT */
/* handover.c - see handover.h */
#include "transport/vmbus/handover.h"

#include <errno.h>

int handover_save(struct vm *vm, bool descriptors, struct vmbu_reply *ret,
		  int *ret_fds, int *ret_nfds, const char **ret_why)
{
	(void)vm, (void)descriptors, (void)ret, (void)ret_fds, (void)ret_nfds;
	*ret_why = "not offered";
	return -EOPNOTSUPP;
}

int handover_take(struct vm *vm, uint32_t first, struct vmbu_reply *ret,
		  int *ret_fds, int *ret_nfds)
{
	(void)vm, (void)first, (void)ret, (void)ret_fds, (void)ret_nfds;
	return -EOPNOTSUPP;
}

int handover_load(struct vm *vm, const struct vmbu_request *q, int fd,
		  const char **ret_why)
{
	(void)vm, (void)q, (void)fd;
	*ret_why = "not offered";
	return -EOPNOTSUPP;
}

int handover_give(struct vm *vm, uint32_t first, struct fdmsg *m)
{
	(void)vm, (void)first, (void)m;
	return -EOPNOTSUPP;
}

int handover_run(struct vm *vm)
{
	(void)vm;
	return -EOPNOTSUPP;
}
