/* SPDX-License-Identifier: MIT */
/*
 * libraries.h - the shared libraries of a program, into the archive too
 *
 * They are found as the dynamic loader would: the program's own run path,
 * $LD_LIBRARY_PATH, the folders of /etc/ld.so.conf, the usual ones. Each goes
 * to where it is here; the guest has no cache of the loader's, so init gets a
 * list of folders (libraries_path()). What a program loads later (dlopen) is
 * not seen.
 */
#ifndef HVVM_EXEC_LIBRARIES_H
#define HVVM_EXEC_LIBRARIES_H

#include "hvvm/exec/cpio.h"

#define LIBRARIES_DIRS 64u

struct libraries {
	struct cpio *c;
	char *search[LIBRARIES_DIRS]; /* where to look */
	unsigned int count;
	char path[4096]; /* where something was found */
};

/** libraries_open() - @search may be NULL, else it is instead of the system's.
 * Return: 0 or -ENOMEM */
int libraries_open(struct libraries *l, struct cpio *c,
		   const char *const *search);
void libraries_close(struct libraries *l);

/** libraries_of() - what @path needs, if it is a program at all. Return: 0;
 * -errno: a sentence has been said */
int libraries_of(struct libraries *l, const char *path);

/** libraries_path() - for LD_LIBRARY_PATH; "": nothing is needed */
const char *libraries_path(const struct libraries *l);

#endif /* HVVM_EXEC_LIBRARIES_H */
