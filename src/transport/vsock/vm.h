/* SPDX-License-Identifier: MIT */
/* vm.h - one VM of the kernel's: its attachment, its sessions, is it there? */
#ifndef VSOCK_VM_H
#define VSOCK_VM_H

#include "base/ev.h"
#include "base/guid.h"

struct vm;

/** vm_new() - and its link starts to attach. Return: 0 or -errno */
int vm_new(struct ev *ev, const GUID *vmid, uint32_t cid, struct vm **ret);
/** vm_free() - its connections end. Return: NULL */
struct vm *vm_free(struct vm *vm);
uint32_t vm_cid(const struct vm *vm);

/** vm_dialled() - its guest dials @port from @source; @fd is owned */
void vm_dialled(struct vm *vm, int fd, uint32_t port, uint32_t source);

#endif /* VSOCK_VM_H */
