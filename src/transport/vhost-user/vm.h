/* SPDX-License-Identifier: MIT */
/*
 * vm.h - one VM: a front-end, a vsock device, the broker, in one loop
 *
 * Everything that happens (a kick, a socket, a frame of the broker) notes what
 * is to be done; the pump runs once at the end of the loop's batch.
 */
#ifndef VHOST_USER_VM_H
#define VHOST_USER_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ev.h"

struct vm;

struct vm_config {
	const char *partition;
	uint64_t guest_cid;
	bool one_off; /* end with the first front-end */
};

/** vm_new() - finds the broker's place; @ret_why where it cannot. 0 or -errno
 */
int vm_new(struct ev *ev, const struct vm_config *config, struct vm **ret,
	   const char **ret_why);
struct vm *vm_free(struct vm *vm);

/** vm_attach() - attach the partition and wait for the broker's answer.
 * Return: 0, or -errno: vm_error() tells why, vm_place() whom */
int vm_attach(struct vm *vm);
const char *vm_error(const struct vm *vm);
const char *vm_place(const struct vm *vm);
const char *vm_name(const struct vm *vm);

/** vm_tell() - the counters, to standard error */
void vm_tell(const struct vm *vm);

/** vm_listen() - front-ends come from this listening socket (owned) */
int vm_listen(struct vm *vm, int fd);
/** vm_connected() - this is the front-end (owned); the program ends with it */
int vm_connected(struct vm *vm, int fd);

/* ---- processes before and after this one */

/** vm_replace() - take over from the process that listens at @path. Return: 1:
 * vm_resume() is next; 0: there is none; -errno, @ret_why: it goes on, and the
 * VM can only be freed */
int vm_replace(struct vm *vm, const char *path, const char **ret_why);
/** vm_keep() - if a service manager keeps something for us, use that. Return: 1
 * and 0 as above; -errno, @ret_why: what was kept cannot be used */
int vm_keep(struct vm *vm, const char **ret_why);
/** vm_resume() - instead of vm_attach() and vm_listen() */
void vm_resume(struct vm *vm);
bool vm_listens(const struct vm *vm);
/** vm_ready() - it serves: tell the service manager */
void vm_ready(struct vm *vm);
/** vm_leave() - the process is to end. Return: true: everything is kept for the
 * next one, and must not be touched any more */
bool vm_leave(struct vm *vm);

#endif /* VHOST_USER_VM_H */
