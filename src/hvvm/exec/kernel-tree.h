/* SPDX-License-Identifier: MIT */
/*
 * kernel-tree.h - a kernel and its modules, from whatever -k names
 *
 * A kernel's build tree; a folder as a package is unpacked to (boot/vmlinuz-V,
 * lib/modules/V), / too; a folder with vmlinuz and modules; or a bzImage.
 */
#ifndef HVVM_EXEC_KERNEL_TREE_H
#define HVVM_EXEC_KERNEL_TREE_H

#include <limits.h>
#include <stdbool.h>

struct kernel_tree {
	char image[PATH_MAX];
	char modules[PATH_MAX]; /* a folder; "": none */
	char release[256];	/* as of uname -r; "": not known */
	bool build_tree;	/* modules.order is at its top */
};

/** kernel_tree_find() - Return: 0; -errno: a sentence has been said */
int kernel_tree_find(const char *path, struct kernel_tree *ret);

#endif /* HVVM_EXEC_KERNEL_TREE_H */
