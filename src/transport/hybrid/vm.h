/* SPDX-License-Identifier: MIT */
/* vm.h - one VM: its directory's events, its connections, its attachment */
#ifndef HYBRID_VM_H
#define HYBRID_VM_H

#include "base/ev.h"
#include "base/guid.h"

struct vm;

struct vm_config {
	const char *partition; /* these are borrowed */
	GUID vmid;	       /* zero: the broker's choice */
	const char *name; /* of the VMM's socket, in the working directory */
};

/** vm_new() - Return: 0; -errno: @ret_why */
int vm_new(struct ev *ev, const struct vm_config *config, struct vm **ret,
	   const char **ret_why);
/** vm_free() - connections end, sockets' files are removed. Return: NULL */
struct vm *vm_free(struct vm *vm);

/** vm_attach() - wait for the broker's answer, 5 s at most. Return: 0; -EPERM
 * (it refuses), -ENETDOWN, -ETIMEDOUT, -EINTR (ev_quit()), -errno */
int vm_attach(struct vm *vm);
/** vm_error() - why it is not attached, one sentence or "" */
const char *vm_error(const struct vm *vm);
/** vm_place() - the broker's control socket, for messages */
const char *vm_place(const struct vm *vm);
/** vm_orphaned() - did it end because its directory was removed? */
bool vm_orphaned(const struct vm *vm);

#endif /* HYBRID_VM_H */
