/* SPDX-License-Identifier: MIT */
/*
 * modules.h - the modules of a kernel, and what each needs
 *
 * What a module needs stands in itself ("depends=" in .modinfo), so depmod
 * need not have run. - and _ are the same in names. A module whose vermagic is
 * not the kernel's release is refused: the guest's kernel would refuse it too,
 * and say less.
 */
#ifndef HVVM_EXEC_MODULES_H
#define HVVM_EXEC_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hvvm/exec/kernel-tree.h"

enum module_use {
	MODULE_PACK, /* for modprobe */
	MODULE_TRY,  /* load it; a refusal is said, no more */
	MODULE_LOAD, /* load it, or fail */
};

struct module;

struct modules {
	const char *release; /* "": any */
	struct module *all;
	bool known; /* there is a folder of modules */
	/* the ones to pack, each behind what it needs */
	struct module **order;
	size_t count, room;
};

/** modules_open() - the names of all. Return: 0; -errno: a sentence has been
 * said */
int modules_open(struct modules *m, const struct kernel_tree *t);
void modules_free(struct modules *m);

/** modules_want() - @name, or a file's path, and what it needs. Return: 0; 1:
 * it is built in, or there is no such one and @use is MODULE_TRY; -errno: a
 * sentence has been said */
int modules_want(struct modules *m, const char *name, enum module_use use);

const char *module_name(const struct module *e);
enum module_use module_use(const struct module *e);
const uint8_t *module_data(const struct module *e, size_t *ret_len);
/** module_needs() - names with commas between, as in the file */
const char *module_needs(const struct module *e);

#endif /* HVVM_EXEC_MODULES_H */
