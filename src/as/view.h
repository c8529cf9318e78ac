/* SPDX-License-Identifier: MIT */
/*
 * view.h - does a thread see the file system that the program started in?
 *
 * Which partition a program is in, its runtime directory says: a path. In
 * another mount namespace, or under another root directory, the same path may
 * be another partition's directory, or nothing. We cannot go there to look; so
 * its calls are the kernel's.
 */
#ifndef AS_VIEW_H
#define AS_VIEW_H

#include <stdbool.h>
#include <sys/types.h>

/** view_start() - it is ours at this moment. 0 or -errno */
int view_start(void);

/** view_same() - Return: 0, 1 or -errno */
int view_same(pid_t tid);

#endif /* AS_VIEW_H */
