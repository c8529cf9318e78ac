/* SPDX-License-Identifier: MIT */
/*
 * initramfs.h - the initial file system of hvvm run --exec
 *
 * /init is guest-init.c's program, which is a part of this one. What it is to
 * do stands in /.hvvm: command, modules (+NAME must be loaded, -NAME should
 * be), library-path. Modules are in /lib/modules/hvvm; /bin/busybox is the
 * host's.
 */
#ifndef HVVM_EXEC_INITRAMFS_H
#define HVVM_EXEC_INITRAMFS_H

#include "hvvm/exec/kernel-tree.h"
#include "hvvm/options.h"

/** initramfs_make() - Return: 0, and *@ret_fd is a memfd; -errno: a sentence
 * has been said */
int initramfs_make(const struct options *o, const struct kernel_tree *t,
		   int *ret_fd);

#endif /* HVVM_EXEC_INITRAMFS_H */
